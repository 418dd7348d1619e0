import Foundation
import Testing

/// Python with numpy, onnx and onnxruntime: the independent implementation that the program's numbers are held against.
enum Oracle {
    static let python =
        ProcessInfo.processInfo.environment["LATHE_PYTHON"] ?? Program.repository.appendingPathComponent(".deps/venv/bin/python").path

    /// Runs a script and returns what it printed. A failing script fails the test with its error output.
    @discardableResult
    static func run(_ script: String, _ arguments: [String] = []) throws -> String {
        let result = try Program.execute(python, ["-c", script] + arguments)
        try #require(result.status == 0, "python failed: \(result.errors)")
        return result.output
    }

    /// How many of the first validation images each model gets right, by Python's onnxruntime, in one process. It also
    /// checks that names and types of inputs and outputs are the samples'.
    static func correct(_ models: [String], images: Int = 10_000) throws -> [Int] {
        let folder = Program.repository.appendingPathComponent("SampleModels").path
        let output = try run(evaluation, [folder, "\(images)"] + models)
        let counts = try JSON(parsing: output).array.compactMap(\.int)
        try #require(counts.count == models.count)
        return counts
    }

    /// Data and preprocessing are read without any of lathe's code. Where a model quantizes activations by the range of
    /// the whole batch its answers depend on the company an image is in: such models are asked one image at a time.
    private static let evaluation = """
        import gzip, json, sys
        import numpy as np, onnx, onnxruntime
        folder = sys.argv[1] + "/data/fashion-mnist/"
        def idx(name, offset):
            with gzip.open(folder + name) as file:
                return np.frombuffer(file.read(), np.uint8, offset=offset)
        raw = idx("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28).astype(np.float32)
        labels = idx("t10k-labels-idx1-ubyte.gz", 8)
        images = (raw * np.float32(1 / 255) - np.float32(0.2860)) / np.float32(0.3530)
        images, labels = images[:int(sys.argv[2])], labels[:int(sys.argv[2])]
        counts = []
        for path in sys.argv[3:]:
            nodes = onnx.load(path).graph.node
            dynamic = any(n.op_type.startswith("Dynamic") for n in nodes)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 3
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            contract = [(v.name, v.type) for v in session.get_inputs() + session.get_outputs()]
            assert contract == [("image", "tensor(float)"), ("logits", "tensor(float)")], (path, contract)
            batch, right = (1 if dynamic else 64), 0
            for start in range(0, len(images), batch):
                (out,) = session.run(["logits"], {"image": images[start:start + batch]})
                right += int((out.argmax(1) == labels[start:start + batch]).sum())
            counts.append(right)
        print(json.dumps(counts))
        """
}
