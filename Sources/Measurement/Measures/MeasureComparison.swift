import Foundation

/// What has become of a measure: better, worse, or neither as far as is known.
public enum Verdict: String, Sendable, Hashable {
    case better, worse
    /// There may be a difference; what was measured does not tell which.
    case unclear
    /// Nothing to compare with, or no difference.
    case none
}

extension Measure {
    /// What is written beside two values: their ratio less one where ratios are compared, else their difference; `nil` where there is no ratio.
    public func change(from before: Double, to after: Double) -> Double? {
        guard before.isFinite, after.isFinite else { return nil }
        guard case .ratio = comparison else { return after - before }
        return before > 0 ? after / before - 1 : nil
    }

    /// How `change` is written.
    public var changeFormat: MeasureFormat {
        switch comparison {
        case .ratio: .relative
        case .points:
            if case .percent(let digits) = format { .points(digits: digits) } else { .points(digits: 2) }
        case .difference:
            switch format {
            case .fixed(let digits, let unit, _): .fixed(digits: digits + 1, unit: unit, signed: true)
            case .significant(_, let unit, _): .significant(digits: 3, unit: unit, signed: true)
            default: .fixed(digits: 2, unit: unit, signed: true)
            }
        }
    }

    /// A factor of at least 1 and the word for its direction: 3.85, `smaller`. `nil` where ratios are not compared, or there is no difference to speak of.
    public func factor(from before: Double, to after: Double) -> (value: Double, word: String)? {
        guard case .ratio(let less, let more) = comparison, before > 0, after > 0, before.isFinite, after.isFinite else { return nil }
        let ratio = after / before
        guard abs(ratio - 1) >= Self.indifference else { return nil }
        return ratio < 1 ? (1 / ratio, less) : (ratio, more)
    }

    /// The change in words for tables: `-74.0 %, 3.85× smaller`; `nil` where the two cannot be compared.
    package func changeText(from before: Double, to after: Double) -> String? {
        guard let change = change(from: before, to: after) else { return nil }
        guard case .ratio = comparison else { return changeFormat.short(change) }
        guard let factor = factor(from: before, to: after) else { return "same" }
        return changeFormat.short(change) + ", " + String(format: factor.value < 99.5 ? "%.3g" : "%.0f", factor.value) + "× \(factor.word)"
    }

    /// What two counted values say. Timed ones and metrics have intervals instead.
    public func verdict(from before: Double, to after: Double) -> Verdict {
        guard let change = change(from: before, to: after) else { return .none }
        if case .ratio = comparison, abs(change) < Self.indifference { return .none }
        return verdict(ofChange: change)
    }

    /// What the sign of a change means.
    public func verdict(ofChange change: Double) -> Verdict {
        guard change != 0, !change.isNaN else { return .none }
        return switch direction {
        case .higher: change > 0 ? .better : .worse
        case .lower: change < 0 ? .better : .worse
        case .neither: .none
        }
    }

    /// How much worse a change makes it, in the unit of changes; negative where it is better.
    public func loss(ofChange change: Double) -> Double { direction == .lower ? change : -change }

    /// Whether one value is better than another.
    public func isBetter(_ value: Double, than other: Double) -> Bool { direction == .lower ? value < other : value > other }

    /// Ratios nearer to 1 than this are no change.
    private static let indifference = 0.005

    /// The range an axis shows for values of this measure: padded, inside what is possible, never empty.
    public func axisRange(of values: [Double]) -> ClosedRange<Double> {
        let finite = values.filter(\.isFinite)
        guard let low = finite.min(), let high = finite.max() else { return scale ?? (range.lowerBound.isFinite ? range.lowerBound...range.lowerBound + 1 : 0...1) }
        // What may be of any size has no smallest difference of its own.
        let least = if case .significant = format { 1e-3 * max(abs(low), abs(high)) } else { max(resolution, abs(high) * 1e-6) }
        let pad = max((high - low) * 0.05, least, 1e-12)
        // Values outside what is possible are shown all the same: hiding them would hide a mistake.
        return max(low - pad, min(range.lowerBound, low))...min(high + pad, max(range.upperBound, high))
    }

    /// The ends that an axis may not be padded across; `nil` where there are none.
    public var bounds: ClosedRange<Double>? { range.lowerBound.isFinite && range.upperBound.isFinite ? range : nil }
}
