import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques
import Training

/// What the workbench needs of an opened model. All that takes a cancellation blocks and is called from threads of the workbench's own;
/// the rest answers at once.
protocol WorkbenchSession: Sendable {
    var model: Model { get }
    var info: SessionInfo { get }
    var layers: [Layer] { get }
    var hasData: Bool { get }
    /// Whether accuracy can be measured.
    var canEvaluate: Bool { get }
    /// Names what accuracies hang on beside model and recipe.
    var evaluationHash: String { get }
    /// How much is kept on disk.
    var limits: StoreLimits { get }
    /// What the model's files are now, in the order of `model.sources`; `nil` for one that is gone.
    var sourcesNow: [FileStamp?] { get }
    /// What was removed of stored trainings to keep within the limits since this was last asked; `nil` if nothing was.
    func takeStoreRemark() -> String?

    // Opening.
    func refusals(shapes: ValueShapes?) -> [String: [Int: String]]
    func shapes(of model: Model, cancellation: Cancellation) throws -> ValueShapes?
    func noteThatItDoesNotRun()
    func summaries(shapes: ValueShapes?, cancellation: Cancellation) throws -> [LayerSummary]
    /// Summaries with what takes seconds to find out.
    func completed(_ summaries: [LayerSummary], cancellation: Cancellation) throws -> [LayerSummary]
    func baselineFigures(slowSizes: Bool, cancellation: Cancellation) throws -> ModelFigures
    func baselineAccuracy(cancellation: Cancellation, update: @escaping @Sendable (AccuracyEstimate) -> Void) throws -> AccuracyEstimate?
    /// What looks wrong about the baseline's scores, a line each; known after its accuracy.
    func baselineRemarks() throws -> [String]

    // A recipe.
    func shown(_ recipe: Recipe, cancellation: Cancellation) throws -> ShownModel
    func figures(of model: Model, slowSizes: Bool, profiling: Bool, cancellation: Cancellation) throws -> ModelFigures
    func withSlowSizes(_ figures: ModelFigures, of model: Model, cancellation: Cancellation) throws -> ModelFigures
    func evaluate(
        _ model: Model, limit: Int?, cancellation: Cancellation, update: @escaping @Sendable (AccuracyEstimate) -> Void
    ) throws -> AccuracyEstimate
    /// A recipe near one that has ruined the model, and which does not; `nil` where there is none, or no need.
    func rescue(_ recipe: Recipe, _ estimate: AccuracyEstimate, cancellation: Cancellation) throws -> Rescue?
    /// - Parameter seconds: to spend, about.
    func latency(of model: Model, conditions: LatencyConditions, seconds: Double, cancellation: Cancellation) throws -> TimedModel
    /// What there is to learn about time for this model, from a measurement of the baseline (milliseconds); `nil` if nothing.
    func learningPlan(baseline: Double, conditions: LatencyConditions, cancellation: Cancellation) throws -> LearningPlan?
    /// Milliseconds of single kernels.
    func time(_ kernels: [Kernel], conditions: LatencyConditions, cancellation: Cancellation) throws -> [Kernel: Double]
    /// How many cores other programs keep busy now; takes a moment. `nil` where the system does not say.
    func foreignLoad() -> Double?

    // A live parameter.
    /// Which profile answers for a model; `nil` for one without a live parameter.
    func profileKey(of model: Model) -> ContentHash?
    func knownProfile(_ key: ContentHash) -> (any LiveProfile)?
    func addTimes(to model: Model, cancellation: Cancellation) throws

    // Jobs.
    func export(
        _ recipe: Recipe, request: ExportRequest, cancellation: Cancellation, progress: @escaping @Sendable (Double, String) -> Void
    ) throws -> [String]
    func sensitivity(_ request: SensitivityRequest, store: TrialStore?, cancellation: Cancellation, update: (SensitivityGrid) -> Void) throws -> SensitivityGrid
    func allocated(
        _ grid: SensitivityGrid, measure: AllocationMeasure, goal: AllocationGoal, cancellation: Cancellation, progress: (Double, String) -> Void
    ) throws -> (recipe: Recipe, isMet: Bool)
    func search(
        _ request: SearchRequest, store: TrialStore?, control: TrainingControl, cancellation: Cancellation, update: @escaping (SearchEvent) -> Void
    ) throws -> SearchResult
    /// - Parameter steps: stop after so many, keep nothing and estimate what that recovers.
    /// - Returns: that estimate; `nil` after a whole training.
    func train(
        _ recipe: Recipe, steps: Int?, control: TrainingControl, cancellation: Cancellation, progress: @escaping @Sendable (TrainingProgress) -> Void
    ) throws -> AccuracyEstimate?
}

/// The model to show for a recipe.
struct ShownModel: Sendable {
    var applied: AppliedModel
    /// The recipe whose numbers the model's are; `nil` if it takes no recipe without training to get there.
    var measured: Recipe?
}

extension WorkbenchSession {
    var sourcesNow: [FileStamp?] { model.sources.map { try? FileStamp(path: $0.path) } }
}

extension EngineSession: WorkbenchSession {
    var hasData: Bool { validation != nil }
    func takeStoreRemark() -> String? { trainings.takeRemark() }

    func summaries(shapes: ValueShapes?, cancellation: Cancellation) throws -> [LayerSummary] {
        try LayerPreparation.summaries(of: model, layers: layers, shapes: shapes, cancellation: cancellation)
    }

