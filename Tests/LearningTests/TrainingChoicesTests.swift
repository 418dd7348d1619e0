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

/// Choices of training: teachers, gradual unfreezing, rates per layer, models that compute in double precision.
@Suite struct TrainingChoicesTests {
    private func weights(_ model: Model) -> [[Float]] { model.layers().map { model.graph.initializers[$0.weight]?.floats() ?? [] } }

    /// Howard and Ruder 2018, section 3.3: the last layer first, then one more after another.
    @Test func layersAreFreedFromTheOutputBack() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-300-100", in: folder, training: 320)
        let before = weights(session.model)
        // 10 steps; unfreezing over 0.8 of them frees the layers before the last after 4 and 8 steps.
        func after(_ steps: Int) throws -> [Bool] {
            var plan = TrainingPlan()
            (plan.epochs, plan.batch, plan.keep, plan.unfreezing) = (1, 32, .last, 0.8)
            let source = try session.trainingSource(store: nil)
            let step = try TrainingStep(session.model, plan: plan, source: source, cancellation: Cancellation())
            let order = step.feeder.order(epoch: 1)
            for number in 0..<steps { _ = try step.run(order[number * 32..<(number + 1) * 32], number: number, cancellation: Cancellation()) }
            return zip(before, weights(try step.model(step.state()))).map { $0 != $1 }
        }
        #expect(try after(4) == [false, false, true])
        #expect(try after(5) == [false, true, true])
        #expect(try after(8) == [false, true, true])
        #expect(try after(9) == [true, true, true])
    }

    /// Normalizations learn at the rate of the layer they stand behind.
    @Test func ratesFallWithTheDistanceFromTheOutput() throws {
        let model = try Fixture.sample("resnet-8")
        var plan = TrainingPlan()
        plan.rateDecay = 0.5
        let rates = Dictionary(uniqueKeysWithValues: try TrainableModel(model, plan: plan).parameters.map { ($0.target, $0.rate) })
        let count = model.layers().count
        #expect(rates["classifier.weight"] == 1 && rates["stem.weight"] == pow(0.5, Float(count - 1)))
        #expect(rates["stem_bn.weight"] == rates["stem.weight"] && rates["stage3.bn1.bias"] == rates["stage3.conv1.weight"])
    }

    @Test func teachersAreWhoIsAskedFor() throws {
        let folder = try TemporaryFolder()
        let (student, other) = (try Fixture.sample("lenet-300-100"), try Fixture.sample("lenet-5"))
        let session = try FewImages.session("lenet-300-100", in: folder)
        var source = try session.trainingSource(store: nil)
        func teacher(_ choice: String) -> ContentHash? {
            var plan = TrainingPlan()
            var context = RewriteContext(training: source)
            context.baseline = session.model
            let values = ParameterValues(["teacher": .choice(choice), "loss": .choice("distillation"), "features": .choice("none")])
            return TrainingParameters.teacher(values, plan: &plan, model: student, previous: other, context: context)?.contentHash
        }
        #expect(teacher("original") == session.model.contentHash)
        #expect(teacher("previous") == other.contentHash)
        source.teacher = other
        #expect(teacher("original") == other.contentHash)
        // A student of another teacher learns something else.
        let parameters: [String: ParameterValue] = ["loss": .choice("distillation"), "keep": .choice("last"), "epochs": .integer(1), "batch": .integer(32)]
        let recipe = Recipe(steps: [RecipeStep(technique: "fine-tuning", parameters: ParameterValues(parameters))])
        let taught = try session.apply(recipe, training: source).model
        source.teacher = nil
        let own = try FewImages.session("lenet-300-100", in: folder).apply(recipe, training: source).model
        #expect(weights(taught) != weights(own))
    }

    /// Mirzadeh et al. 2020: a model of the size between learns from the original, and the small one from it.
    @Test(.long) func assistantsTeachTheirStudents() throws {
        func step(_ width: Double, _ teacher: String) -> RecipeStep {
            RecipeStep(
                technique: "width-multiplier",
                parameters: ParameterValues([
                    "width": .real(width), "teacher": .choice(teacher), "epochs": .integer(1), "batch": .integer(32), "keep": .choice("last"),
                ]))
        }
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-300-100", in: folder)
        let source = try session.trainingSource(store: nil)
        let assisted = try session.apply(Recipe(steps: [step(0.7, "original"), step(0.5, "previous")]), training: source).model
        let direct = try session.apply(Recipe(steps: [step(0.7, "original"), step(0.5, "original")]), training: source).model
        #expect(assisted.layers().map(\.weightShape) == [[105, 784], [35, 105], [10, 35]])
        #expect(weights(assisted) != weights(direct))
        #expect(RecipeOrder.refusal(of: step(0.7, "original"), after: [step(0.7, "original")]) != nil, "the same again")
    }

    /// Without labels the scores of the teacher are learned, and a pruned model comes nearer to them.
    @Test(.long) func learnsWithoutLabels() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-300-100", in: folder)
        let given = try session.trainingSource(store: nil)
        let source = TrainingSource(samples: given.samples, labels: nil, library: given.library, store: nil, evaluate: given.evaluate)
        let pruning = RecipeStep(technique: "magnitude-pruning", parameters: ParameterValues(["sparsity": .real(0.9)]))
        let tuning = RecipeStep(
            technique: "fine-tuning", parameters: ParameterValues(["epochs": .integer(4), "batch": .integer(32), "keep": .choice("last"), "learning-rate": .real(0.002)]))
        let applied = try session.apply(Recipe(steps: [pruning, tuning]), training: source)
        let losses = try #require(applied.reports.last?.training).epochs.compactMap(\.loss)
        #expect(losses.count == 4 && losses[3] < 0.8 * losses[0], "\(losses)")
    }

    /// A model that computes in doubles or halves is trained as its twin in floats is, and keeps its type.
    @Test(arguments: [(ModelGraph.ElementType.float64, "np.float64", Float(1e-5)), (.float16, "np.float16", 4e-3)])
    func otherPrecisionsAreTrainedLikeFloats(_ type: ModelGraph.ElementType, _ numpy: String, _ tolerance: Float) throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-300-100", in: folder)
        let path = folder.path + "/other.onnx"
        try Python.run(
            """
            import onnx
            from onnx import helper, numpy_helper
            model = onnx.load(args[0]); g = model.graph
            for i, t in enumerate(g.initializer):
                if t.data_type == 1: g.initializer[i].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t).astype(\(numpy)), t.name))
            for node in g.node:
                for k, name in enumerate(node.input):
                    if name == g.input[0].name: node.input[k] = 'wide'
                for k, name in enumerate(node.output):
                    if name == g.output[0].name: node.output[k] = 'scores'
            g.node.insert(0, helper.make_node('Cast', [g.input[0].name], ['wide'], name='widen', to=\(type.rawValue)))
            g.node.append(helper.make_node('Cast', ['scores'], [g.output[0].name], name='narrow', to=1))
            onnx.checker.check_model(model); onnx.save(model, args[1])
            """, Samples.path("lenet-300-100"), path)
        let other = try session.replacingModel(Model.read(path: path))
        let parameters: [String: ParameterValue] = ["keep": .choice("last"), "epochs": .integer(1)]
        let (floats, others) = (try FewImages.apply("fine-tuning", parameters, to: session).model, try FewImages.apply("fine-tuning", parameters, to: other).model)
        for layer in others.layers() {
            let tensor = try #require(others.graph.initializers[layer.weight])
            #expect(tensor.elementType == type)
            let (a, b) = (try #require(tensor.floats()), try #require(floats.graph.initializers[layer.weight]?.floats()))
            #expect(zip(a, b).allSatisfy { abs($0 - $1) < tolerance } && a != session.model.graph.initializers[layer.weight]?.floats())
        }
    }
}
