/// A key and what it does now.
public struct KeyHint: Hashable, Sendable {
    public var keys: String
    public var label: String
    public var isEnabled: Bool
    public init(_ keys: String, _ label: String, isEnabled: Bool = true) {
        self.keys = keys
        self.label = label
        self.isEnabled = isEnabled
    }
}

/// The footer: key hints in order of importance, as many as fit, and `always` (help) at the right end.
public struct KeyHints: Widget, Hashable, Sendable {
    public var hints: [KeyHint]
    public var always: KeyHint?

    public init(_ hints: [KeyHint], always: KeyHint? = KeyHint("?", "help")) {
        self.hints = hints
        self.always = always
    }

    private func line(_ hint: KeyHint) -> StyledLine {
        [
            Span(hint.keys, hint.isEnabled ? Style(.accent, .bold) : .disabled),
            Span(" " + hint.label, hint.isEnabled ? .muted : .disabled),
        ]
    }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        var room = rect.row(0)
        if let always {
            let text = line(always)
            grid.put(text, in: room, alignment: .right)
            room = room.inset(right: text.width + 2)
        }
        for hint in hints {
            let text = line(hint)
            guard text.width <= room.width else { break }
            grid.put(text, in: room)
            room = room.inset(left: text.width + 2)
        }
    }
}
