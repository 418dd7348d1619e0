import Foundation

/// Mean of a stream of values with Student's t interval, for metrics that are not proportions (cosine, SQNR). Welford's
/// algorithm: no values are kept, no digits lost.
public struct MeanEstimate: Sendable, Hashable {
    public private(set) var count = 0
    public private(set) var mean = 0.0
    private var squares = 0.0

    public init() {}

    public mutating func add(_ value: Double) {
        count += 1
        let delta = value - mean
        mean += delta / Double(count)
        squares += delta * (value - mean)
    }

    /// Joins two streams (Chan, Golub and LeVeque 1979).
    public mutating func merge(_ other: MeanEstimate) {
        guard other.count > 0 else { return }
        let total = Double(count + other.count)
        let delta = other.mean - mean
        squares += other.squares + delta * delta * Double(count) * Double(other.count) / total
        mean += delta * Double(other.count) / total
        count += other.count
    }

    /// Sample variance, n − 1 in the denominator; `nil` below two values.
    public var variance: Double? { count > 1 ? squares / Double(count - 1) : nil }

    /// mean ± t · s/√n; `nil` below two values.
    public func interval(confidence: Double = 0.95) -> Interval? {
        guard let variance else { return nil }
        let margin = StudentT.quantile(1 - (1 - confidence) / 2, degreesOfFreedom: count - 1) * (variance / Double(count)).squareRoot()
        return Interval(low: mean - margin, high: mean + margin)
    }
}

/// Student's t distribution.
public enum StudentT {
    /// The normal distribution's 97.5 % quantile.
    static let z975 = 1.959963984540054

    /// 97.5 % quantile.
    static func t975(_ degreesOfFreedom: Int) -> Double { quantile(0.975, degreesOfFreedom: degreesOfFreedom) }

    /// Quantile by bisection on the distribution function, to about 12 digits.
    /// - Parameters:
    ///   - p: 0 < p < 1.
    ///   - degreesOfFreedom: at least 1.
    public static func quantile(_ p: Double, degreesOfFreedom: Int) -> Double {
        precondition(p > 0 && p < 1 && degreesOfFreedom > 0, "outside the distribution")
        if p < 0.5 { return -quantile(1 - p, degreesOfFreedom: degreesOfFreedom) }
        var (low, high) = (0.0, 1.0)
        while cumulative(high, degreesOfFreedom) < p { high *= 2 }
        for _ in 0..<200 where high - low > 1e-13 * high {
            let middle = (low + high) / 2
            if cumulative(middle, degreesOfFreedom) < p { low = middle } else { high = middle }
        }
        return (low + high) / 2
    }

    /// P(T ≤ t) for t ≥ 0.
    private static func cumulative(_ t: Double, _ degreesOfFreedom: Int) -> Double {
        let v = Double(degreesOfFreedom)
        return 1 - incompleteBeta(v / (v + t * t), v / 2, 0.5) / 2
    }

    /// The regularized incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22) with Lentz's method.
    static func incompleteBeta(_ x: Double, _ a: Double, _ b: Double) -> Double {
        if x <= 0 { return 0 }
        if x >= 1 { return 1 }
        // The fraction converges fast below the mean; beyond it, use the symmetry.
        if x > (a + 1) / (a + b + 2) { return 1 - incompleteBeta(1 - x, b, a) }
        let logBeta = logGamma(a) + logGamma(b) - logGamma(a + b)
        let front = exp(a * log(x) + b * log(1 - x) - logBeta) / a
        let tiny = 1e-300
        func nonZero(_ value: Double) -> Double { abs(value) < tiny ? tiny : value }
        var c = 1.0
        var d = 1 / nonZero(1 - (a + b) * x / (a + 1))
        var fraction = d
        for step in 1...1000 {
            let m = Double(step)
            let even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
            d = 1 / nonZero(1 + even * d)
            c = nonZero(1 + even / c)
            fraction *= d * c
            let odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
            d = 1 / nonZero(1 + odd * d)
            c = nonZero(1 + odd / c)
            fraction *= d * c
            if abs(d * c - 1) < 1e-16 { break }
        }
        return front * fraction
    }
}

/// Logarithm of the gamma function, for positive arguments; unlike `lgamma` it touches no global state.
func logGamma(_ x: Double) -> Double {
    var sign: Int32 = 0
    return lgamma_r(x, &sign)
}
