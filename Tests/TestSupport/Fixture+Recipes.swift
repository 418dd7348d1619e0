import CompressionEngine
import EngineSupport
import ModelGraph
import PythonOracle
import Recipes
import Synchronization
import Techniques

/// Models that were rewritten, and how far they are from what they were.
extension Fixture {
    /// A session on a sample model and Fashion-MNIST, opened once for all tests: what it remembers, it remembers by content.
    package static func session(_ name: String) throws -> EngineSession {
        try sessions.withLock { sessions in
            if let known = sessions[name] { return known }
            let opened = try newSession(name)
            sessions[name] = opened
            return opened
        }
    }

    private static let sessions = Mutex<[String: EngineSession]>([:])

    /// A session that has done nothing yet.
    package static func newSession(_ name: String) throws -> EngineSession {
        try EngineSession.open(OpenRequest(modelPath: Samples.path(name), dataPath: Samples.data))
    }

    /// A recipe of one step.
    package static func recipe(_ technique: String, _ parameters: [String: ParameterValue] = [:], layers: LayerSelector = .all) -> Recipe {
        Recipe(steps: [RecipeStep(technique: technique, parameters: ParameterValues(parameters), layers: layers)])
    }

    package static func apply(_ recipe: Recipe, to model: Model, shapes: [String: [Int]] = [:]) throws -> AppliedModel {
        try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext(shapes: shapes))
    }

    package static func apply(_ steps: [(String, [String: ParameterValue])], to model: Model, calibration: (any CalibrationSource)?, shapes: [String: [Int]] = [:]) throws
        -> AppliedModel
    {
        let recipe = Recipe(seed: 5, steps: steps.map { RecipeStep(technique: $0.0, parameters: ParameterValues($0.1)) })
        return try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext(calibration: calibration, shapes: shapes))
    }

    package static func apply(
        _ technique: String, _ parameters: [String: ParameterValue] = [:], to model: Model, layers: LayerSelector = .all,
        calibration: [[Tensor]] = [], seed: UInt64 = 0
    ) throws -> AppliedModel {
        let recipe = Recipe(seed: seed, steps: [RecipeStep(technique: technique, parameters: ParameterValues(parameters), layers: layers)])
        let source = calibration.isEmpty ? nil : FixedCalibration(batches: calibration)
        return try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext(calibration: source))
    }

    /// Numbers between -0.5 and 0.5, the same for the same seed.
    package static func uniform(_ count: Int, seed: UInt64) -> [Float] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in Float(Double(generator.next() >> 11) * 0x1p-53 - 0.5) }
    }

    /// A model with all but the largest share of weights of every layer set to zero.
    package static func pruned(_ model: Model, keeping share: Double) -> Model {
        var model = model
        let names = model.layers().flatMap(\.weightNames)
        let magnitudes = names.flatMap { model.graph.initializers[$0]?.floats() ?? [] }.map(abs).sorted()
        let threshold = magnitudes[Int(Double(magnitudes.count) * (1 - share))]
        for name in names {
            guard let tensor = model.graph.initializers[name], let values = tensor.floats() else { continue }
            model.graph.initializers[name] = tensor.withFloats(values.map { abs($0) < threshold ? 0 : $0 })
        }
        return model
    }

    /// A small network of convolutions with normalizations and dense layers.
    package static func network() -> Model {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let a = b.node("Relu", [b.batchNormalization(b.conv("x", "a", (3, 12), bias: false), "a.bn", 12)], "a.relu")
        let c = b.node("Relu", [b.conv(a, "c", (12, 16))], "c.relu")
        let flat = b.node("Flatten", [c], "flat")
        let d = b.node("Relu", [b.gemm(flat, "d", (16 * 64, 20))], "d.relu")
        return b.model(b.gemm(d, "out", (20, 5)))
    }

    /// Mean square of what two models' value differ by.
    package static func error(_ model: Model, _ other: Model, value: String, _ calibration: TensorCalibration) throws -> Double {
        let a = try TensorCalibration.values(of: model, [value], calibration.samples)[0].values
        let b = try TensorCalibration.values(of: other, [value], calibration.samples)[0].values
        return zip(a, b).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) } / Double(max(a.count, 1))
    }

    package static func zeros(_ model: Model, _ name: String) -> Int { model.graph.initializers[name]?.floats()?.count { $0 == 0 } ?? -1 }
}
