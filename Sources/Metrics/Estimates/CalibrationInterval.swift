/// Intervals of the expected calibration error, by inverting a test.
///
/// The sum of absolute gaps is larger than the true one by what chance adds to small gaps, most where calibration is good, and resamples add it
/// once more: their quantiles need not even hold the truth. Here the gaps are scaled by a factor and moved by chance as resamples move
/// them; ends of the interval are the true errors under which the one found would be just too large or too small (2.5 % each; Carpenter 1999).
enum CalibrationInterval {
    /// - Parameter baseline: on the same samples.
    static func intervals(_ candidate: CalibrationStatistic, _ baseline: CalibrationStatistic?, resamples: Int) -> (Interval?, Interval?) {
        let draws = Resampling.map(samples: candidate.samples, count: resamples) { counts in (candidate.gaps(counts: counts), baseline?.gaps(counts: counts) ?? []) }
        let own = Side(candidate.gaps(counts: nil), draws.map(\.0))
        guard let baseline else { return (own.interval, nil) }
        let other = Side(baseline.gaps(counts: nil), draws.map(\.1))
        // The intervals of both make that of the difference (Zou and Donner 2008), as they vary together.
        var moments = PairMoments()
        for (one, two) in draws { moments.add(one.reduce(0) { $0 + abs($1) }, two.reduce(0) { $0 + abs($1) }, 1) }
        let correlation = moments.correlation.isNaN ? 0 : moments.correlation
        func length(_ x: Double, _ y: Double) -> Double { max(0, x * x + y * y - 2 * correlation * x * y).squareRoot() }
        let middle = own.middle - other.middle
        return (
            own.interval,
            Interval(
                low: middle - length(own.middle - own.interval.low, other.interval.high - other.middle),
                high: middle + length(own.interval.high - own.middle, other.middle - other.interval.low))
        )
    }

    private struct Side {
        let interval: Interval
        /// The true error under which the one found is in the middle.
        let middle: Double

        init(_ gaps: [Double], _ drawn: [[Double]]) {
            let value = gaps.reduce(0) { $0 + abs($1) }
            let bins = gaps.indices
            let chance = drawn.map { row in bins.map { row[$0] - gaps[$0] } }
            /// Share of errors below the one found, were the gaps `factor` times as large.
            func below(_ factor: Double) -> Double {
                var count = 0
                for row in chance {
                    var sum = 0.0
                    for bin in bins { sum += abs(factor * gaps[bin] + row[bin]) }
                    if sum <= value { count += 1 }
                }
                return Double(count) / Double(max(1, chance.count))
            }
            /// The error at which that share falls to `share`; 0 where it is smaller from the start.
            func error(_ share: Double) -> Double {
                if value == 0 || below(0) < share { return 0 }
                var (low, high) = (0.0, 1.0)
                while below(high) > share, high < 1024 { (low, high) = (high, 2 * high) }
                for _ in 0..<20 {
                    let middle = (low + high) / 2
                    if below(middle) > share { low = middle } else { high = middle }
                }
                return min(1, value * (low + high) / 2)
            }
            interval = Interval(low: error(0.975), high: error(0.025))
            middle = error(0.5)
        }
    }
}
