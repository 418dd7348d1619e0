/// A screenful of cells, the value that every view draws on and the terminal paints.
///
/// All drawing is clipped to `clip`; `withClip` and `draw(_:in:theme:)` narrow it, so that a widget cannot leave its
/// rectangle. A wide character is drawn whole or not at all; overwriting one half blanks the other.
///
/// ```swift
/// var grid = CellGrid(width: 80, height: 24, tier: .braille)
/// grid.put("size", at: Point(x: 0, y: 0), style: .bold)
/// grid.draw(Panel(title: "Layers"), in: Rect(x: 0, y: 1, width: 40, height: 10), theme: theme)
/// let runs = grid.changes(from: previous)
/// ```
public struct CellGrid: Sendable {
    public let size: Size
    /// The tier characters are reduced to: in `.ascii`, nothing outside U+0020...U+007E gets in.
    public let tier: GlyphTier
    /// Where text is being entered. Terminals place input methods and screen readers there.
    public var cursor: Point?
    /// What drawing is limited to; always inside the grid.
    public private(set) var clip: Rect
    /// Row by row, `size.width * size.height` of them.
    private(set) var cells: [Cell]

    /// A grid of blanks.
    public init(width: Int, height: Int, tier: GlyphTier = .braille) {
        size = Size(width: width, height: height)
        self.tier = tier
        clip = Rect(size)
        cells = Array(repeating: .blank, count: size.width * size.height)
    }
    public init(size: Size, tier: GlyphTier = .braille) {
        self.init(width: size.width, height: size.height, tier: tier)
    }

    /// The whole grid as a rectangle.
    public var bounds: Rect { Rect(size) }

    /// The cell at a position inside the grid; a blank outside.
    public subscript(x: Int, y: Int) -> Cell {
        guard x >= 0, x < size.width, y >= 0, y < size.height else { return .blank }
        return cells[y * size.width + x]
    }

    /// Draws with the clip narrowed to its part inside `rect`, then restores it.
    public mutating func withClip(_ rect: Rect, _ body: (inout CellGrid) -> Void) {
        let outer = clip
        clip = outer.intersection(rect)
        if !clip.isEmpty { body(&self) }
        clip = outer
    }

    /// Draws a widget in `rect`; it cannot draw outside.
    public mutating func draw(_ widget: some Widget, in rect: Rect, theme: Theme) {
        guard !rect.isEmpty else { return }
        withClip(rect) { widget.draw(in: rect, on: &$0, theme: theme) }
    }

    /// Draws text from `point` to the right, at most `limit` columns of it. Returns the columns it takes, counting those
    /// clipped away, so that drawing can continue behind it. Line breaks are not interpreted.
    @discardableResult
    public mutating func put(
        _ text: some StringProtocol, at point: Point, style: Style = .standard, limit: Int = .max
    ) -> Int {
        guard point.y >= clip.minY, point.y < clip.maxY else { return min(limit, DisplayWidth.of(text)) }
        var column = 0
        for character in text {
            let cell = Cell(drawing: character, style: style, tier: tier)
            let width = Int(cell.width)
            if column + width > limit { break }
            place(cell, x: point.x + column, y: point.y)
            column += width
        }
        return column
    }

    /// Draws one character.
    public mutating func put(_ character: Character, at point: Point, style: Style = .standard) {
        place(Cell(drawing: character, style: style, tier: tier), x: point.x, y: point.y)
    }

    /// Fills a rectangle with one character (one column wide; a wide one is replaced by a space).
    public mutating func fill(_ rect: Rect, with character: Character = " ", style: Style = .standard) {
        var cell = Cell(drawing: character, style: style, tier: tier)
        if cell.width != 1 { cell = .blank(style) }
        let area = rect.intersection(clip)
        guard !area.isEmpty else { return }
        for y in area.minY..<area.maxY {
            for x in area.minX..<area.maxX { place(cell, x: x, y: y) }
        }
    }

    /// Draws a border along the inside of a rectangle at least 2x2.
    public mutating func border(_ rect: Rect, glyphs: BorderGlyphs, style: Style = .standard) {
        guard rect.width >= 2, rect.height >= 2 else { return }
        let (right, bottom) = (rect.maxX - 1, rect.maxY - 1)
        fill(rect.row(0), with: glyphs.horizontal, style: style)
        fill(rect.row(rect.height - 1), with: glyphs.horizontal, style: style)
        fill(Rect(x: rect.x, y: rect.y, width: 1, height: rect.height), with: glyphs.vertical, style: style)
        fill(Rect(x: right, y: rect.y, width: 1, height: rect.height), with: glyphs.vertical, style: style)
        put(glyphs.topLeft, at: rect.origin, style: style)
        put(glyphs.topRight, at: Point(x: right, y: rect.y), style: style)
        put(glyphs.bottomLeft, at: Point(x: rect.x, y: bottom), style: style)
        put(glyphs.bottomRight, at: Point(x: right, y: bottom), style: style)
    }

    /// Lays a highlight over what is already drawn: attributes are added, roles other than `standard` win.
    public mutating func highlight(_ rect: Rect, _ over: Style) {
        restyle(rect) { $0.highlighted(by: over) }
    }

    /// Changes the style of what is already drawn. Wide characters at the edge change whole.
    public mutating func restyle(_ rect: Rect, _ change: (Style) -> Style) {
        let area = rect.intersection(clip)
        guard !area.isEmpty else { return }
        for y in area.minY..<area.maxY {
            for x in area.minX..<area.maxX {
                let index = y * size.width + x
                cells[index].style = change(cells[index].style)
                if cells[index].width == 2, index + 1 < cells.count { cells[index + 1].style = cells[index].style }
                if cells[index].width == 0 { cells[index].style = cells[index - 1].style }
            }
        }
    }

    /// Puts one cell, keeping wide characters whole.
    private mutating func place(_ cell: Cell, x: Int, y: Int) {
        guard y >= clip.minY, y < clip.maxY else { return }
        if cell.width == 2 {
            guard x >= clip.minX, x + 1 < clip.maxX else {
                // Half of it would be cut off: a blank stands in for the half that is inside.
                place(.blank(cell.style), x: x, y: y)
                place(.blank(cell.style), x: x + 1, y: y)
                return
            }
        } else {
            guard x >= clip.minX, x < clip.maxX else { return }
        }
        let index = y * size.width + x
        let last = index + Int(cell.width) - 1
        if cells[index].width == 0 { cells[index - 1] = .blank(cells[index - 1].style) }
        if cells[last].width == 2 { cells[last + 1] = .blank(cells[last + 1].style) }
        cells[index] = cell
        if cell.width == 2 { cells[last] = .continuation(cell.style) }
    }

    mutating func overwrite(_ run: CellRun) {
        let start = run.y * size.width + run.x
        cells.replaceSubrange(start..<start + run.cells.count, with: run.cells)
    }
}

extension CellGrid: Equatable {
    /// Same size and same cells; the clip and the cursor are no part of the picture.
    public static func == (a: CellGrid, b: CellGrid) -> Bool { a.size == b.size && a.cells == b.cells }
}

extension CellGrid {
    /// The characters of row `y`, with trailing spaces.
    public func text(row y: Int) -> String {
        var text = ""
        for x in 0..<size.width where self[x, y].width > 0 { text.append(self[x, y].character) }
        return text
    }

    /// The whole grid as text, one line per row, without trailing spaces: for snapshots and for copying.
    public var text: String {
        (0..<size.height).map { y in
            var line = text(row: y)
            while line.last == " " { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }
}
