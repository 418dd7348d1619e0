/// Outcomes of a split's samples as they become known, batch by batch and in any order, and the estimate they give.
///
/// Positions are those of a fixed shuffled order that does not depend on outcomes, so whichever batches are done are a
/// random sample and their estimate is unbiased.
public struct RunningAccuracy: Sendable {
    public let metric: MetricKind
    /// Samples in the split.
    public let total: Int
    private var outcomes: Outcomes
    private let baseline: Outcomes?
    private var comparison = PairedComparison()
    /// Of the samples seen so far, those whose baseline outcome is known.
    private var compared = 0

    /// - Parameters:
    ///   - metric: one that is a proportion; `RunningMean` is for the others.
    ///   - baseline: the baseline's outcomes in the same order, as many as are known.
    /// - Precondition: `baseline` is of the same split.
    public init(metric: MetricKind, total: Int, baseline: Outcomes? = nil) {
        precondition(baseline.map { $0.count == total } ?? true, "outcomes of another split")
        self.metric = metric
        self.total = total
        self.baseline = baseline
        outcomes = Outcomes(count: total)
    }

    /// What is known so far, by position.
    public var known: Outcomes { outcomes }

    public var isComplete: Bool { outcomes.known == total }

    /// Records whether the samples from position `start` on are right. Positions already known are left alone.
    public mutating func record(_ correct: [Bool], from start: Int) {
        for (offset, isCorrect) in correct.enumerated() {
            let position = start + offset
            guard outcomes.set(position, isCorrect), let other = baseline?[position] else { continue }
            compared += 1
            switch (other, isCorrect) {
            case (true, true): comparison.bothRight += 1
            case (true, false): comparison.onlyBaseline += 1
            case (false, true): comparison.onlyCandidate += 1
            case (false, false): comparison.bothWrong += 1
            }
        }
    }

    /// The estimate so far; the comparison is there when the baseline's outcome is known for every sample seen.
    public var estimate: AccuracyEstimate {
        let seen = outcomes.known
        var estimate = AccuracyEstimate(
            metric: metric.title, seen: seen, total: total, value: seen > 0 ? Double(outcomes.right) / Double(seen) : 0,
            interval: Proportion.wilsonInterval(successes: outcomes.right, of: seen))
        guard seen > 0, compared == seen else { return estimate }
        estimate.baseline = Double(comparison.bothRight + comparison.onlyBaseline) / Double(seen)
        estimate.difference = comparison.difference
        estimate.differenceInterval = comparison.newcombeInterval()
        estimate.mcnemarP = comparison.mcnemarP
        estimate.onlyBaseline = comparison.onlyBaseline
        estimate.onlyCandidate = comparison.onlyCandidate
        return estimate
    }
}

/// Right, wrong or not yet known, one per sample: two bits each, so that they can be stored with a trial.
public struct Outcomes: Sendable, Hashable, Codable {
    public let count: Int
    /// How many are known, and how many of those are right.
    public private(set) var known = 0
    public private(set) var right = 0
    private var knownBits: [UInt64]
    private var rightBits: [UInt64]

    /// - Precondition: `count` ≥ 0.
    public init(count: Int) {
        self.count = count
        knownBits = Array(repeating: 0, count: (count + 63) / 64)
        rightBits = knownBits
    }

    public var isComplete: Bool { known == count }

    /// - Precondition: `position` within 0 ..< `count`.
    public subscript(position: Int) -> Bool? {
        precondition(position >= 0 && position < count, "no such sample")
        let bit: UInt64 = 1 << UInt64(position % 64)
        return knownBits[position / 64] & bit == 0 ? nil : rightBits[position / 64] & bit != 0
    }

    /// - Returns: false, with nothing changed, if it was known already.
    public mutating func set(_ position: Int, _ isRight: Bool) -> Bool {
        guard self[position] == nil else { return false }
        let bit: UInt64 = 1 << UInt64(position % 64)
        knownBits[position / 64] |= bit
        known += 1
        if isRight {
            rightBits[position / 64] |= bit
            right += 1
        }
        return true
    }

    private enum CodingKeys: String, CodingKey { case count, known, right }

    /// - Throws: `DecodingError` if the bits are not those of `count` samples.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let count = try values.decode(Int.self, forKey: .count)
        let knownBits = try values.decode([UInt64].self, forKey: .known)
        let rightBits = try values.decode([UInt64].self, forKey: .right)
        let words = count >= 0 ? (count / 64) + (count % 64 == 0 ? 0 : 1) : -1
        let unused = count > 0 && count % 64 != 0 ? ~UInt64(0) << UInt64(count % 64) : 0
        guard knownBits.count == words, rightBits.count == words, (knownBits.last ?? 0) & unused == 0,
            zip(knownBits, rightBits).allSatisfy({ $1 & ~$0 == 0 })
        else {
            throw DecodingError.dataCorrupted(DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "not \(count) outcomes"))
        }
        self.count = count
        self.knownBits = knownBits
        self.rightBits = rightBits
        known = knownBits.reduce(0) { $0 + $1.nonzeroBitCount }
        right = rightBits.reduce(0) { $0 + $1.nonzeroBitCount }
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(count, forKey: .count)
        try values.encode(knownBits, forKey: .known)
        try values.encode(rightBits, forKey: .right)
    }
}

/// As `RunningAccuracy`, for metrics that are means (cosine, SQNR).
public struct RunningMean: Sendable {
    public let metric: MetricKind
    public let total: Int
    public private(set) var mean = MeanEstimate()

    public init(metric: MetricKind, total: Int) {
        self.metric = metric
        self.total = total
    }

    public mutating func record(_ values: [Double]) { for value in values { mean.add(value) } }

    /// Mean so far (cosine: −1 ... 1, SQNR: decibels) with Student's t interval; with fewer than two values the interval
    /// is the metric's whole range.
    public var estimate: AccuracyEstimate {
        let limit = metric == .sqnr ? OutputComparison.sqnrCeiling : 1
        return AccuracyEstimate(
            metric: metric.title, seen: mean.count, total: total, value: mean.mean,
            interval: mean.interval() ?? Interval(low: -limit, high: limit))
    }
}
