import Explorer
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
        if let exits = document.figures.candidate.exits { lines.append(leaving(exits, accuracy.measure)) }
        if let classes = document.classes { lines += ["", Self.classes(classes), ""] }
        for latency in document.latencies ?? document.latency.map({ [$0] }) ?? [] { lines.append(timing(latency)) }
        for step in document.recipe.steps {
            for refusal in step.refusalsByReason { lines.append("note: \(step.technique) leaves \(refusal.layers) alone: \(refusal.reason)") }
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
        let metric = accuracy.measure
        table.add(metric.name, Written.value(accuracy.baseline, metric), Written.value(accuracy.value, metric), Written.change(accuracy.difference, metric))
        func add(_ title: String, _ measure: Measure, _ first: Double?, _ second: Double?) {
            guard first != nil || second != nil else { return }
            let change = first.flatMap { first in second.flatMap { measure.changeText(from: first, to: $0) } }
            table.add(title, Written.value(first, measure), Written.value(second, measure), change ?? "–")
        }
        for measure in Measure.all where measure.isOfFigures && measure.place >= .table {
            let isExpected = measure == .macs && (after.exits != nil || before.exits != nil)
            add(measure.name + (isExpected ? ", expected" : measure.kind == .modeled ? ", modeled" : ""), measure, before[measure], after[measure])
        }
        if let latency = document.latency {
            add("latency, median", .latency, latency.baselineMedian, latency.candidateMedian)
            add("latency, p90", .latency, latency.baselineP90, latency.candidateP90)
            add("latency, mean", .latency, latency.baselineMean, latency.candidateMean)
            for other in document.latencies?.dropFirst() ?? [] {
                add(
                    "latency, \(other.threads) thread\(other.threads == 1 ? "" : "s")", .latency, other.baselineMean ?? other.baselineMedian,
                    other.candidateMean ?? other.candidateMedian)
            }
        }
        return table.text
    }

    private static func classes(_ classes: [EvaluateDocument.ClassDocument]) -> String {
        var table = TextTable([("class", .left), ("samples", .right), ("baseline", .right), ("now", .right), ("change", .right), ("most taken for", .left)])
        let share = Measure.top1
        for entry in classes {
            let count = Double(max(entry.samples, 1))
            let other = entry.confusedWith.map { label in "\(classes.first { $0.label == label }?.name ?? "\(label)") (\(entry.confused))" } ?? ""
            table.add(
                entry.name ?? "\(entry.label)", "\(entry.samples)", Written.value(Double(entry.baselineCorrect) / count, share),
                Written.value(Double(entry.correct) / count, share),
                Written.change(Double(entry.correct - entry.baselineCorrect) / count, share), other)
        }
        return table.text
    }

    private static func verdict(_ accuracy: EvaluateDocument.Accuracy) -> String {
        let metric = accuracy.measure
        func value(_ number: Double) -> String { Written.value(number, metric) }
        func change(_ number: Double) -> String { Written.change(number, metric) }
        var text = "\(metric.name) \(value(accuracy.value)), 95 % interval \(value(accuracy.interval.low)) to \(value(accuracy.interval.high))"
        if let difference = accuracy.difference, let interval = accuracy.differenceInterval {
            text += "; difference \(change(difference)) [\(change(interval.low)), \(change(interval.high))]"
        }
        if let p = accuracy.mcnemarP, let lost = accuracy.onlyBaseline, let won = accuracy.onlyCandidate {
            text += ", \(lost) lost and \(won) won, McNemar p \(Written.pValue(p))"
        }
        switch Verdict(rawValue: accuracy.verdict) {
        case .better: text += ": better"
        case .worse: text += ": worse"
        case .unclear: text += accuracy.possibleLoss.map { ": no loss found (within \(metric.changeFormat.magnitude($0)))" } ?? ""
        case Verdict.none?, nil: break
        }
        return text
    }

    private static func leaving(_ exits: [FiguresDocument.Exit], _ metric: Measure) -> String {
        let parts = exits.enumerated().map { number, exit in
            let place = number == exits.count - 1 ? "through everything" : "exit \(number + 1)"
            return "\(place) \(Written.percent(exit.share, digits: 1))" + (exit.value.map { " (\(metric.name) \(Written.value($0, metric)))" } ?? "")
        }
        return "samples leave at " + parts.joined(separator: ", ")
    }

    private static func timing(_ latency: EvaluateDocument.Latency) -> String {
        let interval = latency.ratioInterval
        let factor = Measure.latency.factor(from: 1, to: latency.ratio).map { "\($0.value.formatted(digits: 3))× \($0.word) than" } ?? "the same as"
        var text = "latency \(factor) the baseline's: ratio \(latency.ratio.formatted(digits: 3)) [\(interval.low.formatted(digits: 3)), \(interval.high.formatted(digits: 3))]"
        text += ", batch \(latency.batch), \(latency.threads) thread\(latency.threads == 1 ? "" : "s"), \(latency.instructionSet)"
        text += ", ONNX Runtime \(latency.runtime), \(latency.rounds) rounds"
        if let samples = latency.samples { text += ", means over \(Written.exact(samples)) different samples" }
        if let warning = latency.warning { text += "\nwarning: \(warning.onOneLine)" }
        return text
    }
}

extension Double {
    /// A fixed number of digits behind the point.
    func formatted(places: Int) -> String { String(format: "%.\(places)f", self) }
}
