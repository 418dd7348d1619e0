import Dispatch

/// The few values that weights of a layer may take, and the assignment of each weight to the nearest.
package struct Codebook: Sendable {
    /// At most 256, distinct. Zero first if the codebook has one that stands for zero weights alone; the rest ascending.
    package private(set) var entries: [Float]
    /// Whether entry 0 is an exact zero kept for weights that are zero.
    private(set) var hasZero: Bool
    /// Bounds between neighboring non-zero entries, padded to a power of two with +∞.
    private var thresholds: [Float]

    /// - Parameter centroids: ascending; `rounded` brings a value to the precision of the weights' type.
    package init(centroids: [Float], zero: Bool, rounded: (Float) -> Float) {
        hasZero = zero
        var values: [Float] = []
        for value in centroids.map(rounded).sorted() where values.last != value && !(zero && value == 0) { values.append(value) }
        entries = (zero ? [0] : []) + values
        thresholds = zip(values, values.dropFirst()).map { pair in Float((Double(pair.0) + Double(pair.1)) / 2) }
        var size = 1
        while size - 1 < thresholds.count { size *= 2 }
        thresholds += [Float](repeating: .infinity, count: size - 1 - thresholds.count)
    }

    /// Index of the entry for every weight.
    package func assign(_ weights: UnsafeBufferPointer<Float>) -> [UInt8] {
        let chunk = 1 << 16
        return [UInt8](unsafeUninitializedCapacity: weights.count) { out, initialized in
            nonisolated(unsafe) let out = out
            nonisolated(unsafe) let weights = weights
            // Each iteration reads and writes its own range only.
            DispatchQueue.concurrentPerform(iterations: (weights.count + chunk - 1) / chunk) { number in
                let range = (number * chunk)..<min((number + 1) * chunk, weights.count)
                thresholds.withUnsafeBufferPointer { thresholds in
                    for index in range { out.initializeElement(at: index, to: nearest(weights[index], thresholds)) }
                }
            }
            initialized = weights.count
        }
    }

    /// Branch-free binary search over a power-of-two number of intervals.
    @inline(__always)
    private func nearest(_ weight: Float, _ thresholds: UnsafeBufferPointer<Float>) -> UInt8 {
        if hasZero, weight == 0 { return 0 }
        var position = 0
        var half = (thresholds.count + 1) / 2
        while half > 0 {
            position += thresholds[position + half - 1] < weight ? half : 0
            half /= 2
        }
        return UInt8(truncatingIfNeeded: position + (hasZero ? 1 : 0))
    }
}
