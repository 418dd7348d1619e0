/// A horizontal bar from 0 to `maximum` with where a value was (baseline) and is (now).
///
/// Filled up to now; what was saved since the baseline is dotted; what exceeds it is drawn in another glyph. An interval
/// around now is drawn as a band. A value that is not known yet leaves the bar empty.
public struct Gauge: Widget, Hashable, Sendable {
    public var now: Double?
    public var baseline: Double?
    /// The range in which the true value lies, for an estimate.
    public var interval: ClosedRange<Double>?
    /// The value at the right end; the larger of now and baseline when nil.
    public var maximum: Double?
    /// The value at the left end.
    public var minimum: Double
    /// A requirement, drawn as a tick.
    public var limit: Double?
    public var style: Style

    public init(
        now: Double?, baseline: Double? = nil, interval: ClosedRange<Double>? = nil, minimum: Double = 0,
        maximum: Double? = nil, limit: Double? = nil, style: Style = .accent
    ) {
        self.now = now
        self.baseline = baseline
        self.interval = interval
        self.minimum = minimum
        self.maximum = maximum
        self.limit = limit
        self.style = style
    }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        let glyphs = theme.glyphs
        let now = now.flatMap { $0.isFinite ? $0 : nil }
        let baseline = baseline.flatMap { $0.isFinite ? $0 : nil }
        let top = maximum ?? max(now ?? 0, max(baseline ?? 0, interval?.upperBound ?? 0))
        let span = top - minimum
        guard span > 0, span.isFinite else { return }
        let width = Double(rect.width)
        /// Position in columns from the left end, clamped into the bar.
        func position(_ value: Double) -> Double {
            value.isNaN ? 0 : ElementaryMath.share(value, low: minimum, high: top) * width
        }

        let filled = now.map(position) ?? 0
        let was = baseline.map(position)
        // Nothing is over the baseline when there is none.
        let edge = was ?? filled
        for column in 0..<rect.width {
            let x = Double(column)
            var glyph: Character = " "
            var look = style
            if x + 1 <= filled + 1e-9 {
                let isExcess = x >= edge - 1e-9
                glyph = isExcess ? glyphs.excess : glyphs.horizontalBar[glyphs.horizontalBar.count - 1]
                look = isExcess ? .bad : style
            } else if filled > x, filled - x >= 0.5 / Double(glyphs.horizontalBar.count) {
                let steps = glyphs.horizontalBar.count
                let level = Int(((filled - x) * Double(steps)).rounded())
                let isExcess = was.map { x >= $0 } ?? false
                if level > 0 { glyph = glyphs.horizontalBar[min(steps, level) - 1] }
                if isExcess { look = .bad }
            } else if now != nil, x < edge {
                glyph = glyphs.saved
                look = .muted
            }
            if let interval, now != nil, position(interval.lowerBound) < x + 1, position(interval.upperBound) > x {
                glyph = glyphs.band
                look = Style(.estimate)
            }
            for row in 0..<rect.height { grid.put(glyph, at: Point(x: rect.x + column, y: rect.y + row), style: look) }
        }
        func mark(_ value: Double, _ style: Style) {
            let column = min(rect.width - 1, Int(position(value)))
            for row in 0..<rect.height {
                grid.put(glyphs.tick, at: Point(x: rect.x + column, y: rect.y + row), style: style)
            }
        }
        if let baseline { mark(baseline, .muted) }
        if let limit { mark(limit, Style(.warning, .bold)) }
        if let now, interval != nil { mark(now, style.adding(.bold)) }
    }
}
