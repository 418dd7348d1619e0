/// An action in a palette or an entry of the help.
public struct Command: Hashable, Sendable {
    public var name: String
    public var keys: String
    public var group: String
    /// Set when the action cannot be used now.
    public var disabledReason: String?
    public init(_ name: String, keys: String = "", group: String = "", disabledReason: String? = nil) {
        self.name = name
        self.keys = keys
        self.group = group
        self.disabledReason = disabledReason
    }
}

/// A list filtered as one types, best match first; for the command palette and the help. The first row is the input.
public struct CommandList: Widget, Hashable, Sendable {
    public var commands: [Command]
    public var field: TextField
    /// Selection among the matches.
    public var state: ListState

    public init(commands: [Command], field: TextField = TextField(prompt: ":"), state: ListState = ListState()) {
        self.commands = commands
        self.field = field
        self.state = state
    }

    /// Indices into `commands` of the matches, best first; original order where the score is the same.
    public var matches: [Int] {
        ranked.map(\.index)
    }
    /// The index in `commands` of the selected match.
    public var selectedCommand: Int? {
        let matches = matches
        guard let selected = state.selected, !matches.isEmpty else { return nil }
        return matches[min(max(0, selected), matches.count - 1)]
    }

    private var ranked: [(index: Int, match: FuzzyMatch.Result)] {
        let found = commands.indices.compactMap { index -> (index: Int, match: FuzzyMatch.Result)? in
            let command = commands[index]
            if let match = FuzzyMatch.match(field.text, in: command.name) { return (index, match) }
            // A key or a group may be what the user remembers.
            let text = field.text
            let other = [command.keys, command.group].contains { $0 == text || (text.count > 2 && $0.hasPrefix(text)) }
            return other ? (index, FuzzyMatch.Result(score: -1, positions: [])) : nil
        }
        return found.sorted { ($0.match.score, $1.index) > ($1.match.score, $0.index) }
    }

    /// Edits the filter or moves the selection; false when the key is neither. Typing selects the best match again.
    public mutating func handle(_ key: Key, visible: Int) -> Bool {
        switch key.description {
        case "up", "ctrl-p", "shift-tab": state.move(by: -1, count: matches.count)
        case "down", "ctrl-n", "tab": state.move(by: 1, count: matches.count)
        case "pageup": state.move(by: -max(1, visible - 1), count: matches.count)
        case "pagedown": state.move(by: max(1, visible - 1), count: matches.count)
        default:
            let before = field.text
            guard field.handle(key) else { return false }
            if field.text != before { state = ListState() }
            return true
        }
        state.scroll(count: matches.count, visible: visible)
        return true
    }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        grid.draw(field, in: rect.row(0), theme: theme)
        let ranked = ranked
        let list = rect.inset(top: 1)
        let shown = state.scrolled(count: ranked.count, visible: list.height)
        let items = ranked.enumerated().map { position, entry -> ListItem in
            // Only lines in view need their letters marked.
            guard position >= shown.offset, position < shown.offset + list.height else { return ListItem("") }
            let command = commands[entry.index]
            let hits = Set(entry.match.positions)
            var line = StyledLine()
            for (offset, character) in command.name.enumerated() {
                line += Span(
                    String(character), hits.contains(offset) ? Style(.accent, [.bold, .underline]) : .standard)
            }
            if !command.group.isEmpty { line += Span("  " + command.group, .muted) }
            return ListItem(
                line, detail: StyledLine(command.keys, Style(.accent, .bold)), disabledReason: command.disabledReason)
        }
        grid.draw(ItemList(items, state: state, emptyText: "no match"), in: list, theme: theme)
    }
}
