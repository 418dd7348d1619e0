import Foundation
import ModelGraph
import OnnxRuntime

@testable import EngineSupport
@testable import Recipes
@testable import Techniques

/// What the quantization tests share.
enum Quantization {
    static func apply(
        _ technique: String, _ parameters: [String: ParameterValue] = [:], to model: Model, layers: LayerSelector = .all,
        calibration: [[Tensor]] = [], seed: UInt64 = 0
    ) throws -> AppliedModel {
        let recipe = Recipe(seed: seed, steps: [RecipeStep(technique: technique, parameters: ParameterValues(parameters), layers: layers)])
        let source = calibration.isEmpty ? nil : FixedCalibration(batches: calibration)
        return try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext(calibration: source))
    }

    /// Reads a model that `LayerForms` makes.
    static func form(_ name: String, in folder: TemporaryFolder) throws -> Model {
        try DataOracle.run(LayerForms.script, name, folder.path + "/\(name).onnx")
        return try Model.read(path: folder.path + "/\(name).onnx")
    }

    /// Python that runs pairs of models on the same random inputs and prints for each the largest difference over the largest output.
    /// All that give the shapes of their outputs must pass ONNX's checker.
    static let comparison = """
        import onnx, onnxruntime as ort
        ort.set_default_logger_severity(3)
        def session(path):
            model = onnx.load(path)
            standard = all(n.domain in ('', 'ai.onnx') for n in model.graph.node)
            if all(o.type.tensor_type.HasField('shape') for o in model.graph.output): onnx.checker.check_model(model, full_check=standard)
            options = ort.SessionOptions()
            options.log_severity_level = 3
            return ort.InferenceSession(path, options, providers=['CPUExecutionProvider'])
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
    static func differences(_ pairs: [(Model, Model)]) throws -> [Double] {
        let folder = try TemporaryFolder()
        var paths: [String] = []
        for (number, pair) in pairs.enumerated() {
            paths.append(try pair.0.written(folder, "\(number)-a.onnx"))
            paths.append(try pair.1.written(folder, "\(number)-b.onnx"))
        }
        return numbers(try DataOracle.run(comparison, arguments: paths))
    }

    static func difference(_ first: Model, _ second: Model) throws -> Double { try differences([(first, second)]).first ?? .infinity }

    /// Numbers that a script prints.
    static func numbers(_ text: String) -> [Double] { text.split(whereSeparator: { " \n[],".contains($0) }).compactMap { Double($0) } }
}

/// Calibration data held in memory, run by ONNX Runtime.
struct FixedCalibration: CalibrationSource {
    let batches: [[Tensor]]

    var contentHash: ContentHash {
        var hash = ContentHash()
        for batch in batches { for tensor in batch { hash.combine(tensor.contentHash) } }
        return hash
    }

    var sampleCount: Int { batches.reduce(0) { $0 + ($1.first?.dims.first ?? 1) } }

    func forEachBatch(
        of model: Model, values names: [String], limit: Int, cancellation: Cancellation, body: ([CalibrationValue]) throws -> Void
    ) throws {
        var exposed = model
        let produced = Set(model.graph.nodes.flatMap(\.outputs))
        let listed = Set(model.graph.outputs.map(\.name))
        for name in names where produced.contains(name) && !listed.contains(name) {
            exposed.graph.outputs.append(ValueInfo(name: name, elementType: nil, shape: nil))
        }
        for batch in batches {
            let outputs = Dictionary(try Pruning.run(exposed, batch).map { ($0.name, $0) }, uniquingKeysWith: { $1 })
            // Buffers of their own, freed after the call.
            var values: [CalibrationValue] = []
            var owned: [UnsafeMutableBufferPointer<Float>] = []
            defer { for buffer in owned { buffer.deallocate() } }
            for name in names {
                let input = batch.first { $0.name == name }
                let (shape, floats) = outputs[name].map { ($0.shape, $0.values) } ?? (input?.dims ?? [], input?.floats() ?? [])
                let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: max(floats.count, 1))
                _ = buffer.initialize(from: floats)
                owned.append(buffer)
                values.append(CalibrationValue(name: name, shape: shape, floats: UnsafeBufferPointer(rebasing: buffer[0..<floats.count])))
            }
            try body(values)
        }
    }
}
