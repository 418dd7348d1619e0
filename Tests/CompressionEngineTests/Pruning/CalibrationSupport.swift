import Foundation
import ModelGraph
import OnnxRuntime

@testable import EngineSupport
@testable import Recipes
@testable import Techniques

/// Calibration data given as one tensor for the first input of a model.
struct TensorCalibration: CalibrationSource {
    var samples: Tensor
    var batch = 16

    /// Normal numbers with a spread of scales along the last dimension and neighbors that go together, so that inputs differ
    /// in size and are correlated.
    init(_ model: Model, count: Int = 64, seed: UInt64 = 11) {
        let info = model.graph.requiredInputs[0]
        let dims = [count] + (info.shape ?? []).dropFirst().map { $0.fixedValue ?? 1 }
        var values = Pruning.normal(dims.reduce(1, *), seed: seed)
        for index in values.indices.dropFirst() where index % dims[dims.count - 1] != 0 { values[index] += 0.7 * values[index - 1] }
        for index in values.indices { values[index] *= 0.3 + Float(index % dims[dims.count - 1]) / Float(dims[dims.count - 1]) * 2 }
        samples = Tensor(name: info.name, floats: values, dims: dims)
    }

    var contentHash: ContentHash { samples.contentHash }
    var sampleCount: Int { samples.dims[0] }

    func forEachBatch(
        of model: Model, values: [String], limit: Int, cancellation: Cancellation, body: ([CalibrationValue]) throws -> Void
    ) throws {
        try forEachBatch(ofAll: [(model, values)], limit: limit, cancellation: cancellation) { try body($0[0]) }
    }

    func forEachBatch(
        ofAll models: [(model: Model, values: [String])], limit: Int, cancellation: Cancellation, body: ([[CalibrationValue]]) throws -> Void
    ) throws {
        let all = try requireFloats(samples)
        let perSample = all.count / sampleCount
        let total = min(limit, sampleCount)
        for start in stride(from: 0, to: total, by: batch) {
            let rows = min(batch, total - start)
            let input = Tensor(
                name: samples.name, floats: Array(all[(start * perSample)..<((start + rows) * perSample)]), dims: [rows] + samples.dims.dropFirst())
            var kept: [[UnsafeMutableBufferPointer<Float>]] = []
            var gathered: [[CalibrationValue]] = []
            defer { for buffer in kept.flatMap({ $0 }) { buffer.deallocate() } }
            for (model, names) in models {
                let outputs = try Self.values(of: model, names, input)
                let buffers = outputs.map { output in
                    let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: output.values.count)
                    _ = buffer.initialize(from: output.values)
                    return buffer
                }
                kept.append(buffers)
                gathered.append(zip(outputs, buffers).map { CalibrationValue(name: $0.name, shape: $0.shape, floats: UnsafeBufferPointer($1)) })
            }
            try body(gathered)
        }
    }

    /// Values of a model on one input, by name.
    static func values(of model: Model, _ names: [String], _ input: Tensor) throws -> [Pruning.Output] {
        var exposed = model
        let made = Set(model.graph.nodes.flatMap(\.outputs))
        exposed.graph.outputs = Set(names).filter { made.contains($0) }.sorted().map { ValueInfo(name: $0, elementType: nil, shape: nil) }
        let outputs = exposed.graph.outputs.isEmpty ? [] : try Pruning.run(exposed, [input])
        return names.map { name in
            outputs.first { $0.name == name } ?? Pruning.Output(name: name, shape: input.dims, values: input.floats() ?? [])
        }
    }

    private func requireFloats(_ tensor: Tensor) throws -> [Float] { tensor.floats() ?? [] }
}

extension Pruning {
    static func apply(_ steps: [(String, [String: ParameterValue])], to model: Model, calibration: (any CalibrationSource)?, shapes: [String: [Int]] = [:]) throws -> AppliedModel {
        let recipe = Recipe(seed: 5, steps: steps.map { RecipeStep(technique: $0.0, parameters: ParameterValues($0.1)) })
        return try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext(calibration: calibration, shapes: shapes))
    }

    /// Writes little-endian float64 numbers for numpy.
    static func write(_ values: [Double], to path: String) throws { try values.withUnsafeBytes { Data($0) }.write(to: URL(fileURLWithPath: path)) }

    static func doubles(_ path: String) throws -> [Double] {
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        return data.withUnsafeBytes { bytes in (0..<(bytes.count / 8)).map { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Double.self) } }
    }

    /// A small network of convolutions with normalizations and dense layers.
    static func network() -> Model {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let a = b.node("Relu", [b.batchNormalization(b.conv("x", "a", (3, 12), bias: false), "a.bn", 12)], "a.relu")
        let c = b.node("Relu", [b.conv(a, "c", (12, 16))], "c.relu")
        let flat = b.node("Flatten", [c], "flat")
        let d = b.node("Relu", [b.gemm(flat, "d", (16 * 64, 20))], "d.relu")
        return b.model(b.gemm(d, "out", (20, 5)))
    }

    /// Mean square of what two models' value differ by.
    static func error(_ model: Model, _ other: Model, value: String, _ calibration: TensorCalibration) throws -> Double {
        let a = try TensorCalibration.values(of: model, [value], calibration.samples)[0].values
        let b = try TensorCalibration.values(of: other, [value], calibration.samples)[0].values
        return zip(a, b).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) } / Double(max(a.count, 1))
    }

    static func zeros(_ model: Model, _ name: String) -> Int { model.graph.initializers[name]?.floats()?.count { $0 == 0 } ?? -1 }
}
