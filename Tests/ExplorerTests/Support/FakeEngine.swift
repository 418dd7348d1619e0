import CompressionEngine
import Datasets
import Measurement
import Metrics
import ModelGraph
import Recipes
import Synchronization
import Techniques

@testable import Explorer

/// An engine that answers from formulas, at once or when told to, and remembers what was asked of it.
final class FakeEngine: ExplorerEngine {
    struct State {
        var send: (@Sendable (EngineEvent) -> Void)?
        var request: OpenRequest?
        var evaluations: [(recipe: Recipe, generation: Int)] = []
        var traces: [(recipe: Recipe, step: Int, parameter: String, generation: Int)] = []
        var latencies: [(recipe: Recipe, request: LatencyRequest, generation: Int)] = []
        var foreseen: [Recipe] = []
        var exports: [ExportRequest] = []
        var analyzed: [SensitivityRequest] = []
        var goals: [AllocationGoal] = []
        var cancelled: [Int?] = []
        var pins: [(Bool, String)] = []
        var trained: [(recipe: Recipe, steps: Int?, job: Int)] = []
        var commands: [TrainingCommand] = []
        var isClosed = false
        var isPrepared = false
        var trials: [TrialRecord] = []
    }

    let state = Mutex(State())
    /// Answers evaluations at once; otherwise the test does with `finish`.
    let answersAtOnce: Bool
    let hasData: Bool
    let hasRuntime: Bool
    let metric: MetricKind

    init(answersAtOnce: Bool = true, hasData: Bool = true, hasRuntime: Bool = true, metric: MetricKind = .top1) {
        self.metric = metric
        self.answersAtOnce = answersAtOnce
        self.hasData = hasData
        self.hasRuntime = hasRuntime
    }

    func accuracy(of recipe: Recipe, seen: Int) -> AccuracyEstimate { FakeModel.accuracy(of: recipe, seen: seen, metric: metric) }

    func send(_ event: EngineEvent) { state.withLock { $0.send }?(event) }

    var info: SessionInfo {
        var info = FakeModel.info
        info.metric = metric
        if !hasData { (info.dataName, info.validationCount, info.calibrationCount, info.testCount) = (nil, 0, 0, 0) }
        if !hasRuntime { (info.runtimeVersion, info.runtimeProblem) = (nil, "libonnxruntime.so was not found") }
        return info
    }

    func open(_ request: OpenRequest, send: @escaping @Sendable (EngineEvent) -> Void) {
        state.withLock { ($0.send, $0.request) = (send, request) }
        for event in openingEvents { send(event) }
        state.withLock { $0.isPrepared = true }
    }

    var openingEvents: [EngineEvent] {
        var events: [EngineEvent] = [
            .opening(phase: "reading the model", fraction: 0.5), .opened(info, baseline: FakeModel.baseline, refusals: FakeModel.refusals, recipe: nil),
            .prepared(baseline: FakeModel.baseline),
        ]
        if hasData, hasRuntime { events.append(.baselineAccuracy(accuracy(of: Recipe(), seen: 5000))) }
        return events
    }

    func predict(_ recipe: Recipe) -> ModelFigures? {
        state.withLock { $0.isPrepared } ? FakeModel.figures(of: recipe, provenance: .estimated) : nil
    }

    func cancelBaseline() {}
    func evaluateBaseline() {}
    func search(_ request: SearchRequest, title: String, job: Int) {}

    func evaluate(_ recipe: Recipe, generation: Int) {
        state.withLock { $0.evaluations.append((recipe, generation)) }
        if answersAtOnce { finish(recipe, generation) }
    }

    /// The answers to an evaluation, in order.
    func answers(_ recipe: Recipe, _ generation: Int) -> [EngineEvent] {
        var events: [EngineEvent] = [.rewritten(generation: generation, FakeModel.figures(of: recipe, provenance: .measured), reports: [])]
        if hasData, hasRuntime {
            for seen in [256, 1280, 5000] { events.append(.accuracy(generation: generation, accuracy(of: recipe, seen: seen))) }
        }
        return events + [.settled(generation: generation)]
    }

