import EngineSupport

/// The value of a technique's parameter.
public enum ParameterValue: Hashable, Sendable {
    case real(Double)
    case integer(Int)
    case choice(String)
    case flag(Bool)

    /// As written in a recipe and shown on screen.
    public var text: String {
        switch self {
        case .real(let value): Self.shortest(value)
        case .integer(let value): String(value)
        case .choice(let value): value
        case .flag(let value): value ? "true" : "false"
        }
    }

    /// A number without a trailing `.0`, and without what arithmetic left behind its tenth decimal (0.30000000000000004).
    static func shortest(_ value: Double) -> String {
        if value == value.rounded(), abs(value) < 1e15 { return String(Int(value)) }
        let rounded = (value * 1e10).rounded() / 1e10
        return String(abs(rounded - value) <= abs(value) * 1e-15 ? rounded : value)
    }
}

/// What a parameter means and may be. Controls, command-line options, recipe schema, help and documentation all come
/// from this.
public struct ParameterDescriptor: Sendable {
    public enum Domain: Sendable {
        /// A real number in a closed range, moved by `step`.
        case real(ClosedRange<Double>, step: Double)
        /// An integer in a closed range, moved by `step`.
        case integer(ClosedRange<Int>, step: Int)
        /// One of several words, each with a one-line explanation.
        case choice([Choice])
        case flag
    }

    public struct Choice: Sendable {
        public var name: String
        public var help: String
        /// Whether this choice looks at calibration data, where the technique as such does not.
        public var needsCalibration: Bool

        public init(_ name: String, _ help: String, needsCalibration: Bool = false) {
            self.name = name
            self.help = help
            self.needsCalibration = needsCalibration
        }
    }

    /// Key in recipes and options, lower-case with hyphens.
    public var name: String
    public var title: String
    public var domain: Domain
    public var defaultValue: ParameterValue
    /// Unit shown after the number: `bits`, `%`, …; empty for none.
    public var unit: String
    /// Steps go 1, 2, 5, 10, … (and from the smallest to 0, where the range begins there) instead of by equal amounts.
    public var isLogarithmic: Bool
    public var help: String

    public init(
        _ name: String, title: String, domain: Domain, default defaultValue: ParameterValue, unit: String = "", isLogarithmic: Bool = false, help: String
    ) {
        self.name = name
        self.title = title
        self.domain = domain
        self.defaultValue = defaultValue
        self.unit = unit
        self.isLogarithmic = isLogarithmic
        self.help = help
    }

    /// What values are allowed, in words, for error messages and help.
    public var expectation: String {
        switch domain {
        case .real(let range, _): "a number from \(ParameterValue.shortest(range.lowerBound)) to \(ParameterValue.shortest(range.upperBound))"
        case .integer(let range, _): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .choice(let choices): "one of " + choices.map(\.name).joined(separator: ", ")
        case .flag: "true or false"
        }
    }

    /// Reads a value from text.
    /// - Throws: `EngineError` saying what was expected.
    public func parse(_ text: String) throws(EngineError) -> ParameterValue {
        let value: ParameterValue? =
            switch domain {
            case .real: Double(text).map(ParameterValue.real)
            case .integer: Int(text).map(ParameterValue.integer)
            case .choice: .choice(text)
            case .flag: text == "true" || text == "on" || text == "yes" ? .flag(true) : text == "false" || text == "off" || text == "no" ? .flag(false) : nil
            }
        guard let value, contains(value) else {
            throw EngineError(.recipe, "\(name): expected \(expectation), found '\(text)'")
        }
        return value
    }

    public func contains(_ value: ParameterValue) -> Bool {
        switch (domain, value) {
        case (.real(let range, _), .real(let number)): number.isFinite && range.contains(number)
        case (.integer(let range, _), .integer(let number)): range.contains(number)
        case (.choice(let choices), .choice(let name)): choices.contains { $0.name == name }
        case (.flag, .flag): true
        default: false
        }
    }

    /// The values that steps lead through, where they are not equally far apart; `nil` otherwise.
    public var ladder: [Double]? {
        guard isLogarithmic, case .real(let range, let step) = domain else { return nil }
        return Self.ladder(range, smallest: step)
    }

