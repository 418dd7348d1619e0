/// A small curve in one row, newest value at the right. nil leaves a gap.
public struct Sparkline: Widget, Hashable, Sendable {
    public var values: [Double?]
    /// The values at the bottom and top; from the data when nil.
    public var range: ClosedRange<Double>?
    public var style: Style

    public init(_ values: [Double?], range: ClosedRange<Double>? = nil, style: Style = .accent) {
        self.values = values
        self.range = range
        self.style = style
    }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        let levels = theme.glyphs.verticalBar
        let shown = values.suffix(rect.width)
        let finite = shown.compactMap { $0 }.filter(\.isFinite)
        guard let low = range?.lowerBound ?? finite.min(), let high = range?.upperBound ?? finite.max() else { return }
        for (column, value) in shown.enumerated() {
            guard let value, value.isFinite else { continue }
            // All the same: half height, for neither "least" nor "most" would be true.
            let share = ElementaryMath.share(value, low: low, high: high)
            let level = min(levels.count - 1, Int(share * Double(levels.count)))
            grid.put(levels[level], at: Point(x: rect.x + column, y: rect.y + rect.height - 1), style: style)
        }
    }
}
