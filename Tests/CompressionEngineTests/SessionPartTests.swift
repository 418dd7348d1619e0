import ModelGraph
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Measurement
@testable import Recipes
@testable import Techniques

/// The parts of a session, each with a state of its own.
@Suite(.serialized) struct SessionPartTests {
    /// Other weights, same shapes; without a runtime there are none.
    @Test func shapesHangOnStructure() throws {
        let session = try Fixture.session("lenet-300-100")
        let shapes = try #require(try session.shapes(of: session.model))
        let output = try #require(session.model.graph.outputs.first?.name)
        #expect(shapes[output]?.dims == [1, 10])
        let pruned = try session.apply(Recipe(steps: [RecipeStep(technique: "magnitude-pruning")])).model
        #expect(pruned.contentHash != session.model.contentHash && pruned.structureHash == session.model.structureHash)
        #expect(try session.shapes(of: pruned)?.dims == shapes.dims)
        var bare = session.opened
        bare.runtime = nil
        #expect(try SessionShapes(bare).shapes(of: session.model, cancellation: Cancellation()) == nil)
        #expect(EngineSession(bare).canEvaluate == false && session.canEvaluate)
    }

    /// The baseline's runner is made once for each number of threads.
    @Test func baselineRunnersAreKept() throws {
        let session = try Fixture.session("lenet-300-100")
        let first = try session.latencies.baseline(threads: 1)
        #expect(try session.latencies.baseline(threads: 1) === first)
        #expect(try session.latencies.baseline(threads: 2) !== first)
    }

    /// Another model on the same data: its own hash, the same samples.
    @Test func anotherModelOnTheSameData() throws {
        let session = try Fixture.session("lenet-300-100")
        let pruned = try session.apply(Recipe(steps: [RecipeStep(technique: "magnitude-pruning")])).model
        let other = session.replacingModel(pruned)
        #expect(other.info.modelHash != session.info.modelHash && other.evaluationHash == session.evaluationHash)
        #expect(other.layers.map(\.id) == session.layers.map(\.id))
        let accuracy = try other.evaluate(pruned, limit: 256)
        #expect(accuracy.difference == 0, "it is its own baseline")
    }

    /// A profile that was cancelled goes on where it stopped, and says the same as one made in one go.
    @Test func profilesGoOn() throws {
        let session = try Fixture.newSession("lenet-5")
        let model = try session.apply(
            Recipe(steps: [RecipeStep(technique: "early-exits", parameters: ParameterValues(["exits": .integer(1), "samples": .integer(256)]))])
        ).model
        #expect(try session.profiles.profile(of: session.model, cancellation: Cancellation()) == nil, "the baseline has no live parameter")
        let key = try #require(TechniqueRegistry.profiler(of: model)?.key)
        let cancellation = Cancellation()
        let error = #expect(throws: EngineError.self) {
            try session.profiles.profile(of: model, cancellation: cancellation) { if $0 > 0.3 { cancellation.cancel() } }
        }
        #expect(error?.kind == .cancelled)
        let partly = try #require(session.profiles[key])
        #expect(!partly.isComplete && partly.figures(at: 0.9) != nil)
        let resumed = try #require(try session.profiles.profile(of: model, cancellation: Cancellation()))
        let fresh = SessionProfiles(session.opened, session.shapeProbes, session.accuracies)
        let whole = try #require(try fresh.profile(of: model, cancellation: Cancellation()))
        #expect(resumed.isComplete && !resumed.isTimed)
        for threshold in [0.5, 0.9, 0.965] {
            let (one, other) = (try #require(resumed.figures(at: threshold)), try #require(whole.figures(at: threshold)))
            #expect(one.shares == other.shares && one.accuracy.value == other.accuracy.value && one.macs == other.macs)
        }
        // What the model itself does at its threshold is what the profile says of it.
        let measured = try session.evaluate(model)
        let threshold = try #require(TechniqueRegistry.technique("early-exits")?.descriptor.parameter("threshold")?.defaultValue.number)
        #expect(abs(measured.value - (resumed.figures(at: threshold)?.accuracy.value ?? 0)) < 1e-3)
        #expect(try session.figures(of: model).live?.shares == resumed.figures(at: threshold)?.shares)
    }
}
