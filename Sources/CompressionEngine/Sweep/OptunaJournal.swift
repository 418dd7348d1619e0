import EngineSupport
import Foundation
import Measurement
import Metrics
import Recipes
import Techniques

/// A sweep's results as a journal of Optuna 5 (`JournalStorage` over `JournalFileBackend`): one JSON object a line, each an operation.
///
/// A recipe's steps become parameters: `1` is the first step's technique, `1.gptq.bits` a parameter of it, `1.gptq.layers` and `1.gptq.overrides` what else there is
/// to say. Constraints are in the form that Optuna reads and optuna-dashboard shows: a list of which 0 or less holds.
public struct OptunaJournal {
    private let goal: SearchGoal
    private let sweep: Sweep
    private let name: String

    public init(_ sweep: Sweep, name: String) throws {
        goal = try sweep.description.searchGoal()
        (self.sweep, self.name) = (sweep, name)
    }

    /// Operations and states by their numbers in Optuna.
    private enum Operation: Int {
        case createStudy = 0
        case setStudyUserAttribute = 2
        case createTrial = 4
    }
    private enum State: Int {
        case complete = 1
        case pruned = 2
        case fail = 3
    }

    private enum Distribution {
        case integer(ClosedRange<Int>)
        case real(ClosedRange<Double>)
        case choices([String])

        /// As Optuna writes it.
        var json: String {
            switch self {
            case .integer(let range): #"{"name":"IntDistribution","attributes":{"log":false,"step":1,"low":\#(range.lowerBound),"high":\#(range.upperBound)}}"#
            case .real(let range): #"{"name":"FloatDistribution","attributes":{"step":null,"low":\#(range.lowerBound),"high":\#(range.upperBound),"log":false}}"#
            case .choices(let names): #"{"name":"CategoricalDistribution","attributes":{"choices":\#(OptunaJournal.text(names))}}"#
            }
        }

        /// The number that stands for a value.
        func number(_ value: String) -> Double? {
            switch self {
            case .choices(let names): names.firstIndex(of: value).map(Double.init)
            case .integer(let range): Double(value).flatMap { range.contains(Int($0)) ? $0 : nil }
            case .real(let range): Double(value).flatMap { range.contains($0) ? $0 : nil }
            }
        }
    }

