import Foundation
import Metrics
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import Factorization
@testable import Learning
@testable import Measurement
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// The chain of nodes that takes a layer's place, run by ONNX Runtime, must compute what the layer computes with the weight that NumPy
/// makes from the stored factors; and that weight must be as near to the original as NumPy's own decomposition.
@Suite struct FactorChainTests {
    /// Python that puts the factors of `args = [model, rewritten]` together again, runs the original with those weights and the rewritten
    /// model, and prints the largest difference over the largest output, then for each weight its name, relative error and ranks.
    static let comparison = """
        import onnx, onnxruntime as ort
        from onnx import numpy_helper
        ort.set_default_logger_severity(3)
        original, rewritten = onnx.load(args[0]), onnx.load(args[1])
        onnx.checker.check_model(rewritten, full_check=True)
        def graphs(graph):
            yield graph
            for node in graph.node:
                for a in node.attribute:
                    if a.type == onnx.AttributeProto.GRAPH: yield from graphs(a.g)
        factors = {t.name: numpy_helper.to_array(t).astype(np.float64) for g in graphs(rewritten.graph) for t in g.initializer if '/' in t.name}
        report = []
        def rebuild(tensor, groups):
            w = numpy_helper.to_array(tensor)
            f = {k[len(tensor.name) + 1:]: v for k, v in factors.items() if k.startswith(tensor.name + '/')}
            if not f: return
            dims, kernel = w.shape, w.shape[2:]
            if 'spatial_v' in f:
                r = f['spatial_v'].shape[0] // groups
                v = f['spatial_v'].reshape(groups, r, dims[1], dims[2])
                h = f['spatial_h'].reshape(groups, dims[0] // groups, r, dims[3])
                made, ranks = np.einsum('griy,gorx->goiyx', v, h).reshape(dims), [r]
            elif 'tucker_core' in f:
                core = f['tucker_core']
                made = core.reshape(core.shape[0], core.shape[1], -1)
                a, b = f.get('tucker_in'), f.get('tucker_out')
                first, second = (a, b) if transpose else (b, a)
                if first is not None: first = first[..., 0].reshape(first.shape[:2])
                if second is not None: second = second[..., 0].reshape(second.shape[:2])
                if transpose: first, second = (None if first is None else first.T), (None if second is None else second.T)
                if first is not None: made = np.einsum('pqk,mp->mqk', made, first)
                if second is not None: made = np.einsum('mqk,qn->mnk', made, second)
                made, ranks = made.reshape(dims), list(core.shape[:2])
            elif 'cp_in' in f:
                r = f['cp_in'].shape[0]
                made = np.einsum('or,ri->rio', f['cp_out'].reshape(-1, r), f['cp_in'].reshape(r, -1))
                made = made.reshape(r, dims[1], dims[0], *[1] * len(kernel))
                for axis in range(len(kernel)):
                    if f'cp_axis{axis}' in f:
                        shape = [r, 1, 1] + [1] * len(kernel); shape[3 + axis] = kernel[axis]
                        made = made * f[f'cp_axis{axis}'].reshape(shape)
                made, ranks = np.swapaxes(made.sum(0), 0, 1).reshape(dims), [r]
            elif 'tt_in' in f:
                made = f['tt_in'].reshape(f['tt_in'].shape[:2]).T
                ranks = [made.shape[1]]
                for axis in range(len(kernel)):
                    if f'tt_axis{axis}' in f:
                        core = f[f'tt_axis{axis}'].reshape(*f[f'tt_axis{axis}'].shape[:2], kernel[axis])
                        made = np.einsum('...b,abk->...ka', made, core)
                        ranks.append(core.shape[0])
                made = np.einsum('...b,ob->...o', made, f['tt_out'].reshape(dims[0], -1))
                made = np.moveaxis(made, -1, 0).reshape(dims)
            elif 'tt_core0' in f:
                # A matrix product of the identity through the nodes themselves would be no independent check: contract the cores.
                outputs, inputs = (dims if layout else dims[::-1])
                cores = [f[k] for k in sorted(k for k in f if k.startswith('tt_core'))]
                def split(n, d):
                    if d == 1: return [n]
                    aim = n ** (1 / d)
                    best = min((k for k in range(1, n + 1) if n % k == 0), key=lambda k: (round(abs(np.log(k / aim)), 12), k))
                    return sorted([best] + split(n // best, d - 1), reverse=True)
                m, n = split(outputs, len(cores)), split(inputs, len(cores))
                made, before, ranks = np.ones((1, 1, 1)), 1, []
                for k, core in enumerate(cores):
                    after = core.shape[0] // n[k]
                    core = core.reshape(n[k], after, before, m[k])
                    made = np.einsum('mna,jbai->minjb', made, core)
                    made = made.reshape(made.shape[0] * m[k], made.shape[2] * n[k], after)
                    before = after; ranks.append(after)
                made = made[..., 0]
                ranks = ranks[:-1]
                if not layout: made = made.T
            else: return
            report.append((tensor.name, np.linalg.norm(made - w) / np.linalg.norm(w), ranks))
            tensor.CopyFrom(numpy_helper.from_array(made.astype(w.dtype), tensor.name))
        for graph in graphs(original.graph):
            for tensor in graph.initializer:
                for reader in [n for g in graphs(original.graph) for n in g.node if tensor.name in n.input][:1]:
                    attributes = {a.name: a.i for a in reader.attribute}
                    transpose, layout = reader.op_type == 'ConvTranspose', reader.op_type == 'Gemm' and attributes.get('transB', 0) == 1
                    rebuild(tensor, attributes.get('group', 1))
        rng = np.random.default_rng(0)
        feeds = {}
        first = ort.InferenceSession(original.SerializeToString(), providers=['CPUExecutionProvider'])
        for i in first.get_inputs():
            shape = [d if isinstance(d, int) else 3 for d in i.shape]
            feeds[i.name] = np.array(True).reshape(shape) if 'bool' in i.type else rng.standard_normal(shape).astype(np.float16 if 'float16' in i.type else np.float32)
        second = ort.InferenceSession(rewritten.SerializeToString(), providers=['CPUExecutionProvider'])
        worst = 0
        for a, b in zip(first.run(None, feeds), second.run(None, feeds)):
            assert a.shape == b.shape, (a.shape, b.shape)
            worst = max(worst, np.abs(a.astype(np.float64) - b).max() / max(np.abs(a).max(), 1e-9))
        print(worst)
        for name, error, ranks in report: print(name, error, *ranks)
        """

