import Measurement
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import Recipes
@testable import Techniques

/// Static and dynamic int8, half and bfloat16 storage, in Python's onnxruntime.
@Suite struct IntegerTests {
    /// bfloat16 against the definition: the nearest float with eight significant bits, ties to even; by NumPy on the bits.
    @Test(arguments: ["gemm", "conv", "lstm", "embedding", "subgraph", "tied"]) func bfloat16IsTheUpperHalf(form: String) throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form(form, in: folder)
        let made = try Fixture.apply("bf16", to: model).model
        let path = try made.written(folder, "bf16.onnx")
        try Python.run(
            """
            import onnx
            from onnx import numpy_helper
            a, b = onnx.load(args[0]), onnx.load(args[1])
            t = {x.name: x for x in b.graph.initializer}
            checked = 0
            for x in a.graph.initializer:
                if x.name + '_bfloat16' in t:
                    bits = numpy_helper.to_array(x).reshape(-1).view(np.uint32).astype(np.uint64)
                    want = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
                    got = np.frombuffer(t[x.name + '_bfloat16'].raw_data, np.uint16)
                    assert t[x.name + '_bfloat16'].data_type == onnx.TensorProto.BFLOAT16
                    assert (want == got).all(); checked += 1
            assert checked > 0
            """, folder.path + "/\(form).onnx", path)
        #expect(try PythonComparison.difference(model, made) < 0.02)
        #expect(made.layers().map(\.id) == model.layers().map(\.id) && made.layers().allSatisfy { !$0.isFloat })
    }

    @Test func bfloat16NeedsItsCast() throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form("gemm_opset9", in: folder)
        #expect(message { _ = try Fixture.apply("bf16", to: model) }.contains("needs operator set 13"))
    }

    /// float16 against NumPy's own conversion.
    @Test(arguments: ["gemm", "conv", "lstm", "subgraph"]) func float16IsNumPys(form: String) throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form(form, in: folder)
        let made = try Fixture.apply("fp16", to: model).model
        try Python.run(
            """
            import onnx
            from onnx import numpy_helper
            a, b = onnx.load(args[0]), onnx.load(args[1])
            t = {x.name: x for x in b.graph.initializer}
            checked = 0
            for x in a.graph.initializer:
                if x.name + '_half' in t:
                    assert (numpy_helper.to_array(x).astype(np.float16) == numpy_helper.to_array(t[x.name + '_half'])).all(); checked += 1
            assert checked > 0
            """, folder.path + "/\(form).onnx", try made.written(folder, "half.onnx"))
        #expect(try PythonComparison.difference(model, made) < 0.005)
    }

    /// Dynamic int8 is near the original, and its integers are those of `onnxruntime.quantization.quantize_dynamic` where both do the same:
    /// a MatMul with symmetric int8 weights per tensor.
    @Test func dynamicCodesAreOnnxRuntimes() throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form("matmul", in: folder)
        let made = try Fixture.apply("dynamic-int8", ["weights": .choice("tensor")], to: model).model
        let text = try Python.run(
            """
            import onnx
            from onnx import numpy_helper
            from onnxruntime.quantization import quantize_dynamic, QuantType
            quantize_dynamic(args[0], args[2], weight_type=QuantType.QInt8, extra_options={'WeightSymmetric': True})
            def weight(path):
                g = onnx.load(path).graph
                node = next(n for n in g.node if n.op_type == 'MatMulInteger')
                return numpy_helper.to_array(next(x for x in g.initializer if x.name == node.input[1]))
            a, b = weight(args[1]), weight(args[2])
            print(a.dtype == b.dtype, a.shape == b.shape, int(np.abs(a.astype(int) - b).max()))
            """, folder.path + "/matmul.onnx", try made.written(folder, "ours.onnx"), folder.path + "/theirs.onnx")
        #expect(text.contains("True True 0"), "\(text)")
    }

    @Test(arguments: ["gemm", "gemm_transB", "gemm_scaled", "matmul", "matmul_batched_input", "lstm", "embedding", "tied", "subgraph"]) func dynamicIsNear(form: String) throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form(form, in: folder)
        for weights in ["tensor", "channel"] {
            let made = try Fixture.apply("dynamic-int8", ["weights": .choice(weights)], to: model).model
            // The runtime's own operator for LSTMs saturates on processors without VNNI, and nothing else has it.
            if form == "lstm", InstructionSet.saturates { continue }
            // The weights of the LSTM are so large that its gates jump.
            #expect(try PythonComparison.difference(model, made, exact: true) < (form == "lstm" ? 0.1 : 0.04), "\(form) \(weights)")
            #expect(made.layers().allSatisfy { !$0.isFloat })
        }
    }

    /// Static int8 over random data: near the original with every calibration, and byte for byte the same twice.
    @Test(arguments: ["gemm", "gemm_transB", "gemm_scaled", "matmul", "conv", "conv_strided", "conv_1x1", "grouped", "depthwise"], ["minmax", "percentile", "entropy", "mse"])
    func staticIsNear(form: String, calibration: String) throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form(form, in: folder)
        // Forms of a fixed batch give one sample each time.
        let data = (0..<16).map { Fixture.inputs(for: model, batch: 32, seed: 300 + $0) }
        for weights in ["tensor", "channel"] {
            let parameters: [String: ParameterValue] = ["calibration": .choice(calibration), "weights": .choice(weights)]
            let applied = try Fixture.apply("static-int8", parameters, to: model, calibration: data)
            let made = applied.model
            #expect(made.graph.nodes.contains { $0.opType == "QuantizeLinear" } && made.layers().allSatisfy { !$0.isFloat })
            // Other inputs than those seen reach a little further; where the range was clipped as well, the largest outputs saturate.
            #expect(try PythonComparison.difference(model, made, exact: true) < (calibration == "minmax" ? 0.15 : 0.3), "\(form) \(weights)")
            let again = try Fixture.apply("static-int8", parameters, to: model, calibration: data).model
            #expect(try made.serialized().joined() == again.serialized().joined())
        }
    }

    /// With calibration minmax, ranges and weights are those of `onnxruntime.quantization.quantize_static` in QDQ form.
    @Test func staticGridsAreOnnxRuntimes() throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form("conv", in: folder)
        let batches = (0..<2).map { Fixture.inputs(for: model, batch: 16, seed: 400 + $0) }
        let made = try Fixture.apply("static-int8", to: model, calibration: batches).model
        for (number, batch) in batches.enumerated() { try folder.write("x\(number).bin", [UInt8](batch[0].storage.bytes)) }
        let text = try Python.run(
            """
            import onnx
            from onnx import numpy_helper
            from onnxruntime.quantization import quantize_static, CalibrationDataReader, QuantFormat, QuantType
            class Reader(CalibrationDataReader):
                def __init__(self): self.left = [np.fromfile(args[2] + f'/x{i}.bin', np.float32).reshape(16, 8, 9, 9) for i in (0, 1)]
                def get_next(self): return {'x': self.left.pop(0)} if self.left else None
            theirs = args[2] + '/theirs.onnx'
            quantize_static(args[0], theirs, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
            def constants(path):
                g = onnx.load(path).graph
                t = {x.name: numpy_helper.to_array(x) for x in g.initializer}
                found = {}
                for n in g.node:
                    if n.op_type == 'QuantizeLinear': found['x' if n.input[0] == 'x' else 'y'] = (t[n.input[1]], t[n.input[2]])
                    if n.op_type == 'DequantizeLinear' and n.input[0] in t and t[n.input[0]].ndim > 1: found['w'] = (t[n.input[0]], t[n.input[1]])
                    if n.op_type == 'DequantizeLinear' and n.input[0] in t and t[n.input[0]].dtype == np.int32: found['b'] = (t[n.input[0]], t[n.input[1]])
                return found
            a, b = constants(args[1]), constants(theirs)
            assert set(a) == set(b) == {'x', 'y', 'w', 'b'}, (set(a), set(b))
            for k in a:
                for p, q in zip(a[k], b[k]): print(k, float(np.abs(p.astype(np.float64).reshape(-1) - q.reshape(-1)).max() / np.abs(q).max()))
            """, folder.path + "/conv.onnx", try made.written(folder, "ours.onnx"), folder.path)
        for line in text.split(separator: "\n") {
            let value = try #require(Double(line.split(separator: " ").last ?? ""))
            // Codes: one of 127; int32 biases: a unit in the last place of a float scale.
            #expect(value <= (line.hasPrefix("w") ? 1.0 / 127 : 1e-5), "\(line)")
        }
    }

    /// Layers between integer ones that stay float keep their weights: the runtime's answers with its optimizers are those without. It would
    /// round such weights to int8 with one scale for all of a layer (its WeightBiasQuantization).
    @Test func layersLeftOutKeepTheirWeights() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/mixed.onnx"
        try Python.run(
            """
            import onnx
            from onnx import helper as h, numpy_helper
            rng = np.random.default_rng(5)
            def weight(name, *shape, axis=0):
                spread = np.exp(2 * rng.standard_normal([n if i == axis else 1 for i, n in enumerate(shape)]))
                return numpy_helper.from_array((rng.standard_normal(shape) * spread / spread.max()).astype(np.float32), name)
            t = [weight('w1', 8, 3, 3, 3), weight('w2', 8, 8, 3, 3), weight('w3', 8, 8, 3, 3), weight('w4', 8, 8, 2, 2, axis=1), weight('w5', 4, 8, 3, 3),
                 weight('w6', 256, 16, axis=1), weight('b6', 16), weight('w7', 16, 10, axis=1)]
            n = [('Conv', ['x', 'w1'], 'c1'), ('Relu', ['c1'], 'r1'), ('MaxPool', ['r1'], 'p1'), ('Conv', ['p1', 'w2'], 'c2'), ('Relu', ['c2'], 'r2'),
                 ('Conv', ['r2', 'w3'], 'c3'), ('ConvTranspose', ['c3', 'w4'], 'c4'), ('Conv', ['c4', 'w5'], 'c5'), ('Flatten', ['c5'], 'f'),
                 ('MatMul', ['f', 'w6'], 'm6'), ('Add', ['m6', 'b6'], 'a6'), ('Relu', ['a6'], 'r6'), ('MatMul', ['r6', 'w7'], 'm7'), ('Relu', ['m7'], 'y')]
            def attributes(op, out):
                if op == 'Conv': return {'pads': [1, 1, 1, 1]}
                if op == 'ConvTranspose': return {'strides': [2, 2]}
                return {'kernel_shape': [4, 4], 'strides': [4, 4]} if op == 'MaxPool' else {}
            graph = h.make_graph([h.make_node(op, i, [o], name=o, **attributes(op, o)) for op, i, o in n], 'g',
                                 [h.make_tensor_value_info('x', 1, ['n', 3, 16, 16])], [h.make_tensor_value_info('y', 1, ['n', 10])], t)
            model = h.make_model(graph, opset_imports=[h.make_opsetid('', 17)]); model.ir_version = 8
            onnx.save(model, args[0])
            """, path)
        let model = try Model.read(path: path)
        let batches = [Fixture.inputs(for: model, batch: 16, seed: 3)]
        func quantized(_ batches: [[Tensor]]) throws -> AppliedModel {
            // Codes that do not saturate in kernels of processors without VNNI.
            try Fixture.apply("static-int8", ["weight-bits": .choice("7")], to: model, layers: .names("c1", "c3", "c5", "m7"), calibration: batches)
        }
        // Four samples of sixteen numbers say little about how far these reach, four images more.
        let few = try quantized([Fixture.inputs(for: model, batch: 4, seed: 3)]).reports.first?.notes ?? []
        #expect(few.contains { $0.hasPrefix("ranges from fewer than 256 values") && $0.hasSuffix(": r6") })
        let made = try quantized(batches).model
        #expect(made.layers().filter(\.isFloat).map(\.id) == ["c2", "c4", "m6"])
        let text = try Python.run(
            """
            import onnxruntime as ort
            x = np.random.default_rng(1).standard_normal((8, 3, 16, 16)).astype(np.float32)
            def run(level):
                o = ort.SessionOptions(); o.graph_optimization_level = level; o.log_severity_level = 3
                return ort.InferenceSession(args[0], o, providers=['CPUExecutionProvider']).run(None, {'x': x})[0]
            a, b = run(ort.GraphOptimizationLevel.ORT_ENABLE_ALL), run(ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
            print(float(np.abs(a - b).max() / np.abs(b).max()))
            """, try made.written(folder, "made.onnx"))
        #expect(try #require(PythonComparison.numbers(text).first) < 0.02)
    }
}
