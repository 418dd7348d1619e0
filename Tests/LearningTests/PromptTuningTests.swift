import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Learning
@testable import Recipes
@testable import Techniques
@testable import Training

/// Tokens in front of the first block.
@Suite struct PromptTuningTests {
    /// The sample, written down once more in NumPy with the prompt of the file in front of the tokens, beside Python's onnxruntime on the file.
    private static let reference = """
        import onnx, onnxruntime as ort, math
        from onnx import numpy_helper
        plain, prompted = args
        onnx.checker.check_model(onnx.load(prompted), full_check=True)
        w = {i.name: numpy_helper.to_array(i).astype(np.float64) for i in onnx.load(plain).graph.initializer}
        p = {i.name: numpy_helper.to_array(i).astype(np.float64) for i in onnx.load(prompted).graph.initializer}['prompt']
        n = p.shape[1]
        erf = np.vectorize(math.erf)
        def norm(x, name):
            c = x - x.mean(-1, keepdims=True)
            return c / np.sqrt((c * c).mean(-1, keepdims=True) + 1e-5) * w[name + '.weight'] + w[name + '.bias']
        def dense(x, name): return x @ w[name + '.weight'] + w[name + '.bias']
        s, t = ort.InferenceSession(prompted), ort.InferenceSession(plain)
        for batch in [1, 3]:
            image = np.random.default_rng(batch).standard_normal((batch, 1, 28, 28)).astype(np.float32)
            for q in [None, p]:
                x = dense(image.reshape(batch, 28, 28).astype(np.float64), 'embedding') + w['position']
                if q is not None: x = np.concatenate([np.repeat(q, batch, 0), x], 1)
                for l in ['layers.0', 'layers.1']:
                    y = norm(x, l + '.norm1')
                    h = lambda name: dense(y, l + '.attention.' + name).reshape(batch, -1, 4, 16).transpose(0, 2, 1, 3)
                    a = h('query') @ h('key').transpose(0, 1, 3, 2) / 4
                    a = np.exp(a - a.max(-1, keepdims=True)); a /= a.sum(-1, keepdims=True)
                    x = x + dense((a @ h('value')).transpose(0, 2, 1, 3).reshape(batch, -1, 64), l + '.attention.output')
                    y = dense(norm(x, l + '.norm2'), l + '.ffn1')
                    x = x + dense(y * 0.5 * (1 + erf(y / math.sqrt(2))), l + '.ffn2')
                m = onnx.load(plain)
                m.graph.output.append(onnx.helper.make_empty_tensor_value_info('/layers/layers.1/Add_2_output_0'))
                r = onnx.load(prompted)
                r.graph.output.append(onnx.helper.make_empty_tensor_value_info('/layers/layers.1/Add_2_output_0'))
                found = ort.InferenceSession((m if q is None else r).SerializeToString()).run(['/layers/layers.1/Add_2_output_0'], {'image': image})[0]
                expected = x if q is None else x[:, n:]
                print(np.abs(found - expected).max() / np.abs(expected).max())
            assert s.run(None, {'image': image})[0].shape == t.run(None, {'image': image})[0].shape
        """

