/// Bars over bins of equal width, with axes.
///
/// Bins inside `muted` are drawn in another glyph and role: weights a threshold would remove, say. When there are more
/// bins than columns, neighbors are added up; when fewer, bars get wider.
public struct Histogram: Widget, Hashable, Sendable {
    /// Counts per bin, from left to right.
    public var counts: [Double]
    /// The values at the left end of the first bin and the right end of the last.
    public var range: ClosedRange<Double>
    public var x: Axis
    /// Draw counts on a logarithmic scale, from one half upwards.
    public var isLogarithmic: Bool
    public var muted: ClosedRange<Double>?
    /// The value under the cursor; its bin's exact count stands in the top row.
    public var cursor: Double?

    public init(
        counts: [Double], range: ClosedRange<Double>, x: Axis, isLogarithmic: Bool = false,
        muted: ClosedRange<Double>? = nil,
        cursor: Double? = nil
    ) {
        self.counts = counts
        self.range = range
        self.x = x
        self.isLogarithmic = isLogarithmic
        self.muted = muted
        self.cursor = cursor
    }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        guard range.upperBound > range.lowerBound else { return }
        var axis = x
        axis.range = range
        axis.scale = .linear
        // Two passes: the width of the plot decides how bins are spread, the columns decide the scale.
        let peak = columns(rect.width - 6).max() ?? 0
        // On the logarithmic scale half a count is the ground, so that a single one stands out from none.
        let y =
            isLogarithmic
            ? Axis("count (log)", format: .count, scale: .log, range: 0.5...max(10, peak))
            : Axis("count", format: .count, range: 0...max(1, peak))
        let frame = ChartFrame(in: rect, x: axis, y: y, xValues: [], yValues: [])
        guard frame.isDrawable, !counts.isEmpty else { return }
        frame.draw(on: &grid, theme: theme)
        let bars = columns(frame.plot.width)
        let levels = theme.glyphs.verticalBar
        for (column, count) in bars.enumerated() {
            let height = max(0, y.position(count, in: frame.yDomain) ?? 0)
            let value =
                range.lowerBound + (range.upperBound - range.lowerBound) * (Double(column) + 0.5) / Double(bars.count)
            let isMuted = muted?.contains(value) ?? false
            var steps = Int((min(1, height) * Double(frame.plot.height * levels.count)).rounded())
            // One weight is not none.
            if count > 0, steps == 0 { steps = 1 }
            steps = min(steps, frame.plot.height * levels.count)
            for row in 0..<frame.plot.height where steps > row * levels.count {
                let level = min(levels.count, steps - row * levels.count)
                let isFull = level == levels.count
                let glyph = isMuted && isFull ? theme.glyphs.shades[1] : levels[level - 1]
                grid.put(
                    glyph, at: Point(x: frame.plot.x + column, y: frame.plot.maxY - 1 - row),
                    style: isMuted ? .muted : Style(.series(0)))
            }
        }
        if let cursor, range.contains(cursor) {
            if let column = frame.column(cursor) {
                grid.highlight(Rect(x: column, y: frame.plot.y, width: 1, height: frame.plot.height), .selected)
            }
            let width = (range.upperBound - range.lowerBound) / Double(counts.count)
            let bin = min(counts.count - 1, Int((cursor - range.lowerBound) / width))
            let count = NumberFormat.general(counts[bin], significant: 12)
            let value = x.format.text(cursor)
            frame.header(
                StyledLine("\(x.label) \(value)  count \(count)", .bold), StyledLine("at \(value)  count \(count)", .bold), StyledLine("\(value): \(count)", .bold), on: &grid)
        }
    }

    /// Counts per screen column. A bin that spans several columns shows its count in each; where several bins share columns, each
    /// is split by the part that lies in them, so that no comb arises from 64 bins on 50 columns.
    private func columns(_ width: Int) -> [Double] {
        guard width > 0, !counts.isEmpty else { return [] }
        if counts.count <= width { return (0..<width).map { counts[$0 * counts.count / width] } }
        var result = [Double](repeating: 0, count: width)
        let scale = Double(width) / Double(counts.count)
        for (index, count) in counts.enumerated() {
            let left = Double(index) * scale
            let right = left + scale
            let column = min(width - 1, Int(left))
            // scale < 1: a bin touches at most two columns.
            let first = min(right, Double(column + 1)) - left
            result[column] += count * first / scale
            let second = right - Double(column + 1)
            if second > 0, column + 1 < width { result[column + 1] += count * second / scale }
        }
        return result
    }
}
