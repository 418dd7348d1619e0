import Foundation
import ModelGraph
import PythonOracle

/// Models side by side in Python's onnxruntime.
package enum PythonComparison {
    /// Reads a model that `LayerForms` makes.
    package static func form(_ name: String, in folder: TemporaryFolder) throws -> Model {
        try Python.run(LayerForms.script, name, folder.path + "/\(name).onnx")
        return try Model.read(path: folder.path + "/\(name).onnx")
    }

    /// Python that runs pairs of models on the same random inputs and prints for each the largest difference over the largest output.
    /// All that give the shapes of their outputs must pass ONNX's checker.
    package static let comparison = """
        import onnx, onnx.reference, onnxruntime as ort
        ort.set_default_logger_severity(3)
        # With VNNI products are exact without the option, which fails on some models.
        exact = exact and 'vnni' not in open('/proc/cpuinfo').read()
        def session(path):
            model = onnx.load(path)
            standard = all(n.domain in ('', 'ai.onnx') for n in model.graph.node)
            if all(o.type.tensor_type.HasField('shape') for o in model.graph.output): onnx.checker.check_model(model, full_check=standard)
            options = ort.SessionOptions()
            if exact: options.add_session_config_entry('session.x64quantprecision', '1')
            options.log_severity_level = 3
            try:
                return ort.InferenceSession(path, options, providers=['CPUExecutionProvider'])
            except Exception:
                if not exact: raise
                # The option fails on constants that two nodes read; ONNX's own evaluator does not saturate either.
                return onnx.reference.ReferenceEvaluator(model)
        for left, right in zip(args[::2], args[1::2]):
            first, second = session(left), session(right)
            rng = np.random.default_rng(0)
            feeds = {}
            for i in first.get_inputs():
                shape = [d if isinstance(d, int) else 3 for d in i.shape]
                feeds[i.name] = np.asarray(rng.integers(0, 5, shape)) if 'int' in i.type else np.array(True).reshape(shape) if 'bool' in i.type else rng.standard_normal(shape).astype(np.float16 if 'float16' in i.type else np.float32)
            worst = 0
            for a, b in zip(first.run(None, feeds), second.run(None, feeds)):
                assert a.shape == b.shape, (a.shape, b.shape)
                worst = max(worst, np.abs(a.astype(np.float64) - b).max() / max(np.abs(a).max(), 1e-9))
            print(worst)
        """

    /// Largest relative difference of outputs in Python's onnxruntime, of each pair of models.
    /// - Parameter exact: whether integer products are to be exact: kernels of processors without VNNI saturate at 16 bits otherwise, which is a fact of the
    ///   machine and not of the model.
    package static func differences(_ pairs: [(Model, Model)], exact: Bool = false) throws -> [Double] {
        let folder = try TemporaryFolder()
        var paths: [String] = []
        for (number, pair) in pairs.enumerated() {
            paths.append(try pair.0.written(folder, "\(number)-a.onnx"))
            paths.append(try pair.1.written(folder, "\(number)-b.onnx"))
        }
        return numbers(try Python.run("exact = \(exact ? "True" : "False")\n" + comparison, arguments: paths))
    }

    package static func difference(_ first: Model, _ second: Model, exact: Bool = false) throws -> Double {
        try differences([(first, second)], exact: exact).first ?? .infinity
    }

    /// Numbers that a script prints.
    package static func numbers(_ text: String) -> [Double] { text.split(whereSeparator: { " \n[],".contains($0) }).compactMap { Double($0) } }
}
