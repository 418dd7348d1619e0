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

/// Fire blocks, thinner models and shared heads.
@Suite struct CompactFormsTests {
    private func initial(_ technique: any Technique, _ parameters: [String: ParameterValue], _ session: EngineSession) throws -> Model {
        // A rate of nearly nothing and the start kept: what the training begins from.
        try FewImages.apply(
            technique.descriptor.id, parameters.merging(["epochs": .integer(1), "learning-rate": .real(0.00001), "batchnorm": .choice("frozen")]) { $1 }, to: session
        ).model
    }

    /// Weights of Fire blocks: s·(n + m/2 + m/2·k²), and the slopes (Iandola et al. 2016, section 3.2).
    @Test func fireBlocksHoldWhatTheFormulaSays() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("resnet-8", in: folder, training: 64)
        let applied = try FewImages.apply("compact-design", ["epochs": .integer(1), "block": .choice("fire"), "ratio": .real(0.4)], to: session).model
        let weights = Dictionary(applied.layers().map { ($0.id, $0) }) { first, _ in first }
        var replaced = 0
        for layer in session.model.layers() where layer.kind == .conv && layer.weightShape[2] == 3 && layer.weightShape[1] > 1 {
            guard let squeeze = weights[layer.id + "/fire_squeeze"], let small = weights[layer.id + "/fire_1x1"], let large = weights[layer.id + "/fire_kxk"] else { continue }
            replaced += 1
            let (m, n) = (layer.weightShape[0], layer.weightShape[1])
            let s = Int(0.4 * Double(9 * m * n) / Double(n + m / 2 + 9 * (m / 2) + 1))
            #expect(squeeze.weightShape == [s, n, 1, 1] && small.weightShape == [m / 2, s, 1, 1] && large.weightShape == [m - m / 2, s, 3, 3], "\(layer.id)")
        }
        #expect(replaced == 6)
        #expect(applied.graph.outputs.map(\.name) == session.model.graph.outputs.map(\.name))
    }

    /// With as many channels between as there are inputs, the k×k half computes what the kernel did, and the 1×1 half what its middle does.
    @Test func fullFireBlocksComputeTheirKernels() throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form("conv", in: folder)
        let layer = try #require(model.layers().first)
        var values = try #require(model.graph.initializers[layer.weight]?.floats())
        let (m, each, k) = (layer.weightShape[0], layer.weightShape[1] * 9, 9)
        // Of the first half only the middles stay, so that nothing is lost there either.
        for output in 0..<m / 2 { for index in 0..<each where index % k != k / 2 { values[output * each + index] = 0 } }
        var plain = model
        plain.graph.initializers[layer.weight] = model.graph.initializers[layer.weight]?.withFloats(values)
        var block = plain
        let ratio = 0.99
        try FireBlock.insert([LayerTarget(layer: layer, parameters: ParameterValues(["ratio": .real(ratio)]))], into: &block, RewriteContext())
        #expect(block.graph.nodes.count == 5)
        #expect(try PythonComparison.difference(plain, block) < 1e-5)
    }

    /// Half the width is about a quarter of the weights between hidden layers.
    @Test(.long, arguments: ["kept", "random"]) func halfTheWidthIsAQuarter(_ start: String) throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("ds-cnn", in: folder, training: 96)
        let parameters: [String: ParameterValue] = ["epochs": .integer(1), "start": .choice(start), "keep": .choice("last")]
        let thin = try FewImages.apply("width-multiplier", parameters, to: session)
        for (old, new) in zip(session.model.layers(), thin.model.layers()) where old.id.contains("pointwise") { #expect(4 * new.weightCount == old.weightCount) }
        let again = try FewImages.apply("width-multiplier", parameters, to: FewImages.session("ds-cnn", in: folder, training: 96)).model
        #expect(try thin.model.serialized().joined() == again.serialized().joined(), "the same bytes twice")
        #expect(thin.model.graph.outputs.first?.shape?.last?.fixedValue == 10)
    }

    /// Ainslie et al. 2023, section 2.1: the mean of a group's projections. Heads that are equal lose nothing.
    @Test func meansOfHeadsStandForThem() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("transformer", in: folder, training: 64)
        let model = session.model
        let layers = model.layers()
        let refusals = GroupedQueries().refusals(for: layers, in: model, shapes: try #require(try session.shapes(of: model, cancellation: Cancellation())).dims)
        let free = layers.indices.filter { refusals[$0] == nil }
        #expect(free.map { layers[$0].id } == (0..<2).flatMap { ["/layers/layers.\($0)/attention/key/MatMul", "/layers/layers.\($0)/attention/value/MatMul"] })
        let structure = ChannelStructure(of: model, layers: layers, shapes: try #require(try session.shapes(of: model, cancellation: Cancellation())).dims)
        let heads = try free.map { try #require(SharedHeads(layers[$0], units: structure.outputUnits[$0], group: 64)) }
        var grouped = model
        try SharedHeads.insert(heads, into: &grouped)
        grouped.graph.removeDeadCode()
        // NumPy: the mean over heads, laid out again for each of them, computes the same.
        let found = try Python.run(
            """
            import onnx, onnxruntime as ort
            from onnx import numpy_helper
            heads = int(args[2])
            model = onnx.load(args[0])
            for t in model.graph.initializer:
                a = numpy_helper.to_array(t)
                if ('key' in t.name or 'value' in t.name) and 'attention' in t.name:
                    width = a.shape[-1] // heads
                    mean = a.reshape(a.shape[:-1] + (heads, width)).astype(np.float64).mean(-2, keepdims=True)
                    t.CopyFrom(numpy_helper.from_array(np.repeat(mean, heads, -2).reshape(a.shape).astype(np.float32), t.name))
            x = np.random.default_rng(0).standard_normal((5, 1, 28, 28)).astype(np.float32)
            a, b = ort.InferenceSession(model.SerializeToString()), ort.InferenceSession(args[1])
            p, q = a.run(None, {'image': x})[0], b.run(None, {'image': x})[0]
            print(np.abs(p - q).max() / np.abs(p).max())
            """, arguments: [Samples.path("transformer"), try grouped.written(folder, "grouped.onnx"), "\(heads[0].heads)"])
        #expect(try #require(PythonComparison.numbers(found).first) < 1e-5)
        let counts = Dictionary(grouped.layers().map { ($0.id, $0.weightCount) }) { first, _ in first }
        for index in free { #expect(counts[layers[index].id] == layers[index].weightCount / heads[0].heads) }
        #expect(try initial(GroupedQueries(), ["group": .integer(2)], session).graph.nodes.count == model.graph.nodes.count + 4)
    }

    struct Forecast: Sendable, CustomTestStringConvertible {
        var technique: String
        var model: String
        var parameters: [String: ParameterValue]
        var testDescription: String { "\(technique) on \(model)" }
    }

    /// Parameters and MACs predicted are those counted.
    @Test(arguments: [
        Forecast(technique: "compact-design", model: "resnet-8", parameters: ["block": .choice("fire"), "ratio": .real(0.4)]),
        Forecast(technique: "width-multiplier", model: "ds-cnn", parameters: [:]),
        Forecast(technique: "width-multiplier", model: "lenet-300-100", parameters: ["width": .real(0.3)]),
        Forecast(technique: "grouped-queries", model: "transformer", parameters: ["group": .integer(4)]), Forecast(technique: "adapters", model: "transformer", parameters: [:]),
        Forecast(technique: "prefix-tuning", model: "transformer", parameters: ["length": .integer(5)]),
        Forecast(technique: "linear-attention", model: "transformer", parameters: [:]),
        Forecast(technique: "resolution-multiplier", model: "resnet-8", parameters: [:]),
        Forecast(technique: "resolution-multiplier", model: "ds-cnn", parameters: ["resolution": .real(0.7)]),
        Forecast(technique: "resolution-multiplier", model: "lenet-5", parameters: ["resolution": .real(0.75)]),
        Forecast(technique: "adapters", model: "resnet-8", parameters: ["bottleneck": .integer(3)]),
        Forecast(technique: "adapters", model: "lstm", parameters: ["activation": .choice("gelu")]),
    ])
    func forecastsAreWhatIsCounted(_ forecast: Forecast) throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session(forecast.model, in: folder, training: 32)
        let technique = try #require(TechniqueRegistry.technique(forecast.technique))
        let shapes = try #require(try session.shapes(of: session.model, cancellation: Cancellation()))
        let summaries = try LayerPreparation.summaries(of: session.model, layers: session.layers, shapes: shapes, cancellation: Cancellation())
        let refusals = technique.refusals(for: session.layers, in: session.model, shapes: shapes.dims)
        let targets = Dictionary(uniqueKeysWithValues: session.layers.indices.filter { refusals[$0] == nil }.map { ($0, ParameterValues(forecast.parameters)) })
        var states = summaries.map(LayerState.init)
        func sums(_ states: [LayerState]) -> (parameters: Double, macs: Double) {
            (states.reduce(0) { $0 + $1.weightCount + $1.biasCount + $1.attachedCount }, states.reduce(0) { $0 + ($1.macs ?? 0) + $1.productMacs })
        }
        let start = sums(states)
        technique.predict(&states, targets: targets, summaries: summaries)
        let (end, before) = (sums(states), try session.figures(of: session.model))
        let after = try session.figures(of: try FewImages.apply(forecast.technique, forecast.parameters.merging(["epochs": .integer(1)]) { $1 }, to: session).model)
        let counted = after.parameters.value - before.parameters.value
        #expect(abs(end.parameters - start.parameters - counted) <= 0.02 * abs(counted), "\(end.parameters - start.parameters) parameters predicted, \(counted) counted")
        let work = try #require(after.macs?.value) - #require(before.macs?.value)
        // Whether a recurrent layer's whole sequence is read or its last state alone is not in a summary.
        let slack = forecast.model == "lstm" ? 0.02 * start.macs : 0.05 * abs(work)
        #expect(abs(end.macs - start.macs - work) <= slack, "\(end.macs - start.macs) MACs predicted, \(work) counted")
    }
}