    func finish(_ recipe: Recipe, _ generation: Int) {
        for event in answers(recipe, generation) { send(event) }
        let trials = state.withLock { state -> [TrialRecord] in
            var trial = TrialRecord(id: recipe.canonical, recipe: recipe, created: Double(state.trials.count))
            trial.figures.record(accuracy(of: recipe, seen: 5000))
            trial.figures.record(FakeModel.figures(of: recipe, provenance: .measured))
            state.trials.removeAll { $0.id == trial.id }
            state.trials.append(trial)
            return state.trials
        }
        send(.trials(trials))
    }

    func measureLatency(_ recipe: Recipe, request: LatencyRequest, generation: Int) {
        state.withLock { $0.latencies.append((recipe, request, generation)) }
        guard answersAtOnce else { return }
        send(
            .latency(
                generation: generation,
                LatencyFigures(
                    baselineMedian: 0.412, baselineP90: 0.44, candidateMedian: 0.287, candidateP90: 0.31, ratio: 0.697, ratioP90: 0.74,
                    ratioInterval: Interval(low: 0.68, high: 0.71), batch: 1, threads: 1, rounds: 60, instructionSet: "AVX512-VNNI", runtimeVersion: "1.31.1"),
                operators: FakeModel.layers.map { OperatorTime(node: $0.id, opType: $0.opType, milliseconds: 0.07) }))
        send(.settled(generation: generation))
    }

    func foresee(_ recipes: [Recipe]) { state.withLock { $0.foreseen = recipes } }

    func traceWhatIf(_ recipe: Recipe, step: Int, parameter: String, generation: Int) {
        state.withLock { $0.traces.append((recipe, step, parameter, generation)) }
        guard answersAtOnce, let descriptor = FakeCatalog.catalog[recipe.steps[step].technique]?.parameter(parameter) else { return }
        let values: [ParameterValue] =
            switch descriptor.domain {
            case .real, .integer:
                (0...20).map { descriptor.value(atAxis: descriptor.axisRange.lowerBound + (descriptor.axisRange.upperBound - descriptor.axisRange.lowerBound) * Double($0) / 20) }
            case .choice(let choices): choices.map { .choice($0.name) }
            case .flag: [.flag(false), .flag(true)]
            }
        for value in values {
            var point = WhatIfPoint(step: step, parameter: parameter, value: value)
            var changed = recipe
            changed.steps[step].parameters[parameter] = value
            point.serializedBytes = FakeModel.figures(of: changed, provenance: .measured).serializedBytes.value
            if hasData, hasRuntime { point.accuracy = accuracy(of: changed, seen: 2000) }
            send(.whatIf(generation: generation, point))
        }
    }

    func export(_ recipe: Recipe, request: ExportRequest, job: Int) {
        state.withLock { $0.exports.append(request) }
        guard answersAtOnce else { return }
        let base = request.folder + "/" + request.name
        send(.exported(job: job, files: [base + ".onnx", base + ".recipe.yaml", base + ".report.md"]))
    }

    func analyze(_ request: SensitivityRequest, job: Int) { state.withLock { $0.analyzed.append(request) } }

    func allocate(_ grid: SensitivityGrid, measure: AllocationMeasure, goal: AllocationGoal, job: Int) {
        state.withLock { $0.goals.append(goal) }
    }

    func train(_ recipe: Recipe, steps: Int?, job: Int) { state.withLock { $0.trained.append((recipe, steps, job)) } }

    func control(_ command: TrainingCommand, job: Int) { state.withLock { $0.commands.append(command) } }

    func cancel(job: Int?) { state.withLock { $0.cancelled.append(job) } }

    func setPinned(_ pinned: Bool, trial: String) { state.withLock { $0.pins.append((pinned, trial)) } }

    func equivalentCommand(for recipe: Recipe, recipePath: String) -> String {
        "lathe apply models/lenet-5.onnx --recipe \(recipePath) --output OUT.onnx --data fashion-mnist.yaml"
    }

    func weightHistogram(layer: String, recipe: Recipe) -> WeightHistogram? {
        // A bell, and the same with its middle cut out.
        let bell = (0..<256).map { index -> Int in
            let x = Double(index - 128) / 40
            return Int(4000 / (1 + x * x * x * x))
        }
        let current = recipe.activeSteps.isEmpty ? nil : bell.enumerated().map { abs($0.offset - 128) < 30 ? ($0.offset == 128 ? 60_000 : 0) : $0.element }
        return WeightHistogram(range: -0.4...0.4, baseline: bell, current: current)
    }

    func close() { state.withLock { $0.isClosed = true } }
}
