import Datasets
import Metrics

/// Running counts behind an accuracy estimate: scores of samples, each beside the baseline's on the same sample.
package struct PairedTally {
    let metric: MetricKind
    private(set) var seen = 0
    /// Samples whose output is not finite.
    var notFinite = 0
    private var right = 0
    private var mean = MeanEstimate()
    /// Of each sample's score less the baseline's.
    private var differences = MeanEstimate()
    private var paired = 0
    private var baselineSum = 0.0
    private var comparison = PairedComparison()

    package init(metric: MetricKind) { self.metric = metric }

    package mutating func add(_ score: Float, baseline: Float?) {
        seen += 1
        // A proportion has no use for it, and it takes most of the time.
        if !metric.isProportion { mean.add(Double(score)) }
        if score >= 0.5 { right += 1 }
        guard let baseline, !baseline.isNaN else { return }
        paired += 1
        baselineSum += Double(baseline)
        guard metric.isProportion else {
            differences.add(Double(score) - Double(baseline))
            return
        }
        switch (baseline >= 0.5, score >= 0.5) {
        case (true, true): comparison.bothRight += 1
        case (true, false): comparison.onlyBaseline += 1
        case (false, true): comparison.onlyCandidate += 1
        case (false, false): comparison.bothWrong += 1
        }
    }

    /// Student's t interval of a mean, within what is possible: the interval itself knows nothing of that.
    private static func interval(_ mean: MeanEstimate, within range: ClosedRange<Double>) -> Interval {
        let spread = mean.interval() ?? Interval(low: range.lowerBound, high: range.upperBound)
        return Interval(low: max(spread.low, range.lowerBound), high: min(spread.high, range.upperBound))
    }

    package func estimate(total: Int) -> AccuracyEstimate {
        let range = Measure.metric(metric).range
        let interval = metric.isProportion ? Proportion.wilsonInterval(successes: right, of: seen) : Self.interval(mean, within: range)
        var result = AccuracyEstimate(
            metric: metric, seen: seen, total: total,
            value: metric.isProportion ? (seen > 0 ? Double(right) / Double(seen) : 0) : mean.mean, interval: interval)
        result.notFinite = notFinite
        guard paired == seen, seen > 0 else { return result }
        result.baseline = baselineSum / Double(paired)
        guard metric.isProportion else {
            let width = range.upperBound - range.lowerBound
            result.difference = differences.mean
            result.differenceInterval = Self.interval(differences, within: -width...width)
            return result
        }
        result.difference = comparison.difference
        result.differenceInterval = comparison.newcombeInterval()
        result.mcnemarP = comparison.mcnemarP
        result.onlyBaseline = comparison.onlyBaseline
        result.onlyCandidate = comparison.onlyCandidate
        return result
    }
}

extension OutputComparison {
    /// Score of one sample's output against the baseline's: 1 or 0 for the metrics that are proportions, else the
    /// metric's value. A single number agrees if it is within 1 % of the baseline's. Outputs of different length do not agree; for cosine and
    /// signal-to-noise ratio the shorter one is filled with zeros.
    package static func likeness(_ metric: MetricKind, _ values: UnsafeBufferPointer<Float>, _ original: UnsafeBufferPointer<Float>) -> Float {
        guard values.count == original.count else {
            guard !metric.isProportion else { return 0 }
            let length = max(values.count, original.count)
            func filled(_ row: UnsafeBufferPointer<Float>) -> [Float] { Array(row) + [Float](repeating: 0, count: length - row.count) }
            return filled(values).withUnsafeBufferPointer { own in filled(original).withUnsafeBufferPointer { likeness(metric, own, $0) } }
        }
        guard !values.isEmpty else { return metric == .sqnr ? Float(sqnrCeiling) : 1 }
        switch metric {
        case .cosine: return Float(cosine(values, original))
        case .sqnr: return Float(sqnr(values, original))
        default:
            if values.count >= 2 { return argmax(values) == argmax(original) ? 1 : 0 }
            return abs(values[0] - original[0]) <= 0.01 * max(abs(original[0]), 1e-6) ? 1 : 0
        }
    }
}
