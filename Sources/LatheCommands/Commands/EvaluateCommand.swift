import ArgumentParser
import CompressionEngine
import Datasets
import EngineSupport
import Measurement
import ModelGraph
import Recipes

struct Evaluate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Measure accuracy, latency and size of a model after a recipe, against the model before it.",
        discussion: """
            Every number is measured on the graph that 'apply' writes, in ONNX Runtime. Accuracy comes with its 95 % interval and is compared \
            sample by sample (McNemar's exact test, Newcombe's interval of the difference). Latency is measured with the two models \
            in turns. Without a recipe the model is measured as it is.
            """)

    @OptionGroup var source: ModelOptions

    @Option(help: ArgumentHelp("The data set: a YAML description, or an .npz with the model's inputs.", valueName: "file"), completion: .file(extensions: ["yaml", "yml", "npz"]))
    var data: String

    @OptionGroup(title: "Recipe") var recipe: RecipeOptions

    @OptionGroup var teaching: TeacherOptions

    @Option(help: ArgumentHelp("Compare with this model instead of the model before the recipe.", valueName: "model"), completion: .file(extensions: ["onnx"]))
    var baseline: String?

    /// The splits that may be evaluated: the others are for training and calibration.
    enum Split: String, CaseIterable, ExpressibleByArgument {
        case validation, test

        var name: SplitName { self == .validation ? .validation : .test }
    }

    @Option(help: "The split to evaluate.")
    var split: Split = .validation

    @Option(help: ArgumentHelp("Evaluate only this many samples, drawn at random in a fixed order.", valueName: "samples"))
    var limit: PositiveCount?

    @Flag(help: "List how each class fares, those first that lose most.")
    var classes = false

    @Option(
        help: ArgumentHelp(
            "Write the samples that fare otherwise than with the baseline to this CSV file: other answers, or other values of the metric.", valueName: "file"),
        completion: .file(extensions: ["csv"]))
    var changed: String?

    @Option(help: ArgumentHelp("Write what was found as one HTML file, with charts and tables.", valueName: "file"), completion: .file(extensions: ["html"]))
    var report: String?

    @Flag(help: "Do not measure latency.")
    var noLatency = false

    @Option(help: ArgumentHelp("Threads of one call, for latency; with several numbers (1,2,4) each is measured, and limits are held against the first.", valueName: "counts"))
    var threads = PositiveCounts(1)

    @Option(help: ArgumentHelp("Samples of one call, for latency.", valueName: "count"))
    var batch = PositiveCount(1)

    @OptionGroup var sizes: SizeOptions

    @OptionGroup(title: "Requirements") var requirements: RequirementOptions

    @OptionGroup var output: OutputOptions

    func validate() throws {
        if noLatency, requirements.needsLatency { throw ValidationError("a limit on latency needs latency: leave --no-latency out") }
        if sizes.quick, requirements.needsSlowSizes { throw ValidationError("a limit on the packed archive or gzip needs that size: leave --quick out") }
    }

    func run() throws {
        try Outputs.check([changed, report]) {
            OpenRequest(modelPath: source.model, dataPath: data, recipePath: recipe.recipe, runtimePath: source.runtime, teacherPath: teaching.teacher).filesRead
        }
        let steps = try recipe.resolve()
        let cancellation = Interruption.watch()
        let progress = ProgressLine(quiet: output.json)
        let document = try Failure.about(source.model) { try measured(steps, progress, cancellation) }
        progress.clear()
        if let report { try AtomicFile.write(try EvaluateReport(document).page(), to: report) }
        Console.print(output.json ? try document.printed() : EvaluateText.text(document))
        let missed = document.requirements.filter { !$0.met }
        for requirement in missed { Console.error("\(source.model): not met: \(requirement.description)") }
        if !missed.isEmpty { throw Failure.requirementNotMet }
    }

    private func measured(_ recipe: Recipe, _ progress: ProgressLine, _ cancellation: Cancellation) throws -> EvaluateDocument {
        func open(_ path: String) throws -> EngineSession {
            try EngineSession.open(
                OpenRequest(modelPath: path, dataPath: data, runtimePath: source.runtime, teacherPath: teaching.teacher), cancellation: cancellation,
                progress: { progress.show($0, $1) })
        }
        let session = try open(source.model)
        defer { if let remark = session.trainings.takeRemark() { Console.warn(remark) } }
        // Before anything is measured.
        let limits = try requirements.limits(metric: session.info.metric)
        let reference = try baseline.map { path in try Failure.about(path) { try open(path) } } ?? session
        var warnings = RecipeNotes.warnings(recipe, session)
        let applied = try session.apply(recipe, cancellation: cancellation) { progress.show($1, $0) }

        let estimate = try reference.evaluate(
            applied.model, split: split.name, limit: limit?.value, cancellation: cancellation
        ) { progress.show("\($0.measure.name) \(Written.value($0.value, $0.measure))", Double($0.seen) / Double(max($0.total, 1))) }

        if classes, estimate.classes.isEmpty { throw EngineError(.data, "--classes: \(estimate.measure.name) has no classes whose answers could be compared") }
        if let changed {
            let text =
                switch try reference.changes(applied.model, split: split.name, limit: limit?.value, cancellation: cancellation) {
                case .answers(let samples): Self.table(samples, classes: session.info.classes)
                case .values(let samples): Self.table(samples, estimate.measure)
                }
            try AtomicFile.write(text, to: changed)
        }
        var latencies: [(figures: LatencyFigures, operators: [OperatorTime])] = []
        for count in noLatency ? [] : threads.values {
            let title = threads.values.count == 1 ? "timing" : "timing with \(count) thread\(count == 1 ? "" : "s")"
            latencies.append(
                try reference.latency(of: applied.model, batch: batch.value, threads: count, cancellation: cancellation) { progress.show(title, $0) })
        }
        let latency = latencies.first
        for changed in Set([session, reference].flatMap(\.changedSources)).sorted() { SourceChanges.warn(changed) }
        progress.show("measuring sizes")
        let isCompared = baseline != nil || !applied.reports.isEmpty
        // What the files before take on disk decides; a packed size that is demanded is measured in any case.
        var before = try reference.baselineFigures(slowSizes: false, cancellation: cancellation)
        var after = isCompared ? try reference.figures(of: applied.model, slowSizes: false, cancellation: cancellation) : before
        if sizes.areCoded(before) || requirements.needsSlowSizes {
            (before, after) = try reference.withSlowSizes((before, reference.model), isCompared ? (after, applied.model) : nil, cancellation: cancellation)
        } else if let remark = sizes.remark(on: before) {
            warnings.append(remark)
        }
        warnings += Self.warnings(before: before, after: after, baseline: reference.model, candidate: applied.model, latency: isCompared ? latency?.figures : nil)
        warnings = session.info.dataNotes + (try reference.baselineRemarks(split.name)) + warnings
        if baseline == nil, let rescue = try session.rescue(recipe, estimate, split: split.name, limit: limit?.value, cancellation: cancellation) {
            let metric = estimate.measure
            warnings.append(
                "\(rescue.technique) ruins this model; \(rescue.change) leaves \(metric.name) at \(Written.value(rescue.accuracy.value, metric)), "
                    + "\(Written.change(rescue.accuracy.difference, metric)): 'sensitivity' shows which layers hurt")
        }
        if estimate.notFinite > 0 {
            warnings.append("the output is not finite (infinity or NaN) for \(estimate.notFinite) of \(estimate.seen) samples")
        }
        let findings = Demand.Findings(accuracy: estimate, before: before, after: after, latency: latency?.figures)
        return EvaluateDocument(
            model: ModelReference(session.info), baseline: ModelReference(reference.info),
            recipe: RecipeDocument(recipe, reports: applied.reports),
            data: EvaluateDocument.Data(name: session.info.dataName ?? data, split: split.rawValue),
            accuracy: EvaluateDocument.Accuracy(estimate, total: split == .validation ? session.info.validationCount : session.info.testCount),
            figures: EvaluateDocument.Figures(baseline: FiguresDocument(before), candidate: FiguresDocument(after)),
            latency: latency.map { EvaluateDocument.Latency($0.figures, operators: $0.operators) },
            latencies: latencies.count > 1 ? latencies.map { EvaluateDocument.Latency($0.figures, operators: $0.operators) } : nil,
            requirements: try limits.map { try $0.check(findings) }, warnings: warnings,
            classes: classes ? estimate.classes.map { EvaluateDocument.ClassDocument($0, names: session.info.classes) } : nil)
    }

    /// Changed samples as CSV: row in the data file, label, answers; with names where classes have some.
    private static func table(_ samples: [ChangedSample], classes: [String]) -> String {
        func quoted(_ text: String) -> String { text.contains { ",\"\n".contains($0) } ? "\"" + text.replacingOccurrences(of: "\"", with: "\"\"") + "\"" : text }
        func name(_ label: Int) -> String { classes.indices.contains(label) ? quoted(classes[label]) : "" }
        let lines = samples.map { sample in
            let numbers = "\(sample.row),\(sample.label),\(sample.baseline),\(sample.answer)"
            return classes.isEmpty ? numbers : numbers + ",\(name(sample.label)),\(name(sample.baseline)),\(name(sample.answer))"
        }
        let heading = "row,label,baseline,answer" + (classes.isEmpty ? "" : ",label_name,baseline_name,answer_name")
        return ([heading] + lines).map { $0 + "\n" }.joined()
    }

    /// Changed values as CSV, in the metric's own unit.
    private static func table(_ samples: [ChangedValue], _ measure: Measure) -> String {
        (["row,baseline,value,change"] + samples.map { "\($0.row),\($0.baseline),\($0.value),\($0.value - $0.baseline)" }).map { $0 + "\n" }.joined()
    }

    /// What users of such tools run into: a compressed model that is slower or whose file is no smaller.
    private static func warnings(
        before: ModelFigures, after: ModelFigures, baseline: Model, candidate: Model, latency: LatencyFigures?
    ) -> [String] {
        var warnings: [String] = []
        // Below two percent, layout in memory decides from run to run.
        if let latency, latency.ratioInterval.low > 1.02 {
            let causes = SlowdownCause.likely(baseline: baseline, candidate: candidate, figures: latency)
            let why = causes.isEmpty ? "" : ": " + causes.joined(separator: "; ")
            warnings.append("slower than the baseline (\(latency.ratio.formatted(digits: 3))× its time)\(why)")
        }
        let nonZeros = after.nonZeros.value / max(before.nonZeros.value, 1)
        if nonZeros < 0.95, after.serializedBytes.value > 0.98 * before.serializedBytes.value {
            warnings.append(
                "the ONNX file is no smaller: zeros in a dense tensor take as much room as other numbers; the step sparse-storage leaves them out, and so does the packed archive")
        } else if after.serializedBytes.value > 1.02 * before.serializedBytes.value {
            warnings.append("the ONNX file is larger than the baseline's")
        }
        return warnings
    }
}

/// What to say about a recipe and the model it meets.
enum RecipeNotes {
    static func warnings(_ recipe: Recipe, _ session: EngineSession) -> [String] {
        guard let hash = recipe.modelHash, recipe.isForAnotherModel(than: session.info.modelHash) else { return session.info.alarms }
        return session.info.alarms + ["the recipe was made for another model (hash \(hash)); its layers are matched by name and structure"]
    }
}
