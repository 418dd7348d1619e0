import Datasets
import Foundation
import Metrics

/// Gathers scores from workers. The lock makes it safe to share.
final class EvaluationProgress: @unchecked Sendable {
    private let lock = NSLock()
    /// Held while an estimate is made of what there is, which may take a while where the metric is pooled.
    private let estimating = NSLock()
    private let evaluation: AccuracyEvaluation
    private let total: Int
    private let baseline: SampleScores?
    private let update: @Sendable (AccuracyEstimate) -> Void
    private var gathered: SampleScores
    private var tally: PairedTally
    private var nextUpdate = DispatchTime.now()
    private var updates = 0
    private(set) var error: (any Error)?

    private var samples: SampleSet { evaluation.samples }

    init(total: Int, of evaluation: AccuracyEvaluation, baseline: SampleScores?, update: @escaping @Sendable (AccuracyEstimate) -> Void) {
        self.total = total
        self.evaluation = evaluation
        self.baseline = baseline
        self.update = update
        let metric = evaluation.samples.metric
        let count = evaluation.samples.count
        gathered = SampleScores(scores: [Float](repeating: .nan, count: count), metric: metric)
        if metric.aggregation == .pooled { gathered.contributions = [[Double]](repeating: [], count: count) }
        if metric.isOfClasses { gathered.answers = [Float](repeating: .nan, count: count) }
        tally = PairedTally(metric: metric)
    }

    var failed: Bool { lock.withLock { error != nil } }
    func fail(_ error: any Error) { lock.withLock { if self.error == nil { self.error = error } } }

    func finished(_ range: Range<Int>, _ new: AccuracyEvaluation.BatchScores) {
        let snapshot: (scores: SampleScores, tally: PairedTally)? = lock.withLock {
            tally.notFinite += new.notFinite
            for (row, index) in range.enumerated() {
                gathered.scores[index] = new.scores[row]
                tally.add(new.scores[row], baseline: baseline?.scores[index])
            }
            if !gathered.contributions.isEmpty { for (row, index) in range.enumerated() { gathered.contributions[index] = new.contributions[row] } }
            if !gathered.answers.isEmpty, new.answers.count == range.count { gathered.answers.replaceSubrange(range, with: new.answers) }
            guard tally.seen == total || (updates == 0 && tally.seen >= 256) || (updates > 0 && DispatchTime.now() > nextUpdate) else { return nil }
            guard samples.metric.aggregation == .pooled else {
                // The last estimate is the result, which knows classes and samples too.
                guard tally.seen < total else { return nil }
                updated()
                update(tally.estimate(total: samples.count))
                return nil
            }
            // The last estimate is the result, which has every digit; on the way one at a time.
            guard tally.seen < total, estimating.try() else { return nil }
            return (gathered, tally)
        }
        guard let snapshot else { return }
        defer { estimating.unlock() }
        let began = DispatchTime.now()
        let estimate = evaluation.estimate(snapshot.scores, snapshot.tally, baseline: baseline, isPartial: true)
        lock.withLock { updated(after: 10 * (DispatchTime.now().uptimeNanoseconds - began.uptimeNanoseconds)) }
        update(estimate)
    }

    private func updated(after nanoseconds: UInt64 = 0) {
        updates += 1
        nextUpdate = DispatchTime(uptimeNanoseconds: DispatchTime.now().uptimeNanoseconds + max(50_000_000, nanoseconds))
    }

    /// - Parameter isPartial: more samples may follow.
    func result(isPartial: Bool) -> (SampleScores, AccuracyEstimate) {
        let (scores, arrived) = lock.withLock { (self.gathered, self.tally) }
        // In the samples' own order: sums of numbers as they came would differ in their last digits from run to run.
        var tally = PairedTally(metric: samples.metric)
        tally.notFinite = arrived.notFinite
        for (index, score) in scores.scores.enumerated() where !score.isNaN { tally.add(score, baseline: baseline?.scores[index]) }
        let estimate = evaluation.estimate(scores, tally, baseline: baseline, isPartial: isPartial)
        if !isPartial { estimating.withLock { update(estimate) } }
        return (scores, estimate)
    }
}

extension AccuracyEvaluation {
    /// What scores come to, without a baseline to compare with.
    package static func estimate(_ scores: SampleScores, options: MetricOptions) -> AccuracyEstimate {
        guard scores.metric.aggregation != .pooled else { return PooledScores.estimate(scores, baseline: nil, options: options, isPartial: false) }
        var tally = PairedTally(metric: scores.metric)
        for score in scores.scores where !score.isNaN { tally.add(score, baseline: nil) }
        return tally.estimate(total: scores.scores.count)
    }

    /// The estimate that samples make up so far.
    fileprivate func estimate(_ scores: SampleScores, _ tally: PairedTally, baseline: SampleScores?, isPartial: Bool) -> AccuracyEstimate {
        var estimate = tally.estimate(total: samples.count)
        if samples.metric.aggregation == .pooled {
            estimate = PooledScores.estimate(scores, baseline: baseline, options: samples.options, isPartial: isPartial)
            estimate.notFinite = tally.notFinite
        }
        if !isPartial {
            if let labels = samples.labels { estimate.classes = ClassChange.changes(labels: labels, baseline: (baseline ?? scores).answers, candidate: scores.answers) }
            if let baseline, estimate.classes.isEmpty { estimate.samples = ChangedValue.changes(samples, baseline: baseline, candidate: scores, limit: ChangedValue.shown) }
        }
        return estimate
    }
}
