import EngineSupport
import ModelGraph
import Techniques

/// Calibration data held in memory, run by ONNX Runtime.
package struct FixedCalibration: CalibrationSource {
    package let batches: [[Tensor]]

    package init(batches: [[Tensor]]) { self.batches = batches }

    package var contentHash: ContentHash {
        var hash = ContentHash()
        for batch in batches { for tensor in batch { hash.combine(tensor.contentHash) } }
        return hash
    }

    package var sampleCount: Int { batches.reduce(0) { $0 + ($1.first?.dims.first ?? 1) } }

    package func forEachBatch(
        of model: Model, values names: [String], limit: Int, cancellation: Cancellation, body: ([CalibrationValue]) throws -> Void
    ) throws {
        var exposed = model
        let produced = Set(model.graph.nodes.flatMap(\.outputs))
        let listed = Set(model.graph.outputs.map(\.name))
        for name in names where produced.contains(name) && !listed.contains(name) {
            exposed.graph.outputs.append(ValueInfo(name: name, elementType: nil, shape: nil))
        }
        for batch in batches {
            let outputs = Dictionary(try Fixture.run(exposed, batch).map { ($0.name, $0) }, uniquingKeysWith: { $1 })
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
