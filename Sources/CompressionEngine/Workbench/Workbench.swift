import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes
import Synchronization
import Techniques
import Training

/// The engine behind the explorer: one worker that always does what the user waits for most, and threads for jobs.
///
/// Order of the worker: the evaluation of the present recipe, then latency, then points of the what-if curve, starting
/// with the neighbors of the present value. A new evaluation cancels whatever is under way at its next batch.
public final class Workbench: ExplorerEngine {
    struct State {
        var session: EngineSession?
        var predictor: Predictor?
        var send: (@Sendable (EngineEvent) -> Void)?
        var request: OpenRequest?
        var pendingEvaluation: (recipe: Recipe, generation: Int)?
        var pendingLatency: [(recipe: Recipe, generation: Int)] = []
        var trace: WhatIfTrace?
        /// Cancels what the worker is doing.
        var current: Cancellation?
        var opening = Cancellation()
        var jobs: [Int: Cancellation] = [:]
        var trainings: [Int: TrainingControl] = [:]
        var closed = false
        var workerRunning = false
        /// The last rewritten model and the recipe it came from.
        var latest: (canonical: String, model: Model)?
        var results = ResultCache()
        /// Models with early exits by the recipe that made them, whatever its threshold.
        var exitKeys = BoundedCache<String, ContentHash>(maximumCount: 64)
        /// Counted figures of such a model, likewise.
        var exitSizes = BoundedCache<String, ModelFigures>(maximumCount: 64)
        /// The curve over a threshold that was asked for last.
        var exitTrace: WhatIfTrace?
        var store: TrialStore?
    }

    let state = Mutex(State())
    let wake = DispatchSemaphore(value: 0)

    public init() {}

    func send(_ event: EngineEvent) { state.withLock { $0.send }?(event) }

    // MARK: Opening

    public func open(_ request: OpenRequest, send: @escaping @Sendable (EngineEvent) -> Void) {
        let cancellation = state.withLock { state in
            state.send = send
            state.request = request
            return state.opening
        }
        start("lathe.open") { self.openSession(request, cancellation) }
    }

    private func openSession(_ request: OpenRequest, _ cancellation: Cancellation) {
        do {
            let session = try EngineSession.open(
                request, cancellation: cancellation,
                progress: { phase, fraction in
                    self.send(.opening(phase: phase, fraction: fraction))
                })
            let recipe = try request.recipePath.map { try Recipe.read(path: $0) }
            var refusals = session.refusals(shapes: nil)
            var baseline = try FigureCounting.figures(of: session.model, shapes: nil)
            baseline.serializedBytes = Figure(Double(session.info.fileBytes), .measured)
            state.withLock { $0.session = session }
            send(.opened(session.info, baseline: baseline, refusals: refusals, recipe: recipe))
            let shapes: ValueShapes?
            do {
                shapes = try session.shapes(of: session.model, cancellation: cancellation)
            } catch let error as EngineError where error.kind != .cancelled {
                shapes = nil
                if session.validation == nil {
                    // The inputs were guesses: it may well run on real ones.
                    send(.remark("the model does not run on made-up inputs, so only sizes are known: \(error.message)"))
                } else {
                    session.noteThatItDoesNotRun()
                    var info = session.info
                    info.cannotRun = error.message
                    info.warnings = []
                    send(.opened(info, baseline: baseline, refusals: refusals, recipe: nil))
                }
            }
            // Shapes may let techniques do more than the graph alone did.
            refusals = session.refusals(shapes: shapes)
            var summaries = try LayerPreparation.summaries(of: session.model, layers: session.layers, shapes: shapes, cancellation: cancellation)
            baseline = try session.baselineFigures(slowSizes: false, cancellation: cancellation)
            prepared(baseline, session, summaries, refusals)
            openTrials(session)
            startWorker()
            try session.addSlowSizes(&baseline, of: session.model, cancellation: cancellation)
            prepared(baseline, session, summaries, refusals)
            if session.runtime != nil, session.validation != nil, session.runs {
                let scores = try session.baselineScores(cancellation: cancellation) { estimate in self.send(.baselineAccuracy(estimate)) }
                if let estimate = session.baselineEstimate(), scores.isComplete { send(.baselineAccuracy(estimate)) }
            }
            try LayerPreparation.addSlowParts(to: &summaries, of: session.model, cancellation: cancellation)
            prepared(baseline, session, summaries, refusals)
        } catch let error as EngineError where error.kind == .cancelled {
            return
        } catch {
            send(.failed(generation: nil, job: nil, message: "\(error)"))
        }
    }

    private func prepared(_ baseline: ModelFigures, _ session: EngineSession, _ summaries: [LayerSummary], _ refusals: [String: [Int: String]]) {
        let predictor = Predictor(baseline: baseline, layers: session.layers, summaries: summaries, refusals: refusals)
        state.withLock { $0.predictor = predictor }
        send(.prepared(baseline: baseline))
    }

