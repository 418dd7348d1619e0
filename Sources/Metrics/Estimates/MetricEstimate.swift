/// A metric's value over samples, how sure it is, and how it compares with the baseline on the same samples.
public struct MetricEstimate: Sendable, Hashable {
    /// Not a number where it does not exist.
    public var value: Double
    /// 95 %, of the value on unseen samples of the same kind; `nil` where too few samples, or too few of a kind, say nothing about it.
    public var interval: Interval?
    /// The baseline's value on the same samples.
    public var baseline: Double?
    /// Candidate − baseline, and its 95 % interval.
    public var difference: Double?
    public var differenceInterval: Interval?
    /// The samples are part of those asked for, and the value over a part is off in one direction.
    public var isBiased = false
    /// How often samples were drawn again for the intervals; 0 where they are computed without.
    public var resamples = 0

    public init(value: Double) { self.value = value }
}
