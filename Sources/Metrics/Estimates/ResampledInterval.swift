import Foundation

/// 95 % intervals from values over resamples.
enum ResampledInterval {
    /// How the spread of resamples becomes an interval.
    enum Method: String, Sendable, CaseIterable {
        /// Value ± t · standard deviation of the resamples.
        case student
        /// `student` of the logarithm of the odds, for values near 1.
        case logit
        /// `student` around the value less its bias, which random halves of the samples show.
        case halved
        /// `halved` of the logarithm of the odds.
        case halvedLogit = "halved logit"
        /// Quantiles moved by the share of resamples below the value (Efron 1981).
        case biasCorrected = "bias-corrected"
        /// The same, and by how the spread grows with the value (BCa, Efron 1987).
        case accelerated = "BCa"
    }

    /// The bias over that by which halves are larger. Were it in proportion to 1/n it would be 1; the best precision at this recall or a higher one,
    /// of which COCO's average is made, is a maximum of noise, and the bias falls between n^(−1/2), which gives 2.4, and n^(−2/3), which gives 1.7. Between
    /// those the factor was chosen on the populations of the table.
    private static let halvesBias = 2.0

    /// Which methods cover the true value of a metric and of a difference (Docs/Results/MetricCoverage.md).
    static func methods(_ kind: MetricKind) -> (value: Method, difference: Method) {
        switch kind {
        case .rocAUC, .averagePrecision, .multilabelAP: (.logit, .student)
        case .detectionMAP, .detectionMAP50: (.halvedLogit, .student)
        case .falseAccepts: (.biasCorrected, .biasCorrected)
        default: (.student, .student)
        }
    }

    /// The interval of a statistic's value.
    static func interval(_ method: Method, of statistic: any PooledStatistic, _ resampling: Resampling, around value: Double) -> Interval? {
        interval(method, of: resampling.candidates, around: value, samples: resampling.samples) {
            switch method {
            case .halved, .halvedLogit: resampling.halves(of: statistic)
            case .accelerated: resampling.acceleration(of: statistic)
            default: 0
            }
        }
    }

    /// - Parameter extra: mean value of halves, or acceleration, for the methods that need it.
    static func interval(_ method: Method, of values: [Double], around value: Double, samples: Int, extra: () -> Double = { .nan }) -> Interval? {
        let found = values.filter { !$0.isNaN }
        // Where the value does not exist for many resamples, those for which it does are no fair ones.
        guard value.isFinite, found.count > 1, found.count * 10 >= values.count * 9, found.allSatisfy(\.isFinite) else { return nil }
        switch method {
        case .student: return student(found, value, samples)
        case .halved:
            let half = extra()
            return student(found, half.isFinite ? value - halvesBias * (half - value) : value, samples)
        case .logit: return student(found.map(logit), logit(value), samples).mapped(odds)
        case .halvedLogit:
            let half = extra()
            return student(found.map(logit), half.isFinite ? logit(value) - halvesBias * (logit(half) - logit(value)) : logit(value), samples).mapped(odds)
        case .biasCorrected, .accelerated:
            let below = (Double(found.count { $0 < value }) + 0.5 * Double(found.count { $0 == value })) / Double(found.count)
            let shift = NormalDistribution.quantile(min(0.999, max(0.001, below)))
            let acceleration = method == .accelerated ? extra() : 0
            func share(_ z: Double) -> Double {
                let moved = shift + z
                return NormalDistribution.cumulative(shift + moved / max(0.1, 1 - (acceleration.isFinite ? acceleration : 0) * moved))
            }
            return quantiles(found, share(-StudentQuantile.z), share(StudentQuantile.z))
        }
    }

    private static func logit(_ x: Double) -> Double {
        let x = min(1 - 1e-9, max(1e-9, x))
        return log(x / (1 - x))
    }

    private static func odds(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

    private static func student(_ values: [Double], _ center: Double, _ samples: Int) -> Interval {
        let count = Double(values.count)
        let mean = values.reduce(0, +) / count
        let deviation = (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)).squareRoot()
        // Drawing with replacement makes the spread narrower by this.
        let inflation = (Double(samples) / Double(max(1, samples - 1))).squareRoot()
        let margin = StudentQuantile.t975(samples - 1) * deviation * inflation
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
