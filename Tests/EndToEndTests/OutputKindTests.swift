import Foundation
import PythonOracle
import Testing

/// Models that do not map [batch, …] to [batch, classes]: what `evaluate` says of them is what Python computes sample by sample.
@Suite struct OutputKindTests {
    /// Writes NAME.onnx, NAME.npz and NAME.yaml (rows 0 and 1 calibrate, 2 to 7 validate) for each kind of model.
    private static let maker = """
        import sys, numpy as np, onnx
        from onnx import helper as h, numpy_helper as nh, TensorProto as T
        folder = sys.argv[1]
        rng = np.random.default_rng(5)
        f = lambda *s: (0.4 * rng.standard_normal(s)).astype(np.float32)
        info = h.make_tensor_value_info
        def write(name, nodes, initializers, inputs, outputs, data, metric=''):
            m = h.make_model(h.make_graph(nodes, name, inputs, outputs, initializers), opset_imports=[h.make_opsetid('', 17)])
            m.ir_version = 8
            onnx.save(m, f'{folder}/{name}.onnx')
            np.savez(f'{folder}/{name}.npz', **data)
            open(f'{folder}/{name}.yaml', 'w').write(f'format: npz\\n{metric}splits:\\n  calibration: {{file: {name}.npz, range: [0, 2]}}\\n  validation: {{file: {name}.npz, range: [2, 8]}}\\n')
        w, v = nh.from_array(f(16, 24), 'w'), nh.from_array(f(24, 6), 'v')
        dense = [h.make_node('MatMul', ['x', 'w'], ['a']), h.make_node('Tanh', ['a'], ['b']), h.make_node('MatMul', ['b', 'v'], ['y'])]
        write('sequence', dense, [w, v], [info('x', T.FLOAT, ['n', 't', 16])], [info('y', T.FLOAT, ['n', 't', 6])], {'x': f(8, 5, 16)})
        write('boxes', dense, [w, v], [info('x', T.FLOAT, [1, 50, 16])], [info('y', T.FLOAT, [1, 50, 6])], {'x': f(8, 50, 16)})
        k = nh.from_array(f(3, 2, 3, 3), 'k')
        write('picture', [h.make_node('Conv', ['x', 'k'], ['y'], pads=[1, 1, 1, 1])], [k], [info('x', T.FLOAT, ['n', 2, 'h', 'w'])],
              [info('y', T.FLOAT, ['n', 3, 'h', 'w'])], {'x': f(8, 2, 9, 7)})
        write('time-first', dense[:2] + [h.make_node('MatMul', ['b', 'v'], ['z']), h.make_node('Transpose', ['z'], ['y'], perm=[1, 0, 2])], [w, v],
              [info('x', T.FLOAT, ['n', 't', 16])], [info('y', T.FLOAT, ['t', 'n', 6])], {'x': f(8, 5, 16)})
        # Divided by the largest value of the whole batch.
        write('batch-norming', dense[:2] + [h.make_node('MatMul', ['b', 'v'], ['z']), h.make_node('ReduceMax', ['z'], ['top'], keepdims=0),
              h.make_node('Mul', ['top', 'share'], ['floor']), h.make_node('Max', ['z', 'floor'], ['y'])],
              [w, v, nh.from_array(np.float32(0.3), 'share')], [info('x', T.FLOAT, ['n', 5, 16])], [info('y', T.FLOAT, ['n', 5, 6])],
              {'x': f(8, 5, 16) * np.arange(1, 9, dtype=np.float32)[:, None, None]})
        # A state of [layers, batch, size] and a scalar, as recurrent models have them.
        lstm = [h.make_node('Transpose', ['x'], ['xt'], perm=[1, 0, 2]), h.make_node('LSTM', ['xt', 'lw', 'lr', '', '', 'h', 'c'], ['l', 'hn', 'cn'], hidden_size=8),
                h.make_node('Squeeze', ['hn', 'zero'], ['hs']), h.make_node('Cast', ['rate'], ['rf'], to=1), h.make_node('Mul', ['hs', 'rf'], ['y'])]
        write('state', lstm, [nh.from_array(f(1, 32, 16), 'lw'), nh.from_array(f(1, 32, 8), 'lr'), nh.from_array(np.array([0], np.int64), 'zero')],
              [info('x', T.FLOAT, ['n', 't', 16]), info('h', T.FLOAT, [1, 'n', 8]), info('c', T.FLOAT, [1, 'n', 8]), info('rate', T.INT64, [])],
              [info('y', T.FLOAT, ['n', 8]), info('cn', T.FLOAT, [1, 'n', 8])],
              {'x': f(8, 5, 16), 'h': f(8, 1, 1, 8), 'c': f(8, 1, 1, 8), 'rate': np.full(8, 3, np.int64)}, 'metric: cosine\\n')
        np.savez(f'{folder}/one-call.npz', x=f(2, 5, 16), h=f(1, 2, 8), c=f(1, 2, 8), rate=np.int64(2))
        # Token ids and a mask, scored per token.
        table = nh.from_array(f(50, 16), 'e')
        write('tokens', [h.make_node('Gather', ['e', 'ids'], ['g']), h.make_node('Cast', ['mask'], ['mf'], to=1), h.make_node('Unsqueeze', ['mf', 'last'], ['mu']),
              h.make_node('Mul', ['g', 'mu'], ['x'])] + dense, [table, w, v, nh.from_array(np.array([2], np.int64), 'last')],
              [info('ids', T.INT64, ['n', 't']), info('mask', T.INT64, ['n', 't'])], [info('y', T.FLOAT, ['n', 't', 6])],
              {'ids': rng.integers(0, 50, (8, 7)), 'mask': rng.integers(0, 2, (8, 7))})
        same = f(8, 5, 16)
        for name, batch in (('free', 'n'), ('fixed', 4)):
            write(name, dense, [w, v], [info('x', T.FLOAT, [batch, 5, 16])], [info('y', T.FLOAT, [batch, 5, 6])], {'x': same})
        write('fixed-large', dense, [w, v], [info('x', T.FLOAT, [7, 5, 16])], [info('y', T.FLOAT, [7, 5, 6])], {'x': same})
        # As many numbers as are found, in some samples none.
        write('found', dense[:2] + [h.make_node('MatMul', ['b', 'v'], ['z']), h.make_node('Greater', ['z', 'floor'], ['m'])] + [
              h.make_node('Reshape', ['m', 'flat'], ['mf']), h.make_node('Compress', ['z', 'mf'], ['y'])],
              [w, v, nh.from_array(np.float32(1.2), 'floor'), nh.from_array(np.array([-1], np.int64), 'flat')],
              [info('x', T.FLOAT, ['n', 16])], [info('y', T.FLOAT, ['k'])], {'x': f(8, 16) * np.array([3, 3, 3, 1, 3, 3, 0, 3], np.float32)[:, None]}, 'metric: cosine\\n')
        np.savez(f'{folder}/labeled.npz', x=f(8, 5, 16), labels=rng.integers(0, 6, 8))
        """

