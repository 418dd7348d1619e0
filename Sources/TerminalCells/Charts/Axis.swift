/// An axis of a chart.
public struct Axis: Hashable, Sendable {
    public enum Scale: Hashable, Sendable { case linear, log }
    public var label: String
    /// How tick labels and the value under the cursor are written, unit included.
    public var format: NumberFormat
    public var scale: Scale
    /// The range shown; from the data when nil.
    public var range: ClosedRange<Double>?
    /// Values that are possible: a range made from the data is not padded across these ends.
    public var bounds: ClosedRange<Double>?

    public init(
        _ label: String, format: NumberFormat = .general, scale: Scale = .linear, range: ClosedRange<Double>? = nil, bounds: ClosedRange<Double>? = nil
    ) {
        self.label = label
        self.format = format
        self.scale = scale
        self.range = range
        self.bounds = bounds
    }

    /// The range to show for these values: padded a little, never empty, positive on a logarithmic axis. Values that are not
    /// finite, or not positive on a logarithmic axis, are left out.
    func domain(of values: [Double]) -> ClosedRange<Double> {
        if let range, range.lowerBound < range.upperBound, scale == .linear || range.lowerBound > 0 { return range }
        let usable = values.filter { $0.isFinite && (scale == .linear || $0 > 0) }
        guard var low = usable.min(), var high = usable.max() else { return scale == .log ? 1...10 : 0...1 }
        if scale == .log {
            if high / low < 1.2 { (low, high) = (low / 1.5, high * 1.5) }
            let pad = ElementaryMath.pow10(ElementaryMath.log10(high / low) * 0.03)
            return low / pad...high * pad
        }
        if high - low <= abs(high) * 1e-9 {
            let pad = high == 0 ? 1 : abs(high) * 0.05
            (low, high) = (low - pad, high + pad)
        }
        // Three digits must tell the ends apart where labels have no more.
        if high - low < abs(high) * 0.02, hasThreeDigits {
            let middle = (low + high) / 2
            (low, high) = (middle - abs(high) * 0.01, middle + abs(high) * 0.01)
        }
        if let bounds, usable.allSatisfy(bounds.contains) { (low, high) = (max(low, bounds.lowerBound), min(high, bounds.upperBound)) }
        let pad = (high - low) * 0.04
        // Zero is a natural end, and the whole of a percentage: do not pad across them.
        func padded(_ end: Double, _ value: Double) -> Double {
            if let bounds, bounds.contains(value), !bounds.contains(end) { return end < value ? bounds.lowerBound : bounds.upperBound }
            if low >= 0, end < 0 { return 0 }
            if high <= 0, end > 0 { return 0 }
            if case .percent = format, value <= 1, end > 1 { return 1 }
            return end
        }
        return padded(low - pad, low)...padded(high + pad, high)
    }

    /// Whether labels are rounded to three digits, unless ticks are very close.
    private var hasThreeDigits: Bool {
        switch format {
        case .percent, .fixed, .ratio, .points, .relative, .signed, .significant, .general: false
        default: true
        }
    }

    /// Where a value lies in a domain, 0...1 from low to high; nil when it cannot be shown on this scale.
    func position(_ value: Double, in domain: ClosedRange<Double>) -> Double? {
        guard value.isFinite else { return nil }
        let (low, high) = (domain.lowerBound, domain.upperBound)
        if scale == .log {
            guard value > 0, low > 0 else { return nil }
            let place =
                (ElementaryMath.ln(value) - ElementaryMath.ln(low)) / (ElementaryMath.ln(high) - ElementaryMath.ln(low))
            return place.isFinite ? place : nil
        }
        let place = (value - low) / (high - low)
        return place.isFinite ? place : nil
    }

    /// Round values for ticks inside a domain: 1-2-5 steps, or decades (with 2 and 5 where there is room) on a logarithmic
    /// axis. At most `count` of them.
    public func ticks(in domain: ClosedRange<Double>, atMost count: Int) -> [Double] {
        guard count > 0, domain.lowerBound < domain.upperBound else { return [] }
        return scale == .log ? logTicks(domain, count) : linearTicks(domain, count)
    }

