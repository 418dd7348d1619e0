import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques

// Opening goes in stages, so that the screen fills early: the parsed model, then predictions, then slow sizes and the baseline's accuracy.

extension WorkbenchCore {
    private func blocking<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        try await BlockingThread.run("lathe.open", opening, body)
    }

    func open(_ request: OpenRequest) {
        Task {
            do {
                try await openStages(request)
            } catch let error as EngineError where error.kind == .cancelled {
                return
            } catch {
                outlet.send(.failed(generation: nil, job: nil, message: "\(error)"))
                opened()
            }
        }
    }

    private func openStages(_ request: OpenRequest) async throws {
        let (cancellation, outlet, opener) = (opening, outlet, opener)
        let (session, recipe, first) = try await blocking {
            let session = try opener(request, cancellation) { phase, fraction in outlet.send(.opening(phase: phase, fraction: fraction)) }
            let recipe = try request.recipePath.map { try Recipe.read(path: $0) }
            var figures = try FigureCounting.figures(of: session.model, shapes: nil)
            figures.serializedBytes = Figure(Double(session.info.fileBytes), .measured)
            return (session, recipe, (figures: figures, refusals: session.refusals(shapes: nil)))
        }
        self.session = session
        snapshot.session = session
        outlet.send(.opened(session.info, baseline: first.figures, refusals: first.refusals, recipe: recipe))
        watchSources(of: session)
        let shapes = try await shapes(session, first.figures, first.refusals)
        // Shapes may let techniques do more than the graph alone did.
        let counted = try await blocking { try session.baselineFigures(slowSizes: false, cancellation: cancellation) }
        outlet.send(.counted(baseline: counted))
        let (refusals, summaries) = try await blocking {
            (session.refusals(shapes: shapes), try session.summaries(shapes: shapes, cancellation: cancellation))
        }
        prepared(counted, session, summaries, refusals)
        await openTrials(session)
        ready()
        let baseline = try await blocking { try session.withSlowSizes(counted, of: session.model, cancellation: cancellation) }
        prepared(baseline, session, summaries, refusals)
        try await scoreBaseline(session)
        prepared(baseline, session, try await blocking { try session.completed(summaries, cancellation: cancellation) }, refusals)
        opened()
    }

    /// The baseline's accuracy. Where it cannot be had, as with a metric command that fails, everything else goes on without any.
    private func scoreBaseline(_ session: any WorkbenchSession) async throws {
        guard session.canEvaluate else { return }
        let (opening, outlet) = (opening, outlet)
        let scoring = Cancellation()
        if isScoringUnwanted { scoring.cancel() }
        isScoringUnwanted = false
        self.scoring = scoring
        defer { self.scoring = nil }
        do {
            let estimate = try await blocking {
                try scoring.check()
                return try opening.withHook({ scoring.cancel() }) { try session.baselineAccuracy(cancellation: scoring) { outlet.send(.baselineAccuracy($0)) } }
            }
            hasBaseline = true
            if let estimate { outlet.send(.baselineAccuracy(estimate)) }
            let remarks = try await blocking { try session.baselineRemarks() }
            if !remarks.isEmpty { outlet.send(.baselineRemarks(remarks)) }
        } catch let error as EngineError where !opening.isCancelled {
            hasBaseline = false
            outlet.send(.baselineFailed(error.kind == .cancelled ? "canceled" : "\(error)"))
        }
    }

    /// Scores the baseline once more, after what was in its way may have been mended.
    func scoreBaselineAgain() {
        guard let session else { return }
        track { core in try? await core.scoreBaseline(session) }
    }

    /// Says each time that the model's files become others than those that were opened.
    private func watchSources(of session: any WorkbenchSession) {
        let opened = session.model.sources
        guard !opened.isEmpty else { return }
        Task {
            var last: [FileStamp?] = opened
            while !isClosed {
                try? await Task.sleep(for: .seconds(1))
                let now = session.sourcesNow
                defer { last = now }
                guard now != last, let changed = zip(opened, now).first(where: { $0 != $1 })?.0.path else { continue }
                outlet.send(.sourceChanged(path: changed))
            }
        }
    }

    /// Shapes of the model's values; `nil` where it does not run, which is said.
    private func shapes(_ session: any WorkbenchSession, _ baseline: ModelFigures, _ refusals: [String: [Int: String]]) async throws -> ValueShapes? {
        let cancellation = opening
        do {
            return try await blocking { try session.shapes(of: session.model, cancellation: cancellation) }
        } catch let error as EngineError where error.kind != .cancelled {
            if session.hasData {
                session.noteThatItDoesNotRun()
                var info = session.info
                info.cannotRun = error.message
                info.warnings = []
                outlet.send(.opened(info, baseline: baseline, refusals: refusals, recipe: nil))
            } else {
                // The inputs were guesses: it may well run on real ones.
                outlet.send(.remark("the model does not run on made-up inputs, so only sizes are known: \(error.message)"))
            }
            return nil
        }
    }

    private func prepared(_ baseline: ModelFigures, _ session: any WorkbenchSession, _ summaries: [LayerSummary], _ refusals: [String: [Int: String]]) {
        let latency = snapshot.predictor?.latency
        snapshot.predictor = Predictor(baseline: baseline, layers: session.layers, summaries: summaries, refusals: refusals)
        snapshot.predictor?.latency = latency
        outlet.send(.prepared(baseline: baseline))
    }
}
