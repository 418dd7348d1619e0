import CompressionEngine
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

    static let edits = ["space", "j", "k", "tab", "shift-tab", "l", "h", "L", "H", "K", "J", "D", "r", "2", "1", "]", "}"]

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
        #expect(driver.model.evaluation.status == .running)
        guard let last = asked.last else { return #expect(Bool(false), "nothing was evaluated") }
        for event in engine.answers(last.recipe, last.generation) { driver.send(.engine(event)) }
        for event in late { driver.send(.engine(event)) }
        #expect(driver.model.evaluation.status == .settled)
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
        #expect(driver.model.notice?.kind == .warning)
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
        #expect(driver.model.evaluation.status == .cancelled)
        #expect(engine.state.withLock { $0.cancelled.count } == 1)
        driver.press("ctrl-c")
        #expect(driver.hasQuit)
    }

    @Test func escapeBacksOutOneLevelAtATime() {
        let driver = Driver()
        driver.press("2 z ?")
        driver.press("esc")
        #expect(driver.model.overlay == nil && driver.model.isZoomed)
        driver.press("esc")
        #expect(!driver.model.isZoomed && driver.model.view == .layers)
        driver.press("esc")
        #expect(driver.model.view == .explore && !driver.hasQuit)
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
}
