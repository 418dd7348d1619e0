import EngineSupport

/// From a sample's outputs and its target to what the sample contributes, and from contributions to the value.
///
/// A contribution is a list of numbers whose meaning is the metric's own: one number for proportions and means; sums, confusion entries or
/// detections for pooled metrics. Contributions are kept, so that estimates from part of the samples, pairing with the baseline and
/// resampling need no second run.
public protocol MetricComputation: Sendable {
    /// What one sample contributes.
    /// - Throws: `EngineError` where output and target cannot be compared: says what was found and what was expected.
    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double]

    /// Contributions made ready for being summed up again and again.
    func statistic(of contributions: [[Double]]) -> any PooledStatistic
}

/// The value of a metric over samples, of which each may count several times or not at all.
public protocol PooledStatistic: Sendable {
    /// - Parameter counts: how often each sample counts; `nil` for once each.
    /// - Returns: `nan` where the value does not exist (no positive sample, no variance).
    func value(counts: [Int32]?) -> Double

    /// Samples that it was made of.
    var samples: Int { get }

    /// Steps that a value takes, about: decides how often samples are drawn again.
    var work: Int { get }

    /// How the value is made of sums over samples, where it is: intervals then need no drawing.
    var ratio: SampleRatio? { get }
}

extension PooledStatistic {
    public var work: Int { samples }
    public var ratio: SampleRatio? { nil }
}
