import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Recipes
@testable import Techniques

/// Jobs run beside the present recipe, each with a life of its own.
@Suite(.timeLimit(.minutes(2))) struct JobTests {
    private let request = ExportRequest(folder: "", name: "out", includeArchive: false)

    @Test func aJobRunsAndEnds() async {
        let bench = await Bench.opened()
        bench.workbench.export(Recipe(), request: request, job: 1)
        await bench.settle()
        #expect(bench.log.states(of: 1) == [.running, .running, .finished])
        #expect(bench.log.count { if case .exported(1, ["out.onnx"]) = $0 { true } else { false } } == 1)
    }

    /// Time by the clock: a quarter done after ten seconds leaves thirty.
    @Test func timesAreByTheClock() async throws {
        let bench = await Bench.opened()
        bench.session.hold(.export)
        bench.workbench.export(Recipe(), request: request, job: 1)
        await bench.session.began(.export)
        bench.clock.advance(by: .seconds(10))
        bench.session.release(.export)
        await bench.settle()
        let updates = bench.log.updates(of: 1)
        #expect(updates.map(\.elapsedSeconds) == [0, 10, 10])
        #expect(updates[1].fraction == 0.25 && updates[1].remainingSeconds == 30 && updates[2].remainingSeconds == nil)
    }

    @Test func cancelEndsOneJob() async {
        let bench = await Bench.opened()
        bench.session.hold(.train)
        bench.workbench.train(Recipe(), steps: nil, job: 1)
        await bench.session.began(.train)
        bench.workbench.export(Recipe(), request: request, job: 2)
        bench.workbench.cancel(job: 1)
        await bench.settle()
        #expect(bench.log.states(of: 1) == [.running, .cancelled])
        #expect(bench.log.states(of: 2).last == .finished && bench.log.failures.isEmpty)
    }

    @Test(arguments: [FakeSession.Stage.export, .train]) func aJobFailsOnce(stage: FakeSession.Stage) async {
        let bench = await Bench.opened()
        bench.session.fail(stage, "broken")
        if stage == .export { bench.workbench.export(Recipe(), request: request, job: 1) } else { bench.workbench.train(Recipe(), steps: 3, job: 1) }
        await bench.settle()
        #expect(bench.log.states(of: 1) == [.running, .failed("broken")])
        #expect(bench.log.failures == ["broken"])
    }

    /// Jobs do not wait for the evaluation, nor it for them.
    @Test func jobsRunBeside() async {
        let bench = await Bench.opened()
        bench.session.hold(.evaluate)
        bench.workbench.evaluate(Bench.pruning(0.1), generation: 1)
        await bench.session.began(.evaluate)
        bench.workbench.export(Recipe(), request: request, job: 1)
        await bench.log.wait { if case .exported = $0 { true } else { false } }
        bench.session.release(.evaluate)
        await bench.log.wait { $0.isSettled(1) }
    }

    @Test func nothingIsExportedBeforeThereIsAModel() async {
        let bench = Bench()
        bench.session.hold(.open)
        bench.open()
        await bench.session.began(.open)
        bench.workbench.export(Recipe(), request: request, job: 1)
        await bench.workbench.core.roundTrip()
        #expect(bench.log.states(of: 1) == [.running, .failed("the model is not open yet")])
        bench.session.release(.open)
    }

    /// A paused training stands still until it may go on, is told to finish, or is cancelled; a short one says what it recovered.
    @Test(arguments: [TrainingCommand.goOn, .finish, nil]) func pausedTrainingsWait(command: TrainingCommand?) async {
        let bench = await Bench.opened()
        bench.session.hold(.train)
        bench.workbench.train(Recipe(), steps: 150, job: 1)
        await bench.session.began(.train)
        bench.workbench.control(.pause, job: 1)
        await bench.workbench.core.roundTrip()
        bench.session.release(.train)
        if let command { bench.workbench.control(command, job: 1) } else { bench.workbench.cancel(job: 1) }
        await bench.settle()
        #expect(bench.log.states(of: 1).last == (command == nil ? .cancelled : .finished))
        #expect(bench.log.count { if case .recovered(1, _, _, 150) = $0 { true } else { false } } == (command == nil ? 0 : 1))
    }

    /// Results and pins are kept in the order in which they were asked for.
    @Test func trialsAreKeptAndPinned() async throws {
        let bench = await Bench.opened()
        bench.workbench.evaluate(Bench.pruning(0.1), generation: 1)
        await bench.log.wait { $0.isSettled(1) }
        func last() -> [TrialRecord] { bench.log.all.compactMap { if case .trials(let records) = $0 { records } else { nil } }.last ?? [] }
        let trial = try #require(last().first)
        #expect(last().count == 1 && trial.figures.accuracy == 0.9 && trial.figures.isComplete && !trial.pinned)
        for _ in 0..<10 {
            bench.workbench.setPinned(false, trial: trial.id)
            bench.workbench.setPinned(true, trial: trial.id)
        }
        await bench.settle()
        #expect(last().first?.pinned == true)
    }
}
