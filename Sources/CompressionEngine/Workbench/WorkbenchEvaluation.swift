import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques

// What is done for the present recipe. Each stage runs on a thread of its own and ends early when it is cancelled.

extension WorkbenchCore {
    private func blocking<R: Sendable>(_ cancellation: Cancellation, _ body: @escaping @Sendable () throws -> R) async throws -> R {
        try await BlockingThread.run("lathe.worker", cancellation, body)
    }

    func perform(evaluation request: WorkQueue.Request, _ session: any WorkbenchSession, _ cancellation: Cancellation) async {
        let (recipe, generation, ticket, outlet) = (request.recipe, request.generation, request.ticket, outlet)
        var found: AccuracyEstimate?
        do {
            let shown = try await blocking(cancellation) { try session.shown(recipe, cancellation: cancellation) }
            let (model, reports) = (shown.applied.model, shown.applied.reports)
            snapshot.show(model, of: recipe)
            let (profile, first) = try await blocking(cancellation) {
                (session.profileKey(of: model), try session.figures(of: model, slowSizes: false, profiling: false, cancellation: cancellation))
            }
            var figures = first
            if let profile { snapshot.note(profile: profile, of: recipe) }
            outlet.send(.rewritten(generation: generation, figures, reports: reports), ticket)
            let timed = try await knownLatency(of: model, session, cancellation)
            if let timed { outlet.send(.latency(generation: generation, timed.figures, operators: timed.operators), ticket) }
            if profile != nil {
                // Sizes do not wait for the samples.
                figures = try await blocking(cancellation) { try session.figures(of: model, slowSizes: false, profiling: true, cancellation: cancellation) }
                outlet.send(.rewritten(generation: generation, figures, reports: reports), ticket)
            }
            let trainings = reports.compactMap(\.training)
            var estimate: AccuracyEstimate?
            if session.canEvaluate, hasBaseline {
                estimate = try await accuracy(of: model, limit: nil, session, cancellation) { outlet.send(.accuracy(generation: generation, $0), ticket) }
            }
            // Stored at once: who quits now, with the accuracy on the screen, finds it again.
            if estimate != nil, let measured = shown.measured { await record(measured, figures, estimate, latency: timed?.figures, trainings: trainings) }
            if shown.measured != nil { found = estimate }
            let counted = figures
            figures = try await blocking(cancellation) { try session.withSlowSizes(counted, of: model, cancellation: cancellation) }
            outlet.send(.rewritten(generation: generation, figures, reports: reports), ticket)
            if let measured = shown.measured { await record(measured, figures, estimate, trainings: trainings) }
            outlet.send(.settled(generation: generation), ticket)
            snapshot.note(figures: figures, of: recipe)
        } catch {
            return failed(error, generation, ticket, cancellation)
        }
        await addTimes(recipe, session, cancellation)
        if let estimate = found { await rescue(recipe, estimate, session, cancellation) }
    }

    /// Where nearly all is lost, says what would not lose it; the next key press ends the search.
    private func rescue(_ recipe: Recipe, _ estimate: AccuracyEstimate, _ session: any WorkbenchSession, _ cancellation: Cancellation) async {
        guard estimate.isComplete, (evaluationSeconds ?? 0) < Self.mostForeseenSeconds, Rescue.isCollapse(estimate) else { return }
        guard let rescue = try? await blocking(cancellation, { try session.rescue(recipe, estimate, cancellation: cancellation) }) else { return }
        outlet.send(.rescue(of: recipe, rescue))
    }

    /// One answer to a request that did not come to its end; none where it was cancelled.
    private func failed(_ error: any Error, _ generation: Int, _ ticket: EventOutlet.Ticket, _ cancellation: Cancellation) {
        guard !cancellation.isCancelled, (error as? EngineError)?.kind != .cancelled else { return }
        outlet.send(.failed(generation: generation, job: nil, message: "\(error)"), ticket)
    }

    /// Accuracy of a model, from the cache if the very same model was run before.
    private func accuracy(
        of model: Model, limit: Int?, _ session: any WorkbenchSession, _ cancellation: Cancellation, update: @escaping @Sendable (AccuracyEstimate) -> Void
    ) async throws -> AccuracyEstimate {
        let hash = try await blocking(cancellation) { model.contentHash }
        if let known = results.accuracy.value(for: hash) {
            update(known)
            return known
        }
        let watch = clock.stopwatch()
        let estimate = try await blocking(cancellation) { try session.evaluate(model, limit: limit, cancellation: cancellation, update: update) }
        if limit == nil, estimate.isComplete { evaluationSeconds = watch.seconds }
        if estimate.isComplete, estimate.difference != nil { results.accuracy[hash] = estimate }
        return estimate
    }

    // MARK: Latency

    /// Seconds of a measurement that nobody asked for: a short burst, which the next key press ends.
    private static let burst = 1.0
    private static let explicit = 2.0
    /// How long to wait for other programs to leave the processor alone.
    private static let patience = 20.0

    /// Times of a model that runs in the same way; `nil` where there is none, or where time hangs on the sample.
    private func knownLatency(of model: Model, _ session: any WorkbenchSession, _ cancellation: Cancellation) async throws -> TimedModel? {
        guard let key = try await latencyKey(of: model, session, cancellation) else { return nil }
        return results.latency.value(for: key)
    }

    private func latencyKey(of model: Model, _ session: any WorkbenchSession, _ cancellation: Cancellation) async throws -> LatencyKey? {
        let conditions = conditions
        return try await blocking(cancellation) {
            session.profileKey(of: model) == nil ? LatencyKey(structure: model.structureHash, conditions: conditions) : nil
        }
    }

