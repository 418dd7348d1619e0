/// A matrix of values as shades: level by glyph, color besides. nil is drawn as not known.
public struct HeatMap: Widget, Hashable, Sendable {
    public var rowLabels: [String]
    public var columnLabels: [String]
    /// Row by row; every row as long as `columnLabels`.
    public var values: [[Double?]]
    public var format: NumberFormat
    /// The values of the lightest and darkest shade; from the data when nil.
    public var range: ClosedRange<Double>?
    /// The cell (row, column) under the cursor; its exact value stands in the last row.
    public var cursor: (row: Int, column: Int)? {
        get { cursorCell.map { ($0.y, $0.x) } }
        set { cursorCell = newValue.map { Point(x: $0.column, y: $0.row) } }
    }
    private var cursorCell: Point?

    public init(
        rowLabels: [String], columnLabels: [String], values: [[Double?]], format: NumberFormat = .general,
        range: ClosedRange<Double>? = nil, cursor: (row: Int, column: Int)? = nil
    ) {
        self.rowLabels = rowLabels
        self.columnLabels = columnLabels
        self.values = values
        self.format = format
        self.range = range
        cursorCell = cursor.map { Point(x: $0.column, y: $0.row) }
    }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        let finite = values.joined().compactMap { $0 }.filter(\.isFinite)
        let low = range?.lowerBound ?? finite.min() ?? 0
        let high = range?.upperBound ?? finite.max() ?? 1
        let labelWidth = min(rowLabels.map(DisplayWidth.of(_:)).max() ?? 0, rect.width / 3)
        let body = rect.inset(left: labelWidth + 1, top: 1, bottom: 1)
        guard !body.isEmpty, !columnLabels.isEmpty else { return }
        let cellWidth = min(12, max(1, body.width / columnLabels.count))
        let across = min(columnLabels.count, body.width / cellWidth)
        // The cursor stays in view.
        let firstRow = max(0, min((cursorCell?.y ?? 0) - body.height + 1, values.count - body.height))
        let firstColumn = max(0, min((cursorCell?.x ?? 0) - across + 1, columnLabels.count - across))
        for column in 0..<across where cellWidth > 1 {
            let place = Rect(x: body.x + column * cellWidth, y: rect.y, width: cellWidth - 1, height: 1)
            grid.put(StyledLine(columnLabels[firstColumn + column], .muted), in: place)
        }
        for line in 0..<min(body.height, values.count - firstRow) {
            let row = firstRow + line
            let y = body.y + line
            if row < rowLabels.count {
                grid.put(
                    StyledLine(rowLabels[row], .muted), in: Rect(x: rect.x, y: y, width: labelWidth, height: 1),
                    truncation: .middle)
            }
            for column in 0..<across where firstColumn + column < values[row].count {
                let place = Rect(x: body.x + column * cellWidth, y: y, width: cellWidth, height: 1)
                draw(values[row][firstColumn + column], low, high, in: place, on: &grid, glyphs: theme.glyphs)
                if cursorCell == Point(x: firstColumn + column, y: row) { grid.highlight(place, .selected) }
            }
        }
        drawFooter(low, high, in: rect.row(rect.height - 1), on: &grid, theme: theme)
    }

    private func draw(
        _ value: Double?, _ low: Double, _ high: Double, in place: Rect, on grid: inout CellGrid, glyphs: Glyphs
    ) {
        guard let value, value.isFinite else {
            grid.put(glyphs.absent, at: place.origin, style: .disabled)
            return
        }
        let share = ElementaryMath.share(value, low: low, high: high)
        let shade = glyphs.shades[min(glyphs.shades.count - 1, Int(share * Double(glyphs.shades.count)))]
        grid.fill(place, with: shade, style: Style(.ramp(UInt8(share * 255))))
    }

    private func drawFooter(_ low: Double, _ high: Double, in line: Rect, on grid: inout CellGrid, theme: Theme) {
        var text: StyledLine
        if let cell = cursorCell, values.indices.contains(cell.y), values[cell.y].indices.contains(cell.x),
            columnLabels.indices.contains(cell.x)
        {
            let name = cell.y < rowLabels.count ? rowLabels[cell.y] : "\(cell.y)"
            text = [Span("\(name), \(columnLabels[cell.x]): ", .muted)]
            text += Figure(values[cell.y][cell.x], format).span(theme: theme, over: .bold)
            grid.put(text, in: line)
        } else {
            text = StyledLine(format.text(low) + " ", .muted)
            for (index, shade) in theme.glyphs.shades.enumerated() {
                text += Span(String(shade), Style(.ramp(UInt8(255 * index / max(1, theme.glyphs.shades.count - 1)))))
            }
            text += Span(" " + format.text(high), .muted)
            grid.put(text, in: line)
        }
    }
}
