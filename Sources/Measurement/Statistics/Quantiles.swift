import EngineSupport
import Metrics

/// Order statistics of measured times and the like.
public enum Quantiles {
    /// Median; the mean of the middle two for an even count. `nil` without values.
    public static func median(_ values: [Double]) -> Double? { quantile(values, 0.5) }

    /// Linear interpolation between order statistics (Hyndman and Fan's type 7, NumPy's default).
    /// - Parameter q: 0 ... 1.
    /// - Returns: `nil` without values.
    public static func quantile(_ values: [Double], _ q: Double) -> Double? { ofSorted(values.sorted(), q) }

    /// As `quantile`, of values in ascending order.
    public static func ofSorted(_ sorted: [Double], _ q: Double) -> Double? {
        guard !sorted.isEmpty else { return nil }
        let position = min(1, max(0, q)) * Double(sorted.count - 1)
        let lower = Int(position)
        guard lower + 1 < sorted.count else { return sorted[lower] }
        let fraction = position - Double(lower)
        return sorted[lower] + (sorted[lower + 1] - sorted[lower]) * fraction
    }
}

/// Percentile bootstrap (Efron 1979): the same seed gives the same interval.
public enum Bootstrap {
    /// Interval of the median.
    /// - Parameters:
    ///   - values: at least one; with one the interval is a point.
    ///   - confidence: 0 ..< 1.
    /// - Returns: `nil` without values.
    public static func medianInterval(
        _ values: [Double], confidence: Double = 0.95, resamples: Int = 2000, seed: UInt64 = 0
    ) -> Interval? {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        var generator = SeededGenerator(seed: seed)
        var counts = [Int](repeating: 0, count: sorted.count)
        let medians = (0..<resamples).map { _ -> Double in
            for index in counts.indices { counts[index] = 0 }
            for _ in sorted { counts[generator.below(sorted.count)] += 1 }
            return median(sorted, counts: counts)
        }
        return interval(of: medians, confidence)
    }

    /// Interval of median(numerators) / median(denominators), where both were measured in the same rounds: rounds are
    /// drawn, so that what disturbed both sides of a round stays together.
    /// - Precondition: as many numerators as denominators.
    public static func medianRatioInterval(
        _ numerators: [Double], over denominators: [Double], confidence: Double = 0.95, resamples: Int = 2000, seed: UInt64 = 0
    ) -> Interval? {
        precondition(numerators.count == denominators.count, "rounds are paired")
        guard !numerators.isEmpty else { return nil }
        func ranked(_ values: [Double]) -> (sorted: [Double], rank: [Int]) {
            let order = values.indices.sorted { (values[$0], $0) < (values[$1], $1) }
            var rank = [Int](repeating: 0, count: values.count)
            for (position, index) in order.enumerated() { rank[index] = position }
            return (order.map { values[$0] }, rank)
        }
        let (above, below) = (ranked(numerators), ranked(denominators))
        var generator = SeededGenerator(seed: seed)
        let ratios = (0..<resamples).map { _ -> Double in
            var counts = ([Int](repeating: 0, count: numerators.count), [Int](repeating: 0, count: numerators.count))
            for _ in numerators {
                let round = generator.below(numerators.count)
                counts.0[above.rank[round]] += 1
                counts.1[below.rank[round]] += 1
            }
            return median(above.sorted, counts: counts.0) / median(below.sorted, counts: counts.1)
        }
        return interval(of: ratios, confidence)
    }

    /// Interval of mean(numerators) / mean(denominators) over the same rounds.
    /// - Precondition: as many numerators as denominators.
    public static func meanRatioInterval(
        _ numerators: [Double], over denominators: [Double], confidence: Double = 0.95, resamples: Int = 2000, seed: UInt64 = 0
    ) -> Interval? {
        precondition(numerators.count == denominators.count, "rounds are paired")
        guard !numerators.isEmpty else { return nil }
        var generator = SeededGenerator(seed: seed)
        let ratios = (0..<resamples).map { _ -> Double in
            var (above, below) = (0.0, 0.0)
            for _ in numerators {
                let round = generator.below(numerators.count)
                above += numerators[round]
                below += denominators[round]
            }
            return above / below
        }
        return interval(of: ratios, confidence)
    }

    private static func interval(of statistics: [Double], _ confidence: Double) -> Interval? {
        let sorted = statistics.sorted()
        let tail = (1 - confidence) / 2
        guard let low = Quantiles.ofSorted(sorted, tail), let high = Quantiles.ofSorted(sorted, 1 - tail) else { return nil }
        return Interval(low: low, high: high)
    }

    /// Median of a resample given as how often each sorted value was drawn: O(n) without sorting again.
    private static func median(_ sorted: [Double], counts: [Int]) -> Double {
        let total = sorted.count
        let (lower, upper) = ((total - 1) / 2, total / 2)
        var seen = 0
        var first = sorted[0]
        for (index, count) in counts.enumerated() where count > 0 {
            if seen <= lower, lower < seen + count { first = sorted[index] }
            if upper < seen + count { return (first + sorted[index]) / 2 }
            seen += count
        }
        return first
    }
}
