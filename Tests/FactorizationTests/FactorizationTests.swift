import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// The rewritten graph, run by ONNX Runtime, must compute what the original computes with its weights replaced by
/// NumPy's truncated decomposition of the same rank.
@Suite struct FactorizationTests {
    /// Python that makes, for `args = [model, rewritten, report]`, a copy of the model with every weight that the report names
    /// replaced by its truncation, runs both and prints the largest difference over the largest output.
    static let comparison = """
        import json, onnx, onnxruntime as ort
        from onnx import numpy_helper
        ort.set_default_logger_severity(3)
        model = onnx.load(args[0])
        ranks = json.load(open(args[2]))
        def truncate(graph):
            for tensor in graph.initializer:
                if tensor.name in ranks:
                    w = numpy_helper.to_array(tensor)
                    u, s, v = np.linalg.svd(w.reshape(w.shape[0], -1).astype(np.float64), full_matrices=False)
                    r = ranks[tensor.name]
                    tensor.CopyFrom(numpy_helper.from_array(((u[:, :r] * s[:r]) @ v[:r]).reshape(w.shape).astype(w.dtype), tensor.name))
            for node in graph.node:
                if node.op_type == 'Constant' and node.output[0] in ranks:
                    w = numpy_helper.to_array(node.attribute[0].t)
                    u, s, v = np.linalg.svd(w.astype(np.float64), full_matrices=False)
                    r = ranks[node.output[0]]
                    node.attribute[0].t.CopyFrom(numpy_helper.from_array(((u[:, :r] * s[:r]) @ v[:r]).astype(w.dtype)))
                for a in node.attribute:
                    if a.type == onnx.AttributeProto.GRAPH: truncate(a.g)
        truncate(model.graph)
        rewritten = onnx.load(args[1])
        onnx.checker.check_model(rewritten, full_check=True)
        rng = np.random.default_rng(0)
        feeds = {}
        first = ort.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
        for i in first.get_inputs():
            shape = [d if isinstance(d, int) else 3 for d in i.shape]
            feeds[i.name] = np.asarray(rng.integers(0, 5, shape)) if 'int' in i.type else np.array(True).reshape(shape) if 'bool' in i.type else rng.standard_normal(shape).astype(np.float16 if 'float16' in i.type else np.float32)
        second = ort.InferenceSession(rewritten.SerializeToString(), providers=['CPUExecutionProvider'])
        for a, b in zip(first.run(None, feeds), second.run(None, feeds)):
            assert a.shape == b.shape, (a.shape, b.shape)
            print(np.abs(a.astype(np.float64) - b).max() / max(np.abs(a).max(), 1e-9))
        """

