import CompressionEngine
import Measurement
import Metrics
import Recipes
import Techniques
import TerminalCells
import Testing

@testable import Explorer

@Suite struct UpdateTests {
    /// A fixed sequence of pseudo-random numbers (xorshift).
    struct Numbers: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state
        }
    }

    static let edits = ["space", "j", "k", "tab", "shift-tab", "l", "h", ")", "(", "K", "J", "D", "r", "2", "1", "]", "}"]

    @Test(arguments: 1...20) func undoIsAnExactInverse(seed: Int) {
        var numbers = Numbers(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15)
        let driver = Driver()
        var trail = [driver.model.recipe]
        for _ in 0..<60 {
            driver.press(Self.edits.randomElement(using: &numbers) ?? "l")
            if driver.model.recipe != trail[trail.count - 1] { trail.append(driver.model.recipe) }
        }
        #expect(driver.model.session.history.depth == trail.count - 1)
        for recipe in trail.dropLast().reversed() {
            driver.press("u")
            #expect(driver.model.recipe == recipe)
        }
        for recipe in trail.dropFirst() {
            driver.press("ctrl-r")
            #expect(driver.model.recipe == recipe)
        }
    }

    @Test func aHeldKeyIsUndoneAtOnceAndBranchesAreKept() {
        let driver = Driver()
        driver.press("space tab")
        driver.press("l l l l l", every: 0.05)
        let held = driver.model.recipe
        driver.press("u")
        #expect(driver.model.recipe.steps[0].parameters["sparsity"] == nil)
        driver.press("h")
        #expect(driver.model.session.history.nodes.contains { $0.recipe == held }, "the undone state is still in the tree")
    }

    @Test func lateAndShuffledAnswersAreHarmless() {
        let engine = FakeEngine(answersAtOnce: false)
        let driver = Driver(engine)
        driver.press("space tab l l")
        let asked = engine.state.withLock { $0.evaluations }
        let late = asked.dropLast().flatMap { engine.answers($0.recipe, $0.generation) }
        var numbers = Numbers(state: 42)
        for event in late.shuffled(using: &numbers) { driver.send(.engine(event)) }
        #expect(driver.model.result?.accuracy == nil)
        #expect(driver.model.answers.evaluation.status == .running)
        guard let last = asked.last else { return #expect(Bool(false), "nothing was evaluated") }
        for event in engine.answers(last.recipe, last.generation) { driver.send(.engine(event)) }
        for event in late { driver.send(.engine(event)) }
        #expect(driver.model.answers.evaluation.status == .settled)
        #expect(driver.model.accuracyNow?.estimate.value == FakeModel.accuracy(of: last.recipe, seen: 5000).value)
        #expect(driver.model.accuracyNow?.isStale == false)
    }

    @Test func sizesFollowInTheSameUpdateAndAccuracyTurnsStale() {
        let driver = Driver(FakeEngine(answersAtOnce: false))
        driver.time += 1
        driver.send(.key(Key(.character(" "))))
        #expect(driver.model.figuresNow?.packedBytes?.value == FakeModel.figures(of: driver.model.recipe, provenance: .estimated).packedBytes?.value)
        #expect(driver.model.accuracyNow?.isStale == true)
    }

    @Test func aTechniqueFindsItsPlaceOrSaysWhyNot() {
        let driver = Driver()
        driver.model.focusTechnique(StepAddress("static-int8"))
        driver.press("space")
        driver.model.focusTechnique(StepAddress("magnitude-pruning"))
        driver.press("space")
        #expect(driver.model.recipe.steps.map(\.technique) == ["magnitude-pruning", "static-int8"])
        driver.press("J")
        #expect(driver.model.recipe.steps.map(\.technique) == ["magnitude-pruning", "static-int8"], "an order without sense is refused")
        #expect(driver.model.feed.notice?.kind == .warning)
    }

    @Test func theReasonThatKeepsMostLayersIsShown() {
        #expect(ExplorerModel.prevailing(["an embedding", "quantized already", "quantized already"]) == "quantized already")
        #expect(ExplorerModel.prevailing(["an embedding", "quantized already"]) == "an embedding")
        #expect(ExplorerModel.prevailing([]) == nil)
    }

    @Test func numbersAreTypedAndChecked() {
        let driver = Driver()
        driver.press("space tab =")
        driver.type("1.5")
        driver.press("enter")
        #expect(driver.model.recipe.steps[0].parameters["sparsity"] == nil, "out of range")
        driver.press("ctrl-u")
        driver.type("80%")
        driver.press("enter")
        #expect(driver.model.recipe.steps[0].parameters["sparsity"] == .real(0.8))
        driver.press(":")
        driver.type("set sparsity 0.25")
        driver.press("enter")
        #expect(driver.model.recipe.steps[0].parameters["sparsity"] == .real(0.25))
    }

    @Test func interruptCancelsFirstAndThenQuits() {
        let engine = FakeEngine(answersAtOnce: false)
        let driver = Driver(engine)
        driver.press("space ctrl-c")
        #expect(!driver.hasQuit)
        #expect(driver.model.answers.evaluation.status == .cancelled)
        #expect(engine.state.withLock { $0.cancelled.count } == 1)
        driver.press("ctrl-c")
        #expect(driver.hasQuit)
    }

    @Test func escapeBacksOutOneLevelAtATime() {
        let driver = Driver()
        driver.press("2 z ?")
        driver.press("esc")
        #expect(driver.model.ui.overlay == nil && driver.model.ui.isZoomed)
        driver.press("esc")
        #expect(!driver.model.ui.isZoomed && driver.model.ui.view == .layers)
        driver.press("esc")
        #expect(driver.model.ui.view == .explore && !driver.hasQuit)
    }

    @Test func replacingFilesIsAskedAndNothingElse() {
        let engine = FakeEngine()
        let driver = Driver(engine)
        driver.press("space 6")
        driver.existingFiles = ["lenet-5-compressed.onnx"]
        driver.press("w enter")
        #expect(engine.state.withLock { $0.exports.isEmpty }, "Cancel is what Enter chooses")
        driver.press("w y")
        #expect(engine.state.withLock { $0.exports.map(\.overwrite) } == [true])
    }

    @Test func layersAreLeftOutAndHaveValuesOfTheirOwn() throws {
        let driver = Driver()
        driver.press("space 2 j space j l")
        let step = try #require(driver.model.recipe.steps.first)
        let layers = FakeModel.layers
        #expect(!step.layers.matches(layers[1], position: 1))
        #expect(step.overrides.first?.layers.matches(layers[2], position: 2) == true)
        driver.press("r k space")
        #expect(driver.model.recipe.steps[0].overrides.isEmpty)
        #expect(driver.model.recipe.steps[0].layers == .all)
    }

    @Test func frontHoldsExactlyWhatNothingBeats() {
        var numbers = Numbers(state: 7)
        let points = (0..<200).map { _ in (x: Double(Int.random(in: 0..<40, using: &numbers)), y: Double(Int.random(in: 0..<40, using: &numbers))) }
        let front = ParetoFront.indices(points)
        for index in front {
            #expect(!points.contains { ($0.x <= points[index].x && $0.y > points[index].y) || ($0.x < points[index].x && $0.y >= points[index].y) })
        }
        for point in points { #expect(front.contains { points[$0].x <= point.x && points[$0].y >= point.y }) }
    }

    /// Everything an engine says about a session, shuffled, twice, with generations of long ago: the recipe stays, nothing
    /// of another recipe is shown, and what is asked for next is answered.
    @Test(arguments: 1...10) func anyOrderOfEventsIsHarmless(seed: Int) {
        let engine = FakeEngine(answersAtOnce: false)
        let driver = Driver(engine)
        driver.press("space tab l l T 2 l 1")
        let (evaluations, latencies) = engine.state.withLock { ($0.evaluations, $0.latencies) }
        var events = evaluations.flatMap { engine.answers($0.recipe, $0.generation) }
        for (recipe, _, generation) in latencies where !recipe.steps.isEmpty {
            let figures = LatencyFigures(
                baselineMedian: 0.4, baselineP90: 0.4, candidateMedian: 0.3, candidateP90: 0.3, ratio: 0.75, ratioP90: 0.75, ratioInterval: Interval(low: 0.7, high: 0.8),
                batch: 1, threads: 1, rounds: 60, instructionSet: "AVX2", runtimeVersion: "1.31.1")
            events.append(.latency(generation: generation, figures, operators: []))
            events.append(.failed(generation: generation, job: nil, message: "late"))
            events.append(.whatIf(generation: generation, WhatIfPoint(step: 0, parameter: "sparsity", value: recipe.steps[0].parameters["sparsity"] ?? .real(0.5))))
        }
        events += [
            .exported(job: 7, files: ["a"]), .failed(generation: nil, job: 9, message: "no such job"), .prepared(baseline: FakeModel.baseline),
            .opening(phase: "again", fraction: 0.1), .baselineAccuracy(FakeModel.accuracy(of: Recipe(), seen: 100)),
        ]
        events += events
        var numbers = Numbers(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15)
        let recipe = driver.model.recipe
        for event in events.shuffled(using: &numbers) {
            driver.send(.engine(event))
            #expect(driver.model.recipe == recipe)
            if let now = driver.model.accuracyNow, !now.isStale {
                #expect(now.estimate.value == FakeModel.accuracy(of: recipe, seen: now.estimate.seen).value)
            }
        }
        #expect(driver.model.facts.phase == .ready)
        #expect(driver.model.facts.baselineAccuracy?.isComplete == true, "a late part does not take the place of the whole")
        driver.press("l")
        guard let last = engine.state.withLock({ $0.evaluations.last }) else { return #expect(Bool(false), "nothing was evaluated") }
        for event in engine.answers(last.recipe, last.generation) { driver.send(.engine(event)) }
        #expect(driver.model.answers.evaluation.status == .settled)
        #expect(driver.model.accuracyNow?.estimate.value == FakeModel.accuracy(of: last.recipe, seen: 5000).value)
    }

    /// Latency follows accuracy without a key, once for each recipe, and says nothing about it.
    @Test func latencyFollowsByItself() {
        let engine = FakeEngine(answersAtOnce: false)
        let driver = Driver(engine)
        #expect(engine.state.withLock { $0.latencies.map(\.recipe.steps.count) } == [0], "the baseline first")
        driver.press("space")
        #expect(driver.model.answers.latencyRun == nil, "accuracy comes first")
        guard let asked = engine.state.withLock({ $0.evaluations.last }) else { return #expect(Bool(false), "nothing was evaluated") }
        engine.finish(asked.recipe, asked.generation)
        driver.settle()
        let requests = engine.state.withLock { $0.latencies }
        #expect(requests.count == 2 && requests.last?.request.isExplicit == false && driver.model.answers.latencyRun?.isExplicit == false)
        #expect(!driver.model.isBusy, "Ctrl-C quits")
        guard let last = requests.last else { return }
        driver.send(.engine(.latencyWaits(generation: last.generation)))
        #expect(driver.screen.contains("machine busy"))
        driver.send(.engine(.failed(generation: last.generation, job: nil, message: "broken")))
        driver.wait()
        #expect(engine.state.withLock { $0.latencies.count } == 2 && driver.model.answers.latencyRun == nil, "not again and again")
        driver.press(":")
        driver.type("batch 8")
        driver.press("enter")
        #expect(engine.state.withLock { $0.latencies.last?.request.conditions } == LatencyConditions(batch: 8, threads: 1))
    }

    /// What the next key may ask for is worked on before it is pressed, and then shown in the frame of the key.
    @Test func theNextKeyIsForeseen() {
        let engine = FakeEngine(answersAtOnce: false)
        let driver = Driver(engine)
        #expect(engine.state.withLock { $0.foreseen.first?.steps.first?.technique } == "magnitude-pruning", "the technique under the cursor")
        driver.press("space tab")
        guard let asked = engine.state.withLock({ $0.evaluations.last }) else { return #expect(Bool(false), "nothing was evaluated") }
        engine.finish(asked.recipe, asked.generation)
        driver.settle()
        let foreseen = engine.state.withLock { $0.foreseen }
        #expect(foreseen.count >= 2 && !foreseen.contains { $0.canonical == driver.model.recipe.canonical })
        guard let next = foreseen.first else { return }
        driver.send(.engine(.foreseen(next, FakeModel.figures(of: next, provenance: .measured), reports: [], engine.accuracy(of: next, seen: 5000))))
        let evaluations = engine.state.withLock { $0.evaluations.count }
        driver.press("l")
        #expect(driver.model.recipe.canonical == next.canonical)
        #expect(driver.model.accuracyNow?.estimate.isComplete == true && driver.model.accuracyNow?.isStale == false)
        #expect(engine.state.withLock { $0.evaluations.count } == evaluations + 1, "it is evaluated all the same, for the trials")
    }

    @Test func latencyWaitsForItsKeyWhereTheUserWantsThat() {
        var settings = ExplorerSettings()
        settings.measuresLatency = false
        let engine = FakeEngine()
        let driver = Driver(engine, settings: settings)
        driver.press("space")
        #expect(engine.state.withLock { $0.latencies.isEmpty })
        driver.press("T")
        #expect(engine.state.withLock { $0.latencies.map(\.request.isExplicit) } == [true])
    }

    /// The engine drops a measurement for an evaluation, so nothing goes on waiting for it.
    @Test func anEvaluationEndsTheTimingUnderWay() {
        let driver = Driver(FakeEngine(answersAtOnce: false))
        driver.press("space T")
        #expect(driver.model.answers.latencyRun != nil)
        driver.press("E")
        #expect(driver.model.answers.latencyRun == nil)
    }

    @Test func textsScrollToTheirEnd() {
        let driver = Driver()
        driver.press("space 6 tab")
        #expect(!driver.screen.contains("lathe apply"))
        driver.press("G")
        #expect(driver.screen.contains("lathe apply"))
        driver.press("g")
        #expect(driver.screen.contains("lenet-5-compressed.onnx"))
        // Past the end is no further than the end: one key back moves at once.
        driver.press("pagedown pagedown pagedown pagedown")
        let end = driver.screen
        driver.press("k")
        #expect(driver.screen != end)
    }

    /// Terminals send Escape and a quick key behind it as Alt and that key.
    @Test func aKeyRightBehindEscapeIsNotLost() {
        let driver = Driver()
        driver.press("?")
        driver.send(.key(Key(.character(":"), .alt)))
        guard case .palette = driver.model.ui.overlay else { return #expect(Bool(false), "the palette is open") }
        driver.send(.key(Key(.character("2"), .alt)))
        #expect(driver.model.ui.overlay == nil && driver.model.ui.view == .layers)
    }

    @Test func theHistogramTellsExactCounts() {
        let driver = Driver(size: Size(width: 120, height: 40))
        driver.press("2 . , ,")
        #expect(driver.model.ui.histogramCursor == 124)
        #expect(driver.screen.contains("count 3999"), "bin 124 of the fake engine's bell")
    }

    @Test func theBaselinesEvaluationIsAJob() {
        let engine = FakeEngine()
        let driver = Driver(engine)
        #expect(driver.model.jobRows.contains { $0.source == .baseline && $0.update.state == .finished })
        driver.press("5 c")
        #expect(engine.state.withLock { $0.cancelled.isEmpty })
    }

    @Test func matchesAreWalkedRoundAndRound() {
        let driver = Driver()
        driver.press("space tab l l 3 tab /")
        driver.type("0.51")
        driver.press("enter")
        #expect(driver.model.trialRows.count == 1)
        driver.press("esc")
        let ids = driver.model.trialRows.map(\.id)
        driver.press("g n")
        #expect(driver.model.board.cursor == ids[1])
        driver.press("N N")
        #expect(driver.model.board.cursor == ids.last)
    }
}
