import Foundation
import PythonOracle
import Testing

@testable import ModelGraph

/// Zeros that files leave out: what is written is what stock ONNX Runtime makes the dense tensor of, and what is read is that tensor.
@Suite struct SparseFormTests {
    /// Models with one weight `w` each, of all types and of shapes and densities that are odd, gathered by rows.
    private static let script = """
        import os, sys, numpy as np, onnx
        from onnx import helper as h, numpy_helper as nh, TensorProto as T
        os.chdir(sys.argv[1])
        rng = np.random.default_rng(1)
        types = [T.FLOAT, T.DOUBLE, T.FLOAT16, T.BFLOAT16, T.INT8, T.UINT8, T.INT16, T.UINT16, T.INT32, T.UINT32, T.INT64, T.UINT64]
        def save(name, kind, dims, values, opset=17):
            w = h.make_tensor('w', kind, dims, values.ravel().astype(np.float32).tolist()) if kind == T.BFLOAT16 else nh.from_array(values.astype(h.tensor_dtype_to_np_dtype(kind)).reshape(dims), 'w')
            nodes = [h.make_node('Cast', ['w'], ['c'], to=T.DOUBLE), h.make_node('Gather', ['c', 'k'], ['y'])]
            g = h.make_graph(nodes, 'g', [h.make_tensor_value_info('k', T.INT64, [None])], [h.make_tensor_value_info('y', T.DOUBLE, None)], [w])
            onnx.save(h.make_model(g, opset_imports=[h.make_opsetid('', opset)], ir_version=8), name + '.onnx')
        for kind in types:
            name = T.DataType.Name(kind).lower()
            for number, (dims, kept, different) in enumerate([
                    ((9, 7, 5, 3), 0.1, 0), ((1,), 1, 0), ((2, 700), 0.003, 0), ((40, 50), 0, 0), ((33, 31), 1, 0), ((64, 64), 0.05, 3), ((31, 77), 0.2, 13), ((100, 40), 0.6, 100), ((3, 5000), 0.002, 2)]):
                count = int(np.prod(dims))
                values = rng.integers(1, 120, count) if different == 0 else rng.choice(np.arange(1, 120), different, replace=False)[rng.integers(0, different, count)]
                values = np.where(rng.random(count) < kept, values, 0).astype(np.float64)
                if kind in types[:4]:
                    values = values * rng.choice([-0.5, 1.25], count) if different == 0 else values / 4
                    if count > 30: values[[3, 17]] = [-0.0, np.inf]
                save(f'{name}-{number}', kind, dims, values)
        values = np.where(rng.random(6000) < 0.1, rng.integers(1, 9, 6000), 0)
        for opset in (9, 11, 12): save(f'opset-{opset}', T.FLOAT, (60, 100), values, opset)
        """

    private static let compare = """
        import sys, os, glob, onnx, numpy as np, onnxruntime as ort
        os.chdir(sys.argv[1])
        options = ort.SessionOptions(); options.log_severity_level = 3
        def run(path):
            s = ort.InferenceSession(path, options, providers=['CPUExecutionProvider'])
            return s.run(None, {'k': np.arange(1 if '-1.' in path else 2)})[0]
        for path in sorted(glob.glob('*.out')):
            a, b = run(path.split('.')[0] + '.onnx'), run(path)
            print(path, int(a.dtype == b.dtype and a.tobytes() == b.tobytes()), sum(len(getattr(i, f)) for i in [onnx.load(path).graph] for f in ['sparse_initializer']))
        """

