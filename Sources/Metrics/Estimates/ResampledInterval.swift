import Foundation

/// 95 % intervals from values over resamples.
enum ResampledInterval {
    /// How the spread of resamples becomes an interval.
    enum Method: String, Sendable, CaseIterable {
        /// Value ± t · standard deviation of the resamples.
        case student
        /// `student` of the logarithm of the odds, for values near 1.
        case logit
        /// `student` of Fisher's z (1915), for correlations.
        case fisher = "Fisher's z"
        /// `logit` around the value less its bias, which random halves of the samples show.
        case unbiased = "logit less bias"
        /// Quantiles moved by the share of resamples below the value (Efron 1981).
        case biasCorrected = "bias-corrected"
    }

    /// Which methods cover the true value of a metric and of a difference (Docs/Results/MetricCoverage.md).
    static func methods(_ kind: MetricKind) -> (value: Method, difference: Method) {
        switch kind {
        case .rocAUC, .averagePrecision, .multilabelAP, .balancedAccuracy: (.logit, .student)
        case .pearson, .spearman, .similarity: (.fisher, .student)
        case .detectionMAP, .detectionMAP50: (.unbiased, .student)
        case .falseAccepts: (.biasCorrected, .biasCorrected)
        default: (.student, .student)
        }
    }

    /// The interval of a statistic's value.
    static func interval(_ method: Method, of statistic: any PooledStatistic, _ resampling: Resampling, around value: Double) -> Interval? {
        interval(method, of: resampling.candidates, around: value, samples: resampling.samples) {
            resampling.halves(of: statistic)
        }
    }

    /// - Parameter half: mean value over halves of the samples, for the method that needs it.
    static func interval(_ method: Method, of values: [Double], around value: Double, samples: Int, half: () -> Double = { .nan }) -> Interval? {
        let found = values.filter { !$0.isNaN }
        // Where the value does not exist for many resamples, those for which it does are no fair ones.
        guard value.isFinite, found.count > 1, found.count * 10 >= values.count * 9, found.allSatisfy(\.isFinite) else { return nil }
        switch method {
        case .student: return student(found, value, samples)
        case .logit: return student(found.map(logit), logit(value), samples).mapped(odds)
        case .fisher: return student(found.map(fisher), fisher(value), samples).mapped(tanh)
        case .unbiased:
            let half = half()
            let bias = half.isFinite ? halvesBias * (logit(half) - logit(value)) : 0
            return student(found.map(logit), logit(value) - bias, samples, widened: half.isFinite ? unbiasedSpread : 1).mapped(odds)
        case .biasCorrected:
            let below = (Double(found.count { $0 < value }) + 0.5 * Double(found.count { $0 == value })) / Double(found.count)
            let shift = NormalDistribution.quantile(min(0.999, max(0.001, below)))
            return quantiles(
                found, NormalDistribution.cumulative(2 * shift - StudentT.z975), NormalDistribution.cumulative(2 * shift + StudentT.z975))
        }
    }

    /// The bias over that by which halves are larger. Were it in proportion to 1/n it would be 1; the best precision at this recall or a higher one,
    /// of which COCO's average is made, is a maximum of noise, and the bias falls between n^(−1/2), which gives 2.4, and n^(−2/3), which gives 1.7. Between
    /// those the factor was chosen on the populations of the table. Estimating the power from quarters as well covers less: it adds noise of its own.
    private static let halvesBias = 2.0
    /// How much more the value less its bias varies than the value: the bias is not known exactly. Chosen on the same populations.
    private static let unbiasedSpread = 1.1

    private static func fisher(_ x: Double) -> Double { atanh(min(1 - 1e-12, max(-1 + 1e-12, x))) }

    private static func logit(_ x: Double) -> Double {
        let x = min(1 - 1e-9, max(1e-9, x))
        return log(x / (1 - x))
    }

    private static func odds(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

    private static func student(_ values: [Double], _ center: Double, _ samples: Int, widened: Double = 1) -> Interval {
        let count = Double(values.count)
        let mean = values.reduce(0, +) / count
        let deviation = (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)).squareRoot()
        // Drawing with replacement makes the spread narrower by this.
        let inflation = (Double(samples) / Double(max(1, samples - 1))).squareRoot()
        let margin = widened * StudentT.t975(samples - 1) * deviation * inflation
        return Interval(low: center - margin, high: center + margin)
    }

    private static func quantiles(_ values: [Double], _ low: Double, _ high: Double) -> Interval? {
        let sorted = values.sorted()
        func at(_ share: Double) -> Double {
            let position = share * Double(sorted.count - 1)
            let below = min(sorted.count - 1, max(0, Int(position)))
            let above = min(sorted.count - 1, below + 1)
            return sorted[below] + (sorted[above] - sorted[below]) * (position - Double(below))
        }
        return Interval(low: at(low), high: at(high))
    }
}

extension Interval {
    /// Of what a rising function makes of the value.
    fileprivate func mapped(_ function: (Double) -> Double) -> Interval { Interval(low: function(low), high: function(high)) }
}

enum NormalDistribution {
    static func cumulative(_ x: Double) -> Double { erfc(-x / 2.squareRoot()) / 2 }

    /// By bisection.
    static func quantile(_ p: Double) -> Double {
        var (low, high) = (-10.0, 10.0)
        for _ in 0..<60 {
            let middle = (low + high) / 2
            if cumulative(middle) < p { low = middle } else { high = middle }
        }
        return (low + high) / 2
    }
}
