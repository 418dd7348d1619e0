import Datasets
import Metrics

/// A sample whose own value of the metric is another than the baseline's: the errors of one line of text, the overlap in one picture.
public struct ChangedValue: Sendable, Hashable {
    /// Row in the data set's file, from 0.
    public let row: Int
    /// In the metric's unit.
    public let baseline: Double
    public let value: Double

    /// How many of them stand in an estimate.
    static let shown = 200

    /// Those that lose most first.
    /// - Parameter limit: as many at most; all by default.
    /// - Returns: nothing where one sample has no value of the metric, as with correlations.
    package static func changes(_ samples: SampleSet, baseline: SampleScores, candidate: SampleScores, limit: Int = .max) -> [ChangedValue] {
        let (before, after) = (baseline.values(samples.options), candidate.values(samples.options))
        guard before.count == after.count, before.count == samples.count else { return [] }
        let measure = Measure.metric(candidate.metric)
        let found = before.indices.compactMap { index -> (loss: Double, change: ChangedValue)? in
            let (old, new) = (before[index], after[index])
            guard !old.isNaN, !new.isNaN, old != new else { return nil }
            let change = ChangedValue(row: samples.prepared.rows[index], baseline: old, value: new)
            return (measure.loss(ofChange: new - old), change)
        }
        return found.sorted { ($0.loss, $1.change.row) > ($1.loss, $0.change.row) }.prefix(limit).map(\.change)
    }
}

extension SampleScores {
    /// The metric over each sample alone; not a number where there is none.
    package func values(_ options: MetricOptions) -> [Double] {
        guard metric.aggregation == .pooled else { return scores.map(Double.init) }
        guard let computation = try? CommandScorer.computation(of: metric) ?? MetricComputations.make(metric, options: options) else { return [] }
        return contributions.map { $0.isEmpty ? .nan : computation.statistic(of: [$0]).value(counts: nil) }
    }
}
