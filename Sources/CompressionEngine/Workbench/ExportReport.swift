import Datasets
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes

/// The Markdown report that goes with an exported model.
enum ExportReport {
    static func make(
        _ session: EngineSession, recipe: Recipe, applied: AppliedModel, modelPath: String, recipePath: String, cancellation: Cancellation,
        progress: (Double, String) -> Void
    ) throws -> String {
        var lines: [String] = []
        let name = (modelPath as NSString).lastPathComponent
        lines.append("# \(name)")
        lines.append("")
        lines.append("Made by lathe from `\((session.info.modelPath as NSString).lastPathComponent)` (content hash `\(session.info.modelHash)`).")
        lines.append("")
        lines.append("| | baseline | compressed | change |")
        lines.append("|---|--:|--:|--:|")
        progress(0, "counting")
        let before = try session.baselineFigures(cancellation: cancellation)
        let after = try session.figures(of: applied.model, cancellation: cancellation)
        for measure in Measure.all where measure.isOfFigures && measure.place >= .table {
            guard let first = measure.figure(in: before)?.value, let second = measure.figure(in: after)?.value else { continue }
            let name = measure.name + (measure.kind == .modeled ? " (modeled)" : "")
            lines.append("| \(name) | \(measure.format.exact(first)) | \(measure.format.exact(second)) | \(measure.changeText(from: first, to: second) ?? "–") |")
        }
        lines.append("")
        try accuracy(session, applied.model, cancellation, progress, &lines)
        try latency(session, applied.model, cancellation, progress, &lines)
        lines.append("## Recipe")
        lines.append("")
        lines.append("```yaml")
        lines.append(recipe.yaml.trimmingCharacters(in: .newlines))
        lines.append("```")
        lines.append("")
        lines.append("Replay: `\(ShellCommand.apply(session.info.modelPath, recipe: recipePath, output: modelPath, data: session.info.dataPath))`")
        lines.append("")
        for report in applied.reports {
            if let why = report.skipped {
                lines.append("- **\(report.technique)**: passed over: \(why)")
                continue
            }
            lines.append("- **\(report.technique)**: \(report.layers.count) layers (\(report.layers.joined(separator: ", ")))")
            for refused in report.refused { lines.append("  - not \(refused.layer): \(refused.reason)") }
            for note in report.notes { lines.append("  - \(note)") }
        }
        if let advice = SparseAdvice.line(applied.model, fileBytes: Int(after.serializedBytes.value)) { lines += ["", advice] }
        lines.append("")
        lines.append("## Layers")
        lines.append("")
        lines.append("| layer | kind | shape | parameters | non-zero | MACs | bytes |")
        lines.append("|---|---|---|--:|--:|--:|--:|")
        for layer in after.layers {
            let shape = layer.weightShape.map(String.init).joined(separator: "×")
            lines.append(
                "| \(layer.id) | \(layer.kind) | \(shape) | \(MeasureFormat.grouped(layer.parameters)) | \(MeasureFormat.grouped(layer.nonZeros)) | \(layer.macs.map(MeasureFormat.grouped) ?? "–") | \(MeasureFormat.grouped(layer.serializedBytes)) |"
            )
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func accuracy(
        _ session: EngineSession, _ model: Model, _ cancellation: Cancellation, _ progress: (Double, String) -> Void, _ lines: inout [String]
    ) throws {
        guard session.runtime != nil, session.validation != nil else {
            lines.append("Accuracy was not measured: \(session.info.runtimeProblem ?? "no data set was given").")
            lines.append("")
            return
        }
        let measure = Measure.metric(session.info.metric ?? .top1)
        lines.append("## \(measure.title)")
        lines.append("")
        // A test of right and wrong answers says nothing of other metrics.
        let hasTest = measure.metric?.isProportion ?? true
        lines.append("| split | samples | baseline | compressed | 95 % interval | difference | 95 % interval |" + (hasTest ? " McNemar p |" : ""))
        lines.append("|---|--:|--:|--:|---|--:|---|" + (hasTest ? "--:|" : ""))
        for (number, split) in [SplitName.validation, .test].enumerated() where split == .validation || session.info.testCount > 0 {
            progress(0.2 + 0.3 * Double(number), "evaluating the \(split.rawValue) split")
            let estimate = try session.evaluate(model, split: split, cancellation: cancellation)
            func value(_ value: Double?) -> String { value.map(measure.format.short) ?? "–" }
            func change(_ value: Double?) -> String { value.map(measure.changeFormat.short) ?? "–" }
            let interval = estimate.differenceInterval.map { "\(change($0.low)) to \(change($0.high))" } ?? "–"
            var cells = ["\(split.rawValue) (\(estimate.metric.title))", "\(estimate.seen)", value(estimate.baseline), value(estimate.value)]
            cells += ["\(value(estimate.interval.low)) to \(value(estimate.interval.high))", change(estimate.difference), interval]
            if hasTest { cells.append(estimate.mcnemarP.map { $0 < 1e-4 ? "< 0.0001" : String(format: "%.4f", $0) } ?? "–") }
            lines.append("| \(cells.joined(separator: " | ")) |")
        }
        lines.append("")
        lines.append("The validation split chose this recipe; the test split was read once, for this table.")
        lines.append("")
    }

    private static func latency(
        _ session: EngineSession, _ model: Model, _ cancellation: Cancellation, _ progress: (Double, String) -> Void, _ lines: inout [String]
    ) throws {
        guard session.runtime != nil else { return }
        progress(0.85, "timing")
        let (figures, _) = try session.latency(of: model, operators: false, cancellation: cancellation)
        lines.append("## Latency")
        lines.append("")
        lines.append(
            String(
                format:
                    "Batch %d, %d thread, %@, ONNX Runtime %@, %d interleaved rounds: baseline median %.4f ms (p90 %.4f), compressed %.4f ms (p90 %.4f); compressed / baseline %.3f (95 %% interval %.3f to %.3f).",
                figures.batch, figures.threads, figures.instructionSet, figures.runtimeVersion, figures.rounds, figures.baselineMedian,
                figures.baselineP90, figures.candidateMedian, figures.candidateP90, figures.ratio, figures.ratioInterval.low,
                figures.ratioInterval.high))
        if let warning = figures.warning { lines.append("Note: \(warning).") }
        if figures.ratioInterval.low > 1.02 {
            for cause in SlowdownCause.likely(baseline: session.model, candidate: model, figures: figures) {
                lines.append("Slower than the baseline, likely because \(cause).")
            }
        }
        lines.append("")
    }
}