    func perform(latency request: WorkQueue.Request, _ how: LatencyRequest, _ session: any WorkbenchSession, _ cancellation: Cancellation) async {
        let (recipe, generation, ticket) = (request.recipe, request.generation, request.ticket)
        do {
            let shown = try await blocking(cancellation) { try session.shown(recipe, cancellation: cancellation) }
            let model = shown.applied.model
            let key = try await latencyKey(of: model, session, cancellation)
            let known = how.isExplicit ? nil : key.flatMap { results.latency.value(for: $0) }
            let timed: TimedModel
            if let known {
                timed = known
            } else {
                if !how.isExplicit, try await shallWait(generation, session, cancellation) { return wait(request, how) }
                waiting = nil
                timed = try await blocking(cancellation) {
                    try session.latency(
                        of: model, conditions: how.conditions, seconds: how.isExplicit ? Self.explicit : Self.burst, cancellation: cancellation)
                }
                if let key { results.latency[key] = timed }
            }
            outlet.send(.latency(generation: generation, timed.figures, operators: timed.operators), ticket)
            if known == nil, timed.figures.ratioInterval.low > 1.02 {
                let causes = try await blocking(cancellation) { SlowdownCause.likely(baseline: session.model, candidate: model, figures: timed.figures) }
                for cause in causes.prefix(2) { outlet.send(.remark("slower than the baseline, likely because \(cause)"), ticket) }
            }
            // The baseline is no trial.
            if let measured = shown.measured, !measured.activeSteps.isEmpty { await record(measured, latency: timed.figures) }
            outlet.send(.settled(generation: generation), ticket)
            if known == nil, timed.figures.warning == nil { await learn(from: timed, of: recipe, conditions: how.conditions, session, cancellation) }
        } catch {
            failed(error, generation, ticket, cancellation)
        }
    }

    /// Whether other programs keep the processor so busy that timing had better wait; not for ever.
    private func shallWait(_ generation: Int, _ session: any WorkbenchSession, _ cancellation: Cancellation) async throws -> Bool {
        if waiting?.generation == generation, let waited = waiting?.since.seconds, waited >= Self.patience { return false }
        let load = try await blocking(cancellation) { session.foreignLoad() }
        try cancellation.check()
        return (load ?? 0) > ProcessorLoad.mostForeignCores
    }

    /// Asks again a little later, unless something else is wanted by then.
    private func wait(_ request: WorkQueue.Request, _ how: LatencyRequest) {
        if waiting?.generation != request.generation {
            waiting = (request.generation, clock.stopwatch())
            outlet.send(.latencyWaits(generation: request.generation), request.ticket)
        }
        let clock = clock
        track { core in
            try? await clock.sleep(for: .milliseconds(400))
            if core.waiting?.generation == request.generation { core.measureLatency(request, how) }
        }
    }

    // MARK: What may be asked for next

    /// Weights above which packing and gzip are left until they are asked for.
    private static let mostForeseenBytes = 32 << 20
    /// An evaluation that takes longer is not made for a key that may never be pressed.
    private static let mostForeseenSeconds = 5.0

    func perform(foreseen recipe: Recipe, _ session: any WorkbenchSession, _ cancellation: Cancellation) async {
        guard session.canEvaluate, hasBaseline, !recipe.learns, evaluationSeconds ?? 0 < Self.mostForeseenSeconds else { return }
        do {
            let (model, reports, counted) = try await blocking(cancellation) {
                let shown = try session.shown(recipe, cancellation: cancellation).applied
                return (shown.model, shown.reports, try session.figures(of: shown.model, slowSizes: false, profiling: false, cancellation: cancellation))
            }
            guard session.profileKey(of: model) == nil, counted.serializedBytes.value < Double(Self.mostForeseenBytes) else { return }
            let estimate = try await accuracy(of: model, limit: nil, session, cancellation) { _ in }
            guard estimate.isComplete else { return }
            let figures = try await blocking(cancellation) { try session.withSlowSizes(counted, of: model, cancellation: cancellation) }
            outlet.send(.foreseen(recipe, figures, reports: reports, estimate))
        } catch {
            // Who asks for it will be told.
            return
        }
    }

    func perform(point value: ParameterValue, of trace: WhatIfTrace, _ session: any WorkbenchSession, _ cancellation: Cancellation) async {
        let recipe = trace.recipe(with: value)
        if let point = snapshot.livePoint(trace, value) { return outlet.send(.whatIf(generation: trace.generation, point), trace.ticket) }
        if var known = results.points.value(for: recipe.canonical) {
            (known.step, known.parameter, known.value) = (trace.step, trace.parameter, value)
            return outlet.send(.whatIf(generation: trace.generation, known), trace.ticket)
        }
        var point = trace.point(value)
        do {
            let (model, bytes) = try await blocking(cancellation) {
                let model = try session.shown(recipe, cancellation: cancellation).applied.model
                return (model, Double(try model.serialized().byteCount))
            }
            point.serializedBytes = bytes
            if session.canEvaluate, hasBaseline { point.accuracy = try await accuracy(of: model, limit: WhatIfTrace.sampleLimit, session, cancellation) { _ in } }
        } catch {
            if cancellation.isCancelled || (error as? EngineError)?.kind == .cancelled { return }
            point.problem = "\(error)"
        }
        results.points[recipe.canonical] = point
        outlet.send(.whatIf(generation: trace.generation, point), trace.ticket)
    }
}
