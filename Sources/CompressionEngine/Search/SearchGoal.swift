import EngineSupport
import Measurement
import Metrics

/// What a search is to reach: limits that must hold, and the measure that is made best among models that hold them.
public struct SearchGoal: Sendable, Hashable {
    public var demands: [Demand]
    public var objective: Measure

    public init(demands: [Demand], objective: Measure) {
        self.demands = demands
        self.objective = objective
    }

    /// Reads `file <= 50%, drop <= 0.5, latency <= 0.8x`.
    /// - Parameters:
    ///   - best: the measure to make best; by default the first that is limited and is no metric, else the ONNX file.
    ///   - metric: the data set's.
    /// - Throws: `EngineError` in one line that lists what there is.
    public init(_ text: String, best: String? = nil, metric: MetricKind) throws(EngineError) {
        var demands: [Demand] = []
        for part in text.split(whereSeparator: { $0 == "," || $0 == ";" }) { demands.append(try Self.demand(part.filter { $0 != " " }, metric)) }
        guard !demands.isEmpty || best != nil else { throw EngineError(.data, "the goal is empty: expected limits such as 'file <= 50%, drop <= 0.5'") }
        var seen: Set<Demand> = []
        self.demands = demands.filter { demand in
            var place = demand
            place.number = 0
            return seen.insert(place).inserted
        }
        guard self.demands.count == demands.count else { throw EngineError(.data, "goal '\(text)': a measure is limited twice in the same way") }
        if let best {
            let measure = try Self.measure(best, metric, in: best)
            guard measure.measure.direction != .neither else { throw EngineError(.data, "goal: neither more nor less is better of \(measure.measure.name)") }
            objective = measure.measure
        } else {
            objective = demands.first { $0.measure.metric == nil }?.measure ?? .file
        }
    }

    private static func demand(_ text: String, _ metric: MetricKind) throws(EngineError) -> Demand {
        let signs = [("<=", false), (">=", true), ("≤", false), ("≥", true), ("<", false), (">", true)]
        guard let (range, isAtLeast) = signs.lazy.compactMap({ sign, isAtLeast in text.range(of: sign).map { ($0, isAtLeast) } }).first else {
            throw EngineError(.data, "goal: expected a limit such as 'file<=50%' or 'drop<=0.5', found '\(text)'")
        }
        let number = String(text[range.upperBound...])
        let (measure, isDrop) = try Self.measure(String(text[..<range.lowerBound]), metric, in: text)
        if isDrop {
            guard !isAtLeast else { throw EngineError(.data, "goal '\(text)': a drop is limited from above, with <=") }
            guard let value = measure.typedDifference(number), value >= 0 else {
                throw EngineError(.data, "goal '\(text)': expected \(measure.typedDifferenceForm) of \(measure.name), found '\(number)'")
            }
            return Demand(measure, .drop, value)
        }
        guard measure.direction == .neither || isAtLeast == (measure.direction == .higher) else {
            throw EngineError(
                .data, "goal '\(text)': \(measure.direction == .lower ? "less" : "more") is better of \(measure.name), so it is limited with \(isAtLeast ? "<=" : ">=")")
        }
        if let ratio = ratio(number, measure) { return Demand(measure, .ratio, isAtLeast: isAtLeast, ratio) }
        guard let value = measure.typed(number) else {
            throw EngineError(
                .data, "goal '\(text)': expected \(measure.typedForm)\(measure.metric == nil ? ", or a share of the baseline's such as 50% or 0.5x" : ""), found '\(number)'")
        }
        return Demand(measure, .value, isAtLeast: isAtLeast, value)
    }

    /// `0.5x`, and `50%` where the measure itself is not in percent.
    private static func ratio(_ text: String, _ measure: Measure) -> Double? {
        guard case .ratio = measure.comparison else { return nil }
        let value: Double? =
            if let last = text.last, "x×".contains(last) { Double(text.dropLast()) } else if text.hasSuffix("%") { Double(text.dropLast()).map { $0 / 100 } } else { nil }
        return value.flatMap { $0.isFinite && $0 > 0 ? $0 : nil }
    }

    private static let others = ["size": "file", "archive": "packed", "params": "parameters", "time": "latency", "accuracy": Measure.accuracyID]

    private static func measure(_ name: String, _ metric: MetricKind, in text: String) throws(EngineError) -> (measure: Measure, isDrop: Bool) {
        let id = name.lowercased()
        if id == "drop" || id == "loss" { return (.metric(metric), true) }
        let known = names(metric)
        guard let measure = Measure.named(others[id] ?? id, metric: metric), measure.metric == nil || measure == .metric(metric),
            measure.metric != nil || known.contains(measure.id)
        else {
            throw EngineError(.data, "goal '\(text)': there is no measure '\(name)' here, expected drop, accuracy, \(known.joined(separator: ", "))")
        }
        return (measure, false)
    }

    /// Ids of what can be limited or made best, beside `drop` and `accuracy`.
    public static func names(_ metric: MetricKind) -> [String] { Measure.all(metric: metric).filter { $0.metric == nil && ($0.isOfFigures || $0.isLatency) }.map(\.id) }

    public var needsLatency: Bool { objective.isLatency || demands.contains { $0.measure.isLatency } }
    /// Whether sizes matter that take long to find.
    public var needsSlowSizes: Bool { ([objective] + demands.map(\.measure)).contains { [Measure.packed, .gzip, .encoding].contains($0) } }
    public var metricDemands: [Demand] { demands.filter { $0.measure.metric != nil } }
    var figureDemands: [Demand] { demands.filter(\.measure.isOfFigures) }

    /// The objective as a number of which less is better; of latency the ratio, of the metric the loss.
    func score(_ found: Demand.Findings) -> Double? {
        let value = Demand(objective, objective.metric != nil ? .drop : objective.isLatency ? .ratio : .value, 0).value(found)
        return objective.metric == nil && objective.direction == .higher ? value.map { -$0 } : value
    }
}

extension Demand {
    /// By how much a value misses the limit: 0 where it holds, else in shares of the limit (of a drop, of the limit or a point).
    func excess(_ value: Double) -> Double {
        if isMet(value) { return 0 }
        let scale = quantity == .drop ? max(abs(number), measure.comparison == .points ? 0.005 : measure.resolution, 1e-9) : max(abs(number), 1e-12)
        return abs(value - number) / scale
    }
}
