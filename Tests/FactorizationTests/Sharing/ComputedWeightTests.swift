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

/// Techniques that compute weights from fewer numbers, against what ONNX Runtime makes of the file.
@Suite struct ComputedWeightTests {
    /// Python: `args = [form, path]`: two layers alike, of every form that holds weights, large enough to win something.
    static let forms = """
        import onnx
        from onnx import helper, numpy_helper, TensorProto as T
        form, path = args
        rng = np.random.default_rng(3)
        kind, opset, weights, nodes = np.float32, 17, {}, []
        def weight(name, *shape):
            # Smooth along the inputs, so that there is something to predict.
            w = rng.standard_normal(shape)
            weights[name] = ((w + np.roll(w, 1, -1) + np.roll(w, 2, -1)) / 8).astype(kind); return name
        def node(op, inputs, output, **attributes): nodes.append(helper.make_node(op, inputs, [output], name=output + '_node', **attributes))
        def two(op, *shape, **attributes):
            node(op, ['x', weight('u', *shape)], 'h', **attributes); node('Relu', ['h'], 'r'); node(op, ['r', weight('w', *shape)], 'y', **attributes)
        x = [None, 144]
        if form == 'gemm': two('Gemm', 144, 144)
        elif form == 'gemm_transB': two('Gemm', 144, 144, transB=1)
        elif form == 'matmul': two('MatMul', 144, 144)
        elif form == 'odd_columns': x = [None, 131]; two('MatMul', 131, 131)
        elif form == 'conv': x = [None, 48, 9, 9]; two('Conv', 48, 48, 3, 3, pads=[1, 1, 1, 1])
        elif form == 'conv_1d': x = [None, 48, 30]; two('Conv', 48, 48, 5, pads=[2, 2])
        elif form == 'grouped': x = [None, 96, 6, 6]; two('Conv', 96, 48, 3, 3, group=2, pads=[1, 1, 1, 1])
        elif form == 'conv_transpose': x = [None, 48, 5, 5]; two('ConvTranspose', 48, 48, 3, 3, pads=[1, 1, 1, 1])
        elif form == 'float16': kind = np.float16; two('Gemm', 144, 144)
        elif form == 'image':
            x = [None, 1, 16, 16]; node('Flatten', ['x'], 'f')
            v, u = np.mgrid[0:16, 0:16] / 16
            weights['u'] = np.stack([np.cos(rng.uniform(0, 9) * u + rng.uniform(0, 9) * v + rng.uniform(0, 6)).ravel() for _ in range(100)]).astype(kind)
            node('Gemm', ['f', 'u'], 'y', transB=1)
        elif form == 'embedding': x = [2, 6]; node('Gather', [weight('u', 600, 64), 'x'], 'h'); node('Gather', [weight('w', 600, 64), 'x'], 'k'); node('Add', ['h', 'k'], 'y')
        elif form == 'lstm':
            x = [7, 2, 64]
            for n, i, o in (('1', 'x', 's'), ('2', 's', 'z')):
                nodes.append(helper.make_node('LSTM', [i, weight('w' + n, 1, 256, 64), weight('r' + n, 1, 256, 64)], ['l' + n], hidden_size=64, name='l' + n))
                node('Squeeze', ['l' + n, 'axis'], o)
            weights['axis'] = np.array([1]); node('Identity', ['z'], 'y')
        elif form == 'subgraph':
            weight('w', 144, 144); node('MatMul', ['x', 'w'], 'h')
            def branch(name, extra):
                t = [numpy_helper.from_array((rng.standard_normal((144, 144)) / 8).astype(np.float32), name + '_w')] if extra else []
                return helper.make_graph([helper.make_node('MatMul', ['h', name + '_w' if extra else 'w'], [name], name=name + '_node')], name, [], [helper.make_tensor_value_info(name, T.FLOAT, None)], t)
            nodes.append(helper.make_node('If', ['flag'], ['y'], name='choice', then_branch=branch('yes', True), else_branch=branch('no', False)))
        else: raise SystemExit('no form ' + form)
        element = {np.float32: T.FLOAT, np.float16: T.FLOAT16}[kind]
        inputs = [helper.make_tensor_value_info('x', T.INT64 if form == 'embedding' else element, [d or 'n' for d in x])]
        if form == 'subgraph': inputs.append(helper.make_tensor_value_info('flag', T.BOOL, []))
        graph = helper.make_graph(nodes, 'g', inputs, [helper.make_tensor_value_info('y', element, None)], [numpy_helper.from_array(v, k) for k, v in weights.items()])
        onnx.save(onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=8)), path)
        """

