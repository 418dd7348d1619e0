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

/// Keys and values in front of attention's own.
@Suite struct PrefixTuningTests {
    /// How the scores are masked between the products, as exporters write it.
    enum Mask: String, CaseIterable, Sendable { case none, added, chosen, multiplied, guarded }

    /// One attention over sequences of any length. Tokens whose first number is below −0.5 are masked out for all others.
    static func attention(_ mask: Mask, heads: Int = 2, width: Int = 8, joined: Bool = false, opset: Int = 17, length: Int? = nil) -> Model {
        var b = GraphBuilder(input: [nil, nil, width], opset: opset)
        b.graph.inputs[0].shape = [.symbolic("batch"), length.map { .fixed($0) } ?? .symbolic("length"), .fixed(width)]
        let split = b.integers("split.shape", [0, -1, Int64(heads), Int64(width / heads)])
        let whole = b.integers("whole.shape", [0, -1, Int64(width)])
        func head(_ name: String, _ order: [Int]) -> String {
            let value = b.matMul("x", name, (width, width))
            // Without heads the samples are all that stands in front of the tokens.
            if joined {
                return order == [0, 2, 3, 1] ? b.node("Transpose", [value], name + ".heads", [("perm", .integers([0, 2, 1]))]) : b.node("Identity", [value], name + ".heads")
            }
            return b.node("Transpose", [b.node("Reshape", [value, split], name + ".split")], name + ".heads", [("perm", .integers(order))])
        }
        func scalar(_ name: String, _ value: Float) -> String {
            b.graph.initializers[name] = Tensor(name: name, floats: [value], dims: [])
            return name
        }
        let scores = b.node("MatMul", [head("q", [0, 2, 1, 3]), head("k", [0, 2, 3, 1])], "scores")
        var value = b.node("Mul", [scores, scalar("scale", 0.5)], "scaled")
        if mask != .none {
            let first = b.node(
                "Gather",
                [
                    "x",
                    {
                        b.graph.initializers["zero"] = Tensor(name: "zero", int64s: [0], dims: [])
                        return "zero"
                    }(),
                ], "first", [("axis", .integer(2))])
            b.graph.initializers["places"] = Tensor(name: "places", int64s: joined ? [1] : [1, 2], dims: [joined ? 1 : 2])
            let row = b.node("Unsqueeze", [first, "places"], "row")
            let open = b.node("Greater", [row, scalar("bound", -0.5)], "open")
            switch mask {
            case .added: value = b.node("Add", [value, b.node("Where", [open, scalar("free", 0), scalar("far", -10_000)], "penalty")], "masked")
            case .chosen: value = b.node("Where", [b.node("Not", [open], "closed"), scalar("least", -10_000), value], "masked")
            case .multiplied: value = b.node("Mul", [b.node("Cast", [open], "factor", [("to", .integer(1))]), value], "masked")
            case .guarded: value = b.node("Where", [open, value, scalar("least", -10_000)], "masked")
            case .none: break
            }
        }
        var weights = b.node("Softmax", [value], "weights", [("axis", .integer(-1))])
        if mask == .guarded { weights = b.node("Where", [b.node("IsNaN", [weights], "bad"), scalar("nothing", 0), weights], "safe") }
        let mixed = b.node("MatMul", [weights, head("v", [0, 2, 1, 3])], "mixed")
        let back = joined ? mixed : b.node("Reshape", [b.node("Transpose", [mixed], "back", [("perm", .integers([0, 2, 1, 3]))]), whole], "together")
        var model = b.model(b.matMul(back, "out", (width, width)))
        model.graph.outputs[0].shape = model.graph.inputs[0].shape
        return model
    }

