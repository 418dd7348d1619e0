import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// Bottlenecks behind frozen layers.
@Suite struct AdaptersTests {
    private static let forms: [(name: String, axes: Int?)] = [
        ("gemm", nil), ("gemm_transB", nil), ("matmul", nil), ("matmul_batched_input", nil), ("conv", 2), ("conv_strided", 2), ("conv_1d", 1), ("conv_3d", 3), ("conv_float16", 2),
    ]

    /// NumPy's x + f(x·D + d)·U + u of the plain model's outputs, beside Python's onnxruntime on the adapted model.
    private static let reference = """
        import onnx, onnxruntime as ort
        from onnx import numpy_helper
        from math import erf
        for plain, adapted, activation in zip(args[::3], args[1::3], args[2::3]):
            a, b = ort.InferenceSession(plain), ort.InferenceSession(adapted)
            onnx.checker.check_model(onnx.load(adapted), full_check=True)
            t = {i.name.split('adapter_')[-1]: numpy_helper.to_array(i).astype(np.float64) for i in onnx.load(adapted).graph.initializer}
            rng = np.random.default_rng(0)
            i = a.get_inputs()[0]
            x = rng.standard_normal([d if isinstance(d, int) else 3 for d in i.shape]).astype(np.float16 if 'float16' in i.type else np.float32)
            y, found = a.run(None, {i.name: x})[0].astype(np.float64), b.run(None, {i.name: x})[0]
            down, up = t['down.weight'], t['up.weight']
            convolution = down.ndim > 2
            if convolution: down, up = down.reshape(down.shape[:2]).T, up.reshape(up.shape[:2]).T
            z = np.moveaxis(y, 1, -1) if convolution else y
            h = z @ down + t['down.bias']
            h = np.maximum(h, 0) if activation == 'relu' else h * 0.5 * (1 + np.vectorize(erf)(h / np.sqrt(2))) if activation == 'gelu' else h
            z = z + h @ up + t['up.bias']
            expected = np.moveaxis(z, -1, 1) if convolution else z
            print(np.abs(expected - found).max() / np.abs(expected).max())
            print(np.abs(expected - y).max() / np.abs(expected).max())
        """

