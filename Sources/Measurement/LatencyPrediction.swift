import Metrics

/// What latency is expected of a model that was not timed.
public struct LatencyPrediction: Sendable, Hashable {
    /// Milliseconds of one call.
    public var milliseconds: Double
    /// Candidate / baseline, with the interval that nine of ten measurements fall into.
    public var ratio: Double
    public var interval: Interval
    /// Milliseconds of the baseline, as timed.
    public var baseline: Double
    public var conditions: LatencyConditions

    public init(milliseconds: Double, ratio: Double, interval: Interval, baseline: Double, conditions: LatencyConditions = LatencyConditions()) {
        (self.milliseconds, self.ratio, self.interval, self.baseline, self.conditions) = (milliseconds, ratio, interval, baseline, conditions)
    }
}