    /// Python: `args = [original, rewritten, out]`: ONNX's checker; the value that each layer of the rewritten model reads as weight, in ONNX Runtime, into
    /// `out`, with `<out>.before` what the original holds there; prints how many.
    private static let read = """
        import onnx, onnxruntime as ort
        from onnx import numpy_helper
        ort.set_default_logger_severity(3)
        a, b = onnx.load(args[0]), onnx.load(args[1])
        onnx.checker.check_model(b, full_check=True)
        before = {t.name: numpy_helper.to_array(t) for t in a.graph.initializer}
        kept = {t.name: numpy_helper.to_array(t) for t in b.graph.initializer}
        named = {n.name: n for n in a.graph.node}
        pairs = [(before[o], n) for node in b.graph.node if node.name in named for o, n in zip(named[node.name].input, node.input) if o in before and o != n]
        ort.InferenceSession(b.SerializeToString(), providers=['CPUExecutionProvider'])
        for _, name in pairs: b.graph.output.append(onnx.ValueInfoProto(name=name)) if name not in kept else None
        feeds = {}
        types = {'tensor(float)': np.float32, 'tensor(float16)': np.float16, 'tensor(int64)': np.int64, 'tensor(bool)': bool}
        session = ort.InferenceSession(b.SerializeToString(), providers=['CPUExecutionProvider'])
        for i in session.get_inputs(): feeds[i.name] = np.ones([d if isinstance(d, int) else 2 for d in i.shape], types[i.type])
        values = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))
        old = [w.astype(np.float32).ravel() for w, _ in pairs]; new = [(values.get(n) if n in values else kept[n]).astype(np.float32).ravel() for _, n in pairs]
        if pairs: np.concatenate(old).tofile(args[2] + '.before'); np.concatenate(new).tofile(args[2])
        print(len(pairs))
        """

    static func model(_ form: String, _ folder: TemporaryFolder) throws -> Model {
        try Python.run(forms, form, folder.path + "/m.onnx")
        return try Model.read(path: folder.path + "/m.onnx")
    }

