import ModelGraph
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Learning
@testable import Measurement
@testable import Recipes
@testable import Techniques

/// A parameter that a profile answers, without running the model again.
@Suite(.timeLimit(.minutes(2))) struct LiveParameterTests {
    /// As many samples leave as the threshold says: at 0.3, seven in ten.
    private struct Slope: LiveProfile {
        var isComplete: Bool { true }
        var isTimed: Bool { true }
        func figures(at value: Double) -> LiveFigures? {
            var figures = LiveFigures(shares: [1 - value, value], values: [nil, nil], accuracy: FakeSession.estimate())
            figures.macs = 1000 * value
            return figures
        }
    }

    private func exits(_ threshold: Double) -> Recipe {
        Recipe(steps: [RecipeStep(technique: "early-exits", parameters: ParameterValues(["threshold": .real(threshold)]))])
    }

    /// Both techniques with exits have one, and no other; their recipes share a profile whatever its value.
    @Test func whichTechniquesHaveOne() {
        let live = TechniqueRegistry.all.filter { $0 is any LiveTechnique }.map(\.descriptor.id)
        #expect(live == ["early-exits", "trained-exits"])
        for technique in TechniqueRegistry.all.compactMap({ $0 as? any LiveTechnique }) {
            guard case .real? = technique.descriptor.parameter(technique.liveParameter)?.domain else {
                Issue.record("\(technique.liveParameter)")
                continue
            }
        }
        #expect(exits(0.3).liveKnob?.context == exits(0.7).liveKnob?.context && exits(0.3).liveKnob?.value == 0.3)
        #expect(Bench.pruning(0.5).liveKnob == nil)
    }

    @Test func aTurnIsAnsweredFromTheProfile() async throws {
        let bench = await Bench.opened()
        bench.session.profile = Slope()
        bench.workbench.evaluate(exits(0.5), generation: 1)
        await bench.log.wait { $0.isSettled(1) }
        await bench.settle()
        let calls = bench.session.calls.count
        let figures = try #require(bench.workbench.predict(exits(0.3)))
        #expect(figures.live?.shares == [0.7, 0.3] && figures.macs?.value == 300)
        // The curve comes as a whole, finer than one that costs something.
        bench.workbench.traceWhatIf(exits(0.3), step: 0, parameter: "threshold", generation: 2)
        await bench.settle()
        let curve = bench.log.all.compactMap { if case .whatIf(2, let point) = $0 { point } else { nil } }
        #expect(curve.count > 90 && curve.allSatisfy { $0.live != nil && $0.problem == nil })
        #expect(bench.session.calls.count == calls, "nothing was run")
    }

    /// Before there is a profile the curve is tried point by point, like any other.
    @Test func withoutAProfileItIsRun() async {
        let bench = await Bench.opened()
        bench.workbench.traceWhatIf(exits(0.3), step: 0, parameter: "threshold", generation: 1)
        await bench.settle()
        #expect(bench.session.calls.contains { $0.stage == .shown })
        #expect(bench.workbench.predict(exits(0.3))?.live == nil)
    }

    /// The evaluation is done when its figures are; what goes wrong with times afterwards is a remark.
    @Test func timesMayFail() async {
        let bench = await Bench.opened()
        bench.session.profile = Slope()
        bench.session.fail(.times, "no runner")
        bench.workbench.evaluate(exits(0.5), generation: 1)
        await bench.settle()
        #expect(bench.log.all.contains { $0.isSettled(1) } && bench.log.failures.isEmpty)
        #expect(bench.log.remarks.contains { $0.contains("no runner") })
    }
}
