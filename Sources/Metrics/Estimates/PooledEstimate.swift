import EngineSupport
import Foundation

/// Value, interval and paired difference of a metric.
public enum PooledEstimate {
    /// - Parameters:
    ///   - computation: of the metric.
    ///   - contributions: of the candidate, one a sample.
    ///   - baseline: of the baseline on the same samples, in the same order; `nil` without comparison.
    ///   - isPartial: more samples will follow: fewer resamples, which is enough to look at.
    public static func estimate(
        _ kind: MetricKind, _ computation: any MetricComputation, contributions: [[Double]], baseline: [[Double]]? = nil, isPartial: Bool = false
    ) -> MetricEstimate {
        estimate(
            kind, statistic: computation.statistic(of: contributions), baseline: baseline.map { computation.statistic(of: $0) }, isPartial: isPartial)
    }

    public static func estimate(
        _ kind: MetricKind, statistic: any PooledStatistic, baseline: (any PooledStatistic)? = nil, isPartial: Bool = false
    ) -> MetricEstimate {
        var result = MetricEstimate(value: statistic.value(counts: nil))
        result.isBiased = isPartial && kind.isBiasedInPart
        let other = baseline?.samples == statistic.samples ? baseline : nil
        if let other {
            let value = other.value(counts: nil)
            result.baseline = value
            result.difference = result.value - value
        }
        guard statistic.samples > 1 else { return result }
        if let ratio = statistic.ratio, other == nil || other?.ratio != nil {
            (result.interval, result.differenceInterval) = LinearInterval.intervals(ratio, other?.ratio)
            return result
        }
        let resampling = Resampling(statistic, other, isPartial: isPartial)
        result.resamples = resampling.count
        result.interval = ResampledInterval.interval(.student, of: resampling.candidates, around: result.value, samples: resampling.samples)
        if let difference = result.difference {
            result.differenceInterval = ResampledInterval.interval(.student, of: resampling.differences, around: difference, samples: resampling.samples)
        }
        return result
    }
}
