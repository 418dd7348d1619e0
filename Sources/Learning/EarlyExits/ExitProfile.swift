import Datasets
import Measurement
import Metrics

/// How long a sample takes that leaves at each exit, and one that leaves nowhere, at batch 1. Milliseconds.
struct ExitTimes: Sendable {
    /// Mean by exit and, last, through everything.
    var milliseconds: [Double]
    /// The baseline's, measured in turns with those.
    var baseline: Double
}

/// What every exit says of every sample: confidence and whether it is right. Any threshold is answered from that without running the model
/// again, in O(samples · exits).
struct ExitProfile: LiveProfile {
    let metric: MetricKind
    /// Samples of the split.
    let total: Int
    /// By exit, of the samples so far.
    var confidences: [[Float]]
    /// By exit and, last, of the whole network: 1 right, 0 wrong, or a score in 0…1.
    var scores: [[Float]]
    /// The baseline's, of the same samples.
    var baseline: [Float]
    /// MACs of a sample that leaves at each exit and, last, nowhere; empty while shapes are unknown.
    var macs: [Double]
    var times: ExitTimes?

    /// Samples so far, the first of a random order.
    var count: Int { baseline.count }
    var isComplete: Bool { count >= total }
    var isTimed: Bool { times != nil }
    var exits: Int { confidences.count }

    init(metric: MetricKind, total: Int, exits: Int, macs: [Double]) {
        self.metric = metric
        self.total = total
        self.macs = macs
        confidences = [[Float]](repeating: [], count: exits)
        scores = [[Float]](repeating: [], count: exits + 1)
        baseline = []
    }

    /// - Parameter thresholds: one for each exit; samples with a greater confidence leave.
    /// - Returns: `nil` before the first sample.
    func figures(thresholds: [Double]) -> LiveFigures? {
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
        var figures = LiveFigures(shares: shares, values: zip(sums, left).map { $1 > 0 ? $0 / Double($1) : nil }, accuracy: accuracy)
        if macs.count == shares.count { figures.macs = zip(shares, macs).reduce(0) { $0 + $1.0 * $1.1 } }
        if let times, times.milliseconds.count == shares.count {
            figures.milliseconds = zip(shares, times.milliseconds).reduce(0) { $0 + $1.0 * $1.1 }
            figures.baselineMilliseconds = times.baseline
        }
        return figures
    }

    func figures(at threshold: Double) -> LiveFigures? { figures(thresholds: [Double](repeating: threshold, count: exits)) }
}
