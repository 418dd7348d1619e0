/// The Wilson score interval of a proportion (Wilson 1927), the plain one without continuity correction.
///
/// It needs no finite-population correction here and gets none: the first k samples of a random order of n validation
/// images are a random sample of whatever the validation images are a sample of. The interval is always about the
/// accuracy on unseen data of the same kind, at k of n as at n of n, and does not shrink to nothing when the split is done.
public enum Proportion {
    /// Two-sided 95 %, as the field rounds it.
    public static let z95 = 1.96

    /// - Parameters:
    ///   - successes: 0 ... `count`.
    ///   - count: at 0 the interval is 0 ... 1.
    ///   - z: standard normal quantile of the confidence level.
    public static func wilsonInterval(successes: Int, of count: Int, z: Double = z95) -> Interval {
        guard count > 0 else { return Interval(low: 0, high: 1) }
        let n = Double(count)
        let p = Double(successes) / n
        let center = p + z * z / (2 * n)
        let margin = z * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot()
        let scale = 1 + z * z / n
        // At the ends rounding must not leave 1 − 1e-17.
        return Interval(
            low: successes == 0 ? 0 : max(0, (center - margin) / scale), high: successes == count ? 1 : min(1, (center + margin) / scale))
    }
}
