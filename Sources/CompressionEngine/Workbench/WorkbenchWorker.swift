import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes
import Techniques
import Training

/// Results by content, so that nothing is computed twice in a session.
struct ResultCache {
    /// Complete accuracies by content hash of the model.
    var accuracy = BoundedCache<ContentHash, AccuracyEstimate>(maximumCount: 4096)
    /// What-if points by recipe text.
    var points = BoundedCache<String, WhatIfPoint>(maximumCount: 4096)
}

/// A what-if curve in the making.
struct WhatIfTrace {
    let recipe: Recipe
    let step: Int
    let parameter: String
    let generation: Int
    /// Values still to do, nearest to the present one first.
    var values: [ParameterValue]

    /// Samples of the validation set behind one point of the curve.
    static let sampleLimit = 2000

    /// - Parameter isDense: every value of the parameter's range.
    init(recipe: Recipe, step: Int, parameter: String, generation: Int, isDense: Bool = false) {
        self.recipe = recipe
        self.step = step
        self.parameter = parameter
        self.generation = generation
        values = []
        guard recipe.steps.indices.contains(step), let technique = TechniqueRegistry.technique(recipe.steps[step].technique),
            let descriptor = technique.descriptor.parameter(parameter)
        else { return }
        let present = recipe.steps[step].parameters[parameter] ?? descriptor.defaultValue
        values = Self.grid(descriptor, around: present, isDense: isDense)
    }

    /// About twenty values over the range, the present one and its neighbors first.
    static func grid(_ descriptor: ParameterDescriptor, around present: ParameterValue, isDense: Bool = false) -> [ParameterValue] {
        var all: [ParameterValue] = []
        func position(_ value: ParameterValue) -> Double {
            switch value {
            case .real(let number): number
            case .integer(let number): Double(number)
            default: 0
            }
        }
        switch descriptor.domain {
        case .flag: all = [.flag(false), .flag(true)]
        case .choice(let choices): all = choices.map { .choice($0.name) }
        case .integer(let range, let step):
            let count = (range.upperBound - range.lowerBound) / step
            let stride = max(1, (count + 19) / 20) * step
            all = Swift.stride(from: range.lowerBound, through: range.upperBound, by: stride).map { .integer($0) }
        case .real(let range, let step):
            let count = Int(((range.upperBound - range.lowerBound) / step).rounded())
            // Where a point costs nothing the curve is fine.
            let stride = max(1, isDense ? (count + 99) / 100 : (count + 19) / 20)
            all = Swift.stride(from: 0, through: count, by: stride).map { descriptor.stepped(.real(range.lowerBound), by: $0) }
        }
        let near = [present, descriptor.stepped(present, by: 1), descriptor.stepped(present, by: -1)]
        var ordered: [ParameterValue] = []
        for value in near + all.sorted(by: { abs(position($0) - position(present)) < abs(position($1) - position(present)) })
        where !ordered.contains(value) { ordered.append(value) }
        return ordered
    }

    func recipe(with value: ParameterValue) -> Recipe {
        var changed = recipe
        changed.steps[step].parameters[parameter] = value
        return changed
    }
}

extension Workbench {
    func startWorker() {
        state.withLock { $0.workerRunning = true }
        start("lathe.worker") {
            self.work()
            self.state.withLock { $0.workerRunning = false }
        }
    }

    private enum Task {
        case evaluation(Recipe, Int)
        case latency(Recipe, Int)
        case point(WhatIfTrace, ParameterValue)
    }

    private func work() {
        while true {
            let next: (Task?, Cancellation, closed: Bool) = state.withLock { state in
                let cancellation = Cancellation()
                state.current = cancellation
                if state.closed { return (nil, cancellation, true) }
                if let (recipe, generation) = state.pendingEvaluation {
                    state.pendingEvaluation = nil
                    return (.evaluation(recipe, generation), cancellation, false)
                }
                if !state.pendingLatency.isEmpty {
                    let (recipe, generation) = state.pendingLatency.removeFirst()
                    return (.latency(recipe, generation), cancellation, false)
                }
                if var trace = state.trace, !trace.values.isEmpty {
                    let value = trace.values.removeFirst()
                    state.trace = trace
                    return (.point(trace, value), cancellation, false)
                }
                state.current = nil
                return (nil, cancellation, false)
            }
            if next.closed { return }
            guard let task = next.0, let session = state.withLock({ $0.session }) else {
                wake.wait()
                continue
            }
            switch task {
            case .evaluation(let recipe, let generation): evaluateNow(recipe, generation, session, next.1)
            case .latency(let recipe, let generation): measureNow(recipe, generation, session, next.1)
            case .point(let trace, let value): tracePoint(trace, value, session, next.1)
            }
        }
    }