    struct Outcome {
        var applied: AppliedModel
        var difference: Double
        /// Relative error and ranks of each weight.
        var weights: [(name: String, error: Double, ranks: [Int])]
    }

    static func check(_ path: String, _ technique: String, _ parameters: [String: ParameterValue]) throws -> Outcome {
        let folder = try TemporaryFolder()
        let model = try Model.read(path: path)
        let recipe = Recipe(steps: [RecipeStep(technique: technique, parameters: ParameterValues(parameters))])
        let applied = try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext(shapes: Self.shapes(of: model)))
        let out = folder.path + "/out.onnx"
        try applied.model.serialized().write(to: out)
        let lines = try Python.run(comparison, path, out).split(separator: "\n").map { $0.split(separator: " ") }
        let weights = try lines.dropFirst().map { (name: String($0[0]), error: try #require(Double($0[1])), ranks: $0.dropFirst(2).compactMap { Int($0) }) }
        return Outcome(applied: applied, difference: try #require(Double(lines[0][0])), weights: weights)
    }

    /// Shapes of the inputs, which tell how many dimensions a MatMul's input has.
    private static func shapes(of model: Model) -> [String: [Int]] {
        Dictionary(uniqueKeysWithValues: model.graph.requiredInputs.map { ($0.name, ($0.shape ?? []).map { $0.fixedValue ?? 1 }) })
    }

    static func form(_ name: String, in folder: TemporaryFolder) throws -> String {
        let path = folder.path + "/model.onnx"
        try Python.run(LayerForms.script, name, path)
        return path
    }

    @Test(
        arguments: ["spatial-svd", "tucker-2", "cp", "tensor-train"], ["conv", "conv_strided", "conv_same", "conv_same_lower", "tied_conv", "subgraph_conv", "conv_float16", "ir3"])
    func convolutions(technique: String, form: String) throws {
        let folder = try TemporaryFolder()
        let found = try Self.check(try Self.form(form, in: folder), technique, ["ratio": .real(0.6)])
        #expect(found.difference < (form == "conv_float16" ? 2e-2 : 1e-4), "\(technique), \(form)")
        #expect(!found.weights.isEmpty && found.weights.allSatisfy { $0.error > 0.01 && $0.error < 0.9 }, "\(found.weights)")
        #expect(found.applied.model.initializerAnywhere("w") == nil)
        if form == "tied_conv" { #expect(found.applied.model.graph.initializers.count <= 4, "two nodes that share a weight share its factors") }
    }

    @Test(arguments: [
        ("tucker-2", "conv_1d"), ("tucker-2", "conv_3d"), ("tucker-2", "conv_transpose"), ("tucker-2", "conv_transpose_strided"), ("tucker-2", "conv_tall"),
        ("cp", "conv_1d"), ("cp", "conv_3d"), ("cp", "conv_tall"), ("tensor-train", "conv_1d"), ("tensor-train", "conv_3d"), ("tensor-train", "conv_tall"),
        ("spatial-svd", "grouped"), ("spatial-svd", "depthwise"), ("spatial-svd", "depthwise_wide"), ("tensor-train", "gemm"), ("tensor-train", "gemm_transB"),
        ("tensor-train", "gemm_opset9"), ("tensor-train", "matmul"), ("tensor-train", "matmul_batched_input"), ("tensor-train", "float16"),
    ])
    func furtherForms(technique: String, form: String) throws {
        let folder = try TemporaryFolder()
        let found = try Self.check(try Self.form(form, in: folder), technique, ["ratio": .real(0.7)])
        #expect(found.difference < (form == "float16" ? 2e-2 : 1e-4), "\(technique), \(form)")
        #expect(!found.weights.isEmpty && found.weights.allSatisfy { $0.error < 0.95 }, "\(found.weights)")
    }

    @Test(arguments: [3, 4]) func longerTrains(cores: Int) throws {
        let folder = try TemporaryFolder()
        let found = try Self.check(
            Samples.path("lenet-300-100"), "tensor-train", ["ratio": .real(0.3), "cores": .integer(cores)])
        _ = folder
        #expect(found.difference < 1e-4)
        #expect(found.weights.contains { $0.ranks.count == cores - 1 })
    }

    /// Spatial SVD is the best split of its rank: NumPy's truncation of the same matrix is no nearer.
    @Test func spatialErrorsAreNumPys() throws {
        let path = Samples.path("resnet-8")
        let found = try Self.check(path, "spatial-svd", ["mode": .choice("rank"), "rank": .integer(12)])
        #expect(found.difference < 1e-4 && found.weights.count == 6)
        let script = """
            import onnx
            from onnx import numpy_helper
            for t in onnx.load(args[0]).graph.initializer:
                w = numpy_helper.to_array(t).astype(np.float64)
                if w.ndim == 4 and w.shape[2] > 1:
                    s = np.linalg.svd(w.transpose(1, 2, 0, 3).reshape(w.shape[1] * w.shape[2], -1), compute_uv=False)
                    print(t.name, np.sqrt(np.sum(s[12:] ** 2) / np.sum(s ** 2)))
            """
        let expected = Dictionary(
            uniqueKeysWithValues: try Python.run(script, path).split(separator: "\n").map { line in
                let parts = line.split(separator: " ")
                return (String(parts[0]), try #require(Double(parts[1])))
            })
        for weight in found.weights { #expect(abs(weight.error - (expected[weight.name] ?? 0)) < 1e-4, "\(weight.name)") }
    }

    @Test(arguments: [
        ("tucker-2", "grouped", "grouped"), ("cp", "depthwise", "depthwise"), ("tucker-2", "conv_1x1", "one element"), ("spatial-svd", "conv_1d", "two-dimensional"),
        ("cp", "conv_transpose", "not a convolution"), ("tensor-train", "gemm_transA", "transposed"), ("tensor-train", "gemm_left", "left operand"),
        ("tensor-train", "gemm_scaled", "scaled"), ("embedding-factorization", "gemm", "not an embedding"), ("tensor-train", "lstm", "recurrent"),
        ("tensor-train", "batched_constant", "batched"),
    ])
    func refusesWithAReason(technique: String, form: String, reason: String) throws {
        let folder = try TemporaryFolder()
        let model = try Model.read(path: try Self.form(form, in: folder))
        let recipe = Recipe(steps: [RecipeStep(technique: technique, parameters: ParameterValues())])
        let said = message { _ = try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext()) }
        #expect(said.contains(reason), "\(said)")
    }

    /// A train reshapes its input: the rank of the data at hand does not do where the model leaves it open.
    @Test func aTrainNeedsTheRankOfItsInput() {
        for shape in [nil, [Dimension.fixed(1), .fixed(6), .fixed(64)]] {
            var graph = Graph(name: "g", inputs: [ValueInfo(name: "x", elementType: .float32, shape: shape)], outputs: [ValueInfo(name: "y", elementType: nil, shape: nil)])
            graph.initializers["w"] = Tensor(name: "w", floats: [Float](repeating: 0.5, count: 4096), dims: [64, 64])
            graph.nodes = [Node("MatMul", inputs: ["x", "w"], outputs: ["y"])]
            let model = Model(graph: graph, opset: 17)
            let refusals = TensorTrainFactorization().refusals(for: model.layers(), in: model, shapes: ["x": [1, 6, 64], "y": [1, 6, 64]])
            #expect(refusals == [shape == nil ? "how many dimensions its input has is not known" : nil])
        }
    }

    /// Ranks that save nothing leave the layer, and say so.
    @Test(arguments: ["svd", "spatial-svd", "tucker-2", "cp", "tensor-train"]) func leavesLayersThatWouldGrow(technique: String) throws {
        let model = try Model.read(path: Samples.path("resnet-8"))
        var parameters: [String: ParameterValue] = ["mode": .choice("rank"), "rank": .integer(4096)]
        if technique == "tucker-2" { parameters["input-rank"] = .integer(4096) }
        let recipe = Recipe(steps: [RecipeStep(technique: technique, parameters: ParameterValues(parameters))])
        let applied = try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext())
        #expect(applied.reports[0].notes.count == applied.reports[0].layers.count && applied.reports[0].notes.allSatisfy { $0.contains("saves nothing") })
        #expect(try applied.model.serialized().joined() == model.serialized().joined())
    }

    @Test(arguments: ["spatial-svd", "tucker-2", "cp", "tensor-train"]) func sameBytesTwice(technique: String) throws {
        let model = try Model.read(path: Samples.path("lenet-5"))
        let recipe = Recipe(seed: 3, steps: [RecipeStep(technique: technique, parameters: ParameterValues())])
        let first = try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext()).model.serialized().joined()
        #expect(try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext()).model.serialized().joined() == first)
    }

    /// Where a factorized model is slower, that its layers became small ones is named as a likely cause.
    @Test(arguments: ["svd", "tucker-2", "cp"]) func slowdownNamesTheSplitLayers(technique: String) throws {
        let model = try Model.read(path: Samples.path("resnet-8"))
        let recipe = Recipe(steps: [RecipeStep(technique: technique, parameters: ParameterValues(["ratio": .real(0.4)]))])
        let applied = try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext()).model
        let figures = LatencyFigures(
            baselineMedian: 1, baselineP90: 1.1, candidateMedian: 1.2, candidateP90: 1.3, ratio: 1.2, ratioP90: 1.3, ratioInterval: Interval(low: 1.1, high: 1.3),
            batch: 1, threads: 1, rounds: 100, instructionSet: "AVX2", runtimeVersion: "1.31.1")
        let causes = SlowdownCause.likely(baseline: model, candidate: applied, figures: figures)
        #expect(causes.contains { $0.contains("layers so small") })
        #expect(!SlowdownCause.likely(baseline: model, candidate: model, figures: figures).contains { $0.contains("layers so small") })
    }

    @Test func embeddingsBecomeANarrowTableAndAProjection() throws {
        let folder = try TemporaryFolder()
        let model = try Model.read(path: try Self.form("embedding", in: folder))
        let recipe = Recipe(steps: [
            RecipeStep(technique: "embedding-factorization", parameters: ParameterValues(["mode": .choice("rank"), "rank": .integer(4)]))
        ])
        let applied = try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext())
        #expect(applied.model.graph.nodes.map(\.opType) == ["Gather", "MatMul"])
        let shapes: Set<[Int]> = Set(applied.model.graph.initializers.values.map(\.dims))
        #expect(shapes == [[50, 4], [4, 12]])
    }
}
