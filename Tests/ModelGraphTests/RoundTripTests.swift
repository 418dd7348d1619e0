import Foundation
import PythonOracle
import Testing

@testable import ModelGraph

/// Models made by the `onnx` package, read and written here, and compared by the `onnx` package again.
@Suite struct RoundTripTests {
    /// Makes a model with everything that is easily lost: typed and raw data, Constant nodes, subgraphs with weights,
    /// strings, sparse initializers, functions, metadata, custom domains, unknown fields, external data.
    static let maker = """
        import sys, numpy as np, onnx
        from onnx import helper as h, numpy_helper as nh, TensorProto as T
        out = sys.argv[1]
        rng = np.random.default_rng(0)
        W = nh.from_array(rng.standard_normal((16, 8)).astype(np.float32), 'W')
        typed = h.make_tensor('typed', T.FLOAT, [3], [1.5, -2.0, 0.25])
        half = h.make_tensor('half', T.FLOAT16, [2], [1.0, 2.5])
        ints = h.make_tensor('ints', T.INT64, [2], [-1, 16])
        bytes8 = h.make_tensor('bytes8', T.INT8, [3], [-128, 0, 127])
        strings = h.make_tensor('strings', T.STRING, [2], [b'a', b'\\xff\\x00'])
        i4 = h.make_tensor('i4', T.INT4, [3], [-8, 7, 1])
        c = h.make_node('Constant', [], ['c'], name='const', value=nh.from_array(rng.standard_normal((8, 4)).astype(np.float32), 'inner'))
        cf = h.make_node('Constant', [], ['cf'], value_float=0.5)
        then = h.make_graph([h.make_node('Constant', [], ['tw'], value=nh.from_array(np.full((4, 4), 2, np.float32))), h.make_node('MatMul', ['m2', 'tw'], ['to'])], 'then', [], [h.make_tensor_value_info('to', T.FLOAT, None)])
        other = h.make_graph([h.make_node('Mul', ['m2', 'cf'], ['eo'])], 'else', [], [h.make_tensor_value_info('eo', T.FLOAT, None)])
        nodes = [c, cf,
          h.make_node('MatMul', ['x', 'W'], ['m1'], name='first', doc_string='kept'),
          h.make_node('MatMul', ['m1', 'c'], ['m2']),
          h.make_node('If', ['flag'], ['y'], then_branch=then, else_branch=other),
          h.make_node('Strange', ['m1', 'strings', 'i4', 'bytes8', 'half', 'typed', 'ints'], ['z'], domain='my.domain', level=3, words=['p', 'q'], reals=[0.5, 1.5])]
        sp = h.make_sparse_tensor(nh.from_array(np.array([1, 2], np.float32), 'sparse'), nh.from_array(np.array([0, 3], np.int64), 'idx'), [4])
        g = h.make_graph(nodes, 'g', [h.make_tensor_value_info('x', T.FLOAT, ['n', 16]), h.make_tensor_value_info('flag', T.BOOL, [])],
          [h.make_tensor_value_info('y', T.FLOAT, None), h.make_tensor_value_info('z', T.FLOAT, ['n', None])],
          [W, typed, half, ints, bytes8, strings, i4], sparse_initializer=[sp], value_info=[h.make_tensor_value_info('m1', T.FLOAT, ['n', 8])])
        f = h.make_function('local', 'Twice', ['a'], ['b'], [h.make_node('Add', ['a', 'a'], ['b'])], [h.make_opsetid('', 17)])
        m = h.make_model(g, opset_imports=[h.make_opsetid('', 17), h.make_opsetid('my.domain', 2), h.make_opsetid('local', 1)], functions=[f], producer_name='maker')
        h.set_model_props(m, {'key': 'value', 'zeta': '1'})
        g2 = m.graph
        raw = m.SerializeToString() + bytes([0xFA, 0x7F, 3]) + b'new'   # field 2047, which no version knows
        open(out, 'wb').write(raw)
        """

    static let comparer = """
        import sys, onnx
        from onnx import numpy_helper as nh
        a, b = onnx.load(sys.argv[1]), onnx.load(sys.argv[2])
        def tensors(m):
            found = []
            def visit(msg):
                for field, value in msg.ListFields():
                    if field.type != field.TYPE_MESSAGE: continue
                    items = value if field.is_repeated else [value]
                    for item in items:
                        if type(item).__name__ == 'TensorProto':
                            if item.data_type == 8: item.ClearField('raw_data')
                            else:
                                dims = list(item.dims)
                                data = nh.to_array(item).tobytes()
                                for f in ('float_data','int32_data','int64_data','double_data','uint64_data','raw_data'): item.ClearField(f)
                                item.raw_data = data
                        else: visit(item)
            visit(m)
        tensors(a); tensors(b)
        def ordered(m):
            # Constant nodes may stand anywhere before their readers.
            def visit(g):
                consts = sorted([n for n in g.node if n.op_type == 'Constant'], key=lambda n: n.output[0])
                others = [n for n in g.node if n.op_type != 'Constant']
                del g.node[:]
                g.node.extend(consts + others)
                for n in others:
                    for at in n.attribute:
                        if at.HasField('g'): visit(at.g)
            visit(m.graph)
        ordered(a); ordered(b)
        same = a.SerializeToString(deterministic=True) == b.SerializeToString(deterministic=True)
        if not same:
            import difflib
            print('\\n'.join(list(difflib.unified_diff(str(a).splitlines(), str(b).splitlines(), lineterm=''))[:40]))
        print('SAME' if same else 'DIFFERENT')
        """

