import Datasets
import Dispatch
import Metrics
import ModelGraph
import Synchronization

@testable import CompressionEngine
@testable import EngineSupport
@testable import Measurement
@testable import Recipes
@testable import Techniques
@testable import Training

/// A session whose work takes as long as a test wants, and fails where a test wants.
final class FakeSession: WorkbenchSession {
    enum Stage: String, Sendable, CaseIterable {
        case open, refusals, shapes, summaries, completed, baselineFigures, baselineAccuracy, shown, figures, profiling, slowSizes, evaluate, latency, times, kernels
        case export, sensitivity, allocate, train
    }

    struct Call: Sendable, Equatable {
        var stage: Stage
        /// What `magnitude-pruning` in the recipe has as its sparsity.
        var sparsity: Double?
    }

    private struct Held {
        let gate = DispatchSemaphore(value: 0)
        /// Goes on waiting when it is cancelled, as a call into LAPACK does.
        var isStubborn: Bool
        var isEntered = false
    }

    private struct State {
        var held: [Stage: Held] = [:]
        var failures: [Stage: EngineError] = [:]
        var calls: [Call] = []
        var profile: (any LiveProfile)?
        var ratio = 0.5
        var plan: LearningPlan?
        /// How often the machine is found busy.
        var load = 0
        var watchers: [(stage: Stage, resume: CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    let model: Model
    let info: SessionInfo
    let layers: [Layer]
    let hasData: Bool
    let canEvaluate: Bool
    let evaluationHash = "data"
    let limits = StoreLimits()

    func takeStoreRemark() -> String? { nil }

    init(hasData: Bool = true) {
        var graph = Graph(name: "small")
        graph.inputs = [ValueInfo(name: "x", elementType: .float32, shape: [.fixed(1), .fixed(8)])]
        graph.outputs = [ValueInfo(name: "y", elementType: .float32, shape: [.fixed(1), .fixed(4)])]
        graph.initializers["w"] = Tensor(name: "w", floats: (0..<32).map { Float($0) / 16 - 1 }, dims: [8, 4])
        graph.nodes = [Node("MatMul", name: "dense", inputs: ["x", "w"], outputs: ["y"])]
        model = Model(graph: graph)
        layers = model.layers()
        info = SessionInfo(modelPath: "small.onnx", modelName: "small", modelHash: model.contentHash.description, opset: 17, producer: "test", layers: layers)
        self.hasData = hasData
        canEvaluate = hasData
    }

    // MARK: What tests do

    var calls: [Call] { state.withLock { $0.calls } }

    /// Makes a stage wait until `release`.
    func hold(_ stage: Stage, stubborn: Bool = false) { state.withLock { $0.held[stage] = Held(isStubborn: stubborn) } }
    func release(_ stage: Stage) { state.withLock { $0.held.removeValue(forKey: stage) }?.gate.signal() }
    func fail(_ stage: Stage, _ message: String?) { state.withLock { $0.failures[stage] = message.map { EngineError(.runtime, $0) } } }
    var profile: (any LiveProfile)? {
        get { state.withLock { $0.profile } }
        set { state.withLock { $0.profile = newValue } }
    }
    /// What is to be learnt about time.
    func setPlan(_ plan: LearningPlan) { state.withLock { $0.plan = plan } }

    /// How often the machine is found busy from now on.
    func setBusy(times: Int) { state.withLock { $0.load = times } }

    /// The latency's ratio to the baseline's.
    func setRatio(_ ratio: Double) { state.withLock { $0.ratio = ratio } }

    /// Returns once a stage that is held has begun, or one that is not has ever begun.
    func began(_ stage: Stage) async {
        await withCheckedContinuation { continuation in
            let has = state.withLock { state in
                if state.held[stage]?.isEntered ?? state.calls.contains(where: { $0.stage == stage }) { return true }
                state.watchers.append((stage, continuation))
                return false
            }
            if has { continuation.resume() }
        }
    }

    func enter(_ stage: Stage, _ recipe: Recipe? = nil, _ cancellation: Cancellation = Cancellation()) throws {
        let call = Call(stage: stage, sparsity: recipe.flatMap { $0.steps.first { $0.technique == "magnitude-pruning" }?.parameters["sparsity"]?.number })
        let (held, failure, watchers) = state.withLock { state in
            state.calls.append(call)
            state.held[stage]?.isEntered = true
            defer { state.watchers.removeAll { $0.stage == stage } }
            return (state.held[stage], state.failures[stage], state.watchers.filter { $0.stage == stage })
        }
        for watcher in watchers { watcher.resume.resume() }
        if let held {
            if held.isStubborn { held.gate.wait() } else { cancellation.withHook({ held.gate.signal() }) { held.gate.wait() } }
            if !held.isStubborn { try cancellation.check() }
        }
        if let failure { throw failure }
    }

    // MARK: What the workbench does

    func refusals(shapes: ValueShapes?) -> [String: [Int: String]] {
        try? enter(.refusals)
        return [:]
    }

    func shapes(of model: Model, cancellation: Cancellation) throws -> ValueShapes? {
        try enter(.shapes, nil, cancellation)
        return nil
    }

    func noteThatItDoesNotRun() {}

    func summaries(shapes: ValueShapes?, cancellation: Cancellation) throws -> [LayerSummary] {
        try enter(.summaries, nil, cancellation)
        return try LayerPreparation.summaries(of: model, layers: layers, shapes: shapes, cancellation: cancellation)
    }

    func completed(_ summaries: [LayerSummary], cancellation: Cancellation) throws -> [LayerSummary] {
        try enter(.completed, nil, cancellation)
        return summaries
    }

    func baselineFigures(slowSizes: Bool, cancellation: Cancellation) throws -> ModelFigures {
        try enter(.baselineFigures, nil, cancellation)
        return try FigureCounting.figures(of: model, shapes: nil)
    }

    func baselineAccuracy(cancellation: Cancellation, update: @escaping @Sendable (AccuracyEstimate) -> Void) throws -> AccuracyEstimate? {
        try enter(.baselineAccuracy, nil, cancellation)
        return Self.estimate()
    }

    func baselineRemarks() throws -> [String] { [] }

    /// The sparsity becomes a weight, so that other recipes make other models.
    func shown(_ recipe: Recipe, cancellation: Cancellation) throws -> ShownModel {
        try enter(.shown, recipe, cancellation)
        var changed = model
        if let sparsity = recipe.steps.first?.parameters["sparsity"]?.number {
            changed.graph.initializers["w"] = Tensor(name: "w", floats: [Float(sparsity)] + (1..<32).map { Float($0) / 16 - 1 }, dims: [8, 4])
        }
        return ShownModel(applied: AppliedModel(model: changed, reports: []), measured: recipe)
    }

    func figures(of model: Model, slowSizes: Bool, profiling: Bool, cancellation: Cancellation) throws -> ModelFigures {
        try enter(profiling ? .profiling : .figures, nil, cancellation)
        var figures = try FigureCounting.figures(of: model, shapes: nil)
        if profiling { figures.live = profile?.figures(at: 0.5) }
        return figures
    }

    func withSlowSizes(_ figures: ModelFigures, of model: Model, cancellation: Cancellation) throws -> ModelFigures {
        try enter(.slowSizes, nil, cancellation)
        return figures
    }

    static func estimate() -> AccuracyEstimate {
        var estimate = AccuracyEstimate(metric: .top1, seen: 100, total: 100, value: 0.9, interval: Interval(low: 0.8, high: 0.95))
        estimate.difference = 0
        return estimate
    }

    func evaluate(
        _ model: Model, limit: Int?, cancellation: Cancellation, update: @escaping @Sendable (AccuracyEstimate) -> Void
    ) throws -> AccuracyEstimate {
        try enter(.evaluate, nil, cancellation)
        var estimate = Self.estimate()
        update(estimate)
        if limit != nil { estimate.seen = 50 }
        return estimate
    }

    func learningPlan(baseline: Double, conditions: LatencyConditions, cancellation: Cancellation) throws -> LearningPlan? { state.withLock { $0.plan } }

    func time(_ kernels: [Kernel], conditions: LatencyConditions, cancellation: Cancellation) throws -> [Kernel: Double] {
        try enter(.kernels, nil, cancellation)
        return Dictionary(kernels.map { ($0, $0.macs * 1e-6) }, uniquingKeysWith: { $1 })
    }

    func foreignLoad() -> Double? {
        state.withLock { state in
            state.load -= 1
            return state.load >= 0 ? 1 : 0
        }
    }

    func search(
        _ request: SearchRequest, store: TrialStore?, control: TrainingControl, cancellation: Cancellation, update: @escaping (SearchEvent) -> Void
    ) throws -> SearchResult { SearchResult(goal: request.goal) }

    func rescue(_ recipe: Recipe, _ estimate: AccuracyEstimate, cancellation: Cancellation) throws -> Rescue? { nil }

    func latency(of model: Model, conditions: LatencyConditions, seconds: Double, cancellation: Cancellation) throws -> TimedModel {
        try enter(.latency, nil, cancellation)
        let ratio = state.withLock { $0.ratio }
        return TimedModel(
            figures: LatencyFigures(
                baselineMedian: 0.1, baselineP90: 0.1, candidateMedian: 0.1 * ratio, candidateP90: 0.1 * ratio, ratio: ratio, ratioP90: ratio,
                ratioInterval: Interval(low: ratio, high: ratio), batch: conditions.batch, threads: conditions.threads, rounds: 10, instructionSet: "AVX2", runtimeVersion: "1.17"),
            operators: [])
    }

    func profileKey(of model: Model) -> ContentHash? { profile == nil ? nil : model.contentHash }
    func knownProfile(_ key: ContentHash) -> (any LiveProfile)? { profile }
    func addTimes(to model: Model, cancellation: Cancellation) throws { try enter(.times, nil, cancellation) }

    func export(
        _ recipe: Recipe, request: ExportRequest, cancellation: Cancellation, progress: @escaping @Sendable (Double, String) -> Void
    ) throws -> [String] {
        try enter(.export, recipe, cancellation)
        progress(0.25, "writing")
        return [request.name + ".onnx"]
    }

    func sensitivity(
        _ request: SensitivityRequest, store: TrialStore?, cancellation: Cancellation, update: (SensitivityGrid) -> Void
    ) throws -> SensitivityGrid {
        try enter(.sensitivity, nil, cancellation)
        throw EngineError.cancelled
    }

    func allocated(
        _ grid: SensitivityGrid, measure: AllocationMeasure, goal: AllocationGoal, cancellation: Cancellation, progress: (Double, String) -> Void
    ) throws -> (recipe: Recipe, isMet: Bool) {
        try enter(.allocate, nil, cancellation)
        return (Recipe(), true)
    }

    func train(
        _ recipe: Recipe, steps: Int?, control: TrainingControl, cancellation: Cancellation, progress: @escaping @Sendable (TrainingProgress) -> Void
    ) throws -> AccuracyEstimate? {
        try enter(.train, recipe, cancellation)
        try control.wait(cancellation)
        return steps == nil ? nil : Self.estimate()
    }
}

extension ParameterValue {
    /// As a number, if it is one.
    var number: Double? { if case .real(let value) = self { value } else { nil } }
}
