import Foundation
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Measurement
@testable import Recipes
@testable import Techniques

/// The workbench over a session whose work takes as long as each test says: no test waits for real time.
@Suite(.timeLimit(.minutes(2))) struct WorkbenchTests {
    // MARK: Generations

    /// A result that comes after its recipe was replaced is never delivered, even if the work could not be stopped.
    @Test(arguments: [FakeSession.Stage.shown, .figures, .evaluate, .slowSizes]) func lateResultsAreDropped(stage: FakeSession.Stage) async {
        let bench = await Bench.opened()
        bench.session.hold(stage, stubborn: true)
        bench.workbench.evaluate(Bench.pruning(0.1), generation: 1)
        await bench.session.began(stage)
        let before = bench.log.count { $0.generation == 1 }
        bench.workbench.evaluate(Bench.pruning(0.2), generation: 2)
        bench.session.release(stage)
        await bench.log.wait { $0.isSettled(2) }
        await bench.settle()
        #expect(bench.log.count { $0.generation == 1 } == before)
        #expect(bench.log.failures.isEmpty)
    }

    /// Of requests that come while another is worked on, only the last is worked on.
    @Test func onlyTheLastRequestCounts() async {
        let bench = await Bench.opened()
        bench.session.hold(.shown)
        bench.workbench.evaluate(Bench.pruning(0.1), generation: 1)
        await bench.session.began(.shown)
        for generation in 2...9 { bench.workbench.evaluate(Bench.pruning(Double(generation) / 10), generation: generation) }
        bench.session.release(.shown)
        await bench.log.wait { $0.isSettled(9) }
        await bench.settle()
        #expect(Set(bench.log.all.compactMap(\.generation)) == [9])
    }

    /// An evaluation answers in the order that the explorer relies on, and ends with `settled`.
    @Test func answersComeInOrder() async throws {
        let bench = await Bench.opened()
        bench.workbench.evaluate(Bench.pruning(0.1), generation: 1)
        await bench.log.wait { $0.isSettled(1) }
        let kinds = bench.log.all.compactMap { event -> String? in
            switch event {
            case .rewritten(1, _, _): "rewritten"
            case .accuracy(1, _): "accuracy"
            case .settled(1): "settled"
            default: nil
            }
        }
        #expect(kinds == ["rewritten", "accuracy", "rewritten", "settled"])
    }

    @Test func theSameModelIsRunOnce() async {
        let bench = await Bench.opened()
        for generation in 1...3 {
            bench.workbench.evaluate(Bench.pruning(0.1), generation: generation)
            await bench.log.wait { $0.isSettled(generation) }
        }
        #expect(bench.session.calls.count { $0.stage == .evaluate } == 1)
        #expect(bench.log.count { if case .accuracy = $0 { true } else { false } } == 3)
    }

    // MARK: What may be asked for next

    /// What was foreseen is not run again when it is asked for, and gives way to what is asked for.
    @Test func foreseenRecipesAreRunOnce() async {
        let bench = await Bench.opened()
        bench.workbench.foresee([Bench.pruning(0.1), Bench.pruning(0.2)])
        await bench.settle()
        let foreseen = bench.log.all.compactMap { event -> Double? in
            if case .foreseen(let recipe, _, _, let estimate) = event, estimate.isComplete { recipe.steps[0].parameters["sparsity"]?.number } else { nil }
        }
        #expect(foreseen == [0.1, 0.2])
        let runs = bench.session.calls.count { $0.stage == .evaluate }
        bench.workbench.evaluate(Bench.pruning(0.2), generation: 1)
        await bench.log.wait { $0.isSettled(1) }
        #expect(bench.session.calls.count { $0.stage == .evaluate } == runs)

        bench.session.hold(.evaluate)
        bench.workbench.foresee([Bench.pruning(0.3), Bench.pruning(0.4)])
        await bench.session.began(.evaluate)
        bench.workbench.evaluate(Bench.pruning(0.5), generation: 2)
        bench.session.release(.evaluate)
        await bench.log.wait { $0.isSettled(2) }
        await bench.settle()
        #expect(!bench.session.calls.contains { $0.sparsity == 0.4 }, "what was foreseen for another recipe is dropped")
    }

    // MARK: Latency

    /// Latency waits for the evaluation and is dropped with the recipe that it was asked for.
    @Test func latencyComesBehindEvaluations() async {
        let bench = await Bench.opened()
        bench.session.hold(.evaluate)
        bench.workbench.evaluate(Bench.pruning(0.1), generation: 1)
        await bench.session.began(.evaluate)
        bench.workbench.measureLatency(Bench.pruning(0.1), request: LatencyRequest(isExplicit: true), generation: 2)
        bench.session.release(.evaluate)
        await bench.log.wait { $0.isSettled(2) }
        let looked: Set<FakeSession.Stage> = [.evaluate, .latency, .slowSizes]
        let order = bench.session.calls.map(\.stage).filter(looked.contains)
        let expected: [FakeSession.Stage] = [.slowSizes, .evaluate, .slowSizes, .latency]
        #expect(order == expected)

        bench.session.hold(.latency, stubborn: true)
        bench.workbench.measureLatency(Bench.pruning(0.1), request: LatencyRequest(isExplicit: true), generation: 3)
        await bench.session.began(.latency)
        bench.workbench.evaluate(Bench.pruning(0.3), generation: 4)
        bench.session.release(.latency)
        await bench.log.wait { $0.isSettled(4) }
        #expect(!bench.log.all.contains { $0.generation == 3 })
    }

    /// A timed baseline is no trial; a timed recipe is one, with the conditions of its measurement.
    @Test func timedRecipesAreTrials() async {
        let bench = await Bench.opened()
        func trials() -> [TrialRecord] { bench.log.all.compactMap { if case .trials(let records) = $0 { records } else { nil } }.last ?? [] }
        bench.workbench.measureLatency(Recipe(), request: LatencyRequest(), generation: 1)
        await bench.log.wait { $0.isSettled(1) }
        await bench.settle()
        #expect(trials().isEmpty)
        let conditions = LatencyConditions(batch: 8, threads: 2)
        bench.workbench.measureLatency(Bench.pruning(0.1), request: LatencyRequest(conditions: conditions), generation: 2)
        await bench.log.wait { $0.isSettled(2) }
        await bench.settle()
        #expect(trials().map(\.figures.latencyBatch) == [8] && trials().map(\.figures.latencyThreads) == [2])
    }

    /// Weights' values do not count: a model that runs as one that was timed has its time with the rewriting, without being run.
    @Test func equalStructuresAreTimedOnce() async throws {
        let bench = await Bench.opened()
        bench.workbench.measureLatency(Bench.pruning(0.1), request: LatencyRequest(), generation: 1)
        await bench.log.wait { $0.isSettled(1) }
        bench.workbench.evaluate(Bench.pruning(0.3), generation: 2)
        await bench.log.wait { $0.isSettled(2) }
        let kinds = bench.log.all.compactMap { event -> String? in
            switch event {
            case .rewritten(2, _, _): "rewritten"
            case .latency(2, _, _): "latency"
            case .accuracy(2, _): "accuracy"
            default: nil
            }
        }
        #expect(kinds.prefix(3) == ["rewritten", "latency", "accuracy"])
        bench.workbench.measureLatency(Bench.pruning(0.5), request: LatencyRequest(), generation: 3)
        await bench.log.wait { $0.isSettled(3) }
        #expect(bench.session.calls.count { $0.stage == .latency } == 1)
        // Other conditions are another measurement, and so is one that was asked for.
        bench.workbench.measureLatency(Bench.pruning(0.5), request: LatencyRequest(conditions: LatencyConditions(threads: 2)), generation: 4)
        await bench.log.wait { $0.isSettled(4) }
        bench.workbench.measureLatency(Bench.pruning(0.5), request: LatencyRequest(isExplicit: true), generation: 5)
        await bench.log.wait { $0.isSettled(5) }
        #expect(bench.session.calls.count { $0.stage == .latency } == 3)
    }

    /// A busy machine is waited for, and said; an evaluation does not wait with it.
    @Test func aBusyMachineIsWaitedFor() async {
        let bench = await Bench.opened()
        bench.session.setBusy(times: 2)
        bench.workbench.measureLatency(Bench.pruning(0.1), request: LatencyRequest(), generation: 1)
        await bench.log.wait { if case .latencyWaits(1) = $0 { true } else { false } }
        await bench.clock.sleeper()
        bench.clock.advance(by: .milliseconds(400))
        await bench.clock.sleeper()
        #expect(!bench.session.calls.contains { $0.stage == .latency })
        bench.clock.advance(by: .milliseconds(400))
        await bench.log.wait { $0.isSettled(1) }
        #expect(bench.log.count { if case .latencyWaits = $0 { true } else { false } } == 1)

        bench.session.setBusy(times: 1000)
        bench.workbench.measureLatency(Bench.pruning(0.1), request: LatencyRequest(conditions: LatencyConditions(batch: 8)), generation: 2)
        await bench.log.wait { if case .latencyWaits(2) = $0 { true } else { false } }
        bench.workbench.evaluate(Bench.pruning(0.2), generation: 3)
        await bench.log.wait { $0.isSettled(3) }
        await bench.clock.sleeper()
        bench.clock.advance(by: .seconds(1))
        await bench.settle()
        #expect(bench.session.calls.count { $0.stage == .latency } == 1, "what was replaced is not timed")

        bench.workbench.measureLatency(Bench.pruning(0.1), request: LatencyRequest(conditions: LatencyConditions(batch: 8)), generation: 4)
        await bench.log.wait { if case .latencyWaits(4) = $0 { true } else { false } }
        await bench.clock.sleeper()
        bench.clock.advance(by: .seconds(20))
        await bench.log.wait { $0.isSettled(4) }
        #expect(bench.session.calls.count { $0.stage == .latency } == 2, "patience ends")
    }

    /// Kernels are timed while nothing else is to do; an evaluation does not wait for them, and they are not forgotten over it.
    @Test func theMachineIsLookedAtWhileIdle() async throws {
        let folder = NSTemporaryDirectory() + "lathe-learning-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let bench = await Bench.opened()
        let layer = try #require(bench.session.layers.first)
        let kernels = [4, 8, 16].map { Kernel(product: 1, inputs: 8, outputs: $0) }
        let forecast = LatencyForecast(
            baseline: 0.1, profile: [layer.id: 0.08], total: 0.1, nodes: 2, layerIDs: bench.session.layers.map(\.id),
            kernels: bench.session.layers.map { $0.id == layer.id ? kernels[0] : nil }, table: KernelTable())
        let store = LatencyStore(runtime: "1", threads: 1, machine: "test", folder: folder)
        bench.session.setPlan(
            LearningPlan(
                conditions: LatencyConditions(), forecast: forecast, groups: kernels.map { [$0] }, store: store,
                operators: [OperatorTime(node: "gemm", opType: "Gemm", milliseconds: 0.08, layer: layer.id)]))
        #expect(bench.workbench.predict(Bench.pruning(0.1))?.latency == nil)
        bench.session.hold(.kernels)
        bench.workbench.measureLatency(Recipe(), request: LatencyRequest(), generation: 1)
        await bench.session.began(.kernels)
        #expect(bench.workbench.predict(Bench.pruning(0.1))?.latency?.ratio == 1)
        #expect(bench.log.count { if case .baselineOperators(let times) = $0 { times.byLayer[layer.id] == 0.08 } else { false } } == 1)
        bench.workbench.evaluate(Bench.pruning(0.1), generation: 2)
        await bench.log.wait { $0.isSettled(2) }
        bench.session.release(.kernels)
        await bench.settle()
        #expect(store.read().kernels.count == 3)
        #expect(bench.session.calls.count { $0.stage == .kernels } >= 4, "the one that was cut short again")
    }

    @Test func whatIsSlowerIsExplained() async {
        let session = FakeSession()
        session.setRatio(1.5)
        let bench = await Bench.opened(session)
        bench.workbench.measureLatency(Bench.pruning(0.1), request: LatencyRequest(isExplicit: true), generation: 1)
        await bench.log.wait { $0.isSettled(1) }
        #expect(bench.log.remarks.contains { $0.contains("slower than the baseline") && $0.contains("so small") })
    }

    // MARK: The what-if curve

    /// Points come nearest to the present value first, and cover the range.
    @Test func nearestValuesFirst() async {
        let bench = await Bench.opened()
        bench.workbench.traceWhatIf(Bench.pruning(0.5), step: 0, parameter: "sparsity", generation: 1)
        await bench.settle()
        let values = bench.log.curve(1)
        #expect(values.first == 0.5 && values.count >= 15)
        let distances = values.dropFirst().map { abs($0 - 0.5) }
        #expect(zip(distances.dropFirst(2), distances.dropFirst(3)).allSatisfy { $0 <= $1 + 1e-9 })
        #expect(values.min()! <= 0.05 && values.max()! >= 0.9)
        #expect(bench.session.calls.count { $0.stage == .shown } == values.count, "each value is tried once")
    }

    /// While a recipe is evaluated no point is tried, and the curve of the recipe before is forgotten.
    @Test func curvesWaitForEvaluations() async {
        let bench = await Bench.opened()
        bench.session.hold(.evaluate)
        bench.workbench.evaluate(Bench.pruning(0.5), generation: 1)
        await bench.session.began(.evaluate)
        bench.workbench.traceWhatIf(Bench.pruning(0.5), step: 0, parameter: "sparsity", generation: 2)
        await bench.workbench.core.roundTrip()
        #expect(bench.log.curve(2).isEmpty)
        bench.session.hold(.shown, stubborn: true)
        bench.session.release(.evaluate)
        await bench.log.wait { $0.isSettled(1) }
        bench.workbench.evaluate(Bench.pruning(0.6), generation: 3)
        bench.session.release(.shown)
        await bench.log.wait { $0.isSettled(3) }
        await bench.settle()
        #expect(bench.log.curve(2).isEmpty)
    }

    /// A value that cannot be reached is a point with a problem, not a failure.
    @Test func aFailedPointSaysWhy() async {
        let bench = await Bench.opened()
        bench.session.fail(.shown, "no such rank")
        bench.workbench.traceWhatIf(Bench.pruning(0.5), step: 0, parameter: "sparsity", generation: 1)
        await bench.settle()
        let problems = bench.log.all.compactMap { if case .whatIf(1, let point) = $0 { point.problem } else { nil } }
        #expect(problems.count >= 15 && problems.allSatisfy { $0 == "no such rank" } && bench.log.failures.isEmpty)
    }

    /// Values that were tried are known when the curve is drawn again.
    @Test func pointsAreKept() async {
        let bench = await Bench.opened()
        bench.workbench.traceWhatIf(Bench.pruning(0.5), step: 0, parameter: "sparsity", generation: 1)
        await bench.settle()
        let before = bench.session.calls.count
        bench.workbench.traceWhatIf(Bench.pruning(0.5), step: 0, parameter: "sparsity", generation: 2)
        await bench.settle()
        #expect(bench.log.curve(2) == bench.log.curve(1) && bench.session.calls.count == before)
    }

    // MARK: Cancel, close

    @Test func cancelStopsThePresentWork() async {
        let bench = await Bench.opened()
        bench.session.hold(.evaluate)
        bench.workbench.evaluate(Bench.pruning(0.1), generation: 1)
        bench.workbench.measureLatency(Bench.pruning(0.1), request: LatencyRequest(isExplicit: true), generation: 2)
        await bench.session.began(.evaluate)
        bench.workbench.cancel(job: nil)
        await bench.settle()
        #expect(bench.log.failures.isEmpty && !bench.log.all.contains { $0.isSettled(1) || $0.isSettled(2) })
        #expect(!bench.session.calls.contains { $0.stage == .latency })
    }

    /// Work that can be cancelled ends at once; nothing waits for the clock.
    @Test func closeCancelsWhatRuns() async throws {
        let bench = await Bench.opened()
        bench.session.hold(.evaluate)
        bench.session.hold(.export)
        bench.workbench.evaluate(Bench.pruning(0.1), generation: 1)
        bench.workbench.export(Recipe(), request: ExportRequest(folder: "", name: "out", includeArchive: false), job: 1)
        await bench.session.began(.evaluate)
        try await bench.close()
        #expect(bench.clock.now.offset == .zero)
    }

    /// Work that cannot be cancelled is waited for two seconds, and what it says afterwards goes nowhere.
    @Test func closeWaitsTwoSeconds() async throws {
        let bench = await Bench.opened()
        bench.session.hold(.evaluate, stubborn: true)
        bench.workbench.evaluate(Bench.pruning(0.1), generation: 1)
        await bench.session.began(.evaluate)
        async let closed: Void = bench.close()
        await bench.clock.sleeper()
        let before = bench.log.all.count
        bench.clock.advance(by: .seconds(2))
        try await closed
        bench.session.release(.evaluate)
        await bench.settle()
        #expect(bench.log.all.count == before)
        bench.workbench.evaluate(Bench.pruning(0.2), generation: 2)
        await bench.settle()
        #expect(bench.session.calls.count { $0.stage == .shown } == 1, "a closed workbench does nothing")
    }

    // MARK: Errors

    @Test(arguments: [FakeSession.Stage.open, .summaries, .baselineFigures, .slowSizes, .completed])
    func openingFailsOnce(stage: FakeSession.Stage) async {
        let bench = Bench()
        bench.session.fail(stage, "broken")
        bench.open()
        await bench.log.wait { if case .failed = $0 { true } else { false } }
        await bench.settle()
        #expect(bench.log.failures == ["broken"])
    }

    /// A metric command that fails, data that do not fit: all but accuracy goes on, and it can be tried again.
    @Test func aBaselineThatCannotBeScored() async {
        let bench = Bench()
        bench.session.fail(.baselineAccuracy, "broken")
        bench.open()
        await bench.log.wait { if case .baselineFailed("broken") = $0 { true } else { false } }
        await bench.settle()
        #expect(bench.log.failures.isEmpty)
        let calls = bench.session.calls.count { $0.stage == .evaluate }
        bench.workbench.evaluate(Bench.pruning(0.1), generation: 1)
        await bench.log.wait { $0.isSettled(1) }
        #expect(bench.session.calls.count { $0.stage == .evaluate } == calls)
        bench.session.fail(.baselineAccuracy, nil)
        bench.workbench.evaluateBaseline()
        await bench.log.wait { if case .baselineAccuracy = $0 { true } else { false } }
        bench.workbench.evaluate(Bench.pruning(0.2), generation: 2)
        await bench.log.wait { $0.isSettled(2) }
        #expect(bench.session.calls.count { $0.stage == .evaluate } > calls)
    }

    /// While it runs, and before it has begun.
    @Test(arguments: [FakeSession.Stage.baselineAccuracy, .slowSizes]) func theBaselinesEvaluationIsCanceled(stage: FakeSession.Stage) async {
        let bench = Bench()
        bench.session.hold(stage)
        bench.open()
        await bench.session.began(stage)
        bench.workbench.cancelBaseline()
        // What runs is cut off; what stands before it ends by itself.
        if stage == .slowSizes { bench.session.release(stage) }
        await bench.log.wait { if case .baselineFailed("canceled") = $0 { true } else { false } }
        bench.session.release(stage)
        await bench.settle()
        #expect(bench.log.failures.isEmpty)
        bench.workbench.evaluateBaseline()
        await bench.log.wait { if case .baselineAccuracy = $0 { true } else { false } }
    }

    @Test(arguments: [FakeSession.Stage.shown, .figures, .evaluate, .slowSizes]) func evaluationsFailOnce(stage: FakeSession.Stage) async {
        let bench = await Bench.opened()
        bench.session.fail(stage, "broken")
        bench.workbench.evaluate(Bench.pruning(0.1), generation: 1)
        await bench.settle()
        #expect(bench.log.failures == ["broken"])
        #expect(!bench.log.all.contains { $0.isSettled(1) })
        bench.session.fail(stage, nil)
        bench.workbench.evaluate(Bench.pruning(0.1), generation: 2)
        await bench.log.wait { $0.isSettled(2) }
    }

    @Test(arguments: [FakeSession.Stage.shown, .latency]) func latencyFailsOnce(stage: FakeSession.Stage) async {
        let bench = await Bench.opened()
        bench.session.fail(stage, "broken")
        bench.workbench.measureLatency(Bench.pruning(0.1), request: LatencyRequest(isExplicit: true), generation: 1)
        await bench.settle()
        #expect(bench.log.failures == ["broken"] && !bench.log.all.contains { $0.isSettled(1) })
    }

    // MARK: Remarks

    @Test func remarksSayWhatIsAmiss() async {
        let session = FakeSession(hasData: false)
        session.fail(.shapes, "bad input")
        let bench = await Bench.opened(session, store: { _ in .inMemory(warning: "the disk is full") })
        #expect(bench.log.remarks.contains { $0.contains("made-up inputs") && $0.contains("bad input") })
        #expect(bench.log.remarks.contains("the disk is full") && bench.log.failures.isEmpty)
    }

    /// With data of its own, a model that does not run is said to be one; sizes are still known.
    @Test func aModelThatDoesNotRun() async {
        let session = FakeSession()
        session.fail(.shapes, "no kernel")
        let bench = await Bench.opened(session)
        let infos = bench.log.all.compactMap { if case .opened(let info, _, _, _) = $0 { info } else { nil } }
        #expect(infos.map(\.cannotRun) == [nil, "no kernel"])
        #expect(bench.workbench.predict(Bench.pruning(0.5)) != nil && bench.log.failures.isEmpty)
    }

    // MARK: Answers at once

    /// What the terminal asks is answered while the engine is busy, and while it is not there yet.
    @Test func answersDoNotWait() async throws {
        let bench = Bench()
        #expect(bench.workbench.predict(Bench.pruning(0.5)) == nil && bench.workbench.weightHistogram(layer: "dense", recipe: Recipe()) == nil)
        let busy = await Bench.opened()
        busy.session.hold(.evaluate, stubborn: true)
        busy.workbench.evaluate(Bench.pruning(0.5), generation: 1)
        await busy.session.began(.evaluate)
        let figures = try #require(busy.workbench.predict(Bench.pruning(0.5)))
        #expect(figures.nonZeros.value == 16)
        let histogram = try #require(busy.workbench.weightHistogram(layer: "dense", recipe: Bench.pruning(0.5)))
        #expect(histogram.baseline.reduce(0, +) == 32 && histogram.current?.reduce(0, +) == 32)
        #expect(busy.workbench.equivalentCommand(for: Recipe(), recipePath: "a b.yaml") == "lathe apply small.onnx --recipe 'a b.yaml' --output OUT.onnx")
        busy.session.release(.evaluate)
        await busy.settle()
    }
}
