import ArgumentParser
import Datasets
import Explorer
import Measurement
import Metrics

/// Something the user demands of the result, and whether it is met.
struct Requirement: Encodable {
    /// The option that states it, without dashes; of `--require`, what was demanded.
    var name: String
    /// The measure it is about.
    var measure: String
    /// In the measure's unit; of a ratio or a drop, that.
    var limit: Double
    var value: Double
    var met: Bool
    /// Both numbers as people read them.
    var description: String

    private enum CodingKeys: CodingKey {
        case name, measure, limit, value, met
    }
}

/// A limit on one measure, read but not checked yet.
struct Limit {
    enum Quantity {
        /// The measure's own value.
        case value
        /// Its value over the baseline's.
        case ratio
        /// How much worse it became, in the unit of differences.
        case drop
    }

    var name: String
    var measure: Measure
    var quantity = Quantity.value
    var isAtLeast = false
    var number: Double

    /// What was measured of a model and its baseline.
    struct Findings {
        var accuracy: AccuracyEstimate
        var before: ModelFigures
        var after: ModelFigures
        var latency: LatencyFigures?
    }

    /// - Throws: `BadInput` where there is no such number.
    func check(_ found: Findings) throws -> Requirement {
        guard let value = value(found) else { throw BadInput("--\(name): \(measure.name) is not known here") }
        // 0.5 points of 10,000 samples are 50, but not in binary fractions.
        let slack = measure.metric == nil ? 0 : 1e-12
        let met = isAtLeast ? value >= number - slack : value <= number + slack
        let demand = isAtLeast ? "at least" : "at most"
        let (one, other): (String, String) =
            switch quantity {
            case .value: ("\(measure.name) \(Written.value(value, measure))", Written.value(number, measure))
            case .ratio: ("\(measure.name) \(value.formatted(digits: 3))× the baseline's", "\(number.formatted(digits: 3))×")
            case .drop:
                ("\(measure.name) \(measure.direction == .lower ? "rises" : "drops") by \(measure.changeFormat.magnitude(max(value, 0)))", measure.changeFormat.magnitude(number))
            }
        return Requirement(name: name, measure: measure.id, limit: number, value: value, met: met, description: "\(one), \(demand) \(other) demanded")
    }

    private func value(_ found: Findings) -> Double? {
        let now: Double?
        let before: Double?
        if measure.metric != nil {
            (now, before) = (found.accuracy.value, found.accuracy.baseline)
            if quantity == .drop { return found.accuracy.loss ?? 0 }
        } else if measure.isLatency {
            (now, before) = (found.latency?.candidate, found.latency?.baseline)
            // That of the rounds, which ran in turns.
            if quantity == .ratio { return found.latency?.ratio }
        } else {
            (now, before) = (measure.figure(in: found.after)?.value, measure.figure(in: found.before)?.value)
        }
        guard quantity == .ratio else { return now }
        return now.flatMap { now in before.flatMap { $0 > 0 ? now / $0 : nil } }
    }
}

/// A limit as it is typed: `gzip<=60KB`, `macs<=0.5x`, `sqnr>=20`.
struct LimitText: ExpressibleByArgument {
    let text: String
    let id: String
    let isAtLeast: Bool
    let number: String

    init?(argument: String) {
        for (sign, isAtLeast) in [("<=", false), (">=", true)] {
            guard let place = argument.range(of: sign) else { continue }
            id = argument[..<place.lowerBound].filter { $0 != " " }
            number = argument[place.upperBound...].filter { $0 != " " }
            guard Measure.named(id, metric: nil) != nil, !number.isEmpty else { return nil }
            text = argument
            self.isAtLeast = isAtLeast
            return
        }
        return nil
    }
}