    @Test func everythingSurvives() throws {
        let folder = try TemporaryFolder()
        _ = try Python.run(Self.maker, folder.path + "/a.onnx")
        let model = try Model.read(path: folder.path + "/a.onnx")
        try model.serialized().write(to: folder.path + "/b.onnx")
        // The comparison normalizes value_float to itself only; our writer gives a tensor of the same value.
        let verdict = try Python.run(
            Self.comparer.replacingOccurrences(
                of: "tensors(a); tensors(b)",
                with: """
                    tensors(a); tensors(b)
                    import numpy as np
                    def floats(m):
                        for n in m.graph.node:
                            if n.op_type == 'Constant' and n.attribute[0].name == 'value_float':
                                v = nh.from_array(np.array(n.attribute[0].f, np.float32), '')
                                n.attribute[0].Clear(); n.attribute[0].name = 'value'; n.attribute[0].type = 4; n.attribute[0].t.CopyFrom(v)
                            if n.op_type == 'Constant' and n.output[0] == 'cf': n.attribute[0].t.ClearField('name')
                    floats(a); floats(b)
                    """), folder.path + "/a.onnx", folder.path + "/b.onnx")
        #expect(verdict.hasSuffix("SAME\n"), Comment(rawValue: verdict))
        // The unknown field is still there, and writing again gives the same bytes.
        let bytes = try Data(contentsOf: URL(fileURLWithPath: folder.path + "/b.onnx"))
        #expect(bytes.range(of: Data([0xFA, 0x7F, 3]) + Data("new".utf8)) != nil)
        let again = try Model.read(path: folder.path + "/b.onnx").serialized().joined()
        #expect(Data(again) == bytes)
    }

    @Test func externalDataIsReadFromBesideTheModelOnly() throws {
        let folder = try TemporaryFolder()
        _ = try Python.run(
            """
            import sys, numpy as np, onnx
            from onnx import helper as h, numpy_helper as nh, TensorProto as T
            W = nh.from_array(np.arange(4096, dtype=np.float32).reshape(64, 64), 'W')
            g = h.make_graph([h.make_node('MatMul', ['x', 'W'], ['y'])], 'g', [h.make_tensor_value_info('x', T.FLOAT, ['n', 64])], [h.make_tensor_value_info('y', T.FLOAT, ['n', 64])], [W])
            m = h.make_model(g, opset_imports=[h.make_opsetid('', 17)])
            onnx.save(m, sys.argv[1] + '/e.onnx', save_as_external_data=True, location='weights.bin', size_threshold=0)
            m = onnx.load(sys.argv[1] + '/e.onnx', load_external_data=False)
            for e in m.graph.initializer[0].external_data:
                if e.key == 'location': e.value = '../weights.bin'
            open(sys.argv[1] + '/bad.onnx', 'wb').write(m.SerializeToString())
            """, folder.path)
        let model = try Model.read(path: folder.path + "/e.onnx")
        #expect(model.graph.initializers["W"]?.floats()?[4095] == 4095)
        // Written whole, it needs no second file.
        try model.serialized().write(to: folder.path + "/whole.onnx")
        let sum = try Python.run(
            "import onnx,sys; from onnx import numpy_helper as nh; print(int(nh.to_array(onnx.load(sys.argv[1]).graph.initializer[0]).sum()))",
            folder.path + "/whole.onnx")
        #expect(sum == "8386560\n")
        #expect(throws: ModelGraphError.self) { try Model.read(path: folder.path + "/bad.onnx") }
    }

    /// Every truncation and many single-byte damages of a model give an error or a model, never a crash.
    @Test func damagedFilesAreErrors() throws {
        let folder = try TemporaryFolder()
        _ = try Python.run(Self.maker, folder.path + "/a.onnx")
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder.path + "/a.onnx")))
        var refused = 0
        func attempt(_ damaged: [UInt8]) {
            let storage = TensorStorage(copying: damaged)
            do {
                let model = try Model.read(bytes: storage.bytes, owner: storage, directory: folder.path)
                _ = try model.serialized().joined()
                _ = model.layers()
            } catch {
                refused += 1
                #expect(!error.message.contains("\n"))
            }
        }
        for length in stride(from: 0, to: bytes.count, by: 7) { attempt(Array(bytes[..<length])) }
        var state: UInt64 = 1
        for _ in 0..<3000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            var damaged = bytes
            damaged[Int(state >> 33) % bytes.count] = UInt8(truncatingIfNeeded: state >> 56)
            attempt(damaged)
        }
        #expect(refused > 300)
    }

    @Test func impossibleShapesAreRefusedBeforeAllocation() throws {
        let folder = try TemporaryFolder()
        _ = try Python.run(
            """
            import sys, onnx
            from onnx import helper as h, TensorProto as T
            t = onnx.TensorProto(); t.name = 'huge'; t.data_type = 1; t.dims.extend([1 << 40, 1 << 40]); t.raw_data = b'1234'
            g = h.make_graph([h.make_node('Identity', ['huge'], ['y'])], 'g', [], [h.make_tensor_value_info('y', T.FLOAT, None)], [t])
            open(sys.argv[1], 'wb').write(h.make_model(g).SerializeToString())
            """, folder.path + "/h.onnx")
        let error = #expect(throws: ModelGraphError.self) { try Model.read(path: folder.path + "/h.onnx") }
        #expect(error?.message.contains("huge") == true)
    }
}