    /// Mean cosine over rows 2 to 7 between two files, each row in a call of its own.
    private static let judge = """
        import sys, json, numpy as np, onnxruntime
        folder, out = sys.argv[1], {}
        for name in sys.argv[2:]:
            def session(path):
                o = onnxruntime.SessionOptions(); o.log_severity_level = 4
                return onnxruntime.InferenceSession(path, o, providers=['CPUExecutionProvider'])
            a, b = session(f'{folder}/{name}.onnx'), session(f'{folder}/{name}-pruned.onnx')
            data = np.load(f'{folder}/{name}.npz')
            scores = []
            for row in range(2, 8):
                # An array of one dimension more than its input holds what whole calls take.
                feeds = {i.name: np.asarray(data[i.name][row] if data[i.name].ndim > len(i.shape) else data[i.name][row:row + 1]) for i in a.get_inputs()}
                x, y = (np.asarray(s.run(None, feeds)[0], np.float64).ravel() for s in (a, b))
                x, y = (np.pad(v, (0, max(len(x), len(y)) - len(v))) for v in (x, y))
                if not x.any() and not y.any():
                    scores.append(1.0)
                    continue
                if not x.any() or not y.any():
                    scores.append(0.0)
                    continue
                scores.append(x @ y / np.sqrt((x @ x) * (y @ y)))
            out[name] = float(np.mean(scores))
        print(json.dumps(out))
        """