/// Demands on the result: the command ends with status 1 when one is not met.
struct RequirementOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Demand at least this value of the data set's metric.",
            discussion: "In the metric's own unit: percent for accuracy and agreement, dB for SQNR, a plain number for cosine.", valueName: "value"))
    var minAccuracy: MetricQuantity?

    @Option(
        help: ArgumentHelp(
            "Demand that the data set's metric drops by at most so much.",
            discussion: "In the metric's own unit: percentage points of accuracy and agreement, dB of SQNR, a plain number for cosine.", valueName: "loss"))
    var maxDrop: MetricQuantity?

    @Option(help: ArgumentHelp("Demand an ONNX file of at most this many bytes (60000, 60KB, 58KiB).", valueName: "bytes"))
    var maxSize: ByteQuantity?

    @Option(help: ArgumentHelp("Demand a packed archive of at most this many bytes.", valueName: "bytes"))
    var maxPackedSize: ByteQuantity?

    @Option(help: ArgumentHelp("Demand at most this latency relative to the baseline (1: not slower).", valueName: "ratio"))
    var maxLatencyRatio: Double?

    @Option(
        help: ArgumentHelp(
            "Demand a limit on any measure; may be repeated.",
            discussion: "For example 'gzip<=60KB', 'macs<=0.5x' (of the baseline's), 'latency<=2ms', 'accuracy>=92.5'. 'lathe measures' lists the measures.",
            valueName: "limit"))
    var require: [LimitText] = []

    /// Whether a limit needs the sizes that take long.
    var needsSlowSizes: Bool { maxPackedSize != nil || require.contains { [Measure.packed.id, Measure.gzip.id].contains($0.id) } }
    var needsLatency: Bool { maxLatencyRatio != nil || require.contains { $0.id == Measure.latency.id } }

    /// The limits for a data set's metric.
    /// - Throws: `BadInput` for a number that the measure does not have, or another metric than the data set's.
    func limits(metric kind: MetricKind?) throws -> [Limit] {
        let metric = Measure.metric(kind ?? .top1)
        var limits: [Limit] = []
        if let minAccuracy {
            guard metric.direction == .higher else {
                throw BadInput("--min-accuracy: less is better of \(metric.name); demand it with --require 'accuracy<=LIMIT'")
            }
            limits.append(Limit(name: "min-accuracy", measure: metric, isAtLeast: true, number: try minAccuracy.value(of: metric, option: "min-accuracy")))
        }
        if let maxDrop {
            limits.append(
                Limit(name: "max-drop", measure: metric, quantity: .drop, number: try maxDrop.value(of: metric, option: "max-drop", isDifference: true)))
        }
        if let maxSize { limits.append(Limit(name: "max-size", measure: .file, number: maxSize.bytes)) }
        if let maxPackedSize { limits.append(Limit(name: "max-packed-size", measure: .packed, number: maxPackedSize.bytes)) }
        if let maxLatencyRatio { limits.append(Limit(name: "max-latency-ratio", measure: .latency, quantity: .ratio, number: maxLatencyRatio)) }
        for text in require {
            guard let measure = Measure.named(text.id, metric: kind) else { continue }
            guard measure.metric == nil || measure == metric else {
                throw BadInput("--require \(text.text): the data set measures \(metric.name), not \(measure.name)")
            }
            guard measure.metric != nil || measure.isLatency || measure.isOfFigures else { throw BadInput("--require \(text.text): \(measure.name) is not measured here") }
            var limit = Limit(name: text.text, measure: measure, isAtLeast: text.isAtLeast, number: 0)
            if text.number.hasSuffix("x"), let ratio = Double(text.number.dropLast()), ratio.isFinite {
                (limit.quantity, limit.number) = (.ratio, ratio)
            } else if let number = measure.typed(text.number) {
                limit.number = number
            } else {
                throw BadInput("--require \(text.text): expected \(measure.typedForm) or a multiple of the baseline's such as 0.5x, found '\(text.number)'")
            }
            limits.append(limit)
        }
        return limits
    }
}

/// A number in the unit of a metric that is known only when the data are: `92.5`, `92.5%`, `20dB`, `0.99`.
struct MetricQuantity: ExpressibleByArgument {
    private let text: String

    init?(argument: String) {
        text = argument.filter { $0 != " " }
        let number = text.prefix { $0.isNumber || "+-.eE".contains($0) }
        // `e` may begin no number but a unit; what remains must be one.
        guard Double(number)?.isFinite == true, text.dropFirst(number.count).allSatisfy({ $0.isLetter || $0 == "%" }) else { return nil }
    }

    /// - Parameter isDifference: percentage points instead of percent.
    /// - Throws: `BadInput` where the unit is not the metric's.
    func value(of metric: Measure, option: String, isDifference: Bool = false) throws -> Double {
        if let value = metric.typed(text) { return value }
        if isDifference, metric.comparison == .points, text.hasSuffix("pt"), let value = metric.typed(String(text.dropLast(2))) { return value }
        throw BadInput("--\(option) \(text): the data set measures \(metric.name): expected \(isDifference ? metric.typedDifferenceForm : metric.typedForm)")
    }
}

extension Measure {
    /// A value as it is typed: in the unit that it is written in, which may be left out.
    /// - Returns: the value in the measure's own unit; `nil` if the text is none.
    func typed(_ text: String) -> Double? {
        switch format {
        case .bytes: return ByteQuantity(argument: text)?.bytes
        case .count:
            let factors: [Character: Double] = ["K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12]
            if let last = text.uppercased().last, let factor = factors[last] { return Double(text.dropLast()).map { $0 * factor } }
            return Self.finite(text)
        case .si(let unit, let scale):
            for (prefix, factor) in [("p", 1e-12), ("n", 1e-9), ("u", 1e-6), ("µ", 1e-6), ("m", 1e-3), ("", 1)] where text.hasSuffix(prefix + unit) {
                if let number = Self.finite(text.dropLast(prefix.count + unit.count)) { return number * factor / scale }
            }
            return Self.finite(text)
        case .percent, .points, .relative: return Self.finite(text.hasSuffix("%") ? text.dropLast() : text[...]).map { $0 / 100 }
        case .fixed(_, let unit, _), .significant(_, let unit, _):
            let hasUnit = !unit.isEmpty && text.lowercased().hasSuffix(unit.lowercased())
            return Self.finite(hasUnit ? text.dropLast(unit.count) : text[...])
        }
    }

    private static func finite(_ text: some StringProtocol) -> Double? { Double(text).flatMap { $0.isFinite ? $0 : nil } }

    /// What `typed` expects, in words.
    var typedForm: String {
        switch format {
        case .bytes: "bytes such as 60000, 60KB or 58KiB"
        case .count: "a count such as 2000000 or 2M"
        case .si: "a number in \(self.unit), or with its unit"
        case .percent, .points, .relative: "percent"
        case .fixed(_, let unit, _), .significant(_, let unit, _):
            !unit.isEmpty
                ? "a number in \(unit)"
                : !range.lowerBound.isFinite || !range.upperBound.isFinite
                    ? "a number" : "a number from \(range.lowerBound.formatted(digits: 3)) to \(range.upperBound.formatted(digits: 3))"
        }
    }

    var typedDifferenceForm: String { comparison == .points ? "percentage points" : typedForm }
}
