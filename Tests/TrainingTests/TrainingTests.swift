import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import Measurement
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// Training on a few images: what is kept, what comes twice, what goes on. That gradients and steps are right is shown in
/// DifferentiationTests and, against PyTorch, by Benchmarks/training.py.
@Suite(.serialized) struct TrainingTests {
    private func recipe(_ steps: (String, [String: ParameterValue])...) -> Recipe {
        Recipe(steps: steps.map { RecipeStep(technique: $0.0, parameters: ParameterValues($0.1)) })
    }

    private static let quick: [String: ParameterValue] = ["epochs": .integer(2), "batch": .integer(32), "learning-rate": .real(0.0005)]

    private func weights(_ model: Model, _ name: String) throws -> [Float] { try #require(model.graph.initializers[name]?.floats()) }

    @Test(.long) func recoversPrunedWeightsAndKeepsTheirZeros() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-300-100", in: folder, training: 2048)
        let pruned = try session.apply(recipe(("magnitude-pruning", ["sparsity": .real(0.93)]))).model
        let trained = try session.apply(
            recipe(("magnitude-pruning", ["sparsity": .real(0.93)]), ("fine-tuning", Self.quick)), training: session.trainingSource(store: nil)
        ).model
        for layer in pruned.layers() {
            let (before, after) = (try weights(pruned, layer.weight), try weights(trained, layer.weight))
            #expect(zip(before, after).allSatisfy { $0 != 0 || $1 == 0 }, "a zero of \(layer.id) came back")
            #expect(before != after)
        }
        let (raw, recovered) = (try session.evaluate(pruned), try session.evaluate(trained))
        #expect(recovered.value > raw.value + 0.05, "\(raw.value) before, \(recovered.value) after")
    }

    @Test func sharedValuesMoveTogether() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-300-100", in: folder)
        let steps: (String, [String: ParameterValue]) = ("weight-sharing", ["bits": .integer(3)])
        let shared = try session.apply(recipe(steps)).model
        let trained = try session.apply(
            recipe(steps, ("fine-tuning", Self.quick.merging(["keep": .choice("last")]) { $1 })), training: session.trainingSource(store: nil)
        ).model
        for layer in shared.layers() where layer.weightCount > 4000 {
            let (before, after) = (try weights(shared, layer.weight), try weights(trained, layer.weight))
            var image: [Float: Float] = [:]
            for (old, new) in zip(before, after) {
                if let known = image[old] { #expect(known == new) } else { image[old] = new }
                if image[old] != new { break }
            }
            #expect(image.contains { $0.key != $0.value }, "no value of \(layer.id) moved")
        }
    }

    /// Integers are trained through their own rounding and stay integers of the same type and scale.
    @Test func quantizedWeightsStayIntegers() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-5", in: folder)
        let step: (String, [String: ParameterValue]) = ("weight-quantization", ["bits": .integer(8), "storage": .choice("dequantize")])
        let before = try session.apply(recipe(step)).model
        let after = try session.apply(
            recipe(step, ("fine-tuning", Self.quick.merging(["keep": .choice("last")]) { $1 })), training: session.trainingSource(store: nil)
        ).model
        var moved = 0
        for (old, new) in zip(before.layers(), after.layers()) where old.quantization?.opType == "DequantizeLinear" {
            let (first, second) = (try #require(before.graph.initializers[old.weight]), try #require(after.graph.initializers[new.weight]))
            #expect(first.elementType == second.elementType && first.dims == second.dims)
            let differences = zip(try #require(first.integers()), try #require(second.integers())).map { abs($0 - $1) }
            moved += differences.count { $0 > 0 }
            #expect((differences.max() ?? 0) < 64, "weights drift, they do not jump")
        }
        #expect(moved > 0)
    }

    @Test(.long, arguments: ["lenet-5", "resnet-8", "lstm", "transformer"]) func sameBytesTwice(_ name: String) throws {
        let folder = try TemporaryFolder()
        let parameters = Self.quick.merging(["epochs": .integer(1), "shift": .integer(1), "flip": .flag(true), "keep": .choice("last")]) { $1 }
        let models = try (0..<2).map { _ -> [UInt8] in
            let session = try FewImages.session(name, in: folder, training: 96)
            return try session.apply(recipe(("fine-tuning", parameters)), training: session.trainingSource(store: nil)).model.serialized().joined()
        }
        #expect(models[0] == models[1])
        let plain = try FewImages.session(name, in: folder, training: 96).model.serialized().joined()
        #expect(models[0] != plain)
    }

    /// A training that was stopped after its first epoch ends, resumed, with the weights of one that was not.
    @Test(.long) func resumedTrainingEndsWithTheSameWeights() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("ds-cnn", in: folder, training: 128)
        var plan = TrainingPlan()
        (plan.epochs, plan.batch, plan.keep) = (3, 64, .last)
        let whole = try Trainer(session.model, plan: plan, source: try session.trainingSource(store: nil)).run().model
        let store = TrainingStore(folder: folder.path + "/trainings")
        var source = try session.trainingSource(store: store)
        let cancellation = Cancellation()
        source.progress = { if $0.epochs.count == 2, $0.step == 3 { cancellation.cancel() } }
        #expect(throws: EngineError.self) { try Trainer(session.model, plan: plan, source: source).run(key: "test", cancellation: cancellation) }
        let checkpoint = try #require(store.checkpoint("test"))
        #expect(checkpoint.record.epochs.count == 2 && checkpoint.record.step == 2)
        source.progress = { _ in }
        let outcome = try Trainer(session.model, plan: plan, source: source).run(key: "test")
        #expect(outcome.epochs.count == 4)
        let (resumed, straight) = (try outcome.model.serialized().joined(), try whole.serialized().joined())
        #expect(resumed == straight)
    }

