import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Recipes
@testable import Techniques
@testable import Training

/// Two students that learn from each other.
@Suite struct PeerStudentTests {
    /// A renamed graph computes the same from the same inputs, with nothing left of the old names.
    @Test(arguments: Samples.models) func prefixedGraphsComputeTheSame(_ name: String) throws {
        let model = try Fixture.sample(name)
        var renamed = model
        renamed.graph = model.graph.prefixed("a/", keeping: ["image"])
        #expect(renamed.graph.allNames().allSatisfy { $0.isEmpty || $0 == "image" || $0.hasPrefix("a/") })
        let input = Fixture.inputs(for: model)
        let (before, after) = (try Fixture.run(model, input), try Fixture.run(renamed, input))
        #expect(before.map(\.values) == after.map(\.values))
    }

    /// Zhang et al. 2018, equations 6 and 7: the gradient of each is that of cross-entropy and of the divergence from the other, taken as a fixed teacher.
    @Test(arguments: ["lenet-300-100", "transformer"]) func gradientsAreThoseOfTwoTeachers(_ name: String) throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session(name, in: folder, training: 64)
        let source = try session.trainingSource(store: nil)
        var plan = TrainingPlan()
        plan.batch = 32
        plan.seed = 5
        plan.peer = 0.5
        let both = try TrainingStep(session.model, plan: plan, source: source, cancellation: Cancellation())
        let entries = both.feeder.order(epoch: 1)[..<32]
        let found = try both.gradients(entries, cancellation: Cancellation())
        // The peer as a model of its own.
        var pair = try TrainableModel(session.model, plan: plan)
        pair.addPeer(distance: 0.5, fresh: [], seed: plan.seed)
        var peer = session.model
        for parameter in pair.parameters where parameter.isPeer {
            let target = String(parameter.target.dropFirst(PeerStudent.prefix.count))
            peer.graph.initializers[target] = peer.graph.initializers[target]?.withFloats(parameter.start)
        }
        #expect(try PythonComparison.difference(session.model, peer) > 1e-2)
        plan.peer = nil
        plan.distillation = Distillation(.soft(temperature: 1))
        for (student, teacher, prefix) in [(session.model, peer, ""), (peer, session.model, PeerStudent.prefix)] {
            let alone = try TrainingStep(student, plan: plan, source: source, teacher: teacher, cancellation: Cancellation())
            let expected = try alone.gradients(entries, cancellation: Cancellation())
            #expect(!expected.isEmpty)
            for (name, gradient) in expected {
                let other = try #require(found[prefix + name])
                let size = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
                let apart = zip(gradient, other).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
                #expect(apart <= 1e-4 * size + 1e-7, "\(prefix)\(name): \(apart) of \(size)")
            }
        }
        #expect(found.count == 2 * (try TrainableModel(session.model, plan: plan)).parameters.count)
    }

    /// Works with every form that a weight is trained in, keeps what was made before, and leaves no trace of the peer.
    @Test(.long, arguments: ["fine-tuning", "quantization-aware-training", "gradual-pruning", "lora", "grouped-queries", "width-multiplier"]) func combines(_ technique: String)
        throws
    {
        let folder = try TemporaryFolder()
        let model = technique == "grouped-queries" ? "transformer" : "ds-cnn"
        let session = try FewImages.session(model, in: folder, training: 96)
        let parameters: [String: ParameterValue] = ["epochs": .integer(1), "teacher": .choice("mutual"), "keep": .choice("last"), "learning-rate": .real(0.01)]
        let alone = try FewImages.apply(technique, parameters.merging(["teacher": .choice("original")]) { $1 }, to: session)
        let mutual = try FewImages.apply(technique, parameters, to: session)
        #expect(mutual.model.graph.nodes.map(\.opType) == alone.model.graph.nodes.map(\.opType))
        #expect(mutual.model.graph.allNames() == alone.model.graph.allNames())
        #expect(try PythonComparison.difference(alone.model, mutual.model) > 1e-6, "the peer teaches something")
        let (one, two) = (try #require(alone.reports.last?.training), try #require(mutual.reports.last?.training))
        #expect(one.trainedParameters == two.trainedParameters && two.bytes > one.bytes)
        let again = try FewImages.apply(technique, parameters, to: FewImages.session(model, in: folder, training: 96)).model
        #expect(try mutual.model.serialized().joined() == again.serialized().joined(), "the same bytes twice")
    }

    /// Zeros stay zero in the student, and both start from the same ones.
    @Test func sparsityStays() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-300-100", in: folder, training: 96)
        let steps = [
            RecipeStep(technique: "magnitude-pruning", parameters: ParameterValues(["sparsity": .real(0.8)])),
            RecipeStep(
                technique: "fine-tuning", parameters: ParameterValues(["epochs": .integer(1), "batch": .integer(32), "teacher": .choice("mutual"), "keep": .choice("last")])),
        ]
        let pruned = try session.apply(Recipe(steps: [steps[0]])).model
        let trained = try session.apply(Recipe(steps: steps), training: session.trainingSource(store: nil)).model
        for layer in pruned.layers() {
            let (before, after) = (try #require(pruned.graph.initializers[layer.weight]?.floats()), try #require(trained.graph.initializers[layer.weight]?.floats()))
            #expect(zip(before, after).allSatisfy { $0 != 0 || $1 == 0 } && before != after)
        }
        var pair = try TrainableModel(pruned, plan: TrainingPlan())
        let own = pair.parameters
        pair.addPeer(distance: 0.2, fresh: [], seed: 1)
        for (parameter, peer) in zip(own, pair.parameters.dropFirst(own.count)) where parameter.mask != nil {
            #expect(zip(parameter.start, peer.start).allSatisfy { $0 != 0 || $1 == 0 } && parameter.start != peer.start)
        }
    }
}
