import Foundation
import Measurement
import Techniques

/// What `lathe evaluate` prints for people.
enum EvaluateText {
    static func text(_ document: EvaluateDocument) -> String {
        let accuracy = document.accuracy
        let part = accuracy.samples == accuracy.total ? Written.exact(accuracy.total) : "\(Written.exact(accuracy.samples)) of \(Written.exact(accuracy.total))"
        var lines = ["\(document.model.name): \(steps(document.recipe))", "\(document.data.name), \(document.data.split): \(part) samples", ""]
        lines += [figures(document), "", verdict(accuracy)]
        if let exits = document.figures.candidate.exits { lines.append(leaving(exits, MetricText(accuracy.metric), accuracy.metric)) }
        if let latency = document.latency { lines.append(timing(latency)) }
        for step in document.recipe.steps {
            for refusal in step.refused ?? [] { lines.append("note: \(step.technique) leaves \(refusal.layer.onOneLine) alone: \(refusal.reason.onOneLine)") }
            if let why = step.skipped { lines.append("note: \(step.technique) is skipped: \(why.onOneLine)") }
            for note in step.notes ?? [] { lines.append("note: \(step.technique): \(note.onOneLine)") }
        }
        for warning in document.warnings { lines.append("warning: \(warning.onOneLine)") }
        for requirement in document.requirements { lines.append("\(requirement.met ? "met" : "not met"): \(requirement.description)") }
        return lines.joined(separator: "\n")
    }

    static func steps(_ recipe: RecipeDocument) -> String {
        guard !recipe.steps.isEmpty else { return "as it is" }
        return recipe.steps.map { step in
            let values = step.parameters.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value.value.text)" }.joined(separator: ",")
            return step.technique + (values.isEmpty ? "" : ":" + values) + (step.selector == "all" ? "" : "@" + step.selector)
        }.joined(separator: " + ")
    }

    private static func figures(_ document: EvaluateDocument) -> String {
        let (before, after) = (document.figures.baseline, document.figures.candidate)
        var table = TextTable([("", .left), ("baseline", .right), ("now", .right), ("change", .right)])
        let accuracy = document.accuracy
        let metric = MetricText(accuracy.metric)
        table.add(accuracy.metric, metric.value(accuracy.baseline), metric.value(accuracy.value), metric.difference(accuracy.difference))
        func add(_ title: String, _ first: Double?, _ second: Double?, _ format: (Double?) -> String) {
            guard first != nil || second != nil else { return }
            let ratio = first.flatMap { first in second.map { first > 0 ? $0 / first : .nan } } ?? .nan
            table.add(title, format(first), format(second), ratio.isFinite ? Written.percent(ratio, digits: 1) : "–")
        }
        func whole(_ value: Int?) -> Double? { value.map(Double.init) }
        add("ONNX file", whole(before.sizes.serialized), whole(after.sizes.serialized), Written.bytes)
        add("gzip", whole(before.sizes.transfer), whole(after.sizes.transfer), Written.bytes)
        add("packed archive", whole(before.sizes.packed), whole(after.sizes.packed), Written.bytes)
        add("theoretical", whole(before.sizes.theoretical), whole(after.sizes.theoretical), Written.bytes)
        add("parameters", whole(before.parameters), whole(after.parameters), Written.count)
        add("non-zeros", whole(before.nonZeros), whole(after.nonZeros), Written.count)
        add(after.exits == nil && before.exits == nil ? "MACs" : "MACs, expected", whole(before.macs), whole(after.macs), Written.count)
        add("peak activations", whole(before.peakActivationBytes), whole(after.peakActivationBytes), Written.bytes)
        add("memory", whole(before.memoryBytes), whole(after.memoryBytes), Written.bytes)
        add("energy, modeled", before.energyPicojoulesModeled, after.energyPicojoulesModeled) { $0.map { "≈\(($0 / 1e6).formatted(digits: 3)) µJ" } ?? "–" }
        if let latency = document.latency {
            add("latency, median", latency.baselineMedian, latency.candidateMedian, Written.milliseconds)
            add("latency, p90", latency.baselineP90, latency.candidateP90, Written.milliseconds)
            add("latency, mean", latency.baselineMean, latency.candidateMean, Written.milliseconds)
        }
        return table.text
    }

    private static func verdict(_ accuracy: EvaluateDocument.Accuracy) -> String {
        let metric = MetricText(accuracy.metric)
        var text = "\(accuracy.metric) \(metric.value(accuracy.value)), 95 % interval \(metric.value(accuracy.interval.low)) to \(metric.value(accuracy.interval.high))"
        if let difference = accuracy.difference, let interval = accuracy.differenceInterval {
            text += "; difference \(metric.difference(difference)) [\(metric.difference(interval.low)), \(metric.difference(interval.high))]"
        }
        if let p = accuracy.mcnemarP, let lost = accuracy.onlyBaseline, let won = accuracy.onlyCandidate {
            text += ", \(lost) lost and \(won) won, McNemar p \(Written.pValue(p))"
        }
        return text
    }

    private static func leaving(_ exits: [FiguresDocument.Exit], _ metric: MetricText, _ name: String) -> String {
        let parts = exits.enumerated().map { number, exit in
            let place = number == exits.count - 1 ? "through everything" : "exit \(number + 1)"
            return "\(place) \(Written.percent(exit.share, digits: 1))" + (exit.value.map { " (\(name) \(metric.value($0)))" } ?? "")
        }
        return "samples leave at " + parts.joined(separator: ", ")
    }

    private static func timing(_ latency: EvaluateDocument.Latency) -> String {
        let interval = latency.ratioInterval
        var text = "latency \(latency.ratio.formatted(digits: 3))× the baseline's [\(interval.low.formatted(digits: 3)), \(interval.high.formatted(digits: 3))]"
        text += ", batch \(latency.batch), \(latency.threads) thread\(latency.threads == 1 ? "" : "s"), \(latency.instructionSet)"
        text += ", ONNX Runtime \(latency.runtime), \(latency.rounds) rounds"
        if let samples = latency.samples { text += ", means over \(Written.exact(samples)) different samples" }
        if let warning = latency.warning { text += "\nwarning: \(warning.onOneLine)" }
        return text
    }
}

/// How a metric's values are written: proportions in percent, the others in their own unit.
struct MetricText {
    private let name: String

    init(_ name: String) { self.name = name }

    func value(_ value: Double?) -> String {
        guard let value else { return "–" }
        switch name {
        case "SQNR": return "\(value.formatted(places: 2)) dB"
        case "cosine": return value.formatted(places: 5)
        default: return Written.percent(value)
        }
    }

    func difference(_ value: Double?) -> String {
        guard let value else { return "–" }
        switch name {
        case "SQNR": return "\(value.formatted(places: 2)) dB"
        case "cosine": return value.formatted(places: 5)
        default: return Written.points(value)
        }
    }
}

extension Double {
    /// A fixed number of digits behind the point.
    func formatted(places: Int) -> String { String(format: "%.\(places)f", self) }
}
