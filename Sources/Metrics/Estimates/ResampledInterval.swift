import Foundation

/// 95 % intervals from values over resamples.
enum ResampledInterval {
    /// How the spread of resamples becomes an interval.
    enum Method: String, Sendable, CaseIterable {
        /// Value ± t · standard deviation of the resamples.
        case student
        /// The same around the value less the bias that resamples show.
        case unbiasedStudent
        /// 2.5 and 97.5 % of the resamples.
        case percentile
        /// Quantiles moved by the share of resamples below the value (Efron 1981).
        case biasCorrected
        /// Twice the value less the quantiles (Davison and Hinkley's basic interval).
        case basic
        /// `student` of the logarithm of the odds, for values from 0 to 1.
        case logit
        /// `unbiasedStudent` of the logarithm of the odds.
        case unbiasedLogit
        /// `student` of Fisher's z, for correlations.
        case fisher
        /// `student` of the logarithm.
        case logarithm
    }

    static func interval(_ method: Method, of values: [Double], around value: Double, samples: Int) -> Interval? {
        let found = values.filter { !$0.isNaN }
        // Where the value does not exist for many resamples, those for which it does are no fair ones.
        guard value.isFinite, found.count > 1, found.count * 10 >= values.count * 9, found.allSatisfy(\.isFinite) else { return nil }
        switch method {
        case .student: return student(found, value, samples, isCorrected: false)
        case .unbiasedStudent: return student(found, value, samples, isCorrected: true)
        case .percentile: return quantiles(found, 0.025, 0.975)
        case .basic: return quantiles(found, 0.025, 0.975).map { Interval(low: 2 * value - $0.high, high: 2 * value - $0.low) }
        case .biasCorrected:
            let below = (Double(found.count { $0 < value }) + 0.5 * Double(found.count { $0 == value })) / Double(found.count)
            let shift = 2 * NormalDistribution.quantile(min(0.999, max(0.001, below)))
            return quantiles(found, NormalDistribution.cumulative(shift - StudentQuantile.z), NormalDistribution.cumulative(shift + StudentQuantile.z))
        case .logit, .unbiasedLogit:
            let bounded = { (x: Double) in min(1 - 1e-9, max(1e-9, x)) }
            let to = { (x: Double) in log(bounded(x) / (1 - bounded(x))) }
            let from = { (x: Double) in 1 / (1 + exp(-x)) }
            return student(found.map(to), to(value), samples, isCorrected: method == .unbiasedLogit).mapped(from)
        case .fisher:
            let to = { (x: Double) in atanh(min(1 - 1e-12, max(-1 + 1e-12, x))) }
            return student(found.map(to), to(value), samples, isCorrected: false).mapped { tanh($0) }
        case .logarithm:
            let to = { (x: Double) in log(max(1e-12, x)) }
            return student(found.map(to), to(value), samples, isCorrected: false).mapped { exp($0) }
        }
    }

    private static func student(_ values: [Double], _ value: Double, _ samples: Int, isCorrected: Bool) -> Interval {
        let count = Double(values.count)
        let mean = values.reduce(0, +) / count
        let deviation = (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)).squareRoot()
        // Drawing with replacement makes the spread narrower by this.
        let inflation = (Double(samples) / Double(max(1, samples - 1))).squareRoot()
        let margin = StudentQuantile.t975(samples - 1) * deviation * inflation
        let center = isCorrected ? 2 * value - mean : value
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
