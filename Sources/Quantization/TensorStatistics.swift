/// Range and distribution of one intermediate value, streamed: values are counted and forgotten.
///
/// The histogram has bins of a power-of-two width centered on its multiples. When a value falls outside, the width
/// doubles and pairs of bins merge, so one pass over the data is enough and nothing depends on where batches end,
/// but for the rounding of earlier bins.
struct TensorStatistics: Sendable {
    /// Bins on either side of zero. The largest magnitude lies in the outer half of them.
    static let reach = 2048

    private(set) var minimum: Float = .infinity
    private(set) var maximum: Float = -.infinity
    /// Values seen.
    private(set) var count = 0
    /// Width of a bin; 0 before the first non-zero value.
    private(set) var binWidth: Float = 0
    /// Counts of bins −reach…reach−1.
    private(set) var bins: [UInt64]
    private let countsBins: Bool

    /// - Parameter histogram: whether to count the distribution, not only the range.
    init(histogram: Bool) {
        countsBins = histogram
        bins = histogram ? [UInt64](repeating: 0, count: 2 * Self.reach) : []
    }

    /// Center of the bin at an array index.
    func center(_ index: Int) -> Float { Float(index - Self.reach) * binWidth }

    mutating func add(_ values: UnsafeBufferPointer<Float>) {
        guard let base = values.baseAddress, !values.isEmpty else { return }
        var low = Float.infinity
        var high = -Float.infinity
        QuantizationKernels.extremes(base, count: values.count, low: &low, high: &high)
        if !low.isFinite || !high.isFinite {
            // Infinities (masks) say nothing about the range of what is computed.
            let finite = values.filter(\.isFinite)
            guard !finite.isEmpty else { return }
            finite.withUnsafeBufferPointer { add($0) }
            return
        }
        minimum = min(minimum, low)
        maximum = max(maximum, high)
        count += values.count
        guard countsBins else { return }
        widen(to: max(abs(low), abs(high)))
        tally(base, values.count)
    }

    private mutating func widen(to magnitude: Float) {
        guard magnitude > 0 else { return }
        if binWidth == 0 {
            binWidth = Float.leastNormalMagnitude
            // The first width is chosen, not reached by doubling; only zeros were counted so far.
            let exponent = max(Int((magnitude / Float(Self.reach)).exponent), -126)
            binWidth = Float(sign: .plus, exponent: exponent, significand: 1)
        }
        while magnitude >= binWidth * (Float(Self.reach) - 1) {
            binWidth *= 2
            var merged = [UInt64](repeating: 0, count: bins.count)
            for (index, value) in bins.enumerated() where value > 0 {
                // Centers on odd multiples lie between two new ones; they go to the one nearer zero.
                merged[(index - Self.reach) / 2 + Self.reach] += value
            }
            bins = merged
        }
    }

    private mutating func tally(_ values: UnsafePointer<Float>, _ count: Int) {
        guard binWidth > 0 else {
            bins[Self.reach] += UInt64(count)
            return
        }
        let inverse = 1 / binWidth
        let mask = UInt32(2 * Self.reach - 1)
        let shift = UInt32(Self.reach)
        let offset = QuantizationKernels.roundingOffset
        // Four counters side by side: the same bin twice in a row need not wait for itself.
        var partial = [UInt32](repeating: 0, count: 4 * 2 * Self.reach)
        let width = 2 * Self.reach
        partial.withUnsafeMutableBufferPointer { partial in
            let counters = partial.baseAddress!
            let whole = count / 4 * 4
            var index = 0
            while index < whole {
                // The low bits of the rounded sum are the bin's number in two's complement.
                let a = Int(((values[index] * inverse + offset).bitPattern &+ shift) & mask)
                let b = Int(((values[index + 1] * inverse + offset).bitPattern &+ shift) & mask)
                let c = Int(((values[index + 2] * inverse + offset).bitPattern &+ shift) & mask)
                let d = Int(((values[index + 3] * inverse + offset).bitPattern &+ shift) & mask)
                counters[a] &+= 1
                counters[width + b] &+= 1
                counters[2 * width + c] &+= 1
                counters[3 * width + d] &+= 1
                index += 4
            }
            while index < count {
                counters[Int(((values[index] * inverse + offset).bitPattern &+ shift) & mask)] &+= 1
                index += 1
            }
            for bin in 0..<width {
                bins[bin] +=
                    UInt64(counters[bin]) + UInt64(counters[width + bin]) + UInt64(counters[2 * width + bin])
                    + UInt64(counters[3 * width + bin])
            }
        }
    }
}
