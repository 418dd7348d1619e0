import Foundation

/// Intervals of quotients of sums from each sample's share in them (delta method), with Student's t over samples.
enum LinearInterval {
    /// - Parameter baseline: on the same samples.
    /// - Returns: 95 % intervals of the value, and of its difference to the baseline; `nil` where they do not exist.
    static func intervals(_ candidate: SampleRatio, _ baseline: SampleRatio?) -> (Interval?, Interval?) {
        let own = Influence(candidate)
        let interval = candidate.isProportion ? wilson(candidate) : own?.interval()
        guard let baseline else { return (interval, nil) }
        if candidate.isProportion, baseline.isProportion { return (interval, newcombe(candidate, baseline)) }
        guard let own, let other = Influence(baseline), own.values.count == other.values.count else { return (interval, nil) }
        return (interval, own.interval(minus: other))
    }

    /// How far each sample moves the value.
    private struct Influence {
        /// The quotient, before its form.
        let quotient: Double
        let form: SampleRatio.Form
        /// Of the quotient.
        let values: [Double]
        /// Samples that count at all.
        let effective: Int

        init?(_ ratio: SampleRatio) {
            let count = Double(ratio.samples)
            let below = ratio.denominators.reduce(0, +) / count
            guard below > 0 else { return nil }
            let quotient = ratio.numerators.reduce(0, +) / count / below
            guard quotient.isFinite else { return nil }
            self.quotient = quotient
            form = ratio.form
            values = zip(ratio.numerators, ratio.denominators).map { ($0 - quotient * $1) / below }
            effective = ratio.denominators.count { $0 > 0 }
        }

        func interval() -> Interval? {
            if form == .root, let interval = skewed() {
                return Interval(low: SampleRatio.formed(max(0, interval.low), form), high: SampleRatio.formed(interval.high, form))
            }
            guard let margin = Self.margin(values, effective) else { return nil }
            // Root and exponential are applied to the ends.
            let low = form == .root ? max(0, quotient - margin) : quotient - margin
            return Interval(low: SampleRatio.formed(low, form), high: SampleRatio.formed(quotient + margin, form))
        }

        func interval(minus other: Influence) -> Interval? {
            let (slope, otherSlope) = (slope, other.slope)
            let difference = zip(values, other.values).map { $0 * slope - $1 * otherSlope }
            guard let margin = Self.margin(difference, min(effective, other.effective)) else { return nil }
            let middle = SampleRatio.formed(quotient, form) - SampleRatio.formed(other.quotient, other.form)
            return Interval(low: middle - margin, high: middle + margin)
        }

        private var slope: Double {
            switch form {
            case .plain: 1
            case .root: quotient > 0 ? 0.5 / quotient.squareRoot() : 0
            case .exponential: exp(quotient)
            }
        }

        /// Ends for squares, whose errors are far from even: Hall's (1992) transformation takes the skewness out of Student's t.
        private func skewed() -> Interval? {
            guard let margin = Self.margin(values, effective), margin > 0 else { return nil }
            let count = Double(values.count)
            let (squares, cubes) = values.reduce((0.0, 0.0)) { ($0.0 + $1 * $1, $0.1 + $1 * $1 * $1) }
            let t = StudentQuantile.t975(effective - 1)
            let skew = cubes / count / pow(squares / count, 1.5) / count.squareRoot()
            guard abs(skew) > 1e-6 else { return Interval(low: quotient - margin, high: quotient + margin) }
            func inverse(_ y: Double) -> Double { 3 / skew * (cbrt(1 + skew * (y - skew / 6)) - 1) }
            return Interval(low: quotient - margin / t * inverse(t), high: quotient - margin / t * inverse(-t))
        }

        private static func margin(_ values: [Double], _ effective: Int) -> Double? {
            guard effective > 1 else { return nil }
            let count = Double(values.count)
            let mean = values.reduce(0, +) / count
            let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
            let margin = StudentQuantile.t975(effective - 1) * (squares / (count * (count - 1))).squareRoot()
            return margin.isFinite ? margin : nil
        }
    }

    /// Of a proportion (Wilson 1927).
    private static func wilson(_ ratio: SampleRatio) -> Interval? {
        let count = ratio.denominators.reduce(0, +)
        return count > 0 ? wilson(ratio.numerators.reduce(0, +), count) : nil
    }

    private static func wilson(_ right: Double, _ count: Double) -> Interval {
        let (z, share) = (StudentQuantile.z, right / count)
        let center = share + z * z / (2 * count)
        let margin = z * (share * (1 - share) / count + z * z / (4 * count * count)).squareRoot()
        let scale = 1 + z * z / count
        return Interval(low: right == 0 ? 0 : max(0, (center - margin) / scale), high: right == count ? 1 : min(1, (center + margin) / scale))
    }

    /// Of the difference of two paired proportions (Newcombe 1998, method 10).
    private static func newcombe(_ candidate: SampleRatio, _ baseline: SampleRatio) -> Interval? {
        let count = candidate.denominators.reduce(0, +)
        guard count > 0 else { return nil }
        var (both, onlyFirst, onlySecond, none) = (0.0, 0.0, 0.0, 0.0)
        for (index, (one, other)) in zip(candidate.numerators, baseline.numerators).enumerated() where candidate.denominators[index] > 0 {
            switch (one > 0, other > 0) {
            case (true, true): both += 1
            case (true, false): onlyFirst += 1
            case (false, true): onlySecond += 1
            default: none += 1
            }
        }
        let (one, other) = ((both + onlyFirst) / count, (both + onlySecond) / count)
        let (first, second) = (wilson(both + onlyFirst, count), wilson(both + onlySecond, count))
        let margins = (both + onlyFirst) * (onlySecond + none) * (both + onlySecond) * (onlyFirst + none)
        var phi = 0.0
        if margins > 0 {
            let determinant = both * none - onlyFirst * onlySecond
            phi = (determinant > 0 ? max(0, determinant - count / 2) : determinant) / margins.squareRoot()
        }
        func length(_ x: Double, _ y: Double) -> Double { max(0, x * x - 2 * phi * x * y + y * y).squareRoot() }
        return Interval(
            low: max(-1, one - other - length(one - first.low, second.high - other)), high: min(1, one - other + length(first.high - one, other - second.low)))
    }
}