    @Test(.long, arguments: ["data", "random"]) func onlyThePromptIsTrainedAndComputesWhatItShould(_ start: String) throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("transformer", in: folder, training: 96)
        let parameters: [String: ParameterValue] = ["epochs": .integer(1), "keep": .choice("last"), "learning-rate": .real(0.05), "length": .integer(5), "start": .choice(start)]
        let applied = try FewImages.apply("prompt-tuning", parameters, to: session)
        for (name, tensor) in session.model.graph.initializers where tensor.elementType == .float32 {
            #expect(applied.model.graph.initializers[name]?.floats() == tensor.floats(), "\(name)")
        }
        let report = try #require(applied.reports.last)
        #expect(report.training?.trainedParameters == 5 * 64)
        #expect(applied.model.graph.inputs.map(\.name) == ["image"] && applied.model.graph.outputs.map(\.name) == ["logits"])
        let again = try FewImages.apply("prompt-tuning", parameters, to: FewImages.session("transformer", in: folder, training: 96)).model
        #expect(try applied.model.serialized().joined() == again.serialized().joined(), "the same bytes twice")
        let found = PythonComparison.numbers(
            try Python.run(Self.reference, arguments: [try session.model.written(folder, "plain.onnx"), try applied.model.written(folder, "prompted.onnx")]))
        #expect(found.count == 4 && found.allSatisfy { $0 < 1e-4 }, "\(found)")
    }

    @Test func modelsWithoutAttentionRefuse() throws {
        let model = try Fixture.sample("lenet-5")
        #expect(PromptTuning().refusals(for: model.layers(), in: model, shapes: [:]).allSatisfy { $0 != nil })
    }

    /// A production encoder with a mask and dimensions that it computes itself: beside the original, cut open at its first block and fed
    /// with the longer sequence and mask.
    @Test(.enabled(if: FileManager.default.fileExists(atPath: Self.encoder))) func aProductionEncoder() throws {
        let folder = try TemporaryFolder()
        let model = try Model.read(path: Self.encoder)
        let ids = [Int64](1000..<1014)
        let shapes = try Fixture.shapes(
            of: model, [Tensor(name: "input_ids", int64s: ids, dims: [2, 7]), Tensor(name: "attention_mask", int64s: ids.map { _ in 1 }, dims: [2, 7])])
        let targets = AttentionTargets(model, layers: model.layers(), shapes: shapes, masks: true)
        #expect(PromptTuning().refusals(for: model.layers(), in: model, shapes: shapes).contains { $0 == nil })
        let plan = try PromptTuning.plan(model, targets, shapes: shapes, integers: nil)
        var prompted = model
        _ = plan.insert(Fixture.normal(4 * 384, seed: 3, scale: 0.5), length: 4, named: "prompt", into: &prompted, shapes: shapes)
        let script = """
            import onnx, onnxruntime as ort
            from onnx import numpy_helper, utils
            plain, prompted, entry, cut = args
            utils.extract_model(plain, cut, [entry, 'attention_mask'], ['onnx::Shape_422'], check_model=False)
            m = onnx.load(plain); m.graph.output.append(onnx.helper.make_empty_tensor_value_info(entry))
            first, rest, whole = (ort.InferenceSession(x) for x in [m.SerializeToString(), cut, prompted])
            p = [numpy_helper.to_array(i) for i in onnx.load(prompted).graph.initializer if i.name == 'prompt'][0]
            for batch, length, pad in [(1, 5, 0), (3, 9, 4), (2, 1, 0)]:
                ids = np.random.default_rng(length).integers(1000, 20000, (batch, length))
                mask = np.ones_like(ids)
                if pad: mask[1:, -pad:] = 0
                x = first.run([entry], {'input_ids': ids, 'attention_mask': mask})[0]
                long = np.concatenate([np.repeat(p, batch, 0), x], 1)
                wide = np.concatenate([np.ones((batch, p.shape[1]), np.int64), mask], 1)
                expected = rest.run(None, {entry: long, 'attention_mask': wide})[0][:, p.shape[1]:]
                found = whole.run(['onnx::Shape_422'], {'input_ids': ids, 'attention_mask': mask})[0]
                others = whole.run(None, {'input_ids': ids, 'attention_mask': mask})
                assert all(np.isfinite(o).all() for o in others)
                shapes = [o.shape for o in first.run(None, {'input_ids': ids, 'attention_mask': mask})]
                assert [o.shape for o in others] == shapes[:len(others)]
                assert found.shape == expected.shape
                print(np.abs(found - expected).max() / np.abs(expected).max())
            """
        let found = PythonComparison.numbers(
            try Python.run(script, arguments: [Self.encoder, try prompted.written(folder, "prompted.onnx"), plan.entry, folder.path + "/cut.onnx"]))
        #expect(found.count == 3 && found.allSatisfy { $0 < 1e-4 }, "\(found)")
    }

    private static var encoder: String { (ProcessInfo.processInfo.environment["LATHE_REAL_MODELS"] ?? "") + "/paraphrase_minilm_l3_fp32.onnx" }
}