    // MARK: Requests

    public func predict(_ recipe: Recipe) -> ModelFigures? {
        guard let predictor = state.withLock({ $0.predictor }), var figures = try? predictor.figures(for: recipe) else { return nil }
        addExits(to: &figures, recipe)
        return figures
    }

    public func evaluate(_ recipe: Recipe, generation: Int) {
        state.withLock { state in
            state.pendingEvaluation = (recipe, generation)
            // The curve of an older recipe is of no use, and latency of a superseded recipe neither.
            state.trace = nil
            state.pendingLatency.removeAll()
            state.current?.cancel()
        }
        wake.signal()
    }

    public func measureLatency(_ recipe: Recipe, generation: Int) {
        state.withLock { $0.pendingLatency = [(recipe, generation)] }
        wake.signal()
    }

    public func traceWhatIf(_ recipe: Recipe, step: Int, parameter: String, generation: Int) {
        // The threshold of prepared exits costs nothing to try.
        let trace = WhatIfTrace(recipe: recipe, step: step, parameter: parameter, generation: generation)
        let isOfExits = parameter == "threshold" && recipe.exitContext != nil
        state.withLock { $0.exitTrace = isOfExits ? trace : nil }
        if isOfExits, exitFigures(for: recipe) != nil {
            state.withLock { $0.trace = nil }
            return sweepExits(trace)
        }
        state.withLock { $0.trace = trace }
        wake.signal()
    }

    public func cancel(job: Int?) {
        let cancellation = state.withLock { state -> Cancellation? in
            if let job { return state.jobs[job] }
            state.pendingEvaluation = nil
            state.pendingLatency.removeAll()
            state.trace = nil
            return state.current
        }
        cancellation?.cancel()
    }

    public func close() {
        let all = state.withLock { state -> [Cancellation] in
            state.closed = true
            state.send = nil
            return [state.opening] + Array(state.jobs.values) + (state.current.map { [$0] } ?? [])
        }
        for cancellation in all { cancellation.cancel() }
        wake.signal()
        let deadline = Date().addingTimeInterval(2)
        // Exports too: they remove what they had begun.
        while state.withLock({ $0.workerRunning || !$0.jobs.isEmpty }), Date() < deadline { usleep(5_000) }
    }

    public func setPinned(_ pinned: Bool, trial: String) {
        guard let store = state.withLock({ $0.store }) else { return }
        do {
            try store.setPinned(pinned, address: trial)
        } catch {
            send(.remark("the trial could not be pinned: \(error)"))
        }
        sendTrials()
    }

    public func equivalentCommand(for recipe: Recipe, recipePath: String) -> String {
        let request = state.withLock { $0.request }
        func quoted(_ text: String) -> String {
            text.allSatisfy { $0.isLetter || $0.isNumber || "/._-+=:@%".contains($0) } ? text : "'" + text.replacingOccurrences(of: "'", with: "'\\''") + "'"
        }
        var parts = ["lathe", "apply", quoted(request?.modelPath ?? "MODEL"), "--recipe", quoted(recipePath), "--output", "OUT.onnx"]
        if let data = request?.dataPath { parts += ["--data", quoted(data)] }
        return parts.joined(separator: " ")
    }

    public func weightHistogram(layer: String, recipe: Recipe) -> WeightHistogram? {
        let (predictor, latest) = state.withLock { ($0.predictor, $0.latest) }
        guard let predictor, let index = predictor.layers.firstIndex(where: { $0.id == layer }) else { return nil }
        let summary = predictor.summaries[index]
        let reach = Double(summary.maximumMagnitude)
        guard reach > 0 else { return nil }
        var current: [Int]?
        if let latest, latest.canonical == recipe.canonical, let now = latest.model.layers().first(where: { $0.id == layer }),
            let tensor = latest.model.initializer(now.weight, from: now.path)?.tensor, tensor.elementType.isFloatingPoint
        {
            current = Self.histogram(tensor, reach: Float(reach))
        }
        return WeightHistogram(range: -reach...reach, baseline: summary.histogram, current: current)
    }

    /// Counts over 256 equal bins of [−reach, reach]; of large tensors a regular sample, scaled up.
    private static func histogram(_ tensor: Tensor, reach: Float) -> [Int] {
        var counts = [Int](repeating: 0, count: 256)
        let step = max(1, tensor.count / 500_000)
        let scale = 127.999 / reach
        tensor.withFloats { values in
            for index in stride(from: 0, to: values.count, by: step) where values[index].isFinite {
                counts[min(max(Int(values[index] * scale + 128), 0), 255)] += step
            }
        }
        return counts
    }

    // MARK: Threads

    /// Runs `body` on a thread of its own: workers block in the runtime, which Swift's shared pool must not.
    func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
        let thread = Thread(block: body)
        thread.name = name
        thread.stackSize = 8 << 20
        thread.start()
    }
}