    /// Applies `svd` and compares with NumPy.
    /// - Returns: the report of the step and the largest relative difference.
    static func check(_ path: String, _ parameters: [String: ParameterValue], layers: LayerSelector = .all) throws -> (AppliedModel, Double) {
        let folder = try TemporaryFolder()
        let model = try Model.read(path: path)
        let recipe = Recipe(steps: [RecipeStep(technique: "svd", parameters: ParameterValues(parameters), layers: layers)])
        let applied = try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext())
        let out = folder.path + "/out.onnx"
        try applied.model.serialized().write(to: out)
        // Ranks as they stand in the rewritten graph: both factors of an m × n matrix hold r·(m + n) weights.
        var ranks: [String: Int] = [:]
        applied.model.forEachInitializer { _, tensor in
            guard tensor.name.hasSuffix("/svd_v"), let other = applied.model.initializerAnywhere(String(tensor.name.dropLast(1)) + "u"),
                let original = model.initializerAnywhere(String(tensor.name.dropLast("/svd_v".count)))
            else { return }
            ranks[original.name] = (tensor.count + other.count) / (original.dims[0] + original.count / original.dims[0])
        }
        let report = try folder.write("ranks.json", String(decoding: try JSONEncoder().encode(ranks), as: UTF8.self))
        #expect(!ranks.isEmpty)
        let text = try Python.run(comparison, path, out, report)
        let worst = try text.split(separator: "\n").map { try #require(Double($0)) }.max()
        return (applied, try #require(worst))
    }

    @Test(arguments: ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer"])
    func sampleModelsEqualNumPysTruncation(name: String) throws {
        let path = Samples.path(name)
        let (applied, difference) = try Self.check(path, ["mode": .choice("energy"), "energy": .real(0.8)])
        #expect(difference < 1e-4, "\(name)")
        let original = try Model.read(path: path)
        #expect(applied.model.graph.initializers.values.reduce(0) { $0 + $1.count } < original.graph.initializers.values.reduce(0) { $0 + $1.count })
    }

    /// Every form in which ONNX writes a layer, each as a model of its own made by the onnx package.
    @Test(arguments: [
        "gemm", "gemm_transB", "gemm_transA", "gemm_left", "gemm_left_transA", "gemm_scaled", "gemm_opset9", "gemm_opset9_transB", "matmul",
        "matmul_left", "matmul_batched_input", "conv", "conv_strided", "conv_1d", "conv_3d", "conv_same", "conv_1x1", "conv_transpose",
        "conv_transpose_strided", "embedding", "embedding_scalar", "tied", "subgraph", "float16", "constant_node", "ir3",
    ])
    func everyFormOfLayer(form: String) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/model.onnx"
        try Python.run(LayerForms.script, form, path)
        let (applied, difference) = try Self.check(path, ["mode": .choice("rank"), "rank": .integer(3)])
        #expect(difference < (form == "float16" ? 5e-3 : 1e-4), "\(form)")
        if form == "tied" {
            #expect(applied.model.graph.initializers.keys.count { $0.hasSuffix("/svd_v") } == 1, "two nodes that share a weight share its factors")
        }
        #expect(applied.model.allNodes.contains { $0.name.hasSuffix("/svd_v") } && applied.model.allNodes.contains { $0.name.hasSuffix("/svd_u") })
        // Nothing of the old weight is left in the file.
        #expect(applied.model.initializerAnywhere("w") == nil)
    }

    @Test(arguments: [
        ("grouped", "grouped"), ("depthwise", "depthwise"), ("lstm", "recurrent"), ("batched_constant", "batched"), ("too_small", "too small"),
        ("read_elsewhere", ""),
    ])
    func refusesWithAReason(form: String, reason: String) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/model.onnx"
        try Python.run(LayerForms.script, form, path)
        let model = try Model.read(path: path)
        let recipe = Recipe(steps: [RecipeStep(technique: "svd", parameters: ParameterValues(["mode": .choice("rank"), "rank": .integer(2)]))])
        if reason.isEmpty {
            let applied = try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext())
            #expect(applied.reports[0].notes.contains { $0.contains("read elsewhere") })
            #expect(try applied.model.serialized().joined() == model.serialized().joined())
        } else {
            let said = message { _ = try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext()) }
            #expect(said.contains(reason), "\(said)")
        }
    }

    /// A rank that saves nothing leaves the layer, and says so.
    @Test func leavesLayersThatWouldGrow() throws {
        let model = try Model.read(path: Samples.path("lenet-5"))
        let recipe = Recipe(steps: [RecipeStep(technique: "svd", parameters: ParameterValues(["mode": .choice("rank"), "rank": .integer(18)]))])
        let applied = try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext())
        // 20 × 25: 18 ≥ 500/45; 10 × 500: 10 is its full rank; the other two have 44 and 307.
        #expect(applied.reports[0].notes.count == 2)
        #expect(applied.model.layers().count == model.layers().count + 2)
    }

    @Test func sameBytesTwiceAndFromMemory() throws {
        let model = try Model.read(path: Samples.path("resnet-8"))
        let recipe = Recipe(steps: [RecipeStep(technique: "svd", parameters: ParameterValues(["ratio": .real(0.4)]))])
        let executor = RecipeExecutor(baseline: model)
        let first = try executor.apply(recipe, context: RewriteContext()).model.serialized().joined()
        var other = recipe
        other.steps[0].parameters["ratio"] = .real(0.6)
        _ = try executor.apply(other, context: RewriteContext())
        #expect(try executor.apply(recipe, context: RewriteContext()).model.serialized().joined() == first)
        #expect(try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext()).model.serialized().joined() == first)
    }

    /// What is predicted from summaries equals what the rewrite does, to the weight and to the MAC.
    @Test(arguments: ["lenet-5", "resnet-8"], [("ratio", 0.4), ("energy", 0.85), ("rank", 6)])
    func predictionEqualsTheRewrite(name: String, mode: (String, Double)) throws {
        let model = try Model.read(path: Samples.path(name))
        let layers = model.layers()
        var summaries = try LayerPreparation.summaries(of: model, layers: layers, shapes: nil, cancellation: Cancellation())
        var values = ["mode": ParameterValue.choice(mode.0)]
        values[mode.0] = mode.0 == "rank" ? .integer(Int(mode.1)) : .real(mode.1)
        let technique = SVDFactorization()
        var targets: [Int: ParameterValues] = [:]
        for (index, layer) in layers.enumerated() {
            summaries[index].macs = Double(layer.weightCount)
            if technique.refusal(for: layer, in: model) == nil { targets[index] = ParameterValues(values).resolved(by: technique.descriptor) }
        }
        var states = summaries.map(LayerState.init)
        technique.predict(&states, targets: targets, summaries: summaries)
        let recipe = Recipe(steps: [RecipeStep(technique: "svd", parameters: ParameterValues(values))])
        let applied = try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext())
        for (index, layer) in layers.enumerated() {
            let after = applied.model.layers().filter { $0.id == layer.id || $0.id.hasPrefix(layer.id + "/svd_") }
            let count = after.reduce(0) { $0 + $1.weightCount }
            #expect(states[index].weightCount.rounded() == Double(count), "\(layer.id)")
            // One application per position, so MACs are in proportion to weights.
            #expect(states[index].macs?.rounded() == Double(count), "\(layer.id)")
        }
    }
}
