import Datasets

/// What a model with early exits does at some threshold, predicted from a profile.
public struct ExitFigures: Sendable {
    /// Shares of samples that leave at each exit and, last, of those that run through everything.
    public var shares: [Double]
    /// How well those do who leave there; `nil` where nobody does.
    public var values: [Double?]
    /// Over all samples of the profile, paired with the baseline.
    public var accuracy: AccuracyEstimate
    /// Expected multiply-accumulates of a sample; `nil` while shapes are unknown.
    public var macs: Double?
    /// Expected time of a sample at batch 1, and the baseline's, in milliseconds; `nil` until measured.
    public var milliseconds: Double?
    public var baselineMilliseconds: Double?
}

/// How long a sample takes that leaves at each exit, and one that leaves nowhere, at batch 1. Milliseconds.
public struct ExitTimes: Sendable {
    /// Mean by exit and, last, through everything.
    public var milliseconds: [Double]
    /// The baseline's, measured in turns with those.
    public var baseline: Double

    package init(milliseconds: [Double], baseline: Double) {
        self.milliseconds = milliseconds
        self.baseline = baseline
    }
}

/// What every exit says of every sample: confidence and whether it is right. Any threshold is answered from that without running the model
/// again, in O(samples · exits).
public struct ExitProfile: Sendable {
    public let metric: MetricKind
    /// Samples of the split.
    public let total: Int
    /// By exit, of the samples so far.
    public package(set) var confidences: [[Float]]
    /// By exit and, last, of the whole network: 1 right, 0 wrong, or a score in 0…1.
    public package(set) var scores: [[Float]]
    /// The baseline's, of the same samples.
    public package(set) var baseline: [Float]
    /// MACs of a sample that leaves at each exit and, last, nowhere; empty while shapes are unknown.
    public package(set) var macs: [Double]
    public package(set) var times: ExitTimes?

    /// Samples so far, the first of a random order.
    public var count: Int { baseline.count }
    public var exits: Int { confidences.count }

    package init(metric: MetricKind, total: Int, exits: Int, macs: [Double]) {
        self.metric = metric
        self.total = total
        self.macs = macs
        confidences = [[Float]](repeating: [], count: exits)
        scores = [[Float]](repeating: [], count: exits + 1)
        baseline = []
    }

    /// - Parameter thresholds: one for each exit; samples with a greater confidence leave.
    /// - Returns: `nil` before the first sample.
    public func figures(thresholds: [Double]) -> ExitFigures? {
        guard count > 0, thresholds.count == exits else { return nil }
        let limits = thresholds.map { Float($0) }
        var left = [Int](repeating: 0, count: exits + 1)
        var sums = [Double](repeating: 0, count: exits + 1)
        var tally = PairedTally(metric: metric)
        for sample in 0..<count {
            var exit = 0
            while exit < exits, !(confidences[exit][sample] > limits[exit]) { exit += 1 }
            left[exit] += 1
            sums[exit] += Double(scores[exit][sample])
            tally.add(scores[exit][sample], baseline: baseline[sample])
        }
        let shares = left.map { Double($0) / Double(count) }
        var accuracy = tally.estimate(total: total)
        accuracy.isPredicted = true
        var figures = ExitFigures(shares: shares, values: zip(sums, left).map { $1 > 0 ? $0 / Double($1) : nil }, accuracy: accuracy)
        if macs.count == shares.count { figures.macs = zip(shares, macs).reduce(0) { $0 + $1.0 * $1.1 } }
        if let times, times.milliseconds.count == shares.count {
            figures.milliseconds = zip(shares, times.milliseconds).reduce(0) { $0 + $1.0 * $1.1 }
            figures.baselineMilliseconds = times.baseline
        }
        return figures
    }

    public func figures(threshold: Double) -> ExitFigures? { figures(thresholds: [Double](repeating: threshold, count: exits)) }
}
