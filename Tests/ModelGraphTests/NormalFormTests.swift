import Foundation
import PythonOracle
import Testing

@testable import ModelGraph

/// What is brought to one form on reading and after rewrites computes what it computed before, by Python's onnxruntime.
@Suite struct NormalFormTests {
    /// Writes a model, lets `edit` work on it as read, and returns both outputs' largest difference.
    static func difference(_ maker: String, _ edit: (inout Model) throws -> Void) throws -> (model: Model, difference: Double) {
        let folder = try TemporaryFolder()
        let (before, after) = (folder.path + "/before.onnx", folder.path + "/after.onnx")
        _ = try Python.run(
            """
            import sys, numpy as np, onnx
            from onnx import helper as h, numpy_helper as nh, TensorProto as T
            rng = np.random.default_rng(3)
            f = lambda *s: (0.5 * rng.standard_normal(s)).astype(np.float32)
            info = h.make_tensor_value_info
            def save(nodes, weights, outputs):
                g = h.make_graph(nodes, 'g', [info('x', T.FLOAT, ['n', 6])], outputs, [nh.from_array(np.asarray(v), k) for k, v in weights.items()])
                m = h.make_model(g, opset_imports=[h.make_opsetid('', 17)]); m.ir_version = 8
                onnx.save(m, sys.argv[1])
            """ + "\n" + maker, before)
        var model = try Model.read(path: before)
        try edit(&model)
        try model.serialized().write(to: after)
        let text = try Python.run(
            """
            import sys, numpy as np, onnxruntime
            x = {'x': np.random.default_rng(1).standard_normal((4, 6)).astype(np.float32)}
            a, b = (onnxruntime.InferenceSession(p, providers=['CPUExecutionProvider']).run(None, x) for p in sys.argv[1:])
            assert len(a) == len(b) and all(p.shape == q.shape for p, q in zip(a, b))
            print(max(float(np.abs(p - q).max()) for p, q in zip(a, b)))
            """, before, after)
        return (model, try #require(Double(text.trimmingCharacters(in: .whitespacesAndNewlines))))
    }

    @Test(arguments: [
        "save([h.make_node('Transpose', ['w'], ['t'], perm=[1, 0]), h.make_node('MatMul', ['x', 't'], ['y'])], {'w': f(5, 6)}, [info('y', T.FLOAT, None)])",
        "save([h.make_node('Transpose', ['w'], ['t'], perm=[2, 0, 1]), h.make_node('Reshape', ['t', 's'], ['r']), h.make_node('MatMul', ['x', 'r'], ['y'])], {'w': f(2, 4, 6), 's': np.array([0, -1])}, [info('y', T.FLOAT, None)])",
        "save([h.make_node('Unsqueeze', ['w', 'a'], ['u']), h.make_node('Squeeze', ['u', 'a'], ['v']), h.make_node('MatMul', ['x', 'v'], ['y'])], {'w': f(6, 5), 'a': np.array([-1])}, [info('y', T.FLOAT, None)])",
        "save([h.make_node('Flatten', ['w'], ['r'], axis=1), h.make_node('Gemm', ['x', 'r'], ['y'], transB=1)], {'w': f(5, 2, 3)}, [info('y', T.FLOAT, None)])",
    ])
    func weightsBehindOtherLayouts(_ maker: String) throws {
        let (model, difference) = try Self.difference(maker) { _ in }
        #expect(difference == 0)
        #expect(model.layers().count == 1)
        #expect(model.graph.nodes.count == 1 && model.graph.initializers.count == 1)
    }

    /// Weights that stood in Constant nodes when a tool quantized the model: the graph quantizes them at every run.
    @Test(arguments: [
        """
        save([h.make_node('Constant', [], ['w'], value=nh.from_array(f(6, 5))), h.make_node('DynamicQuantizeLinear', ['w'], ['q', 's', 'z']),
            h.make_node('DynamicQuantizeLinear', ['x'], ['xq', 'xs', 'xz']), h.make_node('MatMulInteger', ['xq', 'q', 'xz', 'z'], ['p'], name='product'),
            h.make_node('Cast', ['p'], ['pf'], to=1), h.make_node('Mul', ['xs', 's'], ['b']), h.make_node('Mul', ['pf', 'b'], ['y'])], {}, [info('y', T.FLOAT, None)])
        """,
        """
        save([h.make_node('Constant', [], ['w'], value=nh.from_array(f(6, 5))), h.make_node('QuantizeLinear', ['w', 's', 'z'], ['q']),
            h.make_node('QuantizeLinear', ['x', 'xs', 'xz'], ['xq']), h.make_node('QLinearMatMul', ['xq', 'xs', 'xz', 'q', 's', 'z', 'ys', 'yz'], ['p'], name='product'),
            h.make_node('DequantizeLinear', ['p', 'ys', 'yz'], ['y'])],
            {'s': np.float32(0.01), 'z': np.int8(0), 'xs': np.float32(0.03), 'xz': np.uint8(128), 'ys': np.float32(0.05), 'yz': np.uint8(120)}, [info('y', T.FLOAT, None)])
        """,
    ])
    func weightsQuantizedAtEveryRun(_ maker: String) throws {
        let (model, difference) = try Self.difference(maker) { _ in }
        #expect(difference == 0)
        #expect(model.layers().map(\.id) == ["product"] && model.layers()[0].quantization?.bits == 8)
        #expect(!model.graph.nodes.contains { $0.inputs.first == "w" })
    }

    /// A recurrent cell as PyTorch exports it: gates cut out of the weights and put into ONNX's order as the model runs.
    private static let cell = """
        def cell(name, x):
            nodes, made = [], {}
            for part in ['w', 'r', 'bi', 'bh']:
                for k in range(3):
                    nodes.append(h.make_node('Slice', [part, f'from{k}', f'to{k}', 'zero'], [f'{name}/{part}{k}']))
                nodes.append(h.make_node('Concat', [f'{name}/{part}{k}' for k in range(3)], [f'{name}/{part}'], axis=0))
            nodes.append(h.make_node('Concat', [f'{name}/bi', f'{name}/bh'], [f'{name}/b'], axis=-1))
            nodes += [h.make_node('Unsqueeze', [f'{name}/{part}', 'zero'], [f'{name}/{part}_1']) for part in 'wrb']
            return nodes + [h.make_node('LSTM', [x] + [f'{name}/{part}_1' for part in 'wrb'], ['', f'{name}/y'], hidden_size=4)]
        weights = {'w': f(16, 6), 'r': f(16, 4), 'bi': f(16), 'bh': f(16), 'zero': np.array([0])}
        for k, (a, b) in enumerate([(0, 4), (-4, 99), (4, -4)]): weights |= {f'from{k}': np.array([a]), f'to{k}': np.array([b])}

        """

    @Test func gatesInAnotherOrder() throws {
        let maker = Self.cell + "save([h.make_node('Unsqueeze', ['x', 'zero'], ['s'])] + cell('a', 's'), weights, [info('a/y', T.FLOAT, None)])"
        let (model, difference) = try Self.difference(maker) { _ in }
        #expect(difference == 0)
        #expect(model.graph.nodes.map(\.opType) == ["Unsqueeze", "LSTM"] && model.graph.initializers.count == 4)
        let layer = try #require(model.layers().first)
        #expect(layer.weightShape == [1, 16, 6] && layer.otherWeights == ["r"] && layer.bias == "bi")
    }

    /// Both branches of an If read the same weights: so they do afterwards.
    @Test func gatesInBranches() throws {
        let maker =
            Self.cell + """
                branches = [h.make_graph(cell(name, 's') + [h.make_node(op, [name + '/y'], [name + '/z'])], name, [], [info(name + '/z', T.FLOAT, None)]) for name, op in [('a', 'Tanh'), ('b', 'Relu')]]
                save([h.make_node('Unsqueeze', ['x', 'zero'], ['s']), h.make_node('ReduceMax', ['x'], ['m'], keepdims=0), h.make_node('Cast', ['m'], ['c'], to=T.BOOL),
                      h.make_node('If', ['c'], ['y'], then_branch=branches[0], else_branch=branches[1])], weights, [info('y', T.FLOAT, None)])
                """
        let (model, difference) = try Self.difference(maker) { _ in }
        #expect(difference == 0)
        #expect(Array(model.graph.initializers.keys) == ["w", "r", "bi", "zero"])
        #expect(model.layers().map(\.weight) == ["w", "w"])
        #expect(model.graph.graphPaths().dropFirst().allSatisfy { model.graph[$0]?.nodes.count == 2 })
    }

    /// Where something else reads the weights as they are stored, they stay.
    @Test func gatesReadOtherwiseToo() throws {
        let maker =
            Self.cell + """
                save([h.make_node('Unsqueeze', ['x', 'zero'], ['s'])] + cell('a', 's') + [h.make_node('Gemm', ['x', 'w'], ['z'], transB=1)], weights,
                     [info('a/y', T.FLOAT, None), info('z', T.FLOAT, None)])
                """
        let (model, difference) = try Self.difference(maker) { _ in }
        #expect(difference == 0)
        #expect(model.graph.initializers["w"]?.dims == [16, 6] && model.graph.initializers["r"]?.dims == [1, 16, 4])
    }

    @Test func sharedWeightsKeepTheirTranspose() throws {
        let maker = """
            save([h.make_node('Transpose', ['w'], ['t']), h.make_node('MatMul', ['x', 't'], ['a']), h.make_node('MatMul', ['a', 'w'], ['y'])], {'w': f(5, 6)}, [info('y', T.FLOAT, None)])
            """
        let (model, difference) = try Self.difference(maker) { _ in }
        #expect(difference == 0)
        #expect(model.graph.nodes.count == 3 && model.graph.initializers.count == 1)
    }

    /// A Loop that carries weights as exporters of recurrent networks do: one read inside (its readers look past the Loop
    /// after reading), one given on from outside and read behind it, and the state that changes.
    @Test func idleLoopValues() throws {
        let maker = """
            body = h.make_graph([h.make_node('MatMul', ['s', 'w_in'], ['p']), h.make_node('Tanh', ['p'], ['s_out']), h.make_node('Identity', ['c'], ['c_out']),
                                 h.make_node('Identity', ['w_in'], ['w_out'])], 'body',
                [info('i', T.INT64, []), info('c', T.BOOL, []), info('w_in', T.FLOAT, None), info('s', T.FLOAT, None), info('k_in', T.FLOAT, None)],
                [info('c_out', T.BOOL, []), info('w_out', T.FLOAT, None), info('s_out', T.FLOAT, None), info('k_in', T.FLOAT, None)])
            save([h.make_node('Loop', ['n', '', 'w', 'x', 'k'], ['w_end', 'end', 'k_end'], body=body), h.make_node('MatMul', ['end', 'k_end'], ['y'])],
                 {'n': np.int64(3), 'w': f(6, 6), 'k': f(6, 2)}, [info('y', T.FLOAT, None)])
            """
        let (model, difference) = try Self.difference(maker) { $0.graph.removeDeadCode() }
        #expect(difference == 0)
        let loop = try #require(model.graph.nodes.first { $0.opType == "Loop" })
        #expect(loop.inputs == ["n", "", "x"] && loop.outputs == ["end"])
        #expect(loop.subgraphs.first?.graph.inputs.count == 3)
    }

    @Test func nodesOutOfOrderAreSorted() throws {
        let maker = """
            save([h.make_node('Relu', ['b'], ['y']), h.make_node('Neg', ['a'], ['b']), h.make_node('MatMul', ['x', 'w'], ['a'])], {'w': f(6, 5)}, [info('y', T.FLOAT, None)])
            """
        let (model, difference) = try Self.difference(maker) { _ in }
        #expect(difference == 0)
        #expect(model.graph.nodes.map(\.opType) == ["MatMul", "Neg", "Relu"])
    }
}
