/// What a model that decides sample by sample how much of itself to run does at some value of its live parameter, predicted from a profile.
public struct LiveFigures: Sendable {
    /// Shares of samples by the way they take, those that leave soonest first and, last, those that run through everything.
    public var shares: [Double]
    /// How well those do who take that way; `nil` where nobody does.
    public var values: [Double?]
    /// Over all samples of the profile, paired with the baseline.
    public var accuracy: AccuracyEstimate
    /// Expected multiply-accumulates of a sample; `nil` while shapes are unknown.
    public var macs: Double?
    /// Expected time of a sample at batch 1, and the baseline's, in milliseconds; `nil` until measured.
    public var milliseconds: Double?
    public var baselineMilliseconds: Double?

    public init(shares: [Double], values: [Double?], accuracy: AccuracyEstimate) {
        self.shares = shares
        self.values = values
        self.accuracy = accuracy
    }
}
