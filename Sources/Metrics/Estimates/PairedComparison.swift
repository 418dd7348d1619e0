import Foundation

/// Two models judged on the same samples: counts of the four outcomes, and what they say about the difference.
public struct PairedComparison: Sendable, Hashable, Codable {
    public var bothRight: Int
    /// Only the baseline is right (the candidate loses).
    public var onlyBaseline: Int
    /// Only the candidate is right (the candidate gains).
    public var onlyCandidate: Int
    public var bothWrong: Int

    public init(bothRight: Int = 0, onlyBaseline: Int = 0, onlyCandidate: Int = 0, bothWrong: Int = 0) {
        self.bothRight = bothRight
        self.onlyBaseline = onlyBaseline
        self.onlyCandidate = onlyCandidate
        self.bothWrong = bothWrong
    }

    public var count: Int { bothRight + onlyBaseline + onlyCandidate + bothWrong }

    /// Candidate − baseline, −1 ... 1.
    public var difference: Double { count > 0 ? Double(onlyCandidate - onlyBaseline) / Double(count) : 0 }

    /// Exact two-sided McNemar test: p = min(1, 2 · Σ_{i ≤ min(b, c)} C(b+c, i) / 2^(b+c)). 1 without discordant samples.
    ///
    /// The largest term is computed in log space and the others relative to it, so counts may be of any size.
    public var mcnemarP: Double {
        let (smaller, total) = (min(onlyBaseline, onlyCandidate), onlyBaseline + onlyCandidate)
        guard total > 0 else { return 1 }
        let (m, n) = (Double(smaller), Double(total))
        let logBinomial = logGamma(n + 1) - logGamma(m + 1) - logGamma(n - m + 1)
        let logLargest = logBinomial - n * log(2)
        var sum = 1.0
        var term = 1.0
        var index = smaller
        while index > 0 {
            // C(n, i − 1) / C(n, i)
            term *= Double(index) / Double(total - index + 1)
            guard term > sum * 1e-18 else { break }
            sum += term
            index -= 1
        }
        return min(1, exp(log(2) + logLargest + log(sum)))
    }

    /// Interval of candidate − baseline: Newcombe's (Statistics in Medicine 17, 1998), which combines the Wilson intervals of both proportions with
    /// their correlation.
    /// - Parameter isCorrected: with his correction for continuity (method 10). It covers more than it says where few samples differ, as they do
    ///   between a compressed model and its original (98.6 % in place of 95 for 4 of 60), so it is left out.
    public func newcombeInterval(z: Double = Proportion.z95, isCorrected: Bool = false) -> Interval {
        guard count > 0 else { return Interval(low: -1, high: 1) }
        let n = Double(count)
        let (a, b, c, d) = (Double(bothRight), Double(onlyCandidate), Double(onlyBaseline), Double(bothWrong))
        let (candidate, baseline) = ((a + b) / n, (a + c) / n)
        let first = Proportion.wilsonInterval(successes: bothRight + onlyCandidate, of: count, z: z)
        let second = Proportion.wilsonInterval(successes: bothRight + onlyBaseline, of: count, z: z)
        let margins = (a + b) * (c + d) * (a + c) * (b + d)
        var phi = 0.0
        if margins > 0 {
            let determinant = a * d - b * c
            // The correction applies to positive correlation only.
            phi = (determinant > 0 && isCorrected ? max(0, determinant - n / 2) : determinant) / margins.squareRoot()
        }
        let below = (candidate - first.low, second.high - baseline)
        let above = (first.high - candidate, baseline - second.low)
        func length(_ x: Double, _ y: Double) -> Double { max(0, x * x - 2 * phi * x * y + y * y).squareRoot() }
        return Interval(
            low: max(-1, difference - length(below.0, below.1)), high: min(1, difference + length(above.0, above.1)))
    }
}
