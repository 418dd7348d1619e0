import Foundation

/// How an activation's range is chosen from what was seen of it.
enum CalibrationMethod: Hashable, Sendable {
    /// Everything seen fits.
    case minmax
    /// The given percentage of values fits; the rest saturates.
    case percentile(Double)
    /// Least Kullback–Leibler divergence between the values and their quantized form (Migacz, "8-bit Inference with
    /// TensorRT", GTC 2017).
    case entropy
    /// Least mean squared error of the quantized values.
    case mse

    var needsHistogram: Bool { self != .minmax }

    /// The range to quantize over, within what was seen.
    func range(_ statistics: TensorStatistics, codes: ClosedRange<Int>, symmetric: Bool) -> (low: Float, high: Float) {
        guard statistics.count > 0 else { return (0, 0) }
        let seen = (low: min(statistics.minimum, 0), high: max(statistics.maximum, 0))
        guard needsHistogram, statistics.binWidth > 0, seen.low < seen.high else { return seen }
        let search = RangeSearch(statistics, codes: codes, symmetric: symmetric)
        let chosen: (low: Float, high: Float) =
            switch self {
            case .minmax: seen
            case .percentile(let percent): search.percentile(percent)
            case .entropy: search.leastDivergence()
            case .mse: search.leastSquares()
            }
        let (low, high) = (max(chosen.low, seen.low), min(chosen.high, seen.high))
        return low < high ? (low, high) : seen
    }
}

/// Searches over clipped ranges of one histogram.
private struct RangeSearch {
    let statistics: TensorStatistics
    let codes: ClosedRange<Int>
    let symmetric: Bool
    /// Non-empty bins: center and count.
    private let points: [(value: Float, count: Double)]
    private let seen: (low: Float, high: Float)

    init(_ statistics: TensorStatistics, codes: ClosedRange<Int>, symmetric: Bool) {
        self.statistics = statistics
        self.codes = codes
        self.symmetric = symmetric
        points = statistics.bins.enumerated().filter { $0.element > 0 }.map { (statistics.center($0.offset), Double($0.element)) }
        seen = (min(statistics.minimum, 0), max(statistics.maximum, 0))
    }

    func percentile(_ percent: Double) -> (low: Float, high: Float) {
        let total = points.reduce(0) { $0 + $1.count }
        let outside = (1 - percent / 100) * total
        // What may saturate is shared by the sides that exist.
        let share = seen.low < 0 && seen.high > 0 ? outside / 2 : outside
        func bound(_ points: some Sequence<(value: Float, count: Double)>) -> Float {
            var passed = 0.0
            for point in points {
                passed += point.count
                if passed > share { return point.value }
            }
            return 0
        }
        return (bound(points), bound(points.reversed()))
    }

    // MARK: - Mean squared error

    private func squaredError(_ low: Float, _ high: Float) -> Double {
        let grid = AffineGrid(minimum: low, maximum: high, codes: codes, symmetric: symmetric)
        let inverse = 1 / grid.scale
        let first = Float(codes.lowerBound - grid.zeroPoint)
        let last = Float(codes.upperBound - grid.zeroPoint)
        var error = 0.0
        for (value, count) in points {
            let code = min(max((value * inverse + QuantizationKernels.roundingOffset) - QuantizationKernels.roundingOffset, first), last)
            let difference = Double(value - code * grid.scale)
            error += difference * difference * count
        }
        return error
    }

    func leastSquares() -> (low: Float, high: Float) {
        let steps = 100
        var best = seen
        var least = squaredError(best.low, best.high)
        func consider(_ low: Float, _ high: Float) {
            let error = squaredError(low, high)
            if error < least { (best, least) = ((low, high), error) }
        }
        if symmetric {
            let reach = max(-seen.low, seen.high)
            for step in 1..<steps { consider(-reach * Float(step) / Float(steps), reach * Float(step) / Float(steps)) }
            return best
        }
        // One end after the other, twice: the ends hardly depend on each other.
        for _ in 0..<2 {
            if seen.high > 0 { for step in 1...steps { consider(best.low, seen.high * Float(step) / Float(steps)) } }
            if seen.low < 0 { for step in 1...steps { consider(seen.low * Float(step) / Float(steps), best.high) } }
        }
        return best
    }

    // MARK: - Kullback–Leibler divergence

    /// Clips at ±T, within what was seen, for the T whose quantized distribution tells least apart from the true one.
    ///
    /// As in TensorRT every number of bins from as many as there are levels upward is a candidate, in at most 512 steps. The bin
    /// around zero is filled like its neighbors: zero itself, of which a Relu makes most of its values, is exact on any
    /// grid, and its peak would otherwise decide everything.
    func leastDivergence() -> (low: Float, high: Float) {
        let reach = TensorStatistics.reach
        let levels = codes.count - (symmetric ? 1 : 0)
        var histogram = statistics.bins.map { Double($0) }
        let oneSided = seen.low == 0 || seen.high == 0
        histogram[reach] = oneSided ? max(histogram[reach - 1], histogram[reach + 1]) : (histogram[reach - 1] + histogram[reach + 1]) / 2
        guard let first = histogram.firstIndex(where: { $0 > 0 }), let last = histogram.lastIndex(where: { $0 > 0 }) else { return seen }
        let (below, above) = (max(reach - first, 0), max(last + 1 - reach, 0))
        let extent = max(below, above)
        // Bins from −T to T, as far as there are any.
        func range(_ clip: Int) -> Range<Int> {
            symmetric ? (reach - clip)..<(reach + clip) : (reach - min(clip, below))..<(reach + min(clip, above))
        }
        var best: Int?
        var least = Double.infinity
        for clip in Swift.stride(from: extent, through: 1, by: -max(extent / 512, 1)) {
            let range = range(clip).clamped(to: 0..<histogram.count)
            guard range.count >= levels else { break }
            let divergence = divergence(histogram, range: range, levels: levels)
            if divergence < least { (best, least) = (clip, divergence) }
        }
        guard let best, best < extent else { return seen }
        let threshold = Float(best) * statistics.binWidth
        return (-threshold, threshold)
    }

    /// Divergence of `distribution`, clipped to `range`, from the same in `levels` levels (Migacz 2017).
    ///
    /// The reference P takes what is clipped into its outermost bins. The candidate Q is made from the bins inside alone: each
    /// level's mass is spread over those of its bins that P fills.
    private func divergence(_ distribution: [Double], range: Range<Int>, levels: Int) -> Double {
        let below = distribution[..<range.lowerBound].reduce(0, +)
        let above = distribution[range.upperBound...].reduce(0, +)
        let inside = distribution[range].reduce(0, +)
        guard inside > 0 else { return .infinity }
        let total = below + inside + above
        // A Q of zero where P is not would make the divergence infinite.
        let smallest = 1e-4 / inside
        var sum = 0.0
        for level in 0..<levels {
            let start = range.lowerBound + level * range.count / levels
            let end = range.lowerBound + (level + 1) * range.count / levels
            func reference(_ bin: Int) -> Double {
                distribution[bin] + (bin == range.lowerBound ? below : 0) + (bin == range.upperBound - 1 ? above : 0)
            }
            var mass = 0.0
            var filled = 0.0
            for bin in start..<end where reference(bin) > 0 {
                mass += distribution[bin]
                filled += 1
            }
            guard filled > 0 else { continue }
            let q = max(mass / filled / inside, smallest)
            for bin in start..<end {
                let p = reference(bin) / total
                if p > 0 { sum += p * log(p / q) }
            }
        }
        return sum
    }
}