    /// All of a journal, its lines each with an end.
    /// - Parameter results: in the order of their trials.
    public func text(_ results: [SweepResult]) -> String {
        let readable = results.compactMap { result in (try? Recipe(canonical: result.recipe)).map { (result, Self.parameters($0)) } }
        let distributions = Self.distributions(readable.map(\.1))
        let worker = "lathe-sweep"
        var lines: [String] = []
        func add(_ operation: Operation, _ fields: [String: Any]) {
            lines.append(Self.text(fields.merging(["op_code": operation.rawValue, "worker_id": worker]) { $1 }))
        }
        // Of a metric the loss is made least.
        let axes = goal.axes.map { (name: $0.metric == nil ? $0.name : "loss of the metric", isUp: $0.metric == nil && $0.direction == .higher) }
        // 1 is to minimize, 2 to maximize.
        add(.createStudy, ["study_name": name, "directions": axes.map { $0.isUp ? 2 : 1 }])
        let limits = goal.demands.map(Self.limit)
        let attributes: [String: Any] = [
            "lathe:goal": sweep.description.goal, "lathe:constraints": limits, "lathe:model": sweep.description.modelHash, "lathe:data": sweep.description.dataHash,
            "lathe:version": sweep.description.version, "lathe:objectives": axes.map(\.name),
        ]
        for (key, value) in attributes.sorted(by: { $0.key < $1.key }) { add(.setStudyUserAttribute, ["study_id": 0, "user_attr": [key: value]]) }
        for (result, parameters) in readable { add(.createTrial, trial(result, parameters, distributions)) }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func limit(_ demand: Demand) -> String {
        let quantity =
            switch demand.quantity {
            case .value: ""
            case .ratio: " ratio"
            case .drop: " drop"
            }
        let sign = demand.isAtLeast ? ">=" : "<="
        return "\(demand.measure.id)\(quantity) \(sign) \(demand.number)"
    }

    private func trial(_ result: SweepResult, _ parameters: [(String, String)], _ distributions: [String: Distribution]) -> [String: Any] {
        let trial = result.trial(goal, baseline: sweep.description.baseline)
        let values = trial.flatMap(objectives)
        let state: State =
            switch result.state {
            case .complete: values == nil ? .fail : .complete
            case .dropped, .rejected: .pruned
            case .unchanged, .failed: .fail
            }
        var numbers: [String: Double] = [:]
        var kinds: [String: String] = [:]
        for (name, value) in parameters {
            guard let distribution = distributions[name], let number = distribution.number(value) else { continue }
            (numbers[name], kinds[name]) = (number, distribution.json)
        }
        var system: [String: Any] = [:]
        if let constraints = trial.flatMap(violations) { system["constraints"] = constraints }
        var user: [String: Any] = [
            "lathe:trial": result.id, "lathe:recipe": result.recipe, "lathe:state": result.state.rawValue, "lathe:host": result.host, "lathe:machine": result.machine,
            "lathe:worker": result.worker, "lathe:runtime": result.runtime, "lathe:threads": result.threads,
        ]
        user["lathe:applied"] = result.applied
        user["lathe:reason"] = result.reason
        for measure in Measure.all where measure.isOfFigures || measure.isLatency { if let value = result.figures?[measure], value.isFinite { user[measure.id] = value } }
        if let accuracy = result.figures?.accuracy, accuracy.isFinite { user["accuracy"] = accuracy }
        if let seen = result.figures?.seen { user["samples"] = seen }
        if let ratio = result.figures?.latencyRatio { user["latency ratio"] = ratio }
        var fields: [String: Any] = [
            "study_id": 0, "state": state.rawValue, "datetime_start": Self.time(result.began), "datetime_complete": Self.time(result.began + result.seconds),
            "distributions": kinds, "params": numbers, "user_attrs": user, "system_attrs": system, "intermediate_values": [String: Double](),
        ]
        // Optuna wants one value alone in another place than several.
        (fields["value"], fields["values"]) = (NSNull(), NSNull())
        if state == .complete, let values { fields[values.count == 1 ? "value" : "values"] = values.count == 1 ? values[0] as Any : values as Any }
        return fields
    }

    /// What the study makes best; `nil` where not all is known.
    private func objectives(_ trial: SearchTrial) -> [Double]? {
        // A score of what more is better of has its sign turned.
        let all = zip(goal.axes, trial.scores).map { measure, score in measure.metric == nil && measure.direction == .higher ? score.map { -$0 } : score }
        let known = all.compactMap(\.self).filter(\.isFinite)
        return known.count == all.count ? known : nil
    }

    /// By how much each limit is missed, in the unit of its number; `nil` where not all are known.
    private func violations(_ trial: SearchTrial) -> [Double]? {
        let all = goal.demands.map { demand in
            // What holds by the last binary place holds here too.
            demand.value(trial.findings).map { demand.isMet($0) ? min(0, demand.isAtLeast ? demand.number - $0 : $0 - demand.number) : abs($0 - demand.number) }
        }
        let known = all.compactMap(\.self).filter(\.isFinite)
        return known.count == all.count ? known : nil
    }

    // MARK: - Parameters

    private static func parameters(_ recipe: Recipe) -> [(String, String)] {
        var all: [(String, String)] = []
        for (index, step) in recipe.activeSteps.enumerated() {
            let place = "\(index + 1)"
            all.append((place, step.technique))
            let prefix = "\(place).\(step.technique)."
            for (name, value) in step.normalized.parameters.explicit.sorted(by: { $0.key < $1.key }) { all.append((prefix + name, value.text)) }
            if step.layers != .all { all.append((prefix + "layers", step.layers.text)) }
            if !step.overrides.isEmpty {
                all.append((prefix + "overrides", step.overrides.map { "\($0.parameters.canonical)@\($0.layers.text)" }.joined(separator: ";")))
            }
        }
        return all
    }

    /// One for each parameter, the same in all trials: Optuna demands that. Values in words are those that came up.
    private static func distributions(_ trials: [[(String, String)]]) -> [String: Distribution] {
        var words: [String: Set<String>] = [:]
        for parameters in trials { for (name, value) in parameters { words[name, default: []].insert(value) } }
        return Dictionary(
            uniqueKeysWithValues: words.map { name, values in
                let parts = name.split(separator: ".", maxSplits: 2).map(String.init)
                let descriptor = parts.count == 3 ? TechniqueRegistry.technique(parts[1])?.descriptor.parameter(parts[2]) : nil
                switch descriptor?.domain {
                case .integer(let range, _)?: return (name, .integer(range))
                case .real(let range, _)?: return (name, .real(range))
                default: return (name, .choices(values.sorted()))
                }
            })
    }

    // MARK: - Text

    private static func time(_ seconds: Double) -> String {
        let formatter = ISO8601DateFormatter()
        formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        // Optuna's Python may be one that does not know `Z`.
        return formatter.string(from: Date(timeIntervalSince1970: seconds)).replacingOccurrences(of: "Z", with: "+00:00")
    }

    private static func text(_ value: Any) -> String {
        (try? JSONSerialization.data(withJSONObject: value, options: [.sortedKeys, .withoutEscapingSlashes])).map { String(decoding: $0, as: UTF8.self) } ?? "null"
    }
}