    @Test func everyTypeAndShapeComesBackToTheBit() throws {
        let folder = try TemporaryFolder()
        try Python.run(Self.script, folder.path)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".onnx") }.sorted()
        #expect(names.count == 12 * 9 + 3)
        var smaller = 0
        for name in names {
            let dense = try Model.read(path: folder.file(name))
            // Under the name of what is read, where a Cast is taken in.
            let weight = try #require(dense.graph.initializers.values.first)
            for form in SparseForm.allCases {
                var sparse = dense
                #expect(sparse.graph.canBeSparse(weight.name))
                sparse.graph.sparseForms[weight.name] = form
                let file = folder.file("\(name.dropLast(5)).\(form.rawValue).out")
                try sparse.serialized().write(to: file)
                let read = try Model.read(path: file)
                let found = try #require(read.graph.initializers[weight.name], "\(name) \(form)")
                #expect(found.elementType == weight.elementType && found.dims == weight.dims && found.storage.bytes.elementsEqual(weight.storage.bytes), "\(name) \(form)")
                #expect(read.graph.nodes.count == dense.graph.nodes.count && read.graph.initializers.count == 1, "\(name) \(form)")
                #expect(try read.serialized().joined() == sparse.serialized().joined(), "\(name) \(form): not the same bytes when written again")
                guard form == .smallest else { continue }
                let (bytes, before) = (try sparse.serialized().byteCount, try dense.serialized().byteCount)
                #expect(bytes <= before, "\(name): larger than dense")
                smaller += bytes < before ? 1 : 0
            }
        }
        #expect(smaller > 50)
        let lines = try Python.run(Self.compare, folder.path).split(separator: "\n")
        #expect(lines.count == 3 * names.count)
        for line in lines { #expect(line.split(separator: " ")[1] == "1", "\(line)") }
    }

    /// Distances that their bits do not hold, and streams whose length does not fill the last byte.
    @Test(arguments: [1, 7, 8, 255, 256, 257, 1000, 70_000]) func longRuns(_ run: Int) throws {
        var values = [Float](repeating: 0, count: 3 * run + 900)
        for (number, position) in [0, run, 3 * run, 3 * run + 1, 3 * run + 890].enumerated() { values[position] = Float(number + 1) }
        var model = Self.product(values, dims: [values.count, 1])
        model.graph.sparseForms["w"] = .gaps
        let bytes = try model.serialized().joined()
        let read = try Self.read(bytes)
        #expect(read.graph.initializers["w"]?.floats() == values)
        if run > 255 { #expect(bytes.count < values.count * 2) }
    }

    @Test func severalReadersOutputsAndInputs() throws {
        let values = (0..<4000).map { $0 % 17 == 0 ? Float($0) : 0 }
        var model = Self.product(values, dims: [40, 100])
        model.graph.nodes.append(Node("Add", inputs: ["w", "w"], outputs: ["twice"]))
        model.graph.outputs += [ValueInfo(name: "twice", elementType: .float32, shape: nil), ValueInfo(name: "w", elementType: .float32, shape: nil)]
        model.graph.sparseForms["w"] = .gaps
        let read = try Self.read(try model.serialized().joined())
        #expect(read.graph.initializers["w"]?.floats() == values && read.graph.nodes.count == 2 && read.graph.outputs.map(\.name) == ["y", "twice", "w"])
        try Self.expectRuns(model, equal: "w twice")
        // What callers may replace cannot be made by nodes.
        model.graph.inputs.append(ValueInfo(name: "w", elementType: .float32, shape: [.fixed(40), .fixed(100)]))
        #expect(!model.graph.canBeSparse("w"))
        var dense = model
        dense.graph.sparseForms = [:]
        #expect(try model.serialized().joined() == dense.serialized().joined())
    }

    @Test func subgraphsKeepTheirOwn() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import os, sys, numpy as np, onnx
            from onnx import helper as h, numpy_helper as nh, TensorProto as T
            os.chdir(sys.argv[1])
            rng = np.random.default_rng(2)
            def weight(name): return nh.from_array(np.where(rng.random((50, 50)) < 0.1, rng.standard_normal((50, 50)), 0).astype(np.float32), name)
            out = lambda n: h.make_tensor_value_info(n, T.FLOAT, None)
            then = h.make_graph([h.make_node('MatMul', ['x', 'inner'], ['a'])], 't', [], [out('a')], [weight('inner')])
            other = h.make_graph([h.make_node('MatMul', ['x', 'outer'], ['b'])], 'e', [], [out('b')])
            body = h.make_graph([h.make_node('Identity', ['c'], ['d']), h.make_node('MatMul', ['v', 'looped'], ['n'])], 'l', [h.make_tensor_value_info('i', T.INT64, []), h.make_tensor_value_info('c', T.BOOL, []), out('v')],
                [h.make_tensor_value_info('d', T.BOOL, []), out('n')], [weight('looped')])
            nodes = [h.make_node('If', ['p'], ['y'], then_branch=then, else_branch=other), h.make_node('Loop', ['three', '', 'x'], ['z'], body=body)]
            g = h.make_graph(nodes, 'g', [h.make_tensor_value_info('x', T.FLOAT, [1, 50]), h.make_tensor_value_info('p', T.BOOL, [])], [out('y'), out('z')], [weight('outer'), nh.from_array(np.array(3, np.int64), 'three')])
            onnx.save(h.make_model(g, opset_imports=[h.make_opsetid('', 17)], ir_version=8), 'm.onnx')
            """, folder.path)
        var model = try Model.read(path: folder.file("m.onnx"))
        let before = try model.serialized().byteCount
        for path in model.graph.graphPaths() {
            guard var graph = model.graph[path] else { continue }
            for name in graph.initializers.keys where graph.canBeSparse(name) { graph.sparseForms[name] = .smallest }
            model.graph[path] = graph
        }
        try model.serialized().write(to: folder.file("s.onnx"))
        #expect(try model.serialized().byteCount * 2 < before)
        let read = try Model.read(path: folder.file("s.onnx"))
        #expect(Set(read.layers().map(\.weight)) == ["inner", "outer", "looped"])
        #expect(try read.serialized().joined() == model.serialized().joined())
        let told = try Python.run(
            """
            import os, sys, numpy as np, onnxruntime as ort
            os.chdir(sys.argv[1])
            x = np.random.default_rng(3).standard_normal((1, 50)).astype(np.float32)
            def run(p): return [ort.InferenceSession(p, providers=['CPUExecutionProvider']).run(None, {'x': x, 'p': np.array(c)}) for c in (True, False)]
            print(int(all(a.tobytes() == b.tobytes() for p, q in zip(run('m.onnx'), run('s.onnx')) for a, b in zip(p, q))))
            """, folder.path)
        #expect(told.trimmingCharacters(in: .whitespacesAndNewlines) == "1")
    }

    @Test func externalDataHoldTheSparseParts() throws {
        let folder = try TemporaryFolder()
        let values = (0..<40_000).map { $0 % 9 == 0 ? Float($0) : 0 }
        var model = Self.product(values, dims: [200, 200])
        model.graph.sparseForms["w"] = .gaps
        let pair = try ModelWithExternalData(model, fileName: "m.onnx.data")
        try pair.writeWeights(to: folder.file("m.onnx.data"))
        try pair.graph.write(to: folder.file("m.onnx"))
        #expect(pair.weightByteCount < 60_000 && pair.weightByteCount > 10_000)
        let read = try Model.read(path: folder.file("m.onnx"))
        #expect(read.graph.initializers["w"]?.floats() == values)
    }

    /// Files of other programs: coordinates in place of counted positions, and scattered coordinates.
    @Test func formsOfOtherProgramsAreRead() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import os, sys, numpy as np, onnx
            from onnx import helper as h, numpy_helper as nh, TensorProto as T
            os.chdir(sys.argv[1])
            w = np.where(np.random.default_rng(5).random((30, 20)) < 0.1, 1.5, 0).astype(np.float32); w[3, 4] = -2
            io = ([h.make_tensor_value_info('x', T.FLOAT, [1, 30])], [h.make_tensor_value_info('y', T.FLOAT, [1, 20])])
            places = np.argwhere(w).astype(np.int64)
            sparse = h.make_sparse_tensor(nh.from_array(w[w != 0], 'w'), nh.from_array(places, 'i'), [30, 20])
            def save(name, nodes, inits, sparse=[]):
                onnx.save(h.make_model(h.make_graph(nodes + [h.make_node('MatMul', ['x', 'w'], ['y'])], 'g', *io, inits, sparse_initializer=sparse), opset_imports=[h.make_opsetid('', 17)], ir_version=8), name)
            save('coordinates.onnx', [], [], [sparse])
            save('scattered.onnx', [h.make_node('ConstantOfShape', ['d'], ['z']), h.make_node('ScatterND', ['z', 'i', 'v'], ['w'])],
                [nh.from_array(np.array([30, 20], np.int64), 'd'), nh.from_array(places, 'i'), nh.from_array(w[w != 0], 'v')])
            save('gaps.onnx', [h.make_node('Cast', ['g'], ['c'], to=7), h.make_node('CumSum', ['c', 'a'], ['p']), h.make_node('Unsqueeze', ['p', 'one'], ['q']), h.make_node('ConstantOfShape', ['n'], ['z']),
                h.make_node('ScatterND', ['z', 'q', 'v'], ['f']), h.make_node('Reshape', ['f', 'd'], ['w'])],
                [nh.from_array(np.diff(np.flatnonzero(w), prepend=0).astype(np.uint8), 'g'), nh.from_array(np.array(0, np.int64), 'a'), nh.from_array(np.array([1], np.int64), 'one'), nh.from_array(np.array([600], np.int64), 'n'),
                nh.from_array(w[w != 0], 'v'), nh.from_array(np.array([30, 20], np.int64), 'd')])
            open('w', 'wb').write(w.tobytes())
            """, folder.path)
        let expected = try Data(contentsOf: URL(fileURLWithPath: folder.file("w")))
        for name in ["coordinates.onnx", "scattered.onnx", "gaps.onnx"] {
            let model = try Model.read(path: folder.file(name))
            #expect(model.graph.initializers["w"]?.storage.bytes.elementsEqual(expected) == true, "\(name)")
            #expect(model.layers().map(\.weight) == ["w"], "\(name)")
            #expect(model.graph.nodes.count == 1 && model.graph.initializers.count == 1, "\(name)")
            #expect(model.isStoredSparsely)
        }
        // What was not changed is written as it was read.
        let coordinates = try Model.read(path: folder.file("coordinates.onnx"))
        let again = try Self.read(try coordinates.serialized().joined())
        #expect(again.graph.sparseSources["w"]?.proto == coordinates.graph.sparseSources["w"]?.proto && again.graph.sparseSources["w"]?.proto.indices.dims.count == 2)
    }

    /// Positions outside, sizes out of all proportion and values that fit nothing stay as they are, and do no harm.
    @Test func impossibleFormsAreLeftAlone() throws {
        for (extent, place) in [(1 << 40, 3), (100, 100), (100, -1)] {
            var proto = OnnxSparseTensorProto()
            proto.dims = [Int64(extent), 1]
            proto.values.name = "w"
            proto.values.dataType = 1
            proto.values.dims = [1]
            proto.values.floatData = [1]
            proto.indices.dataType = 7
            proto.indices.dims = [1]
            proto.indices.int64Data = [Int64(place)]
            var model = Self.product([1], dims: [1, 1])
            model.graph.initializers["w"] = nil
            model.graph.preserved.sparseInitializer = [proto]
            let read = try Self.read(try model.serialized().joined())
            #expect(read.graph.initializers["w"] == nil && read.graph.sparseInitializerNames == ["w"])
        }
        var model = Self.product([1], dims: [1, 1])
        model.graph.initializers = [:]
        for (name, values) in [("n", [Int64(1) << 42]), ("p", [0]), ("d", [1 << 21, 1 << 21])] {
            model.graph.initializers[name] = Tensor(name: name, int64s: values, dims: [values.count])
        }
        model.graph.initializers["v"] = Tensor(name: "v", floats: [1], dims: [1])
        model.graph.nodes =
            [
                Node("ConstantOfShape", inputs: ["n"], outputs: ["z"]), Node("ScatterElements", inputs: ["z", "p", "v"], outputs: ["f"]),
                Node("Reshape", inputs: ["f", "d"], outputs: ["w"]),
            ] + model.graph.nodes
        #expect(try Self.read(try model.serialized().joined()).graph.nodes.count == 4)
    }

    // MARK: - Support

    /// y = x · w.
    private static func product(_ values: [Float], dims: [Int]) -> Model {
        let graph = Graph(
            name: "g", nodes: [Node("MatMul", name: "product", inputs: ["x", "w"], outputs: ["y"])],
            inputs: [ValueInfo(name: "x", elementType: .float32, shape: [.fixed(1), .fixed(dims[0])])],
            outputs: [ValueInfo(name: "y", elementType: .float32, shape: [.fixed(1), .fixed(dims[1])])], initializers: [Tensor(name: "w", floats: values, dims: dims)])
        return Model(graph: graph)
    }

    private static func read(_ bytes: [UInt8]) throws -> Model {
        let storage = TensorStorage(copying: bytes)
        return try Model.read(bytes: storage.bytes, owner: storage, directory: nil)
    }

    /// That Python's onnxruntime gets the same outputs from a model with and without its sparse forms.
    private static func expectRuns(_ model: Model, equal outputs: String) throws {
        let folder = try TemporaryFolder()
        var dense = model
        dense.graph.sparseForms = [:]
        try dense.serialized().write(to: folder.file("d.onnx"))
        try model.serialized().write(to: folder.file("s.onnx"))
        let told = try Python.run(
            """
            import os, sys, numpy as np, onnxruntime as ort
            os.chdir(sys.argv[1])
            def run(p):
                s = ort.InferenceSession(p, providers=['CPUExecutionProvider']); i = s.get_inputs()[0]
                return s.run(sys.argv[2].split(), {i.name: np.ones(i.shape, np.float32)})
            print(int(all(a.tobytes() == b.tobytes() for a, b in zip(run('d.onnx'), run('s.onnx')))))
            """, folder.path, outputs)
        #expect(told.trimmingCharacters(in: .whitespacesAndNewlines) == "1")
    }
}
