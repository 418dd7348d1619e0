import Foundation

extension Python {
    /// How many of the first validation images each model gets right, by Python's onnxruntime, two models at a time. It also
    /// checks that names and types of inputs and outputs are the samples'.
    package static func correct(_ models: [String], images: Int = 10_000) throws -> [Int] {
        let output = try run(evaluation, arguments: [Repository.root + "/SampleModels", "\(images)"] + models, limit: 1200)
        let counts = try JSONDecoder().decode([Int].self, from: Data(output.utf8))
        guard counts.count == models.count else { throw Failure(description: "\(counts.count) counts for \(models.count) models") }
        return counts
    }

    /// Data and preprocessing are read without any of lathe's code. Where a model quantizes activations by the range of
    /// the whole batch its answers depend on the company an image is in: such models are asked one image at a time.
    private static let evaluation = """
        import gzip, json, onnx, onnxruntime
        from concurrent.futures import ThreadPoolExecutor
        folder = sys.argv[1] + "/data/fashion-mnist/"
        def idx(name, offset):
            with gzip.open(folder + name) as file:
                return np.frombuffer(file.read(), np.uint8, offset=offset)
        raw = idx("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28).astype(np.float32)
        labels = idx("t10k-labels-idx1-ubyte.gz", 8)
        images = (raw * np.float32(1 / 255) - np.float32(0.2860)) / np.float32(0.3530)
        images, labels = images[:int(sys.argv[2])], labels[:int(sys.argv[2])]
        def count(path):
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
            return right
        # The runtime leaves Python free while it works.
        print(json.dumps(list(ThreadPoolExecutor(2).map(count, sys.argv[3:]))))
        """
}
