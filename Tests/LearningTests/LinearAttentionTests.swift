import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import Factorization
@testable import Learning
@testable import Measurement
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// Attention by sums over keys.
@Suite struct LinearAttentionTests {
    private static func linear(_ model: Model, length: Int = 5) throws -> Model {
        let shapes = try Fixture.shapes(of: model, [Fixture.normal("x", [1, length, 8], seed: 1)])
        let products = try #require(AttentionTargets(model, layers: model.layers(), shapes: shapes, masks: false).entries.first?.products)
        var result = model
        LinearAttention.replace([products], in: &result)
        result.graph.removeDeadCode()
        return result
    }

    /// Katharopoulos et al. 2020, equation 4: weights φ(q)·φ(k) over their sum, with all n × n of them, in NumPy, beside Python's onnxruntime on
    /// the rewritten graph.
    private static let reference = """
        import onnx, onnxruntime as ort
        from onnx import helper
        for plain, linear in zip(args[::2], args[1::2]):
            onnx.checker.check_model(onnx.load(linear), full_check=True)
            a, b = onnx.load(plain), onnx.load(linear)
            assert not any(n.op_type == 'Softmax' for n in b.graph.node)
            for name in ['q.heads', 'k.heads', 'v.heads']: a.graph.output.append(helper.make_empty_tensor_value_info(name))
            b.graph.output.append(helper.make_empty_tensor_value_info('mixed'))
            a, b = ort.InferenceSession(a.SerializeToString()), ort.InferenceSession(b.SerializeToString())
            worst = 0
            phi = lambda x: np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))
            for batch, length in [(1, 5), (3, 9), (2, 1)]:
                x = np.random.default_rng(length).standard_normal((batch, length, 8)).astype(np.float32)
                q, k, v = (y.astype(np.float64) for y in a.run(['q.heads', 'k.heads', 'v.heads'], {'x': x}))
                w = phi(q) @ phi(k); w /= w.sum(-1, keepdims=True)
                expected = w @ v
                found, out = b.run(['mixed', b.get_outputs()[0].name], {'x': x})
                assert out.shape == (batch, length, 8)
                worst = max(worst, np.abs(expected - found).max() / np.abs(expected).max())
            print(worst)
        """

    @Test func computesWhatTheFormulaSays() throws {
        let folder = try TemporaryFolder()
        let forms = [(false, 17), (true, 17), (false, 13), (false, 12), (true, 11)]
        var arguments: [String] = []
        for (number, form) in forms.enumerated() {
            let model = PrefixTuningTests.attention(.none, joined: form.0, opset: form.1)
            arguments += [try model.written(folder, "\(number)-plain.onnx"), try Self.linear(model).written(folder, "\(number)-linear.onnx")]
        }
        let found = PythonComparison.numbers(try Python.run(Self.reference, arguments: arguments))
        try #require(found.count == forms.count)
        for (form, difference) in zip(forms, found) { #expect(difference < 1e-5, "\(form): \(difference)") }
    }

    /// Queries and keys far below zero have features that vanish in single precision: still numbers come out.
    @Test func vanishingFeaturesStayNumbers() throws {
        let linear = try Self.linear(PrefixTuningTests.attention(.none))
        var input = Fixture.normal("x", [1, 6, 8], seed: 3)
        input = input.withFloats((input.floats() ?? []).map { $0 * 1000 })
        #expect(try Fixture.run(linear, [input])[0].values.allSatisfy(\.isFinite))
    }

    @Test(arguments: [PrefixTuningTests.Mask.added, .chosen, .guarded, .multiplied]) func masksAreRefused(_ mask: PrefixTuningTests.Mask) throws {
        let model = PrefixTuningTests.attention(mask)
        let shapes = try Fixture.shapes(of: model, [Fixture.normal("x", [1, 5, 8], seed: 1)])
        for known in [[:], shapes] {
            let refusals = LinearAttention().refusals(for: model.layers(), in: model, shapes: known)
            #expect(refusals.allSatisfy { $0 != nil } && refusals.contains { $0?.hasPrefix("it has a mask") ?? false }, "\(refusals)")
        }
    }

    /// MACs counted on the rewritten graph: 2·n·d² + n·d for each head in place of 2·n²·d.
    @Test(arguments: [3, 4, 5, 64]) func savesWhereSequencesAreLongerThanHeadsAreWide(_ length: Int) throws {
        let model = PrefixTuningTests.attention(.none, length: length)
        func macs(_ model: Model) throws -> Double {
            let shapes = try Fixture.shapes(of: model, [Fixture.normal("x", [1, length, 8], seed: 1)])
            return Compute.macs(of: model.graph, shapes: ValueShapes(shapes.mapValues { ValueShapes.Value(dims: $0, elementType: .float32) })).values.reduce(0, +)
        }
        let (before, after) = (try macs(model), try macs(Self.linear(model, length: length)))
        let (heads, d) = (2, 4)
        #expect(after - before == Double(heads * (2 * length * d * d + length * d - 2 * length * length * d)))
        #expect((after < before) == (length > d))
    }

    @Test(.long) func trainsByDistillation() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("transformer", in: folder, training: 96)
        let parameters: [String: ParameterValue] = ["epochs": .integer(2), "keep": .choice("last")]
        let applied = try FewImages.apply("linear-attention", parameters, to: session)
        #expect(applied.model.graph.nodes.allSatisfy { $0.opType != "Softmax" })
        let epochs = try #require(applied.reports.last?.training?.epochs)
        #expect(try #require(epochs[2].loss) < #require(epochs[1].loss))
        let again = try FewImages.apply("linear-attention", parameters, to: FewImages.session("transformer", in: folder, training: 96)).model
        #expect(try applied.model.serialized().joined() == again.serialized().joined(), "the same bytes twice")
    }
}
