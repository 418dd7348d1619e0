import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import Archive
@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import Measurement
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

@Suite struct WeightSharingTests {
    static func apply(_ model: Model, _ parameters: [String: ParameterValue], layers: LayerSelector = .all) throws -> AppliedModel {
        let recipe = Recipe(steps: [RecipeStep(technique: "weight-sharing", parameters: ParameterValues(parameters), layers: layers)])
        return try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext())
    }

    @Test(arguments: ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"], [1, 3, 8])
    func fewValuesPerLayerAndBiasesUntouched(name: String, bits: Int) throws {
        let model = try Fixture.sample(name)
        let shared = try Self.apply(model, ["bits": .integer(bits)]).model
        let weights = Set(model.layers().flatMap(\.weightNames))
        #expect(try shared.serialized().byteCount == model.serialized().byteCount, "dense storage makes the file no smaller")
        for layer in model.layers() {
            let values = layer.weightNames.flatMap { shared.graph.initializers[$0]?.floats() ?? [] }
            #expect(Set(values).count <= 1 << bits && Set(values).count > 1, "\(layer.id)")
        }
        for (key, tensor) in model.graph.initializers where !weights.contains(key) {
            #expect(shared.graph.initializers[key]?.contentHash == tensor.contentHash, "\(key)")
        }
    }

    @Test func zerosStayZeroAndOthersDoNotBecomeZero() throws {
        let model = Fixture.pruned(try Fixture.sample("lenet-5"), keeping: 0.1)
        let shared = try Self.apply(model, ["bits": .integer(3)]).model
        for layer in model.layers() {
            let before = try #require(model.graph.initializers[layer.weight]?.floats())
            let after = try #require(shared.graph.initializers[layer.weight]?.floats())
            #expect(zip(before, after).allSatisfy { ($0 == 0) == ($1 == 0) })
            #expect(after.allSatisfy { $0 != 0 || $0.sign == .plus })
            #expect(Set(after).count <= 8)
        }
        // Without the flag zeros are values like others.
        let plain = try Self.apply(model, ["bits": .integer(1), "preserve-zeros": .flag(false)]).model
        #expect(plain.graph.initializers.values.filter { $0.dims.count > 1 }.allSatisfy { Set($0.floats() ?? []).count <= 2 })
    }

    @Test func oneCodebookForAllLayers() throws {
        let model = try Fixture.sample("lenet-5")
        let shared = try Self.apply(model, ["bits": .integer(4), "scope": .choice("model")]).model
        let values = model.layers().flatMap { shared.graph.initializers[$0.weight]?.floats() ?? [] }
        #expect(Set(values).count <= 16)
    }

    /// Codebook storage computes the very same outputs in ONNX Runtime as dense storage, at a quarter of the bytes.
    @Test(arguments: ["lenet-300-100", "resnet-8", "transformer", "lstm"])
    func codebookStorageComputesTheSame(name: String) throws {
        let folder = try TemporaryFolder()
        let model = try Fixture.sample(name)
        for storage in ["dense", "codebook"] {
            let shared = try Self.apply(model, ["bits": .integer(5), "storage": .choice(storage)]).model
            try shared.serialized().write(to: folder.path + "/\(storage).onnx")
            // Layers are found again, as weights that are quantized.
            #expect(shared.layers().map(\.id) == model.layers().map(\.id))
            #expect(shared.layers().allSatisfy { $0.isFloat == (storage == "dense") })
        }
        let text = try Python.run(
            """
            import onnx, onnxruntime as ort
            ort.set_default_logger_severity(3)
            onnx.checker.check_model(args[1], full_check=True)
            x = np.random.default_rng(0).standard_normal((4, 1, 28, 28)).astype(np.float32)
            a, b = [ort.InferenceSession(p, providers=['CPUExecutionProvider']).run(None, {'image': x})[0] for p in args]
            print(np.abs(a - b).max())
            """, folder.path + "/dense.onnx", folder.path + "/codebook.onnx")
        #expect(Double(text.trimmingCharacters(in: .whitespacesAndNewlines)) == 0)
        let sizes = try ["dense", "codebook"].map { try FileManager.default.attributesOfItem(atPath: folder.path + "/\($0).onnx")[.size] as? Int ?? 0 }
        let weights = model.layers().flatMap(\.weightNames).reduce(0) { $0 + (model.graph.initializers[$1]?.count ?? 0) }
        #expect(sizes[0] - sizes[1] > 3 * weights * 9 / 10)
    }

    /// Parameters and non-zeros are those of the weights, not of their storage.
    @Test func figuresSeeThroughTheCodebook() throws {
        let model = Fixture.pruned(try Fixture.sample("lenet-5"), keeping: 0.2)
        let before = try FigureCounting.figures(of: model, shapes: nil)
        let after = try FigureCounting.figures(of: try Self.apply(model, ["storage": .choice("codebook")]).model, shapes: nil)
        #expect(after.parameters.value == before.parameters.value && after.nonZeros.value == before.nonZeros.value)
    }

    /// A weight that another layer reads as well stays what it was for that layer.
    @Test func tiedWeightsChangeOnlyForTheTargets() throws {
        let folder = try TemporaryFolder()
        try Python.run(LayerForms.script, "tied", folder.path + "/m.onnx")
        let model = try Model.read(path: folder.path + "/m.onnx")
        for storage in ["dense", "codebook"] {
            let parameters: [String: ParameterValue] = ["bits": .integer(2), "storage": .choice(storage)]
            let first = try Self.apply(model, parameters, layers: .names("h_node")).model
            #expect(first.graph.initializers["w"]?.contentHash == model.graph.initializers["w"]?.contentHash)
            let nodes = first.graph.nodes
            #expect(nodes.first { $0.name == "h_node" }?.inputs[1] != "w" && nodes.first { $0.name == "y_node" }?.inputs[1] == "w")
            let both = try Self.apply(model, parameters).model
            #expect(both.graph.nodes.filter { $0.opType == "MatMul" }.allSatisfy { $0.inputs[1] == "w" })
            try Python.run("import onnxruntime as ort\nort.InferenceSession(args[0])", try first.written(folder, "first.onnx"))
            try Python.run("import onnxruntime as ort\nort.InferenceSession(args[0])", try both.written(folder, "both.onnx"))
        }
    }

    /// Weights in subgraphs, in Constant nodes, in float16 and in files that list them as inputs.
    @Test(arguments: ["subgraph", "constant_node", "float16", "ir3", "embedding"], ["dense", "codebook"])
    func runsInEveryForm(form: String, storage: String) throws {
        let folder = try TemporaryFolder()
        try Python.run(LayerForms.script, form, folder.path + "/m.onnx")
        let shared = try Self.apply(try Model.read(path: folder.path + "/m.onnx"), ["bits": .integer(2), "storage": .choice(storage)]).model
        let path = try shared.written(folder, "out.onnx")
        try Python.run("import onnx, onnxruntime as ort\nonnx.checker.check_model(args[0], full_check=True)\nort.InferenceSession(args[0])", path)
        if storage == "codebook" { #expect(shared.initializerAnywhere("w") == nil) }
    }

    /// Entropy and number of values are predicted well enough to draw: within a third of a bit and an eighth of the values.
    @Test(arguments: [2, 4, 5])
    func predictionIsNear(bits: Int) throws {
        let model = Fixture.pruned(try Fixture.sample("lenet-5"), keeping: 0.3)
        let layers = model.layers()
        let summaries = try LayerPreparation.summaries(of: model, layers: layers, shapes: nil, cancellation: Cancellation())
        var states = summaries.map(LayerState.init)
        let technique = WeightSharing()
        let values = ParameterValues(["bits": .integer(bits)]).resolved(by: technique.descriptor)
        technique.predict(&states, targets: Dictionary(uniqueKeysWithValues: layers.indices.map { ($0, values) }), summaries: summaries)
        let shared = try Self.apply(model, ["bits": .integer(bits)]).model
        for (index, layer) in layers.enumerated() where layer.weightCount > 2000 {
            let after = try #require(shared.graph.initializers[layer.weight]?.floats()).filter { $0 != 0 }
            let counts = Dictionary(after.map { ($0, 1) }, uniquingKeysWith: +)
            #expect(abs((states[index].valueEntropy ?? 0) - Entropy.bits(Array(counts.values))) < 0.35, "\(layer.id)")
            #expect(abs((states[index].distinctValues ?? 0) - Double(counts.count)) <= max(Double(1 << bits) / 8, 1), "\(layer.id)")
        }
    }
}