    static func products(_ model: Model, _ shapes: [String: [Int]]) throws -> (AttentionProducts, AttentionProjections.Attention) {
        let entry = try #require(AttentionTargets(model, layers: model.layers(), shapes: shapes, masks: true).entries.first)
        return (try #require(entry.products, "\(entry.reason ?? "")"), entry.attention)
    }

    private static func prefixed(_ model: Model, length: Int) throws -> (model: Model, prefix: AttentionPrefix) {
        let shapes = try Fixture.shapes(of: model, [Fixture.normal("x", [1, 5, 8], seed: 1)])
        let (products, attention) = try Self.products(model, shapes)
        let (keys, values) = (try #require(shapes[products.keys]), try #require(shapes[products.values]))
        let heads = AttentionPrefix.heads(attention, keys: keys, values: values, model.layers())
        let leading = heads > 1 ? [1, heads] : [Int](repeating: 1, count: keys.count - 2)
        let (width, valueWidth) = (keys[keys.count - 2], values[values.count - 1])
        let prefix = AttentionPrefix(
            products: products, name: "attention", length: length, keyDims: leading + [width, length], valueDims: leading + [length, valueWidth],
            keys: Fixture.normal(heads * width * length, seed: 11), values: Fixture.normal(heads * length * valueWidth, seed: 12))
        var result = model
        let names = try AttentionPrefix.insert([prefix], into: &result, shapes: shapes)
        #expect(names == [["attention/prefix_keys", "attention/prefix_values"]])
        return (result, prefix)
    }

    /// Li and Liang 2021, equation 7, in NumPy: softmax over prefix and tokens, prefixes open to all, beside Python's onnxruntime on the
    /// rewritten graph at other batches and lengths than it was made for.
    private static let reference = """
        import onnx, onnxruntime as ort
        from onnx import helper, numpy_helper
        for plain, prefixed, mask in zip(args[::3], args[1::3], args[2::3]):
            onnx.checker.check_model(onnx.load(prefixed), full_check=True)
            a, b = onnx.load(plain), onnx.load(prefixed)
            t = {i.name: numpy_helper.to_array(i).astype(np.float64) for i in b.graph.initializer}
            for name in ['q.heads', 'k.heads', 'v.heads']: a.graph.output.append(helper.make_empty_tensor_value_info(name))
            b.graph.output.append(helper.make_empty_tensor_value_info('mixed'))
            a, b = ort.InferenceSession(a.SerializeToString()), ort.InferenceSession(b.SerializeToString())
            worst = 0
            for batch, length in [(1, 5), (3, 7), (2, 1)]:
                x = np.random.default_rng(length).standard_normal((batch, length, 8)).astype(np.float32)
                q, k, v = (y.astype(np.float64) for y in a.run(['q.heads', 'k.heads', 'v.heads'], {'x': x}))
                p, r = t['attention/prefix_keys'], t['attention/prefix_values']
                n = p.shape[-1]
                s = 0.5 * np.concatenate([q @ p, q @ k], -1)
                open = np.ones((batch, n + length)); open[:, n:] = x[:, :, 0] > -0.5
                open = open.reshape((batch,) + (1,) * (s.ndim - 2) + (n + length,))
                if mask == 'multiplied': s = s * open
                elif mask != 'none': s = np.where(open > 0, s, -1e4)
                w = np.exp(s - s.max(-1, keepdims=True)); w /= w.sum(-1, keepdims=True)
                expected = w @ np.concatenate([np.broadcast_to(r, v.shape[:-2] + r.shape[-2:]), v], -2)
                found, out = b.run(['mixed', b.get_outputs()[0].name], {'x': x})
                assert out.shape == (batch, length, 8)
                worst = max(worst, np.abs(expected - found).max() / np.abs(expected).max())
            print(worst)
        """

    @Test func computesWhatTheFormulaSays() throws {
        let folder = try TemporaryFolder()
        var arguments: [String] = []
        let forms = Mask.allCases.flatMap { mask in [(mask, false, 17), (mask, true, 13)] }
        for (number, form) in forms.enumerated() {
            let model = Self.attention(form.0, joined: form.1, opset: form.2)
            let (prefixed, prefix) = try Self.prefixed(model, length: 3)
            #expect(prefix.keyDims == (form.1 ? [1, 8, 3] : [1, 2, 4, 3]))
            #expect(prefixed.graph.inputs.map(\.name) == ["x"] && prefixed.graph.outputs.map(\.name) == model.graph.outputs.map(\.name))
            arguments += [try model.written(folder, "\(number)-plain.onnx"), try prefixed.written(folder, "\(number)-prefixed.onnx"), form.0.rawValue]
        }
        let found = PythonComparison.numbers(try Python.run(Self.reference, arguments: arguments))
        try #require(found.count == forms.count)
        for (form, difference) in zip(forms, found) { #expect(difference < 1e-5, "\(form): \(difference)") }
    }

    /// What reads the number of keys, or the scores themselves, refuses prefixes.
    @Test func whatNeedsTheScoresRefuses() throws {
        var shown = Self.attention(.none)
        shown.graph.outputs.append(ValueInfo(name: "weights", elementType: .float32, shape: nil))
        #expect(PrefixTuning().refusals(for: shown.layers(), in: shown, shapes: [:]).contains { $0 == "its scores are an output of the model" })
        var counted = Self.attention(.none)
        counted.graph.nodes.append(Node("Shape", name: "count", inputs: ["scaled"], outputs: ["count"]))
        counted.graph.outputs.append(ValueInfo(name: "count", elementType: .int64, shape: nil))
        #expect(PrefixTuning().refusals(for: counted.layers(), in: counted, shapes: [:]).contains { $0?.hasPrefix("Shape reads its scores") ?? false })
        let model = try Fixture.sample("lenet-5")
        #expect(PrefixTuning().refusals(for: model.layers(), in: model, shapes: [:]).allSatisfy { $0 != nil })
        let transformer = try Fixture.sample("transformer")
        let free = zip(transformer.layers(), PrefixTuning().refusals(for: transformer.layers(), in: transformer, shapes: [:])).filter { $1 == nil }.map(\.0.id)
        #expect(free.count == 6 && free.allSatisfy { $0.contains("/attention/") && !$0.contains("output") })
    }

    @Test(.long, arguments: ["data", "random"]) func onlyPrefixesAreTrained(_ start: String) throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("transformer", in: folder, training: 96)
        let parameters: [String: ParameterValue] = ["epochs": .integer(1), "keep": .choice("last"), "learning-rate": .real(0.01), "length": .integer(5), "start": .choice(start)]
        let applied = try FewImages.apply("prefix-tuning", parameters, to: session)
        for (name, tensor) in session.model.graph.initializers { #expect(applied.model.graph.initializers[name]?.floats() == tensor.floats(), "\(name)") }
        let report = try #require(applied.reports.last)
        // Two layers of four heads with keys and values of 16 numbers.
        #expect(report.training?.trainedParameters == 2 * 4 * 5 * (16 + 16))
        #expect(report.notes.contains { $0.contains("1280 of \(LearningStep.parameterCount(session.model)) parameters trained") })
        let again = try FewImages.apply("prefix-tuning", parameters, to: FewImages.session("transformer", in: folder, training: 96)).model
        #expect(try applied.model.serialized().joined() == again.serialized().joined(), "the same bytes twice")
        var other = parameters
        other["learning-rate"] = .real(0.001)
        #expect(try PythonComparison.difference(applied.model, FewImages.apply("prefix-tuning", other, to: session).model) > 1e-5, "they learn something")
    }

    /// Real keys and values: each place of a prefix is one token's of one sample.
    @Test func startsAreTokensOfSamples() throws {
        let prefix = try Self.prefixed(Self.attention(.none), length: 6).prefix
        let keys = (0..<120).map { Float($0) }
        let values = keys.map { $0 + 1000 }
        var generator = SeededGenerator(seed: 3)
        let drawn = try prefix.drawn(keys: ([3, 2, 4, 5], keys), values: ([3, 2, 5, 4], values), &generator)
        let (p, r) = (try #require(drawn[0].floats()), try #require(drawn[1].floats()))
        for place in 0..<6 {
            let first = Int(p[place])
            let (sample, token) = (first / 40, first % 5)
            for head in 0..<2 {
                for index in 0..<4 {
                    #expect(p[(head * 4 + index) * 6 + place] == Float(((sample * 2 + head) * 4 + index) * 5 + token))
                    #expect(r[(head * 6 + place) * 4 + index] == Float(((sample * 2 + head) * 5 + token) * 4 + index) + 1000)
                }
            }
        }
    }

    /// Masks that are computed from constants alone are masks too.
    @Test func masksOfConstantsAreWidenedOrRefused() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("transformer", in: folder, training: 64)
        let training = ParameterValues(["epochs": .integer(1), "batch": .integer(32), "learning-rate": .real(0.00001)])
        let mask = RecipeStep(technique: "attention-mask", parameters: ParameterValues(["window": .integer(3)]))
        let source = try session.trainingSource(store: nil)
        let masked = try session.apply(Recipe(steps: [mask])).model
        let prefixed = try session.apply(Recipe(steps: [mask, RecipeStep(technique: "prefix-tuning", parameters: training)]), training: source).model
        func weights(_ model: Model) throws -> Fixture.Output {
            var exposed = model
            let softmax = try #require(model.graph.nodes.first { $0.opType == "Softmax" }?.outputs.first)
            exposed.graph.outputs = [ValueInfo(name: softmax, elementType: nil, shape: nil)]
            return try Fixture.run(exposed, [Fixture.normal("image", [1, 1, 28, 28], seed: 2)])[0]
        }
        let (before, after) = (try weights(masked), try weights(prefixed))
        #expect(before.shape == [1, 4, 28, 28] && after.shape == [1, 4, 28, 36])
        for row in 0..<4 * 28 {
            let open = after.values[row * 36 + 8..<(row + 1) * 36].reduce(0, +)
            for key in 0..<28 { #expect(abs(after.values[row * 36 + 8 + key] - open * before.values[row * 28 + key]) < 1e-5) }
            #expect((0..<8).allSatisfy { after.values[row * 36 + $0] > 0 })
        }
        #expect(throws: EngineError.self) { try session.apply(Recipe(steps: [mask, RecipeStep(technique: "linear-attention", parameters: training)]), training: source) }
    }

    /// What follows in a recipe still works on an attention with prefixes, or says that it does not.
    @Test(.long, arguments: ["head-pruning", "structured-pruning", "static-int8", "magnitude-pruning", "grouped-queries"]) func othersMayFollow(_ next: String) throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("transformer", in: folder, training: 64)
        let training: [String: ParameterValue] = ["epochs": .integer(1), "batch": .integer(32)]
        let steps = [
            RecipeStep(technique: "prefix-tuning", parameters: ParameterValues(training)),
            RecipeStep(technique: next, parameters: ParameterValues(next == "grouped-queries" ? training : [:])),
        ]
        let applied: AppliedModel
        do {
            applied = try session.apply(Recipe(steps: steps), training: session.trainingSource(store: nil))
        } catch let error as EngineError {
            #expect(error.kind == .technique || error.kind == .data, "\(error.message)")
            return
        }
        let input = [Fixture.normal("image", [3, 1, 28, 28], seed: 2)]
        #expect(try Fixture.run(applied.model, input)[0].shape == [3, 10])
    }
}
