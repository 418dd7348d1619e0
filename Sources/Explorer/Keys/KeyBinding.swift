import TerminalCells

/// One row of the key map: what an action is called, the keys it has by default, and where it can be used.
public struct KeyBinding: Sendable {
    public enum Group: String, CaseIterable, Sendable {
        case recipe = "Recipe"
        case measuring = "Measuring and comparing"
        case moving = "Moving about"
        case program = "Program"
    }

    public var action: Action
    /// A short verb phrase, as in help and palette.
    public var title: String
    /// As short as can be, for the footer; empty keeps the binding out of it.
    public var hint: String
    public var group: Group
    public var keys: [Key]
    /// Where the binding holds; `nil` for everywhere.
    public var panes: Set<Pane>?

    init(_ action: Action, _ title: String, hint: String = "", _ group: Group, keys: String, in panes: Set<Pane>? = nil) {
        self.action = action
        self.title = title
        self.hint = hint
        self.group = group
        self.keys = keys.split(separator: " ").compactMap { Key(String($0)) }
        self.panes = panes
    }

    func holds(in pane: Pane) -> Bool { panes?.contains(pane) ?? true }

    /// Keys as people read them: `Ctrl-R`, `Enter`, `↑`.
    public static func label(_ key: Key, tier: GlyphTier) -> String {
        let glyphs = Glyphs.of(tier)
        var text = ""
        if key.modifiers.contains(.control) { text += "^" }
        if key.modifiers.contains(.alt) { text += "Alt-" }
        if key.modifiers.contains(.shift) { text += "Shift-" }
        switch key.code {
        case .up: return text + String(glyphs.arrowUp)
        case .down: return text + String(glyphs.arrowDown)
        case .left: return text + String(glyphs.arrowLeft)
        case .right: return text + String(glyphs.arrowRight)
        case .character(" "): return text + "Space"
        case .character(let character):
            return text + (key.modifiers.contains(.control) ? character.uppercased() : String(character))
        case .pageUp: return text + "PgUp"
        case .pageDown: return text + "PgDn"
        case .escape: return text + "Esc"
        default:
            let name = key.description.split(separator: "-").last.map(String.init) ?? ""
            return text + name.prefix(1).uppercased() + name.dropFirst()
        }
    }
}
