import Dispatch
import EngineSupport
import ModelGraph

/// What calibration data says about the channels of one value.
package struct ChannelMoments: Sendable {
    /// Elements of a channel seen.
    var count: Int
    package var mean: [Double]
    /// Of the population.
    package var variance: [Double]
    /// Share of elements that are not positive: of what a ReLU gives, of zeros.
    var zeroShare: [Double]
}

/// Streams calibration data through a model and gathers statistics of values by channel. No activation is kept.
package enum ChannelStatistics {
    /// A value of the main graph and the dimension of its channels, counted from the end if negative.
    package struct Value: Hashable, Sendable {
        package var name: String
        package var axis: Int

        package init(name: String, axis: Int) {
            self.name = name
            self.axis = axis
        }
    }

    /// - Returns: by value; those that never came as floats with that dimension are missing.
    package static func gather(of model: Model, values: [Value], limit: Int, context: RewriteContext) throws -> [Value: ChannelMoments] {
        let source = try context.requiredCalibration()
        guard !values.isEmpty else { return [:] }
        let names = Array(Set(values.map(\.name))).sorted()
        let place = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
        let slots = values.map { Accumulator($0) }
        var done = 0.0
        let total = Double(max(min(limit, source.sampleCount), 1))
        try source.forEachBatch(of: model.truncated(to: names), values: names, limit: limit, cancellation: context.cancellation) { batch in
            // The buffers stay valid until this call returns.
            nonisolated(unsafe) let batch = batch
            DispatchQueue.concurrentPerform(iterations: slots.count) { index in
                if let position = place[slots[index].value.name] { slots[index].add(batch[position]) }
            }
            done += Double(batch.lazy.compactMap(\.shape.first).first ?? 1)
            context.progress(min(done / total, 1), "measuring activations")
        }
        return Dictionary(slots.compactMap { slot in slot.result().map { (slot.value, $0) } }, uniquingKeysWith: { first, _ in first })
    }

    /// Sums over the elements of one channel.
    private struct Channel {
        /// A first guess at the mean, from which deviations are summed: squares of small differences keep their digits.
        let origin: Double
        var count = 0
        var sum = 0.0
        var squares = 0.0
        var zeros = 0
        var size: Double { Double(max(count, 1)) }

        /// Numbers that are not finite are left out.
        mutating func add(_ line: UnsafePointer<Float>, _ count: Int) {
            var (total, square, none) = (0.0, 0.0, 0)
            for index in 0..<count {
                let value = Double(line[index]) - origin
                total += value
                square += value * value
                if !(line[index] > 0) { none += 1 }
            }
            guard total.isFinite else {
                for index in 0..<count where line[index].isFinite { add(line + index, 1) }
                return
            }
            self.count += count
            sum += total
            squares += square
            zeros += none
        }
    }

    /// Sums by channel. Unchecked: `concurrentPerform` gives each to one iteration at a time and returns after all of them.
    private final class Accumulator: @unchecked Sendable {
        let value: Value
        private var count = 0
        private var channels: [Channel] = []

        init(_ value: Value) { self.value = value }

        func add(_ batch: CalibrationValue) {
            let shape = batch.shape
            let axis = value.axis < 0 ? shape.count + value.axis : value.axis
            guard shape.indices.contains(axis), shape.reduce(1, *) == batch.floats.count, let base = batch.floats.baseAddress else { return }
            let channels = shape[axis]
            let inner = shape[(axis + 1)...].reduce(1, *)
            let outer = shape[..<axis].reduce(1, *)
            if self.channels.isEmpty {
                self.channels = (0..<channels).map { channel in
                    let mean = (0..<inner).reduce(0) { $0 + Double(base[channel * inner + $1]) } / Double(max(inner, 1))
                    return Channel(origin: mean.isFinite ? mean : 0)
                }
            }
            guard self.channels.count == channels else { return }
            count += outer * inner
            self.channels.withUnsafeMutableBufferPointer { sums in
                for block in 0..<outer {
                    for channel in 0..<channels { sums[channel].add(base + (block * channels + channel) * inner, inner) }
                }
            }
        }

        func result() -> ChannelMoments? {
            guard count > 0 else { return nil }
            return ChannelMoments(
                count: count, mean: channels.map { $0.sum / $0.size + $0.origin },
                variance: channels.map { max($0.squares / $0.size - ($0.sum / $0.size) * ($0.sum / $0.size), 0) },
                zeroShare: channels.map { Double($0.zeros) / $0.size })
        }
    }
}