    private func evaluateNow(_ recipe: Recipe, _ generation: Int, _ session: EngineSession, _ cancellation: Cancellation) {
        do {
            let (applied, measured) = try shown(recipe, session, cancellation)
            state.withLock { $0.latest = (recipe.canonical, applied.model) }
            noteExits(recipe, applied.model)
            var figures = try session.figures(of: applied.model, slowSizes: false, measuringExits: false, cancellation: cancellation)
            send(.rewritten(generation: generation, figures, reports: applied.reports))
            if ExitDeclaration(applied.model) != nil {
                // Sizes do not wait for the samples.
                figures = try session.figures(of: applied.model, slowSizes: false, cancellation: cancellation)
                send(.rewritten(generation: generation, figures, reports: applied.reports))
            }
            let trainings = applied.reports.compactMap(\.training)
            var accuracy: AccuracyEstimate?
            if session.runtime != nil, session.validation != nil, session.runs {
                accuracy = try self.accuracy(of: applied.model, limit: nil, session, cancellation) { estimate in
                    self.send(.accuracy(generation: generation, estimate))
                }
            }
            // Stored at once: who quits now, with the accuracy on the screen, finds it again.
            if accuracy != nil, let measured { record(measured, figures, accuracy, latency: nil, trainings: trainings, session) }
            try session.addSlowSizes(&figures, of: applied.model, cancellation: cancellation)
            send(.rewritten(generation: generation, figures, reports: applied.reports))
            if let measured { record(measured, figures, accuracy, latency: nil, trainings: trainings, session) }
            send(.settled(generation: generation))
            noteSizes(figures, of: recipe)
            try prepareExits(recipe, applied.model, session, cancellation)
        } catch let error as EngineError where error.kind == .cancelled {
            return
        } catch {
            if !cancellation.isCancelled { send(.failed(generation: generation, job: nil, message: "\(error)")) }
        }
    }

    /// The model to show for a recipe: trained, where the training was run before; otherwise the one that it would start from.
    /// - Returns: also the recipe whose numbers the model's are; `nil` if it takes no recipe without training to get there.
    private func shown(_ recipe: Recipe, _ session: EngineSession, _ cancellation: Cancellation) throws -> (applied: AppliedModel, recipe: Recipe?) {
        guard recipe.learns else { return (try session.apply(recipe, cancellation: cancellation), recipe) }
        var source = try session.trainingSource()
        source.mayTrain = false
        let applied = try session.apply(recipe, training: source, cancellation: cancellation)
        guard applied.reports.contains(where: \.isUntrained) else { return (applied, recipe) }
        let raw = recipe.withoutTraining
        let without = try? session.apply(raw, cancellation: cancellation).model.contentHash
        return (applied, without == applied.model.contentHash ? raw : nil)
    }

    /// Accuracy of a model, from the cache if the very same model was run before.
    private func accuracy(
        of model: Model, limit: Int?, _ session: EngineSession, _ cancellation: Cancellation,
        update: @escaping @Sendable (AccuracyEstimate) -> Void
    ) throws -> AccuracyEstimate {
        let hash = model.contentHash
        if let known = state.withLock({ $0.results.accuracy.value(for: hash) }) {
            update(known)
            return known
        }
        let estimate = try session.evaluate(model, limit: limit, cancellation: cancellation, update: update)
        if estimate.isComplete, estimate.difference != nil { state.withLock { $0.results.accuracy[hash] = estimate } }
        return estimate
    }

    private func measureNow(_ recipe: Recipe, _ generation: Int, _ session: EngineSession, _ cancellation: Cancellation) {
        do {
            let (applied, measured) = try shown(recipe, session, cancellation)
            let (figures, operators) = try session.latency(of: applied.model, cancellation: cancellation)
            send(.latency(generation: generation, figures, operators: operators))
            if figures.ratioInterval.low > 1.02 {
                for cause in SlowdownCause.likely(baseline: session.model, candidate: applied.model, figures: figures).prefix(2) {
                    send(.remark("slower than the baseline, likely because \(cause)"))
                }
            }
            if let measured { record(measured, nil, nil, latency: figures, session) }
            send(.settled(generation: generation))
        } catch let error as EngineError where error.kind == .cancelled {
            return
        } catch {
            send(.failed(generation: generation, job: nil, message: "\(error)"))
        }
    }

    private func tracePoint(_ trace: WhatIfTrace, _ value: ParameterValue, _ session: EngineSession, _ cancellation: Cancellation) {
        let recipe = trace.recipe(with: value)
        if let point = exitPoint(trace, value) {
            send(.whatIf(generation: trace.generation, point))
            return
        }
        if let known = state.withLock({ $0.results.points.value(for: recipe.canonical) }) {
            var point = known
            (point.step, point.parameter, point.value) = (trace.step, trace.parameter, value)
            send(.whatIf(generation: trace.generation, point))
            return
        }
        var point = WhatIfPoint(step: trace.step, parameter: trace.parameter, value: value)
        do {
            let applied = try shown(recipe, session, cancellation).applied
            point.serializedBytes = Double(try applied.model.serialized().byteCount)
            if session.runtime != nil, session.validation != nil, session.runs {
                point.accuracy = try accuracy(of: applied.model, limit: WhatIfTrace.sampleLimit, session, cancellation) { _ in }
            }
        } catch let error as EngineError where error.kind == .cancelled {
            // Put it back, unless another curve has begun.
            state.withLock { state in
                if state.trace?.generation == trace.generation { state.trace?.values.insert(value, at: 0) }
            }
            return
        } catch {
            point.problem = "\(error)"
        }
        let finished = point
        state.withLock { $0.results.points[recipe.canonical] = finished }
        send(.whatIf(generation: trace.generation, point))
    }
}
