import EngineSupport
import Metrics

/// Value, interval and paired difference of a metric whose samples are summed up together.
enum PooledScores {
    /// - Parameters:
    ///   - scores: of the candidate.
    ///   - baseline: of the baseline; `nil` for no comparison.
    ///   - isPartial: more samples are to come, so that a rough interval will do.
    static func estimate(_ scores: SampleScores, baseline: SampleScores?, options: MetricOptions, isPartial: Bool) -> AccuracyEstimate {
        let seen = scores.scores.indices.filter { !scores.scores[$0].isNaN }
        let own = seen.map { scores.contributions[$0] }
        let paired = baseline.flatMap { baseline in
            baseline.contributions.count == scores.scores.count && seen.allSatisfy { !baseline.scores[$0].isNaN } ? seen.map { baseline.contributions[$0] } : nil
        }
        let range = Measure.metric(scores.metric).range
        guard !own.isEmpty, let computation = try? CommandScorer.computation(of: scores.metric) ?? MetricComputations.make(scores.metric, options: options) else {
            return AccuracyEstimate(metric: scores.metric, seen: 0, total: scores.scores.count, value: .nan, interval: Interval(low: range.lowerBound, high: range.upperBound))
        }
        let found = PooledEstimate.estimate(scores.metric, computation, contributions: own, baseline: paired, isPartial: isPartial)
        // Where nothing is known of it, the interval is all that is possible.
        // Some intervals take a bias out, and may then leave out the very value that is shown.
        let interval = (found.interval.map { Interval(low: min($0.low, found.value), high: max($0.high, found.value)) } ?? Interval(low: range.lowerBound, high: range.upperBound))
            .clipped(to: range)
        var result = AccuracyEstimate(metric: scores.metric, seen: seen.count, total: scores.scores.count, value: found.value, interval: interval)
        result.baseline = found.baseline
        result.difference = found.difference
        let width = range.upperBound - range.lowerBound
        result.differenceInterval = found.differenceInterval?.clipped(to: -width...width)
        return result
    }
}

extension Interval {
    /// What of it is possible: intervals of their own accord know nothing of that.
    fileprivate func clipped(to range: ClosedRange<Double>) -> Interval {
        Interval(low: max(low, range.lowerBound), high: min(high, range.upperBound))
    }
}