    private static let kinds = ["sequence", "boxes", "picture", "time-first", "batch-norming", "state", "tokens", "found"]

    @Test func cosineOfTheWholeOutput() throws {
        let folder = try TemporaryFolder()
        try Python.run(Self.maker, folder.path)
        var said: [String: Double] = [:]
        for kind in Self.kinds {
            let (model, data) = (folder.file("\(kind).onnx"), folder.file("\(kind).yaml"))
            let step = ["--step", "magnitude-pruning:sparsity=0.6"]
            let applied = try Program.run(["apply", model, "--output", folder.file("\(kind)-pruned.onnx")] + step)
            try #require(applied.status == 0, "\(kind): \(applied.errors)")
            let itself = try Program.json(["evaluate", model, "--data", data, "--no-latency"])
            #expect(itself["accuracy.metric"]?.string == "cosine" && itself["accuracy.value"]?.double == 1, "\(kind)")
            let pruned = try Program.json(["evaluate", model, "--data", data, "--no-latency"] + step)
            #expect(pruned["accuracy.samples"]?.int == 6)
            said[kind] = pruned["accuracy.value"]?.double
        }
        let truth = try JSON(parsing: Python.run(Self.judge, arguments: [folder.path] + Self.kinds))
        for kind in Self.kinds {
            let (value, expected) = (try #require(said[kind]), try #require(truth[kind]?.double))
            #expect(abs(value - expected) < 1e-5, "\(kind): lathe \(value), Python \(expected)")
            #expect(expected < 0.9999, "\(kind): pruning changes nothing, so the test says nothing")
        }
        let call = try Program.json(["evaluate", folder.file("state.onnx"), "--data", folder.file("one-call.npz"), "--no-latency"])
        #expect(call["accuracy.samples"]?.int == 1 && call["accuracy.value"]?.double == 1)
    }

    /// A weight that several layers read, as in an unrolled recurrence, stands in the quantized file once.
    @Test func sharedWeightsStayShared() throws {
        let folder = try TemporaryFolder()
        let (model, out) = (folder.file("tied.onnx"), folder.file("out.onnx"))
        try Python.run(
            """
            import sys, numpy as np, onnx
            from onnx import helper as h, numpy_helper as nh, TensorProto as T
            rng = np.random.default_rng(2)
            nodes, value = [], 'x'
            for step in range(6):
                nodes += [h.make_node('MatMul', [value, 'w'], [f'm{step}'], name=f'step{step}'), h.make_node('Tanh', [f'm{step}'], [f't{step}'])]
                value = f't{step}'
            info = h.make_tensor_value_info
            w = nh.from_array((0.2 * rng.standard_normal((64, 64))).astype(np.float32), 'w')
            m = h.make_model(h.make_graph(nodes, 'g', [info('x', T.FLOAT, ['n', 64])], [info(value, T.FLOAT, ['n', 64])], [w]), opset_imports=[h.make_opsetid('', 17)])
            m.ir_version = 8
            onnx.save(m, sys.argv[1])
            np.savez(sys.argv[2], x=rng.standard_normal((20, 64)).astype(np.float32))
            """, model, folder.file("x.npz"))
        // In integers: where some readers stay in float because that is faster here, what they read may be another table.
        for step in ["static-int8:target=integer", "dynamic-int8", "weight-quantization", "fp16"] {
            let applied = try Program.run("apply", model, "--data", folder.file("x.npz"), "--step", step, "--output", out)
            try #require(applied.status == 0, "\(step): \(applied.errors)")
            let large = try Python.run(
                "import sys, onnx; print(sum(t.data_type != 1 and len(t.raw_data) >= 4096 for t in onnx.load(sys.argv[1]).graph.initializer))", out)
            #expect(large.trimmingCharacters(in: .whitespacesAndNewlines) == "1", "\(step) stores the weight \(large) times")
        }
    }

    /// Models that decide between two classes by one number: probability, logit, logit without an extent for it, and the class itself.
    private static let deciders = """
        import sys, json, numpy as np, onnx, onnxruntime
        from onnx import helper as h, numpy_helper as nh, TensorProto as T
        folder = sys.argv[1]
        rng = np.random.default_rng(8)
        f = lambda *s: rng.standard_normal(s).astype(np.float32)
        x = f(400, 12)
        hidden = np.tanh(x @ f(12, 6)) @ f(6)
        labels = (hidden + 0.3 * f(400) > 0).astype(np.int64)
        np.savez(f'{folder}/data.npz', x=x, labels=labels)
        np.savez(f'{folder}/three.npz', x=x, labels=labels + 1)
        w, v = 0.4 * f(12, 16), 0.4 * f(16, 1)
        info = h.make_tensor_value_info
        dense = [h.make_node('MatMul', ['x', 'w'], ['a']), h.make_node('Relu', ['a'], ['b']), h.make_node('MatMul', ['b', 'v'], ['z'])]
        ends = {
            'probability': ([h.make_node('Sigmoid', ['z'], ['y'])], [info('y', T.FLOAT, ['n', 1])]),
            'hard': ([h.make_node('HardSigmoid', ['z'], ['y'])], [info('y', T.FLOAT, ['n', 1])]),
            'logit': ([h.make_node('Identity', ['z'], ['y'])], [info('y', T.FLOAT, ['n', 1])]),
            'flat': ([h.make_node('Sigmoid', ['z'], ['p']), h.make_node('Squeeze', ['p', 'one'], ['y'])], [info('y', T.FLOAT, ['n'])]),
            'class': ([h.make_node('ArgMax', ['b'], ['k'], axis=1, keepdims=0), h.make_node('Mod', ['k', 'two'], ['y'])], [info('y', T.INT64, ['n'])]),
            'besides': ([h.make_node('SequenceConstruct', ['z'], ['s']), h.make_node('Sigmoid', ['z'], ['y'])],
                        [h.make_tensor_sequence_value_info('s', T.FLOAT, None), info('y', T.FLOAT, ['n', 1])]),
        }
        said = {}
        for name, (end, outputs) in ends.items():
            extra = [nh.from_array(w, 'w'), nh.from_array(v, 'v'), nh.from_array(np.array([1], np.int64), 'one'), nh.from_array(np.int64(2), 'two')]
            m = h.make_model(h.make_graph(dense + end, name, [info('x', T.FLOAT, ['n', 12])], outputs, extra), opset_imports=[h.make_opsetid('', 17)])
            m.ir_version = 8
            onnx.save(m, f'{folder}/{name}.onnx')
        for path in sys.argv[2:]:
            y = np.asarray(onnxruntime.InferenceSession(f'{folder}/{path}.onnx', providers=['CPUExecutionProvider']).run(['y'], {'x': x})[0]).reshape(400)
            cut = 0 if path.startswith('logit') else 0.5
            said[path] = float(((y if path.startswith('class') else y > cut) == labels)[100:].mean())
        print(json.dumps(said))
        """

    @Test func oneNumberDecidesBetweenTwoClasses() throws {
        let folder = try TemporaryFolder()
        let kinds = ["probability", "hard", "logit", "flat", "class", "besides"]
        let truth = try JSON(parsing: Python.run(Self.deciders, arguments: [folder.path] + kinds))
        func declare(_ name: String, _ splits: String) throws -> String {
            try "format: npz\nsplits:\n\(splits)".write(toFile: folder.file(name), atomically: true, encoding: .utf8)
            return folder.file(name)
        }
        let data = try declare("data.yaml", "  calibration: {file: data.npz, range: [0, 100]}\n  validation: {file: data.npz, range: [100, 400]}\n")
        for kind in kinds {
            let said = try Program.json(["evaluate", folder.file("\(kind).onnx"), "--data", data, "--no-latency"])
            #expect(said["accuracy.metric"]?.string == "top-1" && said["accuracy.samples"]?.int == 300, "\(kind)")
            #expect(said["accuracy.value"]?.double == truth[kind]?.double, "\(kind)")
        }
        let many = try Program.run("evaluate", folder.file("logit.onnx"), "--data", folder.file("three.npz"), "--no-latency")
        #expect(many.status == 2 && many.errorLines.count == 1 && many.errors.contains("for classes 0 and 1"), "\(many.errors)")
        // Such models learn from labels too, by the logit.
        let declared = try declare("train.yaml", "  train: {file: data.npz, range: [0, 300]}\n  validation: {file: data.npz, range: [300, 400]}\n")
        for kind in ["probability", "hard", "logit", "flat"] {
            let trained = folder.file("\(kind)-trained.onnx")
            let run = try Program.run("train", folder.file("\(kind).onnx"), "--data", declared, "--epochs", "40", "--learning-rate", "0.01", "--output", trained)
            #expect(run.status == 0, "\(run.errors)")
            let after = try JSON(parsing: Python.run(Self.deciders, folder.path, "\(kind)-trained"))["\(kind)-trained"]?.double ?? 0
            #expect(after > max(0.8, (truth[kind]?.double ?? 1) + 0.2), "\(kind): \(truth[kind]?.double ?? 0) → \(after)")
        }
    }

    /// What was trained once comes back from memory into the very same file, also where weights stand in Constant nodes under names of their own.
    @Test func rememberedTrainingGivesTheSameFile() throws {
        let folder = try TemporaryFolder()
        let (model, data) = (folder.file("named.onnx"), folder.file("x.npz"))
        try Python.run(
            """
            import sys, numpy as np, onnx
            from onnx import helper as h, numpy_helper as nh, TensorProto as T
            rng = np.random.default_rng(4)
            f = lambda *s: (0.3 * rng.standard_normal(s)).astype(np.float32)
            nodes = [h.make_node('Constant', [], ['w'], value=nh.from_array(f(8, 16), 'inner name')), h.make_node('MatMul', ['x', 'w'], ['a']), h.make_node('Relu', ['a'], ['b']),
                     h.make_node('Constant', [], ['v'], value=nh.from_array(f(16, 4), 'another')), h.make_node('MatMul', ['b', 'v'], ['y'])]
            info = h.make_tensor_value_info
            m = h.make_model(h.make_graph(nodes, 'g', [info('x', T.FLOAT, ['n', 8])], [info('y', T.FLOAT, ['n', 4])]), opset_imports=[h.make_opsetid('', 17)])
            m.ir_version = 8
            onnx.save(m, sys.argv[1])
            np.savez(sys.argv[2], x=f(100, 8))
            """, model, data)
        for step in ["fine-tuning:epochs=2,learning-rate=0.01", "quantization-aware-training:epochs=1"] {
            var files: [Data] = []
            for name in ["first.onnx", "second.onnx"] {
                let applied = try Program.run("apply", model, "--data", data, "--step", step, "--output", folder.file(name))
                try #require(applied.status == 0, "\(applied.errors)")
                files.append(try Data(contentsOf: URL(fileURLWithPath: folder.file(name))))
            }
            #expect(files[0] == files[1], "\(step)")
        }
    }

    @Test func labelsNeedOneScorePerClass() throws {
        let folder = try TemporaryFolder()
        try Python.run(Self.maker, folder.path)
        let result = try Program.run("evaluate", folder.file("sequence.onnx"), "--data", folder.file("labeled.npz"), "--no-latency")
        #expect(result.status == 2 && result.errorLines.count == 1 && result.errors.contains("metric: cosine"), "\(result.errors)")
    }

    /// A batch that the model fixes is filled with other samples, whose scores are their own.
    @Test func fixedBatchesAreFilled() throws {
        let folder = try TemporaryFolder()
        try Python.run(Self.maker, folder.path)
        for limit in [1, 3, 5, 6] {
            let values = try ["free", "fixed"].map { name in
                let said = try Program.json([
                    "evaluate", folder.file("\(name).onnx"), "--data", folder.file("\(name).yaml"), "--no-latency", "--limit", "\(limit)", "--step",
                    "magnitude-pruning:sparsity=0.6",
                ])
                #expect(said["accuracy.samples"]?.int == limit)
                return try #require(said["accuracy.value"]?.double)
            }
            #expect(abs(values[0] - values[1]) < 1e-6, "\(values)")
        }
        let few = try Program.run("evaluate", folder.file("fixed-large.onnx"), "--data", folder.file("fixed-large.yaml"), "--no-latency")
        #expect(few.status == 2 && few.errors.contains("fewer than the model's fixed batch of 7"), "\(few.errors)")
    }
}
