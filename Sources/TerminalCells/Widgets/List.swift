/// An entry of an `ItemList`.
public struct ListItem: Hashable, Sendable {
    public var line: StyledLine
    /// Right-aligned: a value, a key.
    public var detail: StyledLine
    /// Set when the entry cannot be used now: it stays visible, dim, with this reason in place of the detail.
    public var disabledReason: String?

    public init(_ line: StyledLine, detail: StyledLine = StyledLine(), disabledReason: String? = nil) {
        self.line = line
        self.detail = detail
        self.disabledReason = disabledReason
    }
}

/// Entries one below the other, one of them selected.
public struct ItemList: Widget, Hashable, Sendable {
    public var items: [ListItem]
    public var state: ListState
    public var isFocused: Bool
    public var emptyText: String

    public init(
        _ items: [ListItem], state: ListState = ListState(), isFocused: Bool = true,
        emptyText: String = "nothing to show"
    ) {
        self.items = items
        self.state = state
        self.isFocused = isFocused
        self.emptyText = emptyText
    }

    /// The entry drawn at screen row `y` of `rect`, for the mouse.
    public func index(atY y: Int, in rect: Rect) -> Int? {
        let index = state.scrolled(count: items.count, visible: rect.height).offset + y - rect.y
        return y >= rect.y && y < rect.maxY && index < items.count ? index : nil
    }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        if items.isEmpty {
            grid.put(StyledLine(emptyText, .disabled), in: rect.row(0).inset(left: 1))
            return
        }
        let state = state.scrolled(count: items.count, visible: rect.height)
        for line in 0..<rect.height where state.offset + line < items.count {
            let index = state.offset + line
            draw(items[index], isSelected: index == state.selected, in: rect.row(line), on: &grid, theme: theme)
        }
    }

    private func draw(_ item: ListItem, isSelected: Bool, in area: Rect, on grid: inout CellGrid, theme: Theme) {
        var line = item.line
        var detail = item.detail
        if let reason = item.disabledReason {
            line = line.mapStyles { _ in .disabled }
            detail = StyledLine(reason, Style(.muted, [.dim, .italic]))
        }
        let text = area.inset(left: 2)
        // The name is worth more than a reason, which gets what the name leaves, but at least a third. A detail is numbers, of no
        // use when cut: it may take half.
        let room = max(text.width / (item.disabledReason == nil ? 2 : 3), text.width - line.width - 2)
        let used = detail.isEmpty ? 0 : min(detail.width, max(0, room))
        grid.put(line, in: text.inset(right: used > 0 ? used + 1 : 0))
        grid.put(detail, in: Rect(x: text.maxX - used, y: text.y, width: used, height: 1), alignment: .right)
        if isSelected {
            grid.put(theme.glyphs.pointer, at: area.origin, style: Style(.accent, .bold))
            grid.highlight(area, isFocused ? .selected : .selectedWithoutFocus)
        }
    }
}
