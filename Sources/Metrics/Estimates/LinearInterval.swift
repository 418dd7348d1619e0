import Foundation

/// Intervals of quotients of sums from each sample's share in them (delta method), with Student's t over samples.
enum LinearInterval {
    /// - Parameter baseline: on the same samples.
    /// - Returns: 95 % intervals of the value, and of its difference to the baseline; `nil` where they do not exist.
    static func intervals(_ candidate: SampleRatio, _ baseline: SampleRatio?) -> (Interval?, Interval?) {
        let own = Influence(candidate)
        let interval = candidate.isProportion ? proportion(candidate) : own?.interval()
        guard let baseline else { return (interval, nil) }
        if candidate.isProportion, baseline.isProportion { return (interval, difference(candidate, baseline)) }
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
            guard below != 0 else { return nil }
            let quotient = ratio.numerators.reduce(0, +) / count / below
            guard quotient.isFinite else { return nil }
            self.quotient = quotient
            form = ratio.form
            values = zip(ratio.numerators, ratio.denominators).map { ($0 - quotient * $1) / below }
            effective = ratio.denominators.count { $0 != 0 }
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
            let t = StudentT.t975(effective - 1)
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
            let margin = StudentT.t975(effective - 1) * (squares / (count * (count - 1))).squareRoot()
            return margin.isFinite ? margin : nil
        }
    }

    private static func proportion(_ ratio: SampleRatio) -> Interval? {
        let counting = ratio.denominators.indices.filter { ratio.denominators[$0] > 0 }
        guard !counting.isEmpty else { return nil }
        return Proportion.wilsonInterval(successes: counting.count { ratio.numerators[$0] > 0 }, of: counting.count, z: StudentT.z975)
    }

    private static func difference(_ candidate: SampleRatio, _ baseline: SampleRatio) -> Interval? {
        var pairs = PairedComparison()
        for index in candidate.denominators.indices where candidate.denominators[index] > 0 {
            switch (candidate.numerators[index] > 0, baseline.numerators[index] > 0) {
            case (true, true): pairs.bothRight += 1
            case (true, false): pairs.onlyCandidate += 1
            case (false, true): pairs.onlyBaseline += 1
            default: pairs.bothWrong += 1
            }
        }
        return pairs.count > 0 ? pairs.newcombeInterval(z: StudentT.z975) : nil
    }
}
