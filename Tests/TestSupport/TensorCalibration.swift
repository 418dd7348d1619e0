import EngineSupport
import ModelGraph
import Techniques

/// Calibration data given as one tensor for the first input of a model.
package struct TensorCalibration: CalibrationSource {
    package var samples: Tensor
    package var batch = 16

    /// Normal numbers with a spread of scales along the last dimension and neighbors that go together, so that inputs differ
    /// in size and are correlated.
    package init(_ model: Model, count: Int = 64, seed: UInt64 = 11) {
        let info = model.graph.requiredInputs[0]
        let dims = [count] + (info.shape ?? []).dropFirst().map { $0.fixedValue ?? 1 }
        var values = Fixture.normal(dims.reduce(1, *), seed: seed)
        for index in values.indices.dropFirst() where index % dims[dims.count - 1] != 0 { values[index] += 0.7 * values[index - 1] }
        for index in values.indices { values[index] *= 0.3 + Float(index % dims[dims.count - 1]) / Float(dims[dims.count - 1]) * 2 }
        samples = Tensor(name: info.name, floats: values, dims: dims)
    }

    package var contentHash: ContentHash { samples.contentHash }
    package var sampleCount: Int { samples.dims[0] }

    package func forEachBatch(
        of model: Model, values: [String], limit: Int, cancellation: Cancellation, body: ([CalibrationValue]) throws -> Void
    ) throws {
        try forEachBatch(ofAll: [(model, values)], limit: limit, cancellation: cancellation) { try body($0[0]) }
    }

    package func forEachBatch(
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
    package static func values(of model: Model, _ names: [String], _ input: Tensor) throws -> [Fixture.Output] {
        var exposed = model
        let made = Set(model.graph.nodes.flatMap(\.outputs))
        exposed.graph.outputs = Set(names).filter { made.contains($0) }.sorted().map { ValueInfo(name: $0, elementType: nil, shape: nil) }
        let outputs = exposed.graph.outputs.isEmpty ? [] : try Fixture.run(exposed, [input])
        return names.map { name in
            outputs.first { $0.name == name } ?? Fixture.Output(name: name, shape: input.dims, values: input.floats() ?? [])
        }
    }

    private func requireFloats(_ tensor: Tensor) throws -> [Float] { tensor.floats() ?? [] }
}
