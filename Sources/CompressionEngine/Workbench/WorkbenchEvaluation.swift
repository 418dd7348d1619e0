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
            if profile != nil {
                // Sizes do not wait for the samples.
                figures = try await blocking(cancellation) { try session.figures(of: model, slowSizes: false, profiling: true, cancellation: cancellation) }
                outlet.send(.rewritten(generation: generation, figures, reports: reports), ticket)
            }
            let trainings = reports.compactMap(\.training)
            var estimate: AccuracyEstimate?
            if session.canEvaluate {
                estimate = try await accuracy(of: model, limit: nil, session, cancellation) { outlet.send(.accuracy(generation: generation, $0), ticket) }
            }
            // Stored at once: who quits now, with the accuracy on the screen, finds it again.
            if estimate != nil, let measured = shown.measured { await record(measured, figures, estimate, trainings: trainings) }
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
        let estimate = try await blocking(cancellation) { try session.evaluate(model, limit: limit, cancellation: cancellation, update: update) }
        if estimate.isComplete, estimate.difference != nil { results.accuracy[hash] = estimate }
        return estimate
    }

    func perform(latency request: WorkQueue.Request, _ session: any WorkbenchSession, _ cancellation: Cancellation) async {
        let (recipe, generation, ticket) = (request.recipe, request.generation, request.ticket)
        do {
            let (shown, latency, causes) = try await blocking(cancellation) {
                let shown = try session.shown(recipe, cancellation: cancellation)
                let latency = try session.latency(of: shown.applied.model, cancellation: cancellation)
                let isSlower = latency.figures.ratioInterval.low > 1.02
                let causes = isSlower ? SlowdownCause.likely(baseline: session.model, candidate: shown.applied.model, figures: latency.figures) : []
                return (shown, latency, causes)
            }
            outlet.send(.latency(generation: generation, latency.figures, operators: latency.operators), ticket)
            for cause in causes.prefix(2) { outlet.send(.remark("slower than the baseline, likely because \(cause)"), ticket) }
            if let measured = shown.measured { await record(measured, latency: latency.figures) }
            outlet.send(.settled(generation: generation), ticket)
        } catch {
            failed(error, generation, ticket, cancellation)
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
            if session.canEvaluate { point.accuracy = try await accuracy(of: model, limit: WhatIfTrace.sampleLimit, session, cancellation) { _ in } }
        } catch {
            if cancellation.isCancelled || (error as? EngineError)?.kind == .cancelled { return }
            point.problem = "\(error)"
        }
        results.points[recipe.canonical] = point
        outlet.send(.whatIf(generation: trace.generation, point), trace.ticket)
    }
}
