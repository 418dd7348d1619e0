/// A column of a `Table`.
public struct TableColumn: Hashable, Sendable {
    public enum Sort: Hashable, Sendable { case ascending, descending }
    public var title: String
    public var width: Length
    public var alignment: Alignment
    public var truncation: Truncation
    /// Set on the column the rows are sorted by.
    public var sort: Sort?

    public init(
        _ title: String, width: Length, alignment: Alignment = .left, truncation: Truncation = .end, sort: Sort? = nil
    ) {
        self.title = title
        self.width = width
        self.alignment = alignment
        self.truncation = truncation
        self.sort = sort
    }
}

/// A row of a `Table`: one styled line per column.
public struct TableRow: Hashable, Sendable {
    public var cells: [StyledLine]
    /// Drawn dim, still selectable (so that the reason can be shown).
    public var isDisabled: Bool
    /// Drawn with a mark in the pointer column.
    public var isMarked: Bool

    public init(_ cells: [StyledLine], isDisabled: Bool = false, isMarked: Bool = false) {
        self.cells = cells
        self.isDisabled = isDisabled
        self.isMarked = isMarked
    }
}

/// Rows in columns with a header, a selection, and vertical and horizontal scrolling.
///
/// Rows are asked for only when they are in view, so a table of a hundred thousand costs no more than one of ten. The
/// leftmost screen column holds the pointer of the selected row.
public struct Table: Widget {
    public var columns: [TableColumn]
    public var rowCount: Int
    public var row: (Int) -> TableRow
    public var state: ListState
    public var isFocused: Bool
    /// How many scrollable columns are scrolled off to the left.
    public var firstColumn: Int
    /// How many columns on the left stay put.
    public var pinnedColumns: Int
    /// Shown instead of rows when there are none.
    public var emptyText: String

    public init(
        columns: [TableColumn], rowCount: Int, state: ListState = ListState(), isFocused: Bool = true,
        firstColumn: Int = 0, pinnedColumns: Int = 1, emptyText: String = "nothing to show",
        row: @escaping (Int) -> TableRow
    ) {
        self.columns = columns
        self.rowCount = rowCount
        self.state = state
        self.isFocused = isFocused
        self.firstColumn = firstColumn
        self.pinnedColumns = pinnedColumns
        self.emptyText = emptyText
        self.row = row
    }
    public init(
        columns: [TableColumn], rows: [TableRow], state: ListState = ListState(), isFocused: Bool = true,
        firstColumn: Int = 0, pinnedColumns: Int = 1, emptyText: String = "nothing to show"
    ) {
        self.init(
            columns: columns, rowCount: rows.count, state: state, isFocused: isFocused, firstColumn: firstColumn,
            pinnedColumns: pinnedColumns, emptyText: emptyText, row: { rows[$0] })
    }

    /// Rows of entries that fit in a rectangle of this height (the header takes one).
    public static func visibleRows(height: Int) -> Int { max(0, height - 1) }

    /// The entry drawn at screen row `y` of `rect`, for the mouse; nil on the header and below the last.
    public func index(atY y: Int, in rect: Rect) -> Int? {
        let visible = Self.visibleRows(height: rect.height)
        let index = state.scrolled(count: rowCount, visible: visible).offset + y - rect.y - 1
        return y > rect.y && y < rect.maxY && index < rowCount ? index : nil
    }
    /// The column drawn at screen column `x` of `rect`, for a click on the header.
    public func column(atX x: Int, in rect: Rect) -> Int? {
        placed(in: rect).first { x >= $0.x && x < $0.x + $0.width }?.column
    }
    /// The furthest `firstColumn` that still brings something new into view.
    public var lastFirstColumn: Int { max(0, columns.count - pinnedColumns - 1) }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        let glyphs = theme.glyphs
        let layout = placed(in: rect)
        for place in layout {
            let column = columns[place.column]
            var heading = StyledLine(column.title, Style(column.sort == nil ? .muted : .accent, [.bold, .underline]))
            if let sort = column.sort {
                let mark = sort == .ascending ? glyphs.sortAscending : glyphs.sortDescending
                // The mark must survive truncation, so the title gives way.
                heading = heading.truncated(to: max(0, place.width - 1), ellipsis: glyphs.ellipsis)
                heading += Span(String(mark), Style(.accent, .bold))
            }
            let area = Rect(x: place.x, y: rect.y, width: place.width, height: 1)
            grid.put(heading, in: area, alignment: column.alignment)
        }
        if layout.count < columns.count, rect.width > 0 {
            // Something is out of view on the right or left.
            let shown = Set(layout.map(\.column))
            if !shown.contains(columns.count - 1) {
                grid.put(glyphs.arrowRight, at: Point(x: rect.maxX - 1, y: rect.y), style: .accent)
            }
            if firstColumn > 0 { grid.put(glyphs.arrowLeft, at: rect.origin, style: .accent) }
        }
        if rowCount == 0 {
            grid.put(StyledLine(emptyText, .disabled), in: rect.row(1).inset(left: 1))
            return
        }
        let visible = Self.visibleRows(height: rect.height)
        let state = state.scrolled(count: rowCount, visible: visible)
        for line in 0..<visible where state.offset + line < rowCount {
            let index = state.offset + line
            draw(row(index), isSelected: index == state.selected, in: rect.row(line + 1), layout, &grid, glyphs)
        }
    }

    private func draw(
        _ row: TableRow, isSelected: Bool, in area: Rect, _ layout: [Place], _ grid: inout CellGrid, _ glyphs: Glyphs
    ) {
        for place in layout where place.column < row.cells.count {
            let column = columns[place.column]
            var line = row.cells[place.column]
            if row.isDisabled { line = line.mapStyles { Style.disabled.adding($0.attributes) } }
            grid.put(
                line, in: Rect(x: place.x, y: area.y, width: place.width, height: 1), alignment: column.alignment,
                truncation: column.truncation)
        }
        if isSelected {
            grid.put(glyphs.pointer, at: area.origin, style: Style(.accent, .bold))
            grid.highlight(area, isFocused ? .selected : .selectedWithoutFocus)
        } else if row.isMarked {
            grid.put(glyphs.bullet, at: area.origin, style: Style(.accent, .bold))
        }
    }

    private struct Place {
        var column: Int
        var x: Int
        var width: Int
    }

    /// The columns in view and where they are. When the minimum widths do not fit, columns on the right are dropped.
    private func placed(in rect: Rect) -> [Place] {
        let pinned = min(max(0, pinnedColumns), columns.count)
        let first = pinned + min(max(0, firstColumn), max(0, columns.count - pinned - 1))
        var shown = Array(0..<pinned) + Array(first..<max(first, columns.count))
        let available = rect.width - 1
        func least(_ index: Int) -> Int {
            switch columns[index].width {
            case .fixed(let n), .minimum(let n, _): n
            case .percentage(let p): available * p / 100
            case .fill: 4
            }
        }
        func needed() -> Int { shown.reduce(-1) { $0 + least($1) + 1 } }
        var room = available
        while shown.count > 1, needed() > room {
            shown.removeLast()
            // The arrow that says so stands behind the last column.
            room = available - 2
        }
        let widths = Layout.divide(room, into: shown.map { columns[$0].width }, spacing: 1)
        var x = rect.x + 1
        return zip(shown, widths).map { column, width in
            defer { x += width + 1 }
            return Place(column: column, x: x, width: width)
        }
    }
}