    @Test func computesWhatTheFormulaSays() throws {
        let folder = try TemporaryFolder()
        var arguments: [String] = []
        var fresh: [(Model, Model)] = []
        for (number, form) in Self.forms.enumerated() {
            let activation = [BottleneckAdapter.Activation.relu, .gelu, .none][number % 3]
            let model = try PythonComparison.form(form.name, in: folder)
            let layer = try #require(model.layers().first)
            let output = try #require(model.graph.nodes[layer.nodeIndex].outputs.first)
            let site = AdapterSites.Site(values: [output], channels: layer.weightShape[layer.outputAxis], spatialAxes: form.axes, type: layer.weightType)
            let adapter = BottleneckAdapter(behind: layer, site, width: 3, activation: activation, seed: 1)
            var adapted = model
            let names = BottleneckAdapter.insert([adapter], into: &adapted)[0]
            if form.name != "conv_float16" { fresh.append((model, adapted)) }
            for (turn, name) in names.enumerated().dropFirst() {
                let tensor = try #require(adapted.graph.initializers[name])
                adapted.graph.initializers[name] = tensor.withFloats((0..<tensor.count).map { 0.3 * sin(Float($0 * 7 + turn)) })
            }
            #expect(adapted.graph.outputs.map(\.name) == model.graph.outputs.map(\.name))
            arguments += [try model.written(folder, "\(number)-plain.onnx"), try adapted.written(folder, "\(number)-adapted.onnx"), activation.rawValue]
        }
        let found = PythonComparison.numbers(try Python.run(Self.reference, arguments: arguments))
        try #require(found.count == 2 * Self.forms.count)
        for (number, form) in Self.forms.enumerated() {
            #expect(found[2 * number] < (form.name == "conv_float16" ? 5e-3 : 1e-5), "\(form.name): \(found[2 * number])")
            #expect(found[2 * number + 1] > 1e-2, "\(form.name): the adapter does something")
        }
        for difference in try PythonComparison.differences(fresh) { #expect(difference == 0, "new adapters change nothing") }
    }

    /// Houlsby et al. 2019, figure 2: two adapters in a transformer's layer, each in front of a residual sum.
    @Test func standWhereBlocksEnd() throws {
        let transformer = try Fixture.sample("transformer")
        let layers = transformer.layers()
        let sites = AdapterSites(transformer, layers: layers).sites
        let adapted = zip(layers, sites).filter { $1 != nil }.map(\.0.id)
        #expect(adapted == (0..<2).flatMap { ["/layers/layers.\($0)/attention/output/MatMul", "/layers/layers.\($0)/ffn2/MatMul"] })
        let resnet = try Fixture.sample("resnet-8")
        let places = AdapterSites(resnet, layers: resnet.layers()).sites.compactMap { $0 }
        #expect(places.count == 9)
        // Behind normalizations, where there is one.
        #expect(places.flatMap(\.values).count { $0.contains("BatchNormalization") } == 7)
        #expect(Adapters().refusal(for: try #require(resnet.layers().last), in: resnet)?.contains("last layer") == true)
    }

    @Test(.long, arguments: ["transformer", "ds-cnn", "lstm"]) func onlyAdaptersAreTrained(_ name: String) throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session(name, in: folder, training: 96)
        let parameters: [String: ParameterValue] = ["epochs": .integer(1), "keep": .choice("last"), "learning-rate": .real(0.01)]
        let applied = try FewImages.apply("adapters", parameters, to: session)
        for (name, tensor) in session.model.graph.initializers { #expect(applied.model.graph.initializers[name]?.floats() == tensor.floats(), "\(name)") }
        let report = try #require(applied.reports.last)
        let added = applied.model.graph.initializers.filter { session.model.graph.initializers[$0.key] == nil }.values.reduce(0) { $0 + $1.count }
        let trained = try #require(report.training?.trainedParameters)
        let all = LearningStep.parameterCount(session.model)
        #expect(trained == added && Double(trained) <= 0.05 * Double(all))
        if name == "transformer" { #expect(trained == 4 * (2 * 64 * 4 + 64 + 4)) }
        #expect(report.notes.contains { $0.contains("\(trained) of \(all) parameters trained") })
        #expect(try PythonComparison.difference(session.model, applied.model) > 1e-4, "they learn something")
        let again = try FewImages.apply("adapters", parameters, to: FewImages.session(name, in: folder, training: 96)).model
        #expect(try applied.model.serialized().joined() == again.serialized().joined(), "the same bytes twice")
    }

    /// What is predicted is what is counted.
    @Test(.long, arguments: ["transformer", "resnet-8", "lenet-300-100"]) func predictionCountsTheSame(_ name: String) throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session(name, in: folder, training: 64)
        let applied = try FewImages.apply("adapters", ["epochs": .integer(1), "bottleneck": .integer(6)], to: session)
        let layers = session.model.layers()
        let summaries = try LayerPreparation.summaries(of: session.model, layers: layers, shapes: nil, cancellation: Cancellation())
        var states = summaries.map(LayerState.init)
        let refusals = Adapters().refusals(for: layers, in: session.model, shapes: [:])
        let targets = Dictionary(uniqueKeysWithValues: layers.indices.filter { refusals[$0] == nil }.map { ($0, ParameterValues(["bottleneck": .integer(6)])) })
        let before = states.reduce(0) { $0 + $1.weightCount + $1.biasCount }
        Adapters().predict(&states, targets: targets, summaries: summaries)
        let predicted = states.reduce(0) { $0 + $1.weightCount + $1.biasCount } - before
        #expect(Int(predicted.rounded()) == applied.reports.last?.training?.trainedParameters)
    }
}
