/// Selection and scrolling of a list or table, as a value that keeps itself consistent.
public struct ListState: Hashable, Sendable {
    /// Index of the selected entry; nil when nothing is selected.
    public var selected: Int?
    /// Index of the first entry in view.
    public var offset: Int

    public init(selected: Int? = 0, offset: Int = 0) {
        self.selected = selected
        self.offset = offset
    }

    /// Moves the selection by `delta` entries, stopping at the ends.
    public mutating func move(by delta: Int, count: Int) {
        guard count > 0 else {
            selected = nil
            return
        }
        selected = min(count - 1, max(0, (selected ?? (delta > 0 ? -1 : 0)) + delta))
    }

    /// Selects an entry, or the nearest there is.
    public mutating func select(_ index: Int, count: Int) {
        selected = count > 0 ? min(count - 1, max(0, index)) : nil
    }

    /// Scrolls as little as needed for the selection to be in view, and never past the end.
    public mutating func scroll(count: Int, visible: Int) {
        self = scrolled(count: count, visible: visible)
    }

    /// The same state with the selection in view. Widgets apply this themselves when they draw.
    public func scrolled(count: Int, visible: Int) -> ListState {
        var result = self
        if let selected, count > 0 {
            let index = min(max(0, selected), count - 1)
            result.selected = index
            if index < result.offset { result.offset = index }
            if visible > 0, index >= result.offset + visible { result.offset = index - visible + 1 }
        } else if count == 0 {
            result.selected = nil
        }
        result.offset = max(0, min(result.offset, count - max(1, visible)))
        return result
    }

    /// Applies the usual keys (arrows, j k, g G, home, end, page keys, ctrl-u, ctrl-d); false when the key is none of them.
    public mutating func handle(_ key: Key, count: Int, visible: Int) -> Bool {
        let page = max(1, visible - 1)
        switch key.description {
        case "up", "k": move(by: -1, count: count)
        case "down", "j": move(by: 1, count: count)
        case "pageup": move(by: -page, count: count)
        case "pagedown": move(by: page, count: count)
        case "ctrl-u": move(by: -max(1, visible / 2), count: count)
        case "ctrl-d": move(by: max(1, visible / 2), count: count)
        case "home", "g": select(0, count: count)
        case "end", "G": select(count - 1, count: count)
        default: return false
        }
        scroll(count: count, visible: visible)
        return true
    }
}
