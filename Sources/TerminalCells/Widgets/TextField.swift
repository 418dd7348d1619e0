/// One line of text being edited.
///
/// Keys: characters, left, right, home, end, ctrl-a, ctrl-e, backspace, delete, ctrl-w (word), ctrl-u (to the start),
/// ctrl-k (to the end). Everything else (enter, esc, tab, ...) is left to the owner.
public struct TextField: Widget, Hashable, Sendable {
    public private(set) var text: String
    /// Characters before the cursor.
    public private(set) var cursor: Int
    public var placeholder: String
    public var prompt: String
    /// What is wrong with the text; shown behind it.
    public var error: String?
    public var isFocused: Bool

    public init(
        _ text: String = "", prompt: String = "", placeholder: String = "", error: String? = nil, isFocused: Bool = true
    ) {
        self.text = text
        cursor = text.count
        self.prompt = prompt
        self.placeholder = placeholder
        self.error = error
        self.isFocused = isFocused
    }

    /// Replaces the text and puts the cursor behind it.
    public mutating func set(_ newText: String) {
        text = newText
        cursor = text.count
    }

    /// Inserts text at the cursor; line breaks become spaces, other control characters are dropped.
    public mutating func insert(_ addition: String) {
        let clean = String(
            addition.compactMap { character -> Character? in
                if character.isNewline || character == "\t" { return " " }
                return character.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F } ? nil : character
            })
        let start = text.index(text.startIndex, offsetBy: cursor)
        let before = String(text[..<start]) + clean
        text = before + text[start...]
        // A combining mark may have joined the character before the cursor, so the new place is counted, not added.
        cursor = min(before.count, text.count)
    }

    /// Edits the text. Returns false, changing nothing, when the key is no editing key.
    public mutating func handle(_ key: Key) -> Bool {
        if let character = key.typedCharacter {
            insert(String(character))
            return true
        }
        switch key.description {
        case "left", "ctrl-b": cursor = max(0, cursor - 1)
        case "right", "ctrl-f": cursor = min(text.count, cursor + 1)
        case "home", "ctrl-a": cursor = 0
        case "end", "ctrl-e": cursor = text.count
        case "backspace": remove(from: max(0, cursor - 1), to: cursor)
        case "delete": remove(from: cursor, to: min(text.count, cursor + 1))
        case "ctrl-u": remove(from: 0, to: cursor)
        case "ctrl-k": remove(from: cursor, to: text.count)
        case "ctrl-w":
            let characters = Array(text)
            var start = cursor
            while start > 0, characters[start - 1] == " " { start -= 1 }
            while start > 0, characters[start - 1] != " " { start -= 1 }
            remove(from: start, to: cursor)
        default: return false
        }
        return true
    }

    private mutating func remove(from start: Int, to end: Int) {
        guard start < end else { return }
        let low = text.index(text.startIndex, offsetBy: start)
        text.removeSubrange(low..<text.index(low, offsetBy: end - start))
        cursor = min(start, text.count)
    }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        let line = rect.row(0)
        let promptWidth = grid.put(prompt, at: line.origin, style: Style(.accent, .bold), limit: line.width)
        let field = line.inset(left: promptWidth)
        guard !field.isEmpty else { return }
        if text.isEmpty, !placeholder.isEmpty {
            grid.put(StyledLine(placeholder, Style(.muted, [.dim, .italic])), in: field)
        }
        // Characters scroll off to the left until the cursor is in view; its cell needs one column behind the text.
        let characters = Array(text)
        var first = 0
        var columns = characters[..<cursor].reduce(0) { $0 + DisplayWidth.of($1) }
        while columns + 1 > field.width, first < cursor {
            columns -= DisplayWidth.of(characters[first])
            first += 1
        }
        let used = grid.put(
            String(characters[first...]), at: field.origin, style: Style(error == nil ? .standard : .bad, .underline),
            limit: field.width)
        if isFocused {
            grid.cursor = Point(x: field.x + columns, y: field.y)
            grid.highlight(Rect(x: field.x + columns, y: field.y, width: 1, height: 1), .selected)
        }
        if let error, field.width > used + 4 {
            grid.put(StyledLine("\(theme.glyphs.cross) \(error)", .bad), in: field.inset(left: used + 2))
        }
    }
}
