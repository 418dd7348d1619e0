import Foundation

/// How an activation's range is chosen from what was seen of it.
enum CalibrationMethod: Hashable, Sendable {
    /// Everything seen fits.
    case minmax
    /// The given percentage of values fits; the rest saturates.
    case percentile(Double)
    /// Least Kullback–Leibler divergence between the values and their quantised form (Migacz, "8-bit Inference with
    /// TensorRT", GTC 2017).
    case entropy
    /// Least mean squared error of the quantised values.
    case mse

    var needsHistogram: Bool { self != .minmax }

    /// The range to quantise over, within what was seen.
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
    /// Non-empty bins: centre and count.
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

    /// Clips at ±T (or at T, where one sign only occurs) for the T whose quantised distribution tells least apart from
    /// the true one.
    func leastDivergence() -> (low: Float, high: Float) {
        let reach = TensorStatistics.reach
        let oneSided = seen.low == 0 || seen.high == 0
        // One-sided values use all codes on their side, two-sided ones half of them on either.
        let levels = symmetric ? codes.upperBound - codes.lowerBound : codes.count
        let magnitudes: [Double] = oneSided
            ? (0..<reach).map { bin in Double(statistics.bins[reach + bin]) + (bin > 0 ? Double(statistics.bins[reach - bin]) : 0) }
            : []
        let distribution = oneSided ? magnitudes : statistics.bins.map(Double.init)
        let used = distribution.lastIndex { $0 > 0 }.map { $0 + 1 } ?? 0
        let first = distribution.firstIndex { $0 > 0 } ?? 0
        let extent = oneSided ? used : max(used - reach, reach - first)
        let sideLevels = oneSided ? levels : levels / 2
        guard extent > sideLevels else { return seen }
        var best = extent
        var least = Double.infinity
        let stride = max(extent / 128, 1)
        for clip in Swift.stride(from: extent, through: sideLevels, by: -stride) {
            let range = oneSided ? 0..<clip : (reach - clip)..<(reach + clip)
            let divergence = divergence(distribution, range: range, levels: oneSided ? levels : 2 * sideLevels)
            if divergence < least { (best, least) = (clip, divergence) }
        }
        let threshold = Float(best) * statistics.binWidth
        return (-threshold, threshold)
    }

    /// Divergence of `distribution` clipped to `range` from the same in `levels` levels.
    private func divergence(_ distribution: [Double], range: Range<Int>, levels: Int) -> Double {
        let below = distribution[..<range.lowerBound].reduce(0, +)
        let above = distribution[range.upperBound...].reduce(0, +)
        let inside = distribution[range].reduce(0, +)
        let total = below + inside + above
        guard inside > 0 else { return .infinity }
        var sum = 0.0
        for level in 0..<levels {
            let start = range.lowerBound + level * range.count / levels
            let end = range.lowerBound + (level + 1) * range.count / levels
            var mass = 0.0
            var occupied = 0.0
            for bin in start..<end where distribution[bin] > 0 {
                mass += distribution[bin]
                occupied += 1
            }
            guard occupied > 0 else { continue }
            let quantized = mass / occupied / inside
            for bin in start..<end {
                // What lies outside saturates at the ends; where the end bin is empty no level stands for it.
                var p = distribution[bin]
                if bin == range.lowerBound { p += below }
                if bin == range.upperBound - 1 { p += above }
                guard p > 0 else { continue }
                let q = distribution[bin] > 0 ? quantized : 1e-12
                sum += p / total * log(p / total / q)
            }
        }
        return sum
    }
}
