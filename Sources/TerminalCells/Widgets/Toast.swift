/// A one-line message with a mark for its kind.
public struct Toast: Widget, Hashable, Sendable {
    public enum Kind: Hashable, Sendable { case info, success, warning, failure }
    public var kind: Kind
    public var message: String
    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        let glyphs = theme.glyphs
        let (mark, style): (Character, Style) =
            switch kind {
            case .info: (glyphs.bullet, .accent)
            case .success: (glyphs.check, .good)
            case .warning: (glyphs.warning, .warning)
            case .failure: (glyphs.cross, .bad)
            }
        let line: StyledLine = [
            Span("\(mark) ", style.adding(.bold)), Span(message, kind == .failure ? style : .standard),
        ]
        grid.put(line, in: rect.row(0))
    }
}
