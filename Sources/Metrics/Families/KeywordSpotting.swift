import EngineSupport

/// False accepts per hour of sound without keyword, at the highest threshold at which no larger share of keywords than the miss rate allows is
/// missed: floor(miss rate · keywords) of them may score below it.
///
/// A sample is a clip of `seconds`; its score is the output's one number, or the probability of the positive class. Contribution: 1 for a keyword
/// and else 0, and the score, minus infinity where it is not a number: such a clip sets nothing off.
struct FalseAccepts: MetricComputation {
    let seconds: Double
    let missRate: Double
    let positive: Int

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let label = try target.label(.falseAccepts)
        let row = try outputs.scored(.falseAccepts).values
        var score: Double
        if row.count == 1 {
            score = positive == 0 ? -Double(row[0]) : Double(row[0])
        } else {
            guard row.indices.contains(positive) else {
                throw EngineError(.data, "metric false-accepts-per-hour: positive class \(positive), expected 0 to \(row.count - 1) as the output has \(row.count) scores")
            }
            score = ClassScores.probabilities(row)[positive]
        }
        if score.isNaN { score = -.infinity }
        return [label == positive ? 1 : 0, score]
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic { FalseAcceptStatistic(contributions, seconds: seconds, missRate: missRate) }
}

/// Sorted once; a value takes one pass.
struct FalseAcceptStatistic: PooledStatistic {
    let samples: Int
    private let seconds: Double
    private let missRate: Double
    /// From the lowest score: sample · 4 + (2 if keyword) + (1 if the last of its score).
    private let order: [UInt32]

    init(_ contributions: [[Double]], seconds: Double, missRate: Double) {
        samples = contributions.count
        (self.seconds, self.missRate) = (seconds, missRate)
        let scores = contributions.map { $0.at(1).isNaN ? -.infinity : $0.at(1) }
        let sorted = scores.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }
        order = sorted.indices.map { place in
            let isLast = place + 1 == sorted.count || scores[sorted[place + 1]] != scores[sorted[place]]
            return UInt32(sorted[place]) << 2 | (contributions[sorted[place]].at(0) == 1 ? 2 : 0) | (isLast ? 1 : 0)
        }
    }

    var work: Int { 3 * samples }

    func value(counts: [Int32]?) -> Double {
        if let counts, counts.count < samples { return .nan }
        var keywords = 0
        for code in order where code & 2 == 2 { keywords += counts.map { Int($0[Int(code >> 2)]) } ?? 1 }
        // Rounding must not take one away: 0.07 · 100 is a little less than 7.
        let allowed = Int(missRate * Double(keywords) + 1e-9)
        // Below the threshold, which is the highest score of a keyword with at most `allowed` keywords below it.
        var (missed, silent, all, rejected) = (0, 0, 0, 0)
        var (ties, others) = (0, 0)
        for code in order {
            let weight = counts.map { Int($0[Int(code >> 2)]) } ?? 1
            if code & 2 == 2 { ties += weight } else { others += weight }
            if code & 1 == 1 {
                if ties > 0, missed <= allowed { rejected = silent }
                missed += ties
                silent += others
                all += others
                (ties, others) = (0, 0)
            }
        }
        guard keywords > 0, all > 0 else { return .nan }
        return Double(all - rejected) / (Double(all) * seconds / 3600)
    }
}
