import ArgumentParser
import CompressionEngine
import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques

struct Sensitivity: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sensitivity",
        abstract: "Find how much accuracy is lost when a technique changes one layer alone; allocate by it.",
        discussion: """
            A table of layer × parameter value: the loss of accuracy on the same validation samples, with its 95 % interval. Layers that \
            can only change together (coupled channels, shared weights) are one row. Results are stored; layers before \
            a changed one are not run again.

            With --method gradient all cells are predicted at once from gradients of the loss on the calibration samples, and two are measured to \
            tell the scale; auto measures those whose rank is not clear as well.

            With --budget or --max-drop every layer gets its own value: the least loss for a size, or the smallest for a loss. The recipe \
            is measured as a whole before it is reported, and written with --save-recipe.
            """)

    @OptionGroup var source: ModelOptions

    @Option(help: ArgumentHelp("The data set: a YAML description, or an .npz with the model's inputs.", valueName: "file"), completion: .file(extensions: ["yaml", "yml", "npz"]))
    var data: String

    @Option(
        help: ArgumentHelp(
            "The technique, its other parameters and the layers to measure, as for 'evaluate'.",
            discussion: "For example 'weight-quantization:granularity=tensor@kind:conv'.", valueName: "spec"),
        completion: .list(TechniqueRegistry.all.map(\.descriptor.id)))
    var step: StepSpecification

    @Option(help: ArgumentHelp("The parameter to vary; by default the one that says how much.", valueName: "name"))
    var parameter: String?

    @Option(help: ArgumentHelp("Its values, for example 0.3,0.5,0.7; by default spread over its range.", valueName: "list"))
    var values: String?

    @Option(help: ArgumentHelp("Validation samples for each cell, drawn at random in a fixed order.", valueName: "samples"))
    var limit = PositiveCount(2000)

    @Option(
        help: ArgumentHelp(
            "How losses are found: measured, predicted from gradients, or predicted and measured where the order is not clear.",
            discussion: "Predictions need a technique that changes weights alone: not activations, and not shapes."))
    var method: SensitivityMethod = .measured

    @Option(help: ArgumentHelp("With gradient or auto: measure no more cells after so long.", valueName: "time"))
    var time: TimeQuantity?

    enum Budgeted: String, CaseIterable, ExpressibleByArgument {
        case size, packed, parameters
        case nonZeros = "non-zeros"
        case macs, latency

        var measure: AllocationMeasure { AllocationMeasure(rawValue: rawValue) ?? .size }
    }

    @Option(help: ArgumentHelp("What the budget is counted in: ONNX file, packed archive, parameters, non-zero parameters, MACs or latency."))
    var measure: Budgeted = .size

    @Flag(help: "Time every cell against the baseline as well, a third of a second each; --measure latency does so too.")
    var latency = false

    @Option(help: ArgumentHelp("Threads behind each latency.", valueName: "count"))
    var threads = PositiveCount(1)

    @Option(help: ArgumentHelp("Allocate: keep this share of the baseline's measure at the least loss.", valueName: "percent"))
    var budget: PercentQuantity?

    @Option(
        help: ArgumentHelp(
            "Allocate: as small as possible, losing at most so much of the data set's metric.",
            discussion: "In the metric's own unit: percentage points of accuracy and agreement, dB of SQNR, a plain number for cosine.", valueName: "loss"))
    var maxDrop: MetricQuantity?

    @Option(help: ArgumentHelp("Write the allocated recipe.", valueName: "file"), completion: .file(extensions: ["yaml"]))
    var saveRecipe: String?

    @OptionGroup var output: OutputOptions

    func validate() throws {
        if method != .measured, latency || measure == .latency { throw ValidationError("--method \(method.rawValue) predicts no latency; leave it out or measure") }
        if time != nil, method == .measured { throw ValidationError("--time is for --method gradient and auto") }
        if budget != nil, maxDrop != nil { throw ValidationError("--budget and --max-drop exclude each other") }
        if saveRecipe != nil, budget == nil, maxDrop == nil { throw ValidationError("--save-recipe needs --budget or --max-drop") }
    }

    func run() throws {
        try Outputs.check([saveRecipe]) { request.filesRead }
        let step = try StepSpecification.resolve([step])[0]
        let cancellation = Interruption.watch()
        let progress = ProgressLine(quiet: output.json)
        let document = try Failure.about(source.model) { try analyzed(step, progress, cancellation) }
        progress.clear()
        Console.print(output.json ? try document.printed() : SensitivityText.text(document))
        if let allocation = document.allocation, !allocation.met {
            Console.error("\(source.model): not met: \(allocation.demand)")
            throw Failure.requirementNotMet
        }
    }

    private var request: OpenRequest { OpenRequest(modelPath: source.model, dataPath: data, runtimePath: source.runtime) }

    private func request(_ step: RecipeStep) throws -> SensitivityRequest {
        guard let descriptor = TechniqueRegistry.technique(step.technique)?.descriptor else { throw BadInput("there is no technique '\(step.technique)'") }
        var list: [ParameterValue] = []
        if let values {
            guard let name = parameter ?? descriptor.mainParameter, let found = descriptor.parameter(name) else {
                throw BadInput("--values: \(descriptor.id) has no parameter that says how much; name one with --parameter")
            }
            list = try values.split(separator: ",").map { try found.parse(String($0)) }
        }
        var request = try SensitivityRequest(step: step, parameter: parameter, values: list, samples: limit.value)
        if latency || measure == .latency { request.latency = LatencyConditions(threads: threads.value) }
        return request
    }

    private func analyzed(_ step: RecipeStep, _ progress: ProgressLine, _ cancellation: Cancellation) throws -> SensitivityDocument {
        let request = try request(step)
        let session = try EngineSession.open(self.request, cancellation: cancellation, progress: { progress.show($0, $1) })
        let store = TrialStore.open()
        if let warning = store.warning { Console.warn(warning) }
        defer { if let remark = store.takeRemark() { Console.warn(remark) } }
        let metric = Measure.metric(session.info.metric ?? .top1)
        // Before anything is measured.
        let drop = try maxDrop?.value(of: metric, option: "max-drop", isDifference: true)
        let analysis = SensitivityAnalysis(session, store: store, cancellation: cancellation)
        let began = ContinuousClock.now
        let grid: SensitivityGrid
        if method == .measured {
            grid = try analysis.run(request) { progress.show("\($0.done) of \($0.total) cells", Double($0.done) / Double(max($0.total, 1))) }
        } else {
            grid = try analysis.refined(request, measures: method == .automatic, packed: measure == .packed, seconds: time?.seconds) { grid in
                let measured = grid.cells.joined().count { $0?.accuracy != nil }
                progress.show(grid.isComplete ? "predicted; \(measured) cells measured" : "gradients of the loss")
            }
        }
        let seconds = (ContinuousClock.now - began) / .seconds(1)
        session.changedSources.forEach(SourceChanges.warn)
        var document = SensitivityDocument(grid, session)
        (document.method, document.seconds) = (method.rawValue, seconds)
        guard budget != nil || maxDrop != nil else { return document }
        progress.show("allocating")
        let allocation = try Allocation(grid, measure: measure.measure)
        let start = grid.baseline[measure.measure] ?? 0
        let found: EngineSession.Allocated
        let demand: String
        if let budget {
            found = try session.allocate(allocation, within: start * budget.fraction, cancellation: cancellation)
            demand = "\(measure.measure.title) at most \(Written.percent(budget.fraction)) of the baseline's"
        } else {
            let drop = drop ?? 0
            found = try session.allocate(allocation, maximumDrop: drop, cancellation: cancellation) { tried in
                progress.show("allocating: \(metric.name) \(Written.change(tried.accuracy.difference, metric))")
            }
            demand = "\(metric.name) \(metric.direction == .lower ? "rises" : "drops") by at most \(metric.changeFormat.magnitude(drop))"
        }
        if let saveRecipe {
            var recipe = found.recipe
            recipe.modelHash = session.info.modelHash
            try AtomicFile.write(recipe.yaml, to: saveRecipe)
        }
        let figures = try session.figures(of: found.applied.model, slowSizes: measure == .packed, cancellation: cancellation)
        document.allocation = SensitivityDocument.Allocation(
            found, measure: measure.measure, demand: demand, before: start, figures: figures, session: session, file: saveRecipe)
        return document
    }
}

extension SensitivityMethod: ExpressibleByArgument {}
