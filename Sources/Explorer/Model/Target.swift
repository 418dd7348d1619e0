import CompressionEngine
import Measurement
import Metrics
import TerminalCells

/// A limit of the target, and how the present recipe stands to it.
public struct TargetMark: Sendable {
    public var demand: Demand
    /// In the unit of the limit; `nil` as long as it is not known.
    public var value: Double?
    /// Whether it is an estimate, of a part of the samples or predicted.
    public var isEstimate: Bool

    public var isMet: Bool? { value.map(demand.isMet) }
}

/// The target stays on screen: what a search is asked for, or what was stated without one.
extension ExplorerModel {
    public var targetMarks: [TargetMark] {
        guard let target = tasks.target, let before = facts.baseline else { return [] }
        let accuracy = accuracyNow.flatMap { $0.isStale ? nil : $0.estimate }
        let latency = latencyNow.flatMap { $0.isStale ? nil : $0.figures }
        return target.demands.map { demand in
            let isMetric = demand.measure.metric != nil
            if isBaseline, demand.quantity == .ratio { return TargetMark(demand: demand, value: 1, isEstimate: false) }
            if isBaseline, demand.quantity == .drop { return TargetMark(demand: demand, value: accuracy == nil ? nil : 0, isEstimate: false) }
            if demand.measure.isLatency, latency == nil, let predicted = latencyPrediction {
                return TargetMark(demand: demand, value: demand.quantity == .ratio ? predicted.ratio : predicted.milliseconds, isEstimate: true)
            }
            guard let after = figuresNow else { return TargetMark(demand: demand, value: nil, isEstimate: false) }
            let value = demand.value(Demand.Findings(accuracy: accuracy, before: before, after: after, latency: latency))
            let isEstimate = isMetric ? accuracy?.isComplete != true : !demand.measure.isLatency && result?.figures == nil && !isBaseline
            return TargetMark(demand: demand, value: value, isEstimate: isEstimate)
        }
    }

    /// The limit on a measure's own value, for a line in its chart; `nil` where it is not limited.
    func targetLimit(of measure: Measure) -> Double? {
        guard let demand = tasks.target?.demands.first(where: { $0.measure == measure }) else { return nil }
        switch demand.quantity {
        case .value: return demand.number
        case .ratio: return baselineValue(of: measure).map { $0 * demand.number }
        case .drop: return facts.baselineAccuracy.map { measure.direction == .higher ? $0.value - demand.number : $0.value + demand.number }
        }
    }

    /// Asks for a target; an empty one takes it away.
    mutating func askTarget() {
        guard facts.phase == .ready else { return }
        ui.overlay = .entry(
            Entry(
                purpose: .target,
                field: TextField(
                    tasks.goal.isEmpty ? goalChoices[0].text : tasks.goal, prompt: "target: ",
                    placeholder: "empty takes it away; file <= 50%, drop <= \(usualDrop), latency <= 0.8x")))
    }

    /// - Returns: why the text cannot be meant; `nil` once the target stands.
    mutating func setTarget(_ text: String) -> String? {
        guard !text.allSatisfy(\.isWhitespace) else {
            (tasks.target, tasks.goal) = (nil, "")
            return nil
        }
        do {
            tasks.target = try SearchRequest(text, metric: facts.info?.metric ?? .top1).goal
            tasks.goal = text
            return nil
        } catch {
            return error.message
        }
    }

    /// A drop that most people would take, as it is typed.
    var usualDrop: String { drop(0.5) }

    /// So many points, or so many percent of the metric's value where it has no points.
    private func drop(_ points: Double) -> String {
        metric.comparison == .points ? NumberFormat.general.text(points) : metric.changeFormat.magnitude(points / 50 * abs(facts.baselineAccuracy?.value ?? 1))
    }

    /// What people come for: up and down go through them while a goal is typed.
    var goalChoices: [(text: String, what: String)] {
        [
            ("file <= 50%, drop <= \(drop(0.5))", "half the size, hardly a loss"),
            ("minimize latency, drop <= \(drop(1))", "the fastest that loses little"),
            ("minimize file, drop <= \(drop(1))", "the smallest file that loses little"),
            ("minimize packed, drop <= \(drop(1))", "the smallest download that loses little"),
            ("minimize file drop", "the whole front of size and loss"),
        ]
    }
}
