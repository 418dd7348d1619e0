import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import Recipes
@testable import Techniques

/// Weights that reach their layers through other nodes: read as what they are, stored once, and the model computes the same.
@Suite struct DisguisedWeightTests {
    /// An embedding whose table, transposed, is the head's weight too, as language models have it.
    private func tied(_ folder: borrowing TemporaryFolder) throws -> Model {
        let path = folder.path + "/tied.onnx"
        try Python.run(
            """
            import onnx
            from onnx import helper as h, numpy_helper as nh
            rng = np.random.default_rng(2)
            t = [nh.from_array((0.3 * rng.standard_normal((500, 32))).astype(np.float32), 'table'), nh.from_array((0.2 * rng.standard_normal((32, 32))).astype(np.float32), 'w')]
            n = [h.make_node('Gather', ['table', 'i'], ['e'], name='embedding'), h.make_node('MatMul', ['e', 'w'], ['m'], name='middle'), h.make_node('Relu', ['m'], ['r']),
                 h.make_node('Transpose', ['table'], ['turned'], perm=[1, 0]), h.make_node('MatMul', ['r', 'turned'], ['y'], name='head')]
            g = h.make_graph(n, 'g', [h.make_tensor_value_info('i', 7, ['n', 't'])], [h.make_tensor_value_info('y', 1, ['n', 't', 500])], t)
            m = h.make_model(g, opset_imports=[h.make_opsetid('', 17)]); m.ir_version = 8
            onnx.save(m, args[0])
            """, path)
        return try Model.read(path: path)
    }

    /// The table stands in the file once, in the form asked for, and the head computes with it: not beside the old one, which made files grow.
    @Test(arguments: [("fp16", 0.55, 0.002), ("bf16", 0.55, 0.02), ("weight-quantization", 0.32, 0.02), ("dynamic-int8", 0.32, 0.05), ("weight-sharing", 0.32, 0.5)])
    func tiedTablesAreStoredOnce(technique: String, share: Double, error: Double) throws {
        let folder = try TemporaryFolder()
        let model = try tied(folder)
        let parameters: [String: ParameterValue] = technique == "weight-sharing" ? ["storage": .choice("codebook"), "bits": .integer(6)] : [:]
        let applied = try Fixture.apply(technique, parameters, to: model)
        let made = applied.model
        let before = try model.serialized().joined().count
        #expect(Double(try made.serialized().joined().count) < share * Double(before))
        #expect(made.graph.initializers["table"] == nil || technique == "weight-sharing")
        #expect(try PythonComparison.difference(model, made, exact: technique == "dynamic-int8") < error)
        if technique != "weight-sharing" { #expect((applied.reports.first?.notes ?? []).contains { $0.contains("read the same weights") }) }
    }

    /// A weight behind QuantizeLinear and DequantizeLinear is read as its integers: the outputs stay the same to rounding, the file shrinks.
    @Test(arguments: ["int8", "uint8"]) func fakeQuantizedWeightsAreIntegers(type: String) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/fake.onnx"
        try Python.run(
            """
            import onnx
            from onnx import helper as h, numpy_helper as nh
            rng = np.random.default_rng(4)
            signed = args[1] == 'int8'
            w = (0.3 * rng.standard_normal((24, 3, 3, 3))).astype(np.float32)
            scale = np.float32(0.004) if signed else np.linspace(0.002, 0.02, 24).astype(np.float32)
            zero = np.int8(0) if signed else rng.integers(90, 160, 24).astype(np.uint8)
            t = [nh.from_array(w, 'w'), nh.from_array(scale, 's'), nh.from_array(zero, 'z')]
            axis = {} if signed else {'axis': 0}
            n = [h.make_node('QuantizeLinear', ['w', 's', 'z'], ['q'], **axis), h.make_node('DequantizeLinear', ['q', 's', 'z'], ['d'], **axis),
                 h.make_node('Conv', ['x', 'd'], ['y'], name='conv')]
            g = h.make_graph(n, 'g', [h.make_tensor_value_info('x', 1, ['n', 3, 8, 8])], [h.make_tensor_value_info('y', 1, ['n', 24, 6, 6])], t)
            m = h.make_model(g, opset_imports=[h.make_opsetid('', 17)]); m.ir_version = 8
            onnx.save(m, args[0])
            """, path, type)
        let model = try Model.read(path: path)
        let layer = try #require(model.layers().first)
        #expect(model.layers().count == 1 && layer.id == "conv" && layer.quantization?.bits == 8)
        #expect(layer.weightType == (type == "int8" ? .int8 : .uint8))
        let written = try model.written(folder, "written.onnx")
        let text = try Python.run(
            """
            import os, onnxruntime as ort
            x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
            a, b = (ort.InferenceSession(p, providers=['CPUExecutionProvider']).run(None, {'x': x})[0] for p in args)
            print(float(np.abs(a - b).max() / np.abs(a).max()), os.path.getsize(args[1]) / os.path.getsize(args[0]))
            """, path, written)
        let numbers = PythonComparison.numbers(text)
        #expect(numbers.count == 2 && numbers[0] < 1e-6 && numbers[1] < 0.6)
    }

    /// Two layers that share a weight, each through a Transpose of its own: two layers over one weight.
    @Test func sharedWeightsBehindTransposes() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/twice.onnx"
        try Python.run(
            """
            import onnx
            from onnx import helper as h, numpy_helper as nh
            w = np.random.default_rng(6).standard_normal((16, 16)).astype(np.float32)
            n = [h.make_node('Transpose', ['w'], ['a'], perm=[1, 0]), h.make_node('MatMul', ['x', 'a'], ['m'], name='one'), h.make_node('Relu', ['m'], ['r']),
                 h.make_node('Transpose', ['w'], ['b']), h.make_node('MatMul', ['r', 'b'], ['y'], name='two')]
            g = h.make_graph(n, 'g', [h.make_tensor_value_info('x', 1, ['n', 16])], [h.make_tensor_value_info('y', 1, ['n', 16])], [nh.from_array(w, 'w')])
            m = h.make_model(g, opset_imports=[h.make_opsetid('', 17)]); m.ir_version = 8
            onnx.save(m, args[0])
            """, path)
        let model = try Model.read(path: path)
        #expect(model.layers().map(\.id) == ["one", "two"] && Set(model.layers().map(\.weight)).count == 1)
        let text = try Python.run(
            """
            import onnxruntime as ort
            x = np.random.default_rng(0).standard_normal((5, 16)).astype(np.float32)
            a, b = (ort.InferenceSession(p, providers=['CPUExecutionProvider']).run(None, {'x': x})[0] for p in args)
            print(float(np.abs(a - b).max()))
            """, path, try model.written(folder, "written.onnx"))
        #expect(PythonComparison.numbers(text) == [0])
    }
}
