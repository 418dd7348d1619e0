/// Lines of text, wrapped or cut, scrolled vertically.
public struct Paragraph: Widget, Hashable, Sendable {
    public var lines: [StyledLine]
    public var wraps: Bool
    public var alignment: Alignment
    /// How many (wrapped) lines are scrolled off the top.
    public var offset: Int

    public init(_ lines: [StyledLine], wraps: Bool = true, alignment: Alignment = .left, offset: Int = 0) {
        self.lines = lines
        self.wraps = wraps
        self.alignment = alignment
        self.offset = offset
    }
    public init(_ text: String, _ style: Style = .standard, alignment: Alignment = .left) {
        self.init([StyledLine(text, style)], alignment: alignment)
    }

    /// The lines as laid out in `width` columns.
    public func laidOut(width: Int) -> [StyledLine] { wraps ? lines.flatMap { $0.wrapped(to: width) } : lines }
    /// How many rows the text takes in `width` columns.
    public func height(width: Int) -> Int { laidOut(width: width).count }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        for (index, line) in laidOut(width: rect.width).dropFirst(max(0, offset)).prefix(rect.height).enumerated() {
            grid.put(line, in: rect.row(index), alignment: alignment)
        }
    }
}
