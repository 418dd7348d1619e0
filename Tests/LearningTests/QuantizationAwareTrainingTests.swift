import Foundation
import ModelGraph
import OnnxRuntime
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

/// Quantization-aware training on LeNet-5 with a few hundred images.
@Suite struct QuantizationAwareTrainingTests {
    /// A session on a sample model whose train split is the first held-out images.
    private func session(_ name: String, in folder: TemporaryFolder) throws -> EngineSession {
        let samples = Repository.root + "/SampleModels"
        let text = """
            name: few images
            format: idx
            metric: top1
            preprocessing: {scale: 0.00392156862745098, mean: [0.2860], std: [0.3530], shape: [1, 28, 28]}
            splits:
              train: {images: \(samples)/data/fashion-mnist/heldout-images-idx3-ubyte.gz, labels: \(samples)/data/fashion-mnist/heldout-labels-idx1-ubyte.gz, range: [0, 256]}
              validation: {images: \(samples)/data/fashion-mnist/t10k-images-idx3-ubyte.gz, labels: \(samples)/data/fashion-mnist/t10k-labels-idx1-ubyte.gz, range: [0, 500]}
            """
        let file = folder.path + "/few.yaml"
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        return try EngineSession.open(OpenRequest(modelPath: samples + "/\(name).onnx", dataPath: file))
    }

    private func settings(_ model: Model, bits: Int, ternary: Bool = false, learns: Bool, granularity: Granularity, activations: Int?) -> [(
        layer: Layer, setting: FakeQuantization.Setting
    )] {
        model.layers().map {
            ($0, FakeQuantization.Setting(weights: WeightGrid(bits: bits, isTernary: ternary, granularity: granularity, learnsScales: learns), activationBits: activations))
        }
    }

    struct Form: Sendable, CustomTestStringConvertible {
        var bits: Int
        var ternary = false
        var learns = true
        var granularity = Granularity.channel
        var activations: Int? = 4
        var testDescription: String { "\(bits) bits\(ternary ? ", ternary" : "")\(learns ? ", learned" : ""), \(granularity), activations \(activations ?? 0)" }
    }

    private static let forms = [
        Form(bits: 4), Form(bits: 3, granularity: .tensor, activations: 2), Form(bits: 8, activations: 8), Form(bits: 1), Form(bits: 1, learns: false, activations: nil),
        Form(bits: 2, ternary: true, learns: false), Form(bits: 2, ternary: true), Form(bits: 2, ternary: true, granularity: .tensor, activations: 5),
    ]

    /// What is exported computes in stock ONNX Runtime what the graph that was trained computes, for every form of grid.
    @Test(arguments: ["lenet-5", "transformer"]) func exportComputesTheTrainedGraph(_ name: String) throws {
        let folder = try TemporaryFolder()
        let session = try session(name, in: folder)
        let source = try session.trainingSource(store: nil)
        var pairs: [(Model, Model)] = []
        for form in Self.forms {
            let wanted = settings(session.model, bits: form.bits, ternary: form.ternary, learns: form.learns, granularity: form.granularity, activations: form.activations)
            let quantization = try FakeQuantization(session.model, targets: wanted, relativeRates: true, source: source, context: RewriteContext(training: source))
            let exported = try quantization.exported(quantization.model, library: source.library, cancellation: Cancellation())
            #expect(exported.layers().count { $0.quantization != nil } == wanted.count, "\(form.testDescription)")
            pairs.append((quantization.model, exported))
        }
        for (form, difference) in zip(Self.forms, try PythonComparison.differences(pairs)) { #expect(difference < 1e-5, "\(form.testDescription)") }
    }

    /// Esser et al. 2020, sections 2.1 and 2.2: s = 2·mean|w|/√Q at the start, and gradients times 1/√(N·Q).
    @Test func stepSizesStartAndLearnAsInLSQ() throws {
        let folder = try TemporaryFolder()
        let session = try session("lenet-5", in: folder)
        let source = try session.trainingSource(store: nil)
        let wanted = settings(session.model, bits: 3, learns: true, granularity: .channel, activations: 4)
        let quantization = try FakeQuantization(session.model, targets: wanted, relativeRates: false, source: source, context: RewriteContext(training: source))
        let layer = wanted[1].layer
        let weight = try #require(session.model.graph.initializers[layer.weight])
        let values = try #require(weight.floats())
        let scale = try #require(quantization.preparation.scales.first { $0.name.hasPrefix(layer.weight) })
        let steps = try #require(quantization.model.graph.initializers[scale.name]?.floats())
        let each = values.count / steps.count
        for (channel, step) in steps.enumerated() {
            let mean = values[channel * each..<(channel + 1) * each].reduce(0) { $0 + abs($1) } / Float(each)
            #expect(abs(step - 2 * mean / Float(3).squareRoot()) < 1e-5 * step)
        }
        #expect(abs(scale.gradientFactor - 1 / (Float(each) * 3).squareRoot()) < 1e-7)
        // Activations: N numbers of a sample. No ReLU stands before, so there are 7 steps on either side.
        let input = try #require(FakeQuantization.activation(of: layer, in: session.model))
        let step = try #require(quantization.preparation.scales.first { $0.name.hasPrefix(input) })
        let features = Float(try #require(ActivationSizes.measured([input], of: session.model, source: source, context: RewriteContext())[input]).features)
        #expect(features == 20 * 12 * 12)
        #expect(abs(step.gradientFactor - 1 / (features * 7).squareRoot()) < 1e-7)
    }

    /// The accuracy that was seen while training is that of the file, the loss falls, and twice the same gives the same bytes: trained anew
    /// and from the store alike.
    @Test(
        .long,
        arguments: [
            ["bits": ParameterValue.integer(2), "activation-bits": .choice("4")], ["bits": .integer(1), "loss": .choice("distillation")],
            ["levels": .choice("ternary"), "granularity": .choice("tensor")], ["levels": .choice("ternary"), "learn-scales": .flag(false)],
        ])
    func trainedAccuracyIsTheFiles(_ parameters: [String: ParameterValue]) throws {
        let folder = try TemporaryFolder()
        let session = try session("lenet-5", in: folder)
        try session.baselineScores()
        var values = parameters
        values["epochs"] = .integer(2)
        values["batch"] = .integer(32)
        values["keep"] = .choice("last")
        let recipe = Recipe(seed: 3, steps: [RecipeStep(technique: "quantization-aware-training", parameters: ParameterValues(values))])
        func apply(_ store: TrainingStore?) throws -> AppliedModel {
            let source = try session.trainingSource(store: store)
            return try RecipeExecutor(baseline: session.model).apply(recipe, context: RewriteContext(training: source))
        }
        let store = TrainingStore(folder: folder.path + "/trainings")
        let first = try apply(store)
        let summary = try #require(first.reports.last?.training)
        let kept = try #require(summary.epochs.first { $0.number == summary.kept })
        #expect(summary.kept == 2)
        #expect(try #require(summary.epochs[2].loss) < #require(summary.epochs[1].loss))
        let measured = try session.evaluate(first.model)
        #expect(abs(measured.value - kept.accuracy) <= 1.0 / 500)
        #expect(first.model.layers().allSatisfy { $0.quantization != nil })
        #expect(try apply(store).model.contentHash == first.model.contentHash)
        #expect(try apply(nil).model.contentHash == first.model.contentHash)
    }
}
