/// How much of something longer is in view.
public struct ScrollPosition: Hashable, Sendable {
    public var offset: Int
    public var visible: Int
    public var total: Int
    public init(offset: Int, visible: Int, total: Int) {
        self.offset = offset
        self.visible = visible
        self.total = total
    }

    /// The rows (first, count) of a track of `length` rows that the thumb covers; nil when everything is in view.
    public func thumb(length: Int) -> (first: Int, count: Int)? {
        guard total > visible, visible > 0, length > 0 else { return nil }
        let count = min(length, max(1, length * visible / total))
        let range = total - visible
        let first = (min(max(0, offset), range) * (length - count) + range / 2) / range
        return (first, count)
    }
}

/// A bordered box with a title. Draw the panel in a rectangle, then its content in `Panel.content(of: rect)`.
///
/// The focus shows in the border's glyphs and the title's attributes, not in color alone.
public struct Panel: Widget, Hashable, Sendable {
    public var title: StyledLine
    /// The key that moves the focus here, shown before the title.
    public var hotkey: String
    /// Short text at the right end of the top border: a count, a state.
    public var badge: StyledLine
    /// Short text at the left end of the bottom border.
    public var footer: StyledLine
    public var isFocused: Bool
    public var scroll: ScrollPosition?

    public init(
        title: StyledLine, hotkey: String = "", badge: StyledLine = StyledLine(), footer: StyledLine = StyledLine(),
        isFocused: Bool = false, scroll: ScrollPosition? = nil
    ) {
        self.title = title
        self.hotkey = hotkey
        self.badge = badge
        self.footer = footer
        self.isFocused = isFocused
        self.scroll = scroll
    }

    /// What the border leaves free.
    public static func content(of rect: Rect) -> Rect { rect.inset(by: 1) }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        let glyphs = theme.glyphs
        let style = isFocused ? Style(.accent, .bold) : Style.muted
        grid.border(rect, glyphs: isFocused ? glyphs.focusBorder : glyphs.border, style: style)
        guard rect.width >= 6, rect.height >= 2 else { return }

        var left = rect.row(0).inset(left: 1, right: 1)
        if !badge.isEmpty, badge.width + 8 <= left.width {
            let text: StyledLine = [Span(" ", style)] + badge + [Span(" ", style)]
            grid.put(text, in: left, alignment: .right)
            left = left.inset(right: text.width)
        }
        var heading = StyledLine(" ", style)
        if !hotkey.isEmpty { heading += Span(hotkey + " ", Style(.accent, .bold)) }
        heading += title.mapStyles { isFocused ? $0.adding([.bold, .underline]) : $0.adding(.bold) }
        heading += Span(" ", style)
        if !title.isEmpty { grid.put(heading, in: left) }

        if !footer.isEmpty {
            let text: StyledLine = [Span(" ", style)] + footer + [Span(" ", style)]
            grid.put(text, in: rect.row(rect.height - 1).inset(left: 1, right: 1))
        }
        if let thumb = scroll?.thumb(length: rect.height - 2) {
            let track = Rect(x: rect.maxX - 1, y: rect.y + 1 + thumb.first, width: 1, height: thumb.count)
            grid.fill(track, with: glyphs.scrollThumb, style: style)
        }
    }
}
