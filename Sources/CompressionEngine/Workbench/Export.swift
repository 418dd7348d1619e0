import Archive
import Datasets
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes

extension EngineSession {
    /// Writes recipe, model, archive (if asked) and report together: all are made beside their place first, then
    /// renamed, so that an error or a cancellation leaves nothing behind.
    ///
    /// The test split is read here and nowhere else.
    /// - Returns: paths of the files, the model first.
    /// - Throws: `EngineError` if a file exists and may not be replaced, or anything on the way fails.
    @discardableResult
    public func export(
        _ recipe: Recipe, request: ExportRequest, cancellation: Cancellation = Cancellation(),
        progress: @escaping @Sendable (Double, String) -> Void = { _, _ in }
    ) throws -> [String] {
        let base = (request.folder.isEmpty ? "." : request.folder) + "/" + request.name
        var paths = [base + ".onnx", base + ".recipe.yaml", base + ".report.md"]
        if request.includeArchive { paths.append(base + ".lathe") }
        guard !request.name.isEmpty, !request.name.contains("/") else { throw EngineError(.data, "the name '\(request.name)' is no file name") }
        if !request.overwrite {
            for path in paths where FileManager.default.fileExists(atPath: path) {
                throw EngineError(.data, "\(path): exists already; choose another name or allow replacing")
            }
        }
        do {
            try FileManager.default.createDirectory(atPath: request.folder.isEmpty ? "." : request.folder, withIntermediateDirectories: true)
        } catch {
            throw EngineError(.data, "\(request.folder): cannot be made: \(error.localizedDescription)")
        }
        var recipe = recipe
        recipe.modelHash = info.modelHash
        progress(0.05, "applying the recipe")
        let applied = try apply(recipe, cancellation: cancellation)
        progress(0.2, "writing the model")
        let staged = paths.map { $0 + ".partial-\(getpid())" }
        var complete = false
        defer { if !complete { for path in staged { unlink(path) } } }
        try applied.model.serialized().write(to: staged[0])
        try AtomicFile.write(recipe.yaml, to: staged[1])
        if request.includeArchive {
            progress(0.3, "packing the archive")
            try Archive.write(applied.model, to: staged[3], cancellation: cancellation) { fraction, name in
                progress(0.3 + 0.1 * fraction, "packing \(name)")
            }
        }
        progress(0.4, "measuring")
        let report = try ExportReport.make(
            self, recipe: recipe, applied: applied, modelPath: paths[0], recipePath: paths[1], cancellation: cancellation
        ) { fraction, phase in progress(0.4 + 0.55 * fraction, phase) }
        try AtomicFile.write(report, to: staged[2])
        try cancellation.check()
        for (from, to) in zip(staged, paths) {
            guard rename(from, to) == 0 else {
                throw EngineError(.data, "\(to): cannot be renamed into place: \(String(cString: strerror(errno)))")
            }
        }
        complete = true
        progress(1, "done")
        return paths
    }
}

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
        lines.append("| | baseline | compressed | ratio |")
        lines.append("|---|--:|--:|--:|")
        progress(0, "counting")
        let before = try session.baselineFigures(cancellation: cancellation)
        let after = try session.figures(of: applied.model, cancellation: cancellation)
        func row(_ title: String, _ first: Figure?, _ second: Figure?, _ format: (Double) -> String) {
            guard let first, let second else { return }
            let ratio = first.value > 0 ? String(format: "%.3f", second.value / first.value) : "–"
            lines.append("| \(title) | \(format(first.value)) | \(format(second.value)) | \(ratio) |")
        }
        func whole(_ value: Double) -> String { grouped(Int(value.rounded())) }
        row("ONNX file, bytes", before.serializedBytes, after.serializedBytes, whole)
        row("the same after gzip, bytes", before.transferBytes, after.transferBytes, whole)
        row("packed archive, bytes", before.packedBytes, after.packedBytes, whole)
        row("theoretical encoding, bytes", before.theoreticalBytes, after.theoreticalBytes, whole)
        row("parameters", before.parameters, after.parameters, whole)
        row("non-zero parameters", before.nonZeros, after.nonZeros, whole)
        row("MACs at batch 1", before.macs, after.macs, whole)
        row("peak activations, bytes", before.peakActivationBytes, after.peakActivationBytes, whole)
        row("energy, µJ (modeled, 45 nm)", before.energyPicojoules, after.energyPicojoules) { String(format: "%.2f", $0 / 1e6) }
        lines.append("")
        try accuracy(session, applied.model, cancellation, progress, &lines)
        try latency(session, applied.model, cancellation, progress, &lines)
        lines.append("## Recipe")
        lines.append("")
        lines.append("```yaml")
        lines.append(recipe.yaml.trimmingCharacters(in: .newlines))
        lines.append("```")
        lines.append("")
        lines.append("Replay: `lathe apply \(session.info.modelPath) --recipe \(recipePath) --output \(modelPath)`")
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
        lines.append("")
        lines.append("## Layers")
        lines.append("")
        lines.append("| layer | kind | shape | parameters | non-zero | MACs | bytes |")
        lines.append("|---|---|---|--:|--:|--:|--:|")
        for layer in after.layers {
            let shape = layer.weightShape.map(String.init).joined(separator: "×")
            lines.append(
                "| \(layer.id) | \(layer.kind) | \(shape) | \(whole(layer.parameters)) | \(whole(layer.nonZeros)) | \(layer.macs.map(whole) ?? "–") | \(whole(layer.serializedBytes)) |"
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
        lines.append("## Accuracy")
        lines.append("")
        lines.append("| split | samples | baseline | compressed | 95 % interval | difference, points | 95 % interval | McNemar p |")
        lines.append("|---|--:|--:|--:|---|--:|---|--:|")
        for (number, split) in [SplitName.validation, .test].enumerated() where split == .validation || session.info.testCount > 0 {
            progress(0.2 + 0.3 * Double(number), "evaluating the \(split.rawValue) split")
            let estimate = try session.evaluate(model, split: split, cancellation: cancellation)
            func percent(_ value: Double?) -> String { value.map { String(format: "%.2f %%", $0 * 100) } ?? "–" }
            let difference = estimate.difference.map { String(format: "%+.2f", $0 * 100) } ?? "–"
            let interval = estimate.differenceInterval.map { String(format: "%+.2f to %+.2f", $0.low * 100, $0.high * 100) } ?? "–"
            lines.append(
                "| \(split.rawValue) (\(estimate.metric)) | \(estimate.seen) | \(percent(estimate.baseline)) | \(percent(estimate.value)) | \(percent(estimate.interval.low)) to \(percent(estimate.interval.high)) | \(difference) | \(interval) | \(estimate.mcnemarP.map { $0 < 1e-4 ? "< 0.0001" : String(format: "%.4f", $0) } ?? "–") |"
            )
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
                    "Batch %d, %d thread, %@, ONNX Runtime %@, %d interleaved rounds: baseline median %.4f ms (p90 %.4f), compressed %.4f ms (p90 %.4f); ratio %.3f (95 %% interval %.3f to %.3f).",
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

    /// Digits in groups of three.
    private static func grouped(_ number: Int) -> String {
        var digits = String(abs(number))
        var groups: [String] = []
        while digits.count > 3 {
            groups.insert(String(digits.suffix(3)), at: 0)
            digits.removeLast(3)
        }
        groups.insert(digits, at: 0)
        return (number < 0 ? "-" : "") + groups.joined(separator: ",")
    }
}

extension Workbench {
    public func export(_ recipe: Recipe, request: ExportRequest, job: Int) {
        runJob(job, title: "Export \(request.name)") { session, cancellation, progress in
            let files = try session.export(recipe, request: request, cancellation: cancellation, progress: progress)
            return .exported(job: job, files: files)
        }
    }
}