    static func apply(
        _ technique: String, _ parameters: [String: ParameterValue], to model: Model, calibration: (any CalibrationSource)? = nil, shapes: [String: [Int]] = [:]
    ) throws -> AppliedModel {
        let recipe = Recipe(steps: [RecipeStep(technique: technique, parameters: ParameterValues(parameters))])
        return try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext(calibration: calibration, shapes: shapes))
    }

    /// The weights before and after, as ONNX Runtime has them.
    static func weights(_ rewritten: Model, _ folder: TemporaryFolder) throws -> (before: [Float], after: [Float]) {
        let count = try Python.run(read, folder.path + "/m.onnx", try rewritten.written(folder, "r.onnx"), folder.path + "/w")
        guard Int(count.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0 > 0 else { return ([], []) }
        return (try Python.floats(folder.path + "/w.before"), try Python.floats(folder.path + "/w"))
    }

    static func error(_ pair: (before: [Float], after: [Float])) -> Double {
        let norm = pair.before.reduce(0.0) { $0 + Double($1) * Double($1) }
        return zip(pair.before, pair.after).reduce(0.0) { $0 + pow(Double($1.0 - $1.1), 2) } / norm
    }

    /// What is said to stay in memory is what ONNX Runtime keeps: the constants of the graph that it runs, which it can write.
    @Test(arguments: ["gemm", "conv"], ["hashednets", "product-quantization", "parameter-prediction", "codebook-quantization", "weight-quantization"])
    func weightsInMemory(form: String, technique: String) throws {
        let folder = try TemporaryFolder()
        let made = try Self.apply(technique, [:], to: try Self.model(form, folder)).model
        let kept = try Python.run(
            """
            import onnx, onnxruntime as ort
            options = ort.SessionOptions(); options.log_severity_level = 4
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.optimized_model_filepath = args[1]
            ort.InferenceSession(args[0], options, providers=['CPUExecutionProvider'])
            print(sum(onnx.numpy_helper.to_array(t).nbytes for t in onnx.load(args[1]).graph.initializer))
            """, try made.written(folder, "r.onnx"), folder.path + "/o.onnx")
        let expected = try #require(Int(kept.trimmingCharacters(in: .whitespacesAndNewlines)))
        let shapes = try Fixture.shapes(of: made, Fixture.inputs(for: made, batch: 1)).mapValues { ValueShapes.Value(dims: $0, elementType: .float32) }
        let found = made.graph.residentWeightBytes(ValueShapes(shapes))
        #expect(abs(found - expected) <= expected / 100, "\(found) bytes, ONNX Runtime keeps \(expected)")
    }

    /// ONNX Runtime does not fold DequantizeLinear: the integers stay, and a float copy is made in every run unless the product is of integers.
    @Test func dequantizedWeightsAreMadeInEveryRun() {
        var graph = Graph(
            name: "g", inputs: [ValueInfo(name: "x", elementType: .float32, shape: [.fixed(1), .fixed(4)])], outputs: [ValueInfo(name: "y", elementType: nil, shape: nil)])
        graph.initializers["q"] = Tensor(name: "q", int64s: [Int64](repeating: 1, count: 16), dims: [4, 4])
        graph.initializers["s"] = Tensor(name: "s", floats: [0.5], dims: [])
        graph.nodes = [Node("DequantizeLinear", inputs: ["q", "s"], outputs: ["w"]), Node("MatMul", inputs: ["x", "w"], outputs: ["y"])]
        let shapes = ValueShapes([
            "w": .init(dims: [4, 4], elementType: .float32), "x": .init(dims: [1, 4], elementType: .float32), "y": .init(dims: [1, 4], elementType: .float32),
        ])
        #expect(graph.dequantizedAtRun() == ["w"])
        #expect(graph.residentWeightBytes(shapes) == 16 * 8 + 4)
        #expect(ActivationMemory.peakBytes(of: graph, shapes: shapes) == 64 + 16 + 16)
        graph.nodes.insert(contentsOf: [Node("QuantizeLinear", inputs: ["x", "s"], outputs: ["xq"]), Node("DequantizeLinear", inputs: ["xq", "s"], outputs: ["xf"])], at: 0)
        graph.nodes[3].inputs[0] = "xf"
        #expect(graph.dequantizedAtRun().isEmpty)
    }

    static let all = ["gemm", "gemm_transB", "matmul", "odd_columns", "conv", "conv_1d", "grouped", "conv_transpose", "float16", "embedding", "lstm", "subgraph"]

    /// Every form runs, shrinks as predicted, stays a model of the same layers and MACs, and comes out the same twice.
    @Test(arguments: all, ["hashednets", "product-quantization", "weight-tying", "parameter-prediction"])
    func everyForm(form: String, technique: String) throws {
        let folder = try TemporaryFolder()
        let model = try Self.model(form, folder)
        let layers = model.layers()
        let refusals = try #require(TechniqueRegistry.technique(technique)).refusals(for: layers, in: model, shapes: [:])
        guard refusals.contains(where: { $0 == nil }) else {
            // Only where nothing can be predicted, or tied.
            #expect(technique == "parameter-prediction" ? ["embedding", "lstm", "conv_transpose"].contains(form) : technique == "weight-tying" && form == "subgraph")
            return
        }
        let applied = try Self.apply(technique, [:], to: model)
        let rewritten = applied.model
        #expect(try Self.apply(technique, [:], to: model).model.serialized().joined() == rewritten.serialized().joined())
        #expect(rewritten.layers().map(\.id) == layers.map(\.id), "layers are lost or new")
        #expect(rewritten.layers().map(\.weightShape) == layers.map(\.weightShape))
        let pair = try Self.weights(rewritten, folder)
        guard !pair.after.isEmpty else {
            // No positions to predict from: said, and left alone.
            #expect(technique == "parameter-prediction" && !applied.reports[0].notes.isEmpty)
            return
        }
        #expect(pair.after.allSatisfy(\.isFinite) && Self.error(pair) < 1)
        // The same model in the archive and back; the file is read again with the same layers.
        let read = try Archive.pack(rewritten).joined().withUnsafeBytes { try Archive.unpack($0) }
        #expect(try read.serialized().joined() == rewritten.serialized().joined())
        let (before, after) = (try model.serialized().byteCount, try rewritten.serialized().byteCount)
        #expect(after < before)
        let summaries = try LayerPreparation.summaries(of: model, layers: layers, shapes: nil, cancellation: Cancellation())
        let refused = Dictionary(uniqueKeysWithValues: refusals.enumerated().compactMap { index, reason in reason.map { (index, $0) } })
        let predictor = Predictor(
            baseline: try FigureCounting.figures(of: model, shapes: nil), layers: layers, summaries: summaries, refusals: [technique: refused])
        let predicted = try predictor.figures(for: Recipe(steps: [RecipeStep(technique: technique)])).serializedBytes.value
        if form != "subgraph", form != "lstm" || technique != "product-quantization" {
            #expect(abs(predicted - Double(after)) < 0.1 * Double(before), "\(predicted) predicted, \(after) bytes")
        }
    }

    // MARK: HashedNets

    /// Against NumPy, which knows the hash from its published formula: each weight is its bucket's signed mean, the least-squares fit.
    @Test(arguments: [true, false])
    func hashedValuesAreBucketMeans(signs: Bool) throws {
        let folder = try TemporaryFolder()
        let model = try Self.model("gemm", folder)
        let rewritten = try Self.apply("hashednets", ["ratio": .real(0.05), "signs": .flag(signs)], to: model).model
        _ = try Self.weights(rewritten, folder)
        let coefficients = PositionHash(seed: 0).coefficients.flatMap { $0 }.map(String.init)
        let text = try Python.run(
            """
            w, v = np.fromfile(args[0] + '.before', np.float32), np.fromfile(args[0], np.float32)
            n, k = 144 * 144, round(144 * 144 * 0.05)
            numbers = list(map(int, args[2:]))
            worst = 0
            def digit(i, p, a, b, c, d, e, f):
                x, y = i % 4091, i // 4091
                return (a * x**3 + b * x**2 + c * x + d + e * y**2 + f * y) % p
            for part in range(2):
                h = [digit(i, 4091, *numbers[:6]) * 4093 + digit(i, 4093, *numbers[6:]) for i in range(n)]
                s = np.array([1 - 2 * (x // k % 2) if args[1] == 'true' else 1 for x in h]); g = np.array([x % k for x in h])
                x = w[part * n:][:n].astype(np.float64)
                mean = np.bincount(g, s * x, k) / np.maximum(np.bincount(g, minlength=k), 1)
                worst = max(worst, np.abs(s * mean[g] - v[part * n:][:n]).max())
            print(worst)
            """, arguments: [folder.path + "/w", String(signs)] + coefficients)
        let worst = try #require(Double(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(worst < 1e-6)
        // The file holds the values and little else.
        let (small, large) = (try rewritten.serialized().byteCount, try model.serialized().byteCount)
        #expect(small < large / 20 + 5000)
        let parameters = try FigureCounting.figures(of: rewritten, shapes: nil).parameters.value
        #expect(parameters == Double(2 * Int((144.0 * 144 * 0.05).rounded())))
    }

    @Test func oldOperatorSetsAreRefused() throws {
        let folder = try TemporaryFolder()
        var model = try Self.model("gemm", folder)
        model.opsets[""] = 10
        #expect(HashedNets().refusal(for: model.layers()[0], in: model) == "needs operator set 11, the model has 10")
    }

    // MARK: Product quantization

    /// No worse than SciPy's k-means++ on the same runs of weights, best of three.
    @Test(arguments: [4, 6]) func vectorsAreAsGoodAsSciPys(dimension: Int) throws {
        let folder = try TemporaryFolder()
        let model = try Self.model("gemm_transB", folder)
        let applied = try Self.apply("product-quantization", ["bits": .integer(6), "dimension": .integer(dimension)], to: model).model
        let pair = try Self.weights(applied, folder)
        let text = try Python.run(
            """
            from scipy.cluster.vq import kmeans2
            w = np.fromfile(args[0], np.float32).astype(np.float64).reshape(2, -1, int(args[1]))
            cost = 0
            for x in w: cost += min(((x - c[l]) ** 2).sum() for c, l in (kmeans2(x, 64, iter=20, minit='++', seed=s) for s in range(3)))
            print(cost / (w ** 2).sum())
            """, folder.path + "/w.before", String(dimension))
        let reference = try #require(Double(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(Self.error(pair) < reference * 1.02)
        for part in [pair.after.prefix(144 * 144), pair.after.suffix(144 * 144)] {
            let all = Array(part)
            #expect(Set(stride(from: 0, to: all.count, by: dimension).map { Array(all[$0..<($0 + dimension)]) }).count <= 64)
        }
    }

    /// On the data it looks at, the error of the outputs is smaller than when only the weights' error counts.
    @Test(arguments: ["gemm", "conv", "grouped"]) func outputErrorIsWhatIsMadeSmall(form: String) throws {
        let folder = try TemporaryFolder()
        let model = try Self.model(form, folder)
        let data = TensorCalibration(model, count: 64)
        let layer = model.layers()[0]
        func error(_ choice: String) throws -> Double {
            let applied = try Self.apply("product-quantization", ["bits": .integer(4), "dimension": .integer(4), "error": .choice(choice)], to: model, calibration: data).model
            let truth = try TensorCalibration.values(of: model, ["h"], data.samples)[0].values
            let got = try TensorCalibration.values(of: applied, ["h"], data.samples)[0].values
            return zip(truth, got).reduce(0.0) { $0 + pow(Double($1.0 - $1.1), 2) }
        }
        #expect(layer.id == "h_node")
        let (outputs, weights) = (try error("outputs"), try error("weights"))
        #expect(outputs < weights)
    }

    /// With a codebook for each place the file is that of the product quantizer, and wide layers lose less than with one.
    @Test func codebooksByPlace() throws {
        let folder = try TemporaryFolder()
        let model = try Self.model("gemm_transB", folder)
        let parameters: [String: ParameterValue] = ["bits": .integer(4), "dimension": .integer(4)]
        let one = try Self.weights(try Self.apply("product-quantization", parameters, to: model).model, folder)
        let many = try Self.weights(try Self.apply("product-quantization", parameters.merging(["codebook": .choice("block")]) { $1 }, to: model).model, folder)
        #expect(Self.error(many) < Self.error(one))
    }

    // MARK: Weight tying

    /// Eckart and Young: the residual is what the singular values but the first hold.
    @Test func tiedTensorIsTheBestMultiple() throws {
        let folder = try TemporaryFolder()
        let model = try Self.model("gemm", folder)
        let tied = try Self.apply("weight-tying", [:], to: model).model
        let pair = try Self.weights(tied, folder)
        let text = try Python.run(
            "w = np.fromfile(args[0], np.float32).astype(np.float64).reshape(2, -1)\ns = np.linalg.svd(w, compute_uv=False)\nprint((s[1:] ** 2).sum() / (s ** 2).sum())",
            folder.path + "/w.before")
        let residual = try #require(Double(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(abs(Self.error(pair) / residual - 1) < 1e-4)
        let plain = try Self.apply("weight-tying", ["scale": .flag(false)], to: model).model
        #expect(Set(plain.layers().map(\.weight)).count == 1 && plain.layers().allSatisfy(\.isFloat))
        let (unscaled, scaled) = (try plain.serialized().byteCount, try tied.serialized().byteCount)
        #expect(unscaled < scaled)
    }

    @Test func layersWithoutATwinAreRefused() throws {
        let model = try Fixture.sample("lenet-5")
        let reasons = WeightTying().refusals(for: model.layers(), in: model, shapes: [:])
        #expect(reasons.allSatisfy { $0 == "no other layer has weights of its shape" })
    }

    // MARK: Parameter prediction

    /// Against kernel ridge regression in NumPy on the same kept positions.
    @Test(arguments: ["kept", "all"]) func predictsAsNumPyDoes(fit: String) throws {
        let folder = try TemporaryFolder()
        let model = try Self.model("image", folder)
        let parameters: [String: ParameterValue] = ["fraction": .real(0.25), "width": .real(2), "ridge": .real(0.01), "fit": .choice(fit)]
        let applied = try Self.apply("parameter-prediction", parameters, to: model, shapes: ["x": [1, 1, 16, 16]])
        let pair = try Self.weights(applied.model, folder)
        let positions = try #require(InputPositions(of: model.layers()[0], in: model, index: GraphIndex(model.graph), shapes: ["x": [1, 1, 16, 16]]))
        #expect(positions.height == 16 && positions.width == 16 && positions.channels == 1)
        let kept = ParameterPrediction.spread(positions.kernel(width: 2), count: 256, keeping: 64)
        #expect(Set(kept).count == 64)
        let text = try Python.run(
            """
            w, v = np.fromfile(args[0] + '.before', np.float32).reshape(100, 256).astype(np.float64), np.fromfile(args[0], np.float32).reshape(100, 256)
            y, x = np.divmod(np.arange(256), 16); k = np.exp(-((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2) / 8)
            a = np.array(list(map(int, args[2:]))); d = k[a]
            if args[1] == 'kept': p = w[:, a] @ np.linalg.solve(k[np.ix_(a, a)] + 0.01 * np.eye(64), d)
            else: p = w @ d.T @ np.linalg.solve(d @ d.T + 0.0001 * np.eye(64), d)
            print(np.abs(p - v).max())
            """, arguments: [folder.path + "/w", fit] + kept.map(String.init))
        let worst = try #require(Double(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(worst < 2e-3)
        // Smooth images: a quarter of the weights tells nearly all.
        #expect(Self.error(pair) < 0.01)
        let (small, large) = (try applied.model.serialized().byteCount, try model.serialized().byteCount)
        #expect(small < large * 32 / 100)
    }

    /// Inputs that go together tell each other's weights: with the covariance of the data the outputs are off by less than the kept share suggests.
    @Test func covarianceOfTheInputs() throws {
        let folder = try TemporaryFolder()
        let model = try Self.model("gemm", folder)
        let data = TensorCalibration(model, count: 256)
        let parameters: [String: ParameterValue] = ["fraction": .real(0.4), "kernel": .choice("covariance"), "ridge": .real(0.001)]
        let applied = try Self.apply("parameter-prediction", parameters, to: model, calibration: data)
        let (small, large) = (try applied.model.serialized().byteCount, try model.serialized().byteCount)
        #expect(small < large * 85 / 100)
        let error = Self.error(try Self.weights(applied.model, folder))
        #expect(error < 0.7)
    }
}