    private func linearTicks(_ domain: ClosedRange<Double>, _ count: Int) -> [Double] {
        // Steps are sought in the unit people read: percent for fractions, milliseconds as they are.
        let rough = (domain.upperBound - domain.lowerBound) / Double(max(1, count))
        let decade = ElementaryMath.decade(rough)
        var finer: [Double] = []
        for (power, factor) in [
            (decade, 1.0), (decade, 2), (decade, 5), (decade + 1, 1), (decade + 1, 2), (decade + 1, 5),
        ] {
            let step = factor * ElementaryMath.pow10(power)
            let first = (domain.lowerBound / step - 1e-9).rounded(.up)
            let last = (domain.upperBound / step + 1e-9).rounded(.down)
            guard last >= first else { continue }
            let number = Int(last - first) + 1
            guard number <= 3 * count else { continue }
            // Multiplying whole numbers keeps 0.3 from becoming 0.30000000000000004 by addition.
            let ticks = (0..<number).map { index -> Double in
                let whole = first + Double(index)
                return power < 0 ? whole * factor / ElementaryMath.pow10(-power) : whole * step
            }
            // A single tick gives no scale: of the next finer ones the outermost do.
            if number == 1, count > 1, let low = finer.first, let high = finer.last, low < high { return [low, high] }
            if number <= count { return ticks }
            finer = ticks
        }
        return []
    }

    private func logTicks(_ domain: ClosedRange<Double>, _ count: Int) -> [Double] {
        let low = ElementaryMath.decade(domain.lowerBound)
        let high = ElementaryMath.decade(domain.upperBound)
        let sets: [[Double]] = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 5], [1, 3], [1]]
        for factors in sets {
            let ticks = (low...max(low, high)).flatMap { power in factors.map { $0 * ElementaryMath.pow10(power) } }
                .filter { domain.contains($0) }
            if ticks.count <= count, ticks.count >= 2 { return ticks }
        }
        let decades = (low...max(low, high)).map { ElementaryMath.pow10($0) }.filter { domain.contains($0) }
        guard decades.count > count else {
            return decades.count >= 2 ? decades : linearTicks(domain, count)
        }
        let stride = (decades.count + count - 1) / count
        return decades.enumerated().filter { $0.offset % stride == 0 }.map(\.element)
    }

    /// Labels of ticks: with just enough digits for neighbors to differ.
    public func labels(for ticks: [Double]) -> [String] {
        switch format {
        case .percent, .fixed, .ratio, .points:
            for digits in 0...4 {
                let labels = ticks.map { format.with(digits: digits).text($0) }
                let isExact = digits == 4 || ticks.allSatisfy { self.isExact($0, digits) }
                if isExact, Set(labels).count == labels.count { return labels }
            }
            return ticks.map(format.text)
        default:
            // Three digits as everywhere, more where neighbors would read the same.
            for digits in 3...9 {
                let labels = ticks.map { Self.shortened(digits == 3 ? format.text($0) : format.text($0, significant: digits)) }
                if Set(labels).count == labels.count { return labels }
            }
            return ticks.map { Self.shortened(format.text($0)) }
        }
    }

    /// Whether rounding to `digits` leaves the tick as it is, in the unit written.
    private func isExact(_ tick: Double, _ digits: Int) -> Bool {
        let unit: Double =
            switch format {
            case .percent, .points: 100
            default: 1
            }
        let scaled = tick * unit * ElementaryMath.pow10(digits)
        return abs(scaled - scaled.rounded()) < 1e-6 * max(1, abs(scaled))
    }

    /// `1.50 MB` → `1.5 MB`: ticks are round, so zeros at the end say nothing.
    private static func shortened(_ text: String) -> String {
        let parts = text.split(separator: " ", maxSplits: 1)
        guard var number = parts.first.map(String.init), number.contains("."), !number.contains("e") else {
            return text
        }
        while number.last == "0" { number.removeLast() }
        if number.last == "." { number.removeLast() }
        return parts.count > 1 ? number + " " + parts[1] : number
    }
}

extension NumberFormat {
    /// The same format with another number of digits, where it has one.
    func with(digits: Int) -> NumberFormat {
        switch self {
        case .percent: .percent(digits: digits)
        case .points: .points(digits: digits)
        case .ratio: .ratio(digits: digits)
        case .fixed(_, let unit): .fixed(digits: digits, unit: unit)
        default: self
        }
    }
}
