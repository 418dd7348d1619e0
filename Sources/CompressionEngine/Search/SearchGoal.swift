import EngineSupport
import Measurement
import Metrics

/// What a search is to reach: limits that must hold, and the measure that is made best among models that hold them.
public struct SearchGoal: Sendable, Hashable {
    public var demands: [Demand]
    /// What is made best, one to three; more than one ask for a front.
    public var objectives: [Measure]

    public init(demands: [Demand], objective: Measure) { self.init(demands: demands, objectives: [objective]) }

    public init(demands: [Demand], objectives: [Measure]) {
        self.demands = demands
        self.objectives = objectives
    }

    /// What is made best, or the first of it.
    public var objective: Measure { objectives[0] }
    /// Whether a front is wanted, in place of one best model.
    public var isFront: Bool { objectives.count > 1 }
    /// What trials are compared by: the objectives; of a single one together with the metric, if there is one to lose.
    public var axes: [Measure] {
        guard !isFront, objective.metric == nil, let metric = metric else { return objectives }
        return [objective, .metric(metric)]
    }
    /// The data set's.
    public var metric: MetricKind?

    /// Reads `file <= 50%, drop <= 0.5, latency <= 0.8x`.
    /// - Parameters:
    ///   - best: the measures to make best, with commas between; `drop` stands for the loss of the metric. By default the first that is limited and is no
    ///     metric, else the ONNX file. A part of the text that begins with `minimize` says the same.
    ///   - metric: the data set's.
    /// - Throws: `EngineError` in one line that lists what there is.
    public init(_ text: String, best: String? = nil, metric: MetricKind) throws(EngineError) {
        var demands: [Demand] = []
        var best = best
        for part in text.split(whereSeparator: { $0 == "," || $0 == ";" }) {
            let words = part.split(separator: " ")
            if let first = words.first, first.lowercased() == "minimize" {
                guard best == nil else { throw EngineError(.data, "goal '\(text)': what to make best is said twice") }
                best = words.dropFirst().joined(separator: ",")
            } else {
                demands.append(try Demand(typed: String(part), metric: metric))
            }
        }
        guard !demands.isEmpty || best != nil else { throw EngineError(.data, "the goal is empty: expected limits such as 'file <= 50%, drop <= 0.5'") }
        var seen: Set<Demand> = []
        self.demands = demands.filter { demand in
            var place = demand
            place.number = 0
            return seen.insert(place).inserted
        }
        guard self.demands.count == demands.count else { throw EngineError(.data, "goal '\(text)': a measure is limited twice in the same way") }
        self.metric = metric
        guard let best else {
            objectives = [demands.first { $0.measure.metric == nil }?.measure ?? .file]
            return
        }
        let names = best.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        guard (1...3).contains(names.count) else {
            throw EngineError(.data, "goal: expected one to three measures to minimize, such as 'file' or 'file, drop', found '\(best)'")
        }
        objectives = []
        for name in names {
            let (measure, isDrop) = try Demand.measure(name, metric, in: "goal '\(name)'")
            guard measure.direction == .lower || isDrop else {
                let more = measure.metric == nil ? "" : ": 'drop' is what it loses"
                throw EngineError(.data, "goal: \(measure.direction == .neither ? "neither more nor less" : "more") is better of \(measure.name), so it is not minimized\(more)")
            }
            guard !objectives.contains(measure) else { throw EngineError(.data, "goal: \(name) is to be minimized twice") }
            objectives.append(measure)
        }
    }

    /// What the one who stated it may not have meant; `nil` for most goals.
    public var remark: String? {
        guard !isFront, objective.metric == nil, metricDemands.isEmpty else { return nil }
        return "the goal limits no loss: the model with the least \(objective.name) wins, whatever it loses; ', drop <= 0.5' limits it"
    }

    /// Ids of what can be limited or made best, beside `drop` and `accuracy`.
    public static func names(_ metric: MetricKind) -> [String] { Measure.all(metric: metric).filter { $0.metric == nil && ($0.isOfFigures || $0.isLatency) }.map(\.id) }

    public var needsLatency: Bool { objectives.contains(where: \.isLatency) || demands.contains { $0.measure.isLatency } }
    /// Whether the ONNX file's size matters.
    public var needsFile: Bool { (objectives + demands.map(\.measure)).contains(.file) }
    /// Whether sizes matter that take long to find.
    public var needsSlowSizes: Bool { (objectives + demands.map(\.measure)).contains { [Measure.packed, .gzip, .encoding].contains($0) } }
    public var metricDemands: [Demand] { demands.filter { $0.measure.metric != nil } }
    var figureDemands: [Demand] { demands.filter(\.measure.isOfFigures) }

    /// Where a model stands on the axes, less being better; of latency the ratio, of the metric the loss.
    func scores(_ found: Demand.Findings) -> [Double?] {
        axes.map { measure in
            let value = Demand(measure, measure.metric != nil ? .drop : measure.isLatency ? .ratio : .value, 0).value(found)
            return measure.metric == nil && measure.direction == .higher ? value.map { -$0 } : value
        }
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
