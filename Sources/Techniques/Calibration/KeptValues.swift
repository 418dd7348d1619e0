import EngineSupport
import ModelGraph

/// Values of a model over the calibration samples, kept in memory, for methods that need them again and again.
package struct KeptValues: Sendable {
    private struct Value: Sendable {
        /// Without the axis of samples.
        var shape: [Int]
        var floats: [Float] = []
    }

    private var values: [String: Value] = [:]
    package private(set) var count = 0

    /// Bytes of values kept at most.
    private static let budget = 256 << 20

    private struct DoesNotFit: Error {}

    /// - Returns: `nil` where the values take too much memory, or do not come sample by sample.
    package init?(of model: Model, values names: [String], limit: Int, source: any CalibrationSource, cancellation: Cancellation) throws {
        let total = min(limit, source.sampleCount)
        do {
            var kept: [String: Value] = [:]
            var seen = 0
            try source.forEachBatch(of: model.truncated(to: names), values: names, limit: limit, cancellation: cancellation) { batch in
                guard let rows = batch.first?.shape.first, rows > 0 else { throw DoesNotFit() }
                for value in batch {
                    guard value.shape.first == rows, value.shape.reduce(1, *) == value.floats.count else { throw DoesNotFit() }
                    let shape = Array(value.shape.dropFirst())
                    guard kept[value.name, default: Value(shape: shape)].shape == shape else { throw DoesNotFit() }
                    if kept[value.name] == nil {
                        var first = Value(shape: shape)
                        first.floats.reserveCapacity(total * shape.reduce(1, *))
                        kept[value.name] = first
                    }
                    kept[value.name]?.floats.append(contentsOf: value.floats)
                }
                seen += rows
                let perSample = kept.values.reduce(0) { $0 + $1.shape.reduce(1, *) }
                guard perSample * total * MemoryLayout<Float>.size <= Self.budget, seen <= total else { throw DoesNotFit() }
            }
            guard seen == total else { return nil }
            (values, count) = (kept, seen)
        } catch is DoesNotFit {
            return nil
        }
    }

    /// Calls `body` with the values of `rows` samples from `start` on, in the order of `names`; they are valid during the call.
    func withValues<R>(_ names: [String], from start: Int, rows: Int, _ body: ([CalibrationValue]) throws -> R) rethrows -> R {
        try collect(names[...], start, rows, [], body)
    }

    private func collect<R>(
        _ names: ArraySlice<String>, _ start: Int, _ rows: Int, _ found: [CalibrationValue], _ body: ([CalibrationValue]) throws -> R
    ) rethrows -> R {
        guard let name = names.first else { return try body(found) }
        guard let value = values[name] else {
            let none = CalibrationValue(name: name, shape: [], floats: UnsafeBufferPointer(start: nil, count: 0))
            return try collect(names.dropFirst(), start, rows, found + [none], body)
        }
        let width = value.shape.reduce(1, *)
        return try value.floats.withUnsafeBufferPointer { floats in
            let part = UnsafeBufferPointer(rebasing: floats[(start * width)..<((start + rows) * width)])
            return try collect(names.dropFirst(), start, rows, found + [CalibrationValue(name: name, shape: [rows] + value.shape, floats: part)], body)
        }
    }
}