    @Test func finishedTrainingIsRemembered() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-300-100", in: folder, training: 64)
        let store = TrainingStore(folder: folder.path + "/trainings")
        var source = try session.trainingSource(store: store)
        source.mayTrain = false
        let recipe = recipe(("fine-tuning", Self.quick))
        let start = try session.apply(recipe, training: source)
        #expect(start.reports[0].isUntrained && start.model.contentHash == session.model.contentHash)
        source.mayTrain = true
        let trained = try session.apply(recipe, training: source)
        source.mayTrain = false
        let other = try FewImages.session("lenet-300-100", in: folder, training: 64)
        let found = try other.apply(recipe, training: source)
        let (again, first) = (try found.model.serialized().joined(), try trained.model.serialized().joined())
        #expect(again == first)
        #expect(found.reports[0].training == trained.reports[0].training && !found.reports[0].isUntrained)
        // The session that showed the start shows the trained model now.
        #expect(try session.apply(recipe, training: source).model.contentHash == trained.model.contentHash)
    }

    /// What is shown before a training has the structure that the training would have, counted on the graph.
    @Test func whatATrainingWouldStartFrom() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("resnet-8", in: folder, training: 64)
        var source = try session.trainingSource(store: nil)
        source.mayTrain = false
        for (technique, values) in [
            ("width-multiplier", ["width": ParameterValue.real(0.5)]), ("compact-design", [:]), ("resolution-multiplier", [:]), ("quantization-aware-training", [:]),
        ] {
            let recipe = recipe((technique, values))
            let start = try session.apply(recipe, training: source)
            #expect(start.reports[0].isUntrained && !start.reports[0].layers.isEmpty, "\(technique)")
            var training = source
            (training.mayTrain, training.maximumSteps) = (true, 1)
            let trained = try session.apply(recipe, training: training)
            let (before, after) = (try session.figures(of: start.model, slowSizes: false), try session.figures(of: trained.model, slowSizes: false))
            #expect(before.macs == after.macs && before.parameters == after.parameters, "\(technique)")
        }
        let pruned = try session.apply(recipe(("gradual-pruning", ["sparsity": .real(0.9)])), training: source)
        let once = try session.apply(recipe(("magnitude-pruning", ["sparsity": .real(0.9), "scope": .choice("global")])))
        #expect(pruned.reports[0].isUntrained && pruned.model.contentHash == once.model.contentHash)
    }

    /// Without labels a model learns from the one before the recipe.
    @Test(.long) func learnsFromTheModelBeforeTheRecipe() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-5", in: folder, training: 1024)
        let pruning: (String, [String: ParameterValue]) = ("magnitude-pruning", ["sparsity": .real(0.9)])
        let raw = try session.evaluate(try session.apply(recipe(pruning)).model)
        let parameters = Self.quick.merging(["loss": .choice("distillation"), "learning-rate": .real(0.001)]) { $1 }
        let recovered = try session.apply(recipe(pruning, ("fine-tuning", parameters)), training: session.trainingSource(store: nil)).model
        let value = try session.evaluate(recovered).value
        #expect(value > raw.value + 0.1)
    }

    /// A recipe that shifts images fits other samples as well.
    @Test func whatIsNoImageIsNotShifted() throws {
        let folder = try TemporaryFolder()
        var b = GraphBuilder(input: [nil, 4])
        let out = b.gemm(b.node("Relu", [b.gemm("x", "first", (4, 16))], "relu"), "second", (16, 2))
        try b.model(out).serialized().write(to: folder.path + "/m.onnx")
        var table = "a,b,c,d,label\n"
        for row in 0..<96 { table += "\(row % 7),\(row % 5),\(row % 3),\(row % 2),\(row % 7 > 3 ? 1 : 0)\n" }
        _ = try folder.write("t.csv", table)
        let data = try folder.write("t.yaml", "format: csv\nsource: {file: t.csv, label: label}\nfractions: {train: 0.5, validation: 0.5}\n")
        let session = try EngineSession.open(OpenRequest(modelPath: folder.path + "/m.onnx", dataPath: data))
        let source = try session.trainingSource(store: nil)
        let plain = try session.apply(recipe(("fine-tuning", Self.quick)), training: source)
        let shifted = try session.apply(recipe(("fine-tuning", Self.quick.merging(["shift": .integer(1)]) { $1 })), training: source)
        #expect(try shifted.model.serialized().joined() == plain.model.serialized().joined())
        #expect(shifted.reports[0].notes.contains("samples are not images: not shifted or mirrored"))
        #expect(!plain.reports[0].notes.contains { $0.contains("images") })
    }

    @Test func lossThatIsNotFiniteIsAnError() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-300-100", in: folder, training: 256)
        let wild = Self.quick.merging(["optimizer": .choice("sgd"), "learning-rate": .real(1), "clip-norm": .real(0), "momentum": .real(0.99), "epochs": .integer(20)]) { $1 }
        let error = #expect(throws: EngineError.self) { try session.apply(recipe(("fine-tuning", wild)), training: session.trainingSource(store: nil)) }
        if let error { #expect(error.message.contains("not finite")) }
    }

    /// What is shown before training can be applied, whatever the rounds.
    @Test func presetsWithoutTheirTrainingAreInOrder() throws {
        for preset in RecipePreset.all { try RecipeOrder.check(try preset.recipe().withoutTraining) }
        let rounds = try #require(RecipePreset.all.first { $0.id == "deep-compression-retrained" }).recipe()
        #expect(rounds.learns && !rounds.withoutTraining.learns)
        #expect(rounds.withoutTraining.steps.map(\.technique) == ["magnitude-pruning", "weight-sharing", "sparse-storage", "huffman"])
        #expect(rounds.withoutTraining.steps[0].parameters["sparsity"] == .real(0.92))
    }

    @Test func scheduleGoesWhereItIsSaidToGo() {
        var plan = TrainingPlan()
        (plan.rate, plan.warmup) = (0.1, 0.1)
        #expect(abs(plan.rate(step: 0, of: 100) - 0.01) < 1e-6)
        #expect(abs(plan.rate(step: 10, of: 100) - 0.1) < 1e-6)
        #expect(abs(plan.rate(step: 55, of: 100) - 0.05) < 1e-3)
        #expect(plan.rate(step: 99, of: 100) < 1e-3)
        (plan.schedule, plan.warmup) = (.step, 0)
        #expect([0, 50, 80].map { plan.rate(step: $0, of: 100) }.map { ($0 * 1e4).rounded() } == [1000, 100, 10])
        plan.schedule = .oneCycle
        let peak = (0..<100).max { plan.rate(step: $0, of: 100) < plan.rate(step: $1, of: 100) }
        #expect(peak == 20)
    }

    @Test func logarithmicStepsGoOneTwoFive() throws {
        let rate = try #require(FineTuning().descriptor.parameter("learning-rate"))
        #expect(rate.stepped(.real(0.001), by: 1) == .real(0.002))
        #expect(rate.stepped(.real(0.001), by: -1) == .real(0.0005))
        #expect(rate.stepped(.real(0.0007), by: -1) == .real(0.0005))
        #expect(rate.stepped(.real(1), by: 5) == .real(1))
        let penalty = try #require(FineTuning().descriptor.parameter("l1"))
        #expect(penalty.stepped(.real(0.00001), by: -1) == .real(0))
        #expect(penalty.stepped(.real(0), by: 1) == .real(0.00001))
    }
}
