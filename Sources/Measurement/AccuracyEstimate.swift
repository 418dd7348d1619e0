import Datasets
import Metrics

/// Accuracy so far, over the first samples of a fixed shuffled order, beside the baseline on the same samples.
public struct AccuracyEstimate: Sendable {
    public var metric: MetricKind
    /// Samples seen of `total`; complete when equal.
    public var seen: Int
    public var total: Int
    /// Mean over the samples in the metric's unit, and its 95 % interval: Wilson's for proportions, Student's t for means.
    public var value: Double
    public var interval: Interval
    /// The baseline's value on the same samples; `nil` if it has not been run on all of them yet.
    public var baseline: Double?
    /// Candidate − baseline on the same samples, and its 95 % interval: Newcombe's for proportions, for means Student's t of the samples' own differences.
    public var difference: Double?
    public var differenceInterval: Interval?
    /// The exact p of McNemar's test; only of proportions.
    public var mcnemarP: Double?
    /// Samples only the baseline, and only the candidate, gets right.
    public var onlyBaseline: Int?
    public var onlyCandidate: Int?
    /// Samples for which the output holds an infinity or NaN: overflowing halves, or NaN in the data.
    public var notFinite = 0

    /// How each class fares, those first that lose most; of classifiers, once all samples are seen.
    public var classes: [ClassChange] = []
    /// Where samples have no classes: those that lose most, once all are seen.
    public var samples: [ChangedValue] = []

    /// Whether the value over part of the samples is off in one direction, beside being uncertain.
    public var isBiased: Bool { seen < total && metric.isBiasedInPart }

    /// Put together from what parts of the model say of each sample, not from running the model itself.
    public var isPredicted = false

    public var isComplete: Bool { seen == total && total > 0 && !isPredicted }

    public init(metric: MetricKind, seen: Int, total: Int, value: Double, interval: Interval) {
        self.metric = metric
        self.seen = seen
        self.total = total
        self.value = value
        self.interval = interval
    }
}

extension AccuracyEstimate {
    public var measure: Measure { .metric(metric) }

    /// Whether the candidate is better or worse than the baseline: by McNemar's exact test at 5 %, or by the 95 % interval of the difference where
    /// samples are not right or wrong. `none` without a comparison, or where the two are the same on every sample.
    public var verdict: Verdict {
        guard let difference else { return .none }
        let isClear: Bool
        if let mcnemarP {
            isClear = mcnemarP < 0.05
        } else if let interval = differenceInterval {
            isClear = interval.low > 0 || interval.high < 0
        } else {
            isClear = false
        }
        return isClear ? measure.verdict(ofChange: difference) : .unclear
    }

    /// How much worse the candidate is, in the metric's unit; negative where it is better. `nil` without a comparison.
    public var loss: Double? { difference.map(measure.loss(ofChange:)) }

    public var lossInterval: Interval? {
        differenceInterval.map { measure.direction == .lower ? $0 : Interval(low: -$0.high, high: -$0.low) }
    }

    /// How much worse the candidate may still be: the bad end of the difference's interval, 0 or more. `nil` without a comparison.
    public var possibleLoss: Double? {
        differenceInterval.map { max(0, measure.direction == .lower ? $0.high : -$0.low) }
    }
}
