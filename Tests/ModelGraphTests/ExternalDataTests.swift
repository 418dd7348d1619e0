import Foundation
import PythonOracle
import Testing

@testable import ModelGraph

/// External data stays within the model's folder, links followed: what ONNX Runtime reads is read, and nothing else.
@Suite struct ExternalDataTests {
    /// Makes models in folders of their own and prints `folder 0|1`: whether ONNX Runtime opens each.
    private static let script = """
        import os, shutil, sys, numpy as np, onnxruntime as ort
        from onnx import helper as h, TensorProto as T, numpy_helper as nh
        os.chdir(sys.argv[1])
        data = np.arange(12, dtype=np.float32).reshape(3, 4)
        def model(folder, location):
            os.makedirs(folder, exist_ok=True)
            t = nh.from_array(data, 'w'); t.ClearField('raw_data'); t.data_location = 1
            for k, v in (('location', location), ('offset', '0'), ('length', '48')):
                e = t.external_data.add(); e.key, e.value = k, v
            g = h.make_graph([h.make_node('MatMul', ['x', 'w'], ['y'])], 'g', [h.make_tensor_value_info('x', T.FLOAT, [1, 3])], [h.make_tensor_value_info('y', T.FLOAT, [1, 4])], [t])
            open(folder + '/m.onnx', 'wb').write(h.make_model(g, opset_imports=[h.make_opsetid('', 17)], ir_version=8).SerializeToString())
        def weights(path): os.makedirs(os.path.dirname(path), exist_ok=True); open(path, 'wb').write(data.tobytes())
        weights('elsewhere/w.bin')
        model('plain', 'w.bin'); weights('plain/w.bin')
        model('below', 'deep/er/w.bin'); weights('below/deep/er/w.bin')
        model('link-out', 'w.bin'); os.symlink('../elsewhere/w.bin', 'link-out/w.bin')
        model('absolute-link-out', 'w.bin'); os.symlink(os.path.abspath('elsewhere/w.bin'), 'absolute-link-out/w.bin')
        model('folder-out', 'd/w.bin'); os.symlink('../elsewhere', 'folder-out/d')
        model('chain-out', 'w.bin'); os.symlink('v.bin', 'chain-out/w.bin'); os.symlink('../elsewhere/w.bin', 'chain-out/v.bin')
        model('link-in', 'w.bin'); weights('link-in/real.bin'); os.symlink('real.bin', 'link-in/w.bin')
        # A folder whose name begins like the model's is another.
        model('near', 'w.bin'); weights('near-by/w.bin'); os.symlink('../near-by/w.bin', 'near/w.bin')
        # The model itself is reached by a link, alone or with its data, as in caches of downloads.
        os.makedirs('alone'); os.symlink('../plain/m.onnx', 'alone/m.onnx')
        os.makedirs('cache'); os.symlink('../plain/m.onnx', 'cache/m.onnx'); os.symlink('../plain/w.bin', 'cache/w.bin')
        os.symlink('plain', 'whole-folder')
        for name in ('plain', 'below', 'link-out', 'absolute-link-out', 'folder-out', 'chain-out', 'link-in', 'near', 'alone', 'cache', 'whole-folder'):
            try: ort.InferenceSession(name + '/m.onnx', providers=['CPUExecutionProvider']); opens = 1
            except Exception: opens = 0
            print(name, opens)
        """

    @Test func whatTheRuntimeReadsIsRead() throws {
        let folder = try TemporaryFolder()
        let verdicts = try Python.run(Self.script, folder.path).split(separator: "\n").map { $0.split(separator: " ") }
        try #require(verdicts.count == 11)
        for verdict in verdicts {
            let path = folder.file("\(verdict[0])/m.onnx")
            do {
                let model = try Model.read(path: path)
                #expect(verdict[1] == "1", "\(verdict[0]) is read, which the runtime refuses")
                #expect(model.graph.initializers["w"]?.floats() == (0..<12).map(Float.init))
                #expect(try Model.files(path: path).count == 2)
            } catch {
                #expect(verdict[1] == "0", "\(verdict[0]): \(error)")
                #expect(error.message.contains("'w'") && !error.message.contains("\n"), "\(error)")
            }
        }
        #expect(throws: ModelGraphError.self) { try Model.read(path: folder.file("link-out/m.onnx")) }
    }

    /// Sparse weights are kept as they are, but not their file: what is written has no other beside it.
    @Test func sparseWeightsAreTakenIn() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import os, sys, numpy as np
            from onnx import helper as h, TensorProto as T, numpy_helper as nh
            os.chdir(sys.argv[1])
            values = nh.from_array(np.array([1, 2, 3], np.float32), 's')
            open('v.bin', 'wb').write(values.raw_data); values.ClearField('raw_data'); values.data_location = 1
            e = values.external_data.add(); e.key, e.value = 'location', 'v.bin'
            sparse = h.make_sparse_tensor(values, nh.from_array(np.array([0, 5, 7], np.int64), 'i'), [3, 4])
            g = h.make_graph([h.make_node('MatMul', ['x', 's'], ['y'])], 'g', [h.make_tensor_value_info('x', T.FLOAT, [1, 3])], [h.make_tensor_value_info('y', T.FLOAT, [1, 4])], sparse_initializer=[sparse])
            open('m.onnx', 'wb').write(h.make_model(g, opset_imports=[h.make_opsetid('', 17)], ir_version=8).SerializeToString())
            """, folder.path)
        let model = try Model.read(path: folder.file("m.onnx"))
        #expect(try Model.files(path: folder.file("m.onnx")) == [folder.file("m.onnx"), folder.file("v.bin")])
        try model.serialized().write(to: folder.file("out.onnx"))
        let told = try Python.run(
            """
            import sys, onnx
            t = onnx.load(sys.argv[1], load_external_data=False).graph.sparse_initializer[0].values
            print(t.data_location, len(t.external_data), onnx.numpy_helper.to_array(t).tolist())
            """, folder.file("out.onnx"))
        #expect(told.trimmingCharacters(in: .whitespacesAndNewlines) == "0 0 [1.0, 2.0, 3.0]")
    }

    /// A pipe that nobody writes to is no model, and is not waited for.
    @Test(.timeLimit(.minutes(1))) func pipesAreRefused() throws {
        let folder = try TemporaryFolder()
        try #require(mkfifo(folder.file("pipe.onnx"), 0o644) == 0)
        let error = #expect(throws: ModelGraphError.self) { try Model.read(path: folder.file("pipe.onnx")) }
        #expect(error?.message.contains("not a regular file") == true)
    }
}
