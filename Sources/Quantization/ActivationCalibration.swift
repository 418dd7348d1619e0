import Dispatch
import EngineSupport
import ModelGraph
import Techniques

/// Gathers statistics of intermediate values over calibration data.
enum ActivationCalibration {
    /// - Parameters:
    ///   - names: values to watch; true asks for the distribution, false for the range only.
    ///   - limit: samples at most.
    /// - Throws: `EngineError` if there is no calibration data or the runtime refuses the model.
    static func statistics(of model: Model, names: [String: Bool], limit: Int, context: RewriteContext) throws -> [String: TensorStatistics] {
        let source = try context.requiredCalibration()
        let order = names.keys.sorted()
        let slots = Slots(order.map { TensorStatistics(histogram: names[$0] ?? false) })
        let total = Double(min(limit, source.sampleCount))
        var done = 0.0
        try source.forEachBatch(of: model, values: order, limit: limit, cancellation: context.cancellation) { values in
            try slots.add(values)
            done += Double(values.lazy.compactMap(\.shape.first).first ?? 1)
            context.progress(min(done / max(total, 1), 1) * 0.9, "calibrating")
        }
        return Dictionary(uniqueKeysWithValues: zip(order, slots.statistics))
    }

    /// Statistics of several values, updated concurrently.
    ///
    /// Sendable without a lock: concurrent iterations write different elements, and `add` returns after all of them.
    private final class Slots: @unchecked Sendable {
        private let storage: UnsafeMutableBufferPointer<TensorStatistics>

        init(_ statistics: [TensorStatistics]) {
            storage = .allocate(capacity: statistics.count)
            _ = storage.initialize(from: statistics)
        }

        deinit {
            storage.deinitialize()
            storage.deallocate()
        }

        var statistics: [TensorStatistics] { Array(storage) }

        func add(_ values: [CalibrationValue]) throws {
            for value in values where value.floats.isEmpty && !value.shape.isEmpty && !value.shape.contains(0) {
                throw EngineError(.technique, "value '\(value.name)' is not floating point and cannot be calibrated")
            }
            // The buffers stay valid until this call returns.
            nonisolated(unsafe) let buffers = values.map(\.floats)
            DispatchQueue.concurrentPerform(iterations: min(buffers.count, storage.count)) { index in
                self.storage[index].add(buffers[index])
            }
        }
    }
}