    /// 1, 2, 5, 10, … times powers of ten within a range, its ends included.
    private static func ladder(_ range: ClosedRange<Double>, smallest: Double) -> [Double] {
        var rungs = [range.lowerBound]
        let least = max(range.lowerBound, range.lowerBound == 0 ? smallest : range.lowerBound)
        for exponent in -12...12 {
            for factor in [1.0, 2, 5] {
                // Written as decimal text, so that 0.0002 is that number and no neighbor of it.
                guard let rung = Double("\(Int(factor))e\(exponent)"), rung >= least * (1 - 1e-9), rung <= range.upperBound else { continue }
                if let last = rungs.last, rung > last { rungs.append(rung) }
            }
        }
        if let last = rungs.last, last < range.upperBound { rungs.append(range.upperBound) }
        return rungs
    }

    /// The value `count` steps away, kept inside the range; choices and flags wrap round.
    public func stepped(_ value: ParameterValue, by count: Int) -> ParameterValue {
        switch (domain, value) {
        case (.real(let range, let step), .real(let number)) where isLogarithmic:
            let ladder = Self.ladder(range, smallest: step)
            let place = ladder.lastIndex { $0 <= number * (1 + 1e-9) } ?? 0
            // From between two rungs, down is the lower one.
            let between = ladder[place] < number * (1 - 1e-9)
            return .real(ladder[min(max(place + count + (between && count < 0 ? 1 : 0), 0), ladder.count - 1)])
        case (.real(let range, let step), .real(let number)):
            // Steps count from the lower bound, so that values stay on round numbers.
            let position = ((number - range.lowerBound) / step).rounded() + Double(count)
            let moved = ((range.lowerBound + position * step) * 1e9).rounded() / 1e9
            return .real(min(max(moved, range.lowerBound), range.upperBound))
        case (.integer(let range, let step), .integer(let number)):
            return .integer(min(max(number + count * step, range.lowerBound), range.upperBound))
        case (.choice(let choices), .choice(let name)):
            let index = choices.firstIndex { $0.name == name } ?? 0
            return .choice(choices[((index + count) % choices.count + choices.count) % choices.count].name)
        case (.flag, .flag(let on)):
            return .flag(count % 2 == 0 ? on : !on)
        default:
            return value
        }
    }
}

/// Values of a technique's parameters; those not set have their default.
public struct ParameterValues: Hashable, Sendable {
    public private(set) var explicit: [String: ParameterValue]

    public init(_ explicit: [String: ParameterValue] = [:]) { self.explicit = explicit }

    public subscript(name: String) -> ParameterValue? {
        get { explicit[name] }
        set { explicit[name] = newValue }
    }

    /// These values with `other`'s laid over them.
    public func overlaid(by other: ParameterValues) -> ParameterValues {
        ParameterValues(explicit.merging(other.explicit) { $1 })
    }

    /// These values with the descriptor's defaults filled in.
    public func resolved(by descriptor: TechniqueDescriptor) -> ParameterValues {
        var values = explicit
        for parameter in descriptor.parameters where values[parameter.name] == nil { values[parameter.name] = parameter.defaultValue }
        return ParameterValues(values)
    }

    /// Canonical text: names sorted, explicit values only.
    public var canonical: String {
        explicit.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value.text)" }.joined(separator: ",")
    }

    // Typed reads of resolved values. A parameter that its descriptor does not declare is a programming error.

    public func real(_ name: String) -> Double {
        switch explicit[name] {
        case .real(let value)?: return value
        case .integer(let value)?: return Double(value)
        default: preconditionFailure("parameter '\(name)' is not a number or not resolved")
        }
    }

    public func integer(_ name: String) -> Int {
        guard case .integer(let value)? = explicit[name] else { preconditionFailure("parameter '\(name)' is not an integer or not resolved") }
        return value
    }

    public func choice(_ name: String) -> String {
        guard case .choice(let value)? = explicit[name] else { preconditionFailure("parameter '\(name)' is not a choice or not resolved") }
        return value
    }

    public func flag(_ name: String) -> Bool {
        guard case .flag(let value)? = explicit[name] else { preconditionFailure("parameter '\(name)' is not a flag or not resolved") }
        return value
    }
}
