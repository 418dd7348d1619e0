/// The few functions charts and number formats need; written out so that this module needs no C library.
enum ElementaryMath {
    static let ln10 = 2.302585092994045684
    static let ln2 = 0.693147180559945309

    /// Natural logarithm; NaN for negative numbers, -infinity for 0. Relative error below 1e-14.
    static func ln(_ x: Double) -> Double {
        guard x > 0 else { return x == 0 ? -.infinity : .nan }
        guard x.isFinite else { return x }
        // x = m·2^e with m in [0.71, 1.42), then ln m = 2·artanh((m-1)/(m+1)), |argument| < 0.172.
        var mantissa = x.significand
        var exponent = Double(x.exponent)
        if mantissa > 1.4142135623730951 {
            mantissa /= 2
            exponent += 1
        }
        let t = (mantissa - 1) / (mantissa + 1)
        let square = t * t
        var sum = 0.0
        var power = t
        for k in stride(from: 1.0, through: 25.0, by: 2.0) {
            sum += power / k
            power *= square
        }
        return 2 * sum + exponent * ln2
    }

    /// Where a value lies between two others, 0...1; one half when they are equal or nothing can be said.
    static func share(_ value: Double, low: Double, high: Double) -> Double {
        let share = (value - low) / (high - low)
        return high > low && share.isFinite ? min(1, max(0, share)) : 0.5
    }

    static func log10(_ x: Double) -> Double { ln(x) / ln10 }

    /// 10 to a whole power, exact as far as Double is.
    static func pow10(_ n: Int) -> Double {
        var result = 1.0
        var base = 10.0
        var left = n.magnitude
        while left > 0 {
            if left & 1 == 1 { result *= base }
            base *= base
            left >>= 1
        }
        return n < 0 ? 1 / result : result
    }

    /// 10 to any power. Relative error below 1e-13.
    static func pow10(_ x: Double) -> Double {
        guard x.isFinite, abs(x) < 400 else { return x > 0 ? .infinity : (x < 0 ? 0 : .nan) }
        let whole = x.rounded()
        let rest = (x - whole) * ln10
        var term = 1.0
        var sum = 1.0
        for k in 1...22 {
            term *= rest / Double(k)
            sum += term
        }
        return pow10(Int(whole)) * sum
    }

    /// Index of the decade of |x|: floor(log10 |x|), exact at powers of ten. 0 for 0.
    static func decade(_ x: Double) -> Int {
        let magnitude = abs(x)
        guard magnitude > 0, magnitude.isFinite else { return 0 }
        var n = Int(log10(magnitude).rounded(.down))
        if pow10(n + 1) <= magnitude { n += 1 }
        if pow10(n) > magnitude { n -= 1 }
        return n
    }
}