    func completed(_ summaries: [LayerSummary], cancellation: Cancellation) throws -> [LayerSummary] {
        var all = summaries
        try LayerPreparation.addSlowParts(to: &all, of: model, cancellation: cancellation)
        return all
    }

    func baselineAccuracy(cancellation: Cancellation, update: @escaping @Sendable (AccuracyEstimate) -> Void) throws -> AccuracyEstimate? {
        let scores = try baselineScores(cancellation: cancellation, update: update)
        return scores.isComplete ? baselineEstimate() : nil
    }

    func search(
        _ request: SearchRequest, store: TrialStore?, control: TrainingControl, cancellation: Cancellation, update: @escaping (SearchEvent) -> Void
    ) throws -> SearchResult {
        try Search(self, request, store: store, control: control, cancellation: cancellation, update: update).run()
    }

    func baselineRemarks() throws -> [String] { try baselineRemarks(.validation) }

    func rescue(_ recipe: Recipe, _ estimate: AccuracyEstimate, cancellation: Cancellation) throws -> Rescue? {
        try rescue(recipe, estimate, split: .validation, limit: nil, cancellation: cancellation)
    }

    /// Trained, where the training was run before; otherwise the model that it would start from.
    func shown(_ recipe: Recipe, cancellation: Cancellation) throws -> ShownModel {
        guard recipe.learns else { return ShownModel(applied: try apply(recipe, cancellation: cancellation), measured: recipe) }
        var source = try trainingSource()
        source.mayTrain = false
        let applied = try apply(recipe, training: source, cancellation: cancellation)
        guard applied.reports.contains(where: \.isUntrained) else { return ShownModel(applied: applied, measured: recipe) }
        let raw = recipe.withoutTraining
        let without = try? apply(raw, cancellation: cancellation).model.contentHash
        return ShownModel(applied: applied, measured: without == applied.model.contentHash ? raw : nil)
    }

    func withSlowSizes(_ figures: ModelFigures, of model: Model, cancellation: Cancellation) throws -> ModelFigures {
        var all = figures
        try addSlowSizes(&all, of: model, cancellation: cancellation)
        return all
    }

    func evaluate(
        _ model: Model, limit: Int?, cancellation: Cancellation, update: @escaping @Sendable (AccuracyEstimate) -> Void
    ) throws -> AccuracyEstimate {
        try evaluate(model, split: .validation, limit: limit, cancellation: cancellation, update: update)
    }

    func latency(of model: Model, conditions: LatencyConditions, seconds: Double, cancellation: Cancellation) throws -> TimedModel {
        let (figures, operators) = try latency(
            of: model, batch: conditions.batch, threads: conditions.threads, seconds: seconds, operators: true, cancellation: cancellation)
        return TimedModel(figures: figures, operators: operators)
    }

    func learningPlan(baseline: Double, conditions: LatencyConditions, cancellation: Cancellation) throws -> LearningPlan? {
        try kernels.begin(baseline: baseline, conditions: conditions, cancellation: cancellation)
    }

    func time(_ kernels: [Kernel], conditions: LatencyConditions, cancellation: Cancellation) throws -> [Kernel: Double] {
        try self.kernels.time(kernels, conditions: conditions, cancellation: cancellation)
    }

    func foreignLoad() -> Double? { ProcessorLoad.foreignCoresNow() }

    func profileKey(of model: Model) -> ContentHash? { TechniqueRegistry.profiler(of: model)?.key }
    func knownProfile(_ key: ContentHash) -> (any LiveProfile)? { profiles[key] }
    func addTimes(to model: Model, cancellation: Cancellation) throws { try profiles.addTimes(to: model, cancellation: cancellation) }

    func sensitivity(
        _ request: SensitivityRequest, store: TrialStore?, cancellation: Cancellation, update: (SensitivityGrid) -> Void
    ) throws -> SensitivityGrid {
        try SensitivityAnalysis(self, store: store, cancellation: cancellation).run(request, update: update)
    }

    func allocated(
        _ grid: SensitivityGrid, measure: AllocationMeasure, goal: AllocationGoal, cancellation: Cancellation, progress: (Double, String) -> Void
    ) throws -> (recipe: Recipe, isMet: Bool) {
        let allocation = try Allocation(grid, measure: measure)
        let found: Allocated
        switch goal {
        case .share(let share):
            progress(0.1, "measuring the allocated model")
            found = try allocate(allocation, within: share * (grid.baseline[measure] ?? 0), cancellation: cancellation)
        case .maximumDrop(let drop):
            // Bisection over the path.
            let steps = Double(max(allocation.path.count, 2)).exponent + 1
            var done = 0.0
            found = try allocate(allocation, maximumDrop: drop, cancellation: cancellation) { _ in
                done += 1
                progress(min(done / Double(steps), 0.99), "measured \(Int(done)) candidates")
            }
        }
        return (found.recipe, found.isMet)
    }

    func train(
        _ recipe: Recipe, steps: Int?, control: TrainingControl, cancellation: Cancellation, progress: @escaping @Sendable (TrainingProgress) -> Void
    ) throws -> AccuracyEstimate? {
        var source = try trainingSource(store: steps == nil ? trainings : nil)
        source.control = control
        source.maximumSteps = steps
        source.progress = progress
        // Samples enough to see a point of accuracy; a preview is an estimate.
        if steps != nil { source.evaluate = { [self] in try evaluate($0, split: .validation, limit: 2000, cancellation: $1) } }
        let applied = try apply(recipe, training: source, cancellation: cancellation)
        return steps == nil ? nil : try evaluate(applied.model, split: .validation, limit: 2000, cancellation: cancellation)
    }
}
