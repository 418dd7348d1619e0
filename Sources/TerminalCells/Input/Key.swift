/// A key press.
///
/// The text form is what config files, hints and session logs hold: modifiers in the order `ctrl-`, `alt-`, `shift-`, then a name
/// (`enter`, `tab`, `esc`, `space`, `up`, `f1`, ...) or the character itself: `ctrl-r`, `shift-tab`, `g`, `G`, `alt-x`, `-`.
/// `Key(key.description) == key` for every key a terminal can send.
public struct Key: Hashable, Sendable {
    public enum Code: Hashable, Sendable {
        case character(Character)
        case up, down, left, right
        case home, end, pageUp, pageDown
        case enter, tab, escape, backspace, delete, insert
        /// F1 is 1.
        case function(Int)
    }

    public struct Modifiers: OptionSet, Hashable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let control = Modifiers(rawValue: 1)
        public static let alt = Modifiers(rawValue: 2)
        /// Only on keys that are no characters: an upper-case letter is a character of its own.
        public static let shift = Modifiers(rawValue: 4)
    }

    public var code: Code
    public var modifiers: Modifiers

    public init(_ code: Code, _ modifiers: Modifiers = []) {
        self.code = code
        self.modifiers = modifiers
    }

    /// The character this key types, if it is one without ctrl or alt.
    public var typedCharacter: Character? {
        guard case .character(let c) = code, modifiers.isDisjoint(with: [.control, .alt]) else { return nil }
        return c
    }

    private static let names: [(String, Code)] = [
        ("space", .character(" ")), ("enter", .enter), ("tab", .tab), ("esc", .escape),
        ("backspace", .backspace), ("delete", .delete), ("insert", .insert),
        ("up", .up), ("down", .down), ("left", .left), ("right", .right),
        ("home", .home), ("end", .end), ("pageup", .pageUp), ("pagedown", .pageDown),
    ]
}

extension Key: CustomStringConvertible, LosslessStringConvertible {
    public var description: String {
        var text = ""
        if modifiers.contains(.control) { text += "ctrl-" }
        if modifiers.contains(.alt) { text += "alt-" }
        if modifiers.contains(.shift) { text += "shift-" }
        if let name = Self.names.first(where: { $0.1 == code })?.0 { return text + name }
        switch code {
        case .character(let c): return text + String(c)
        case .function(let n): return text + "f\(n)"
        default: return text
        }
    }

    /// Reads the text form; nil when it names no key. Names are lower case; `return`, `escape`, `del`, `pgup`, `pgdn`
    /// are understood, too.
    public init?(_ text: String) {
        var rest = Substring(text)
        var modifiers: Modifiers = []
        let prefixes: [(String, Modifiers)] = [("ctrl-", .control), ("alt-", .alt), ("shift-", .shift)]
        while let (prefix, modifier) = prefixes.first(where: { rest.hasPrefix($0.0) && rest.count > $0.0.count }) {
            modifiers.insert(modifier)
            rest = rest.dropFirst(prefix.count)
        }
        let synonyms = ["return": "enter", "escape": "esc", "del": "delete", "pgup": "pageup", "pgdn": "pagedown"]
        let name = synonyms[String(rest)] ?? String(rest)
        if let code = Self.names.first(where: { $0.0 == name })?.1 {
            self.init(code, modifiers)
        } else if name.count == 1, let character = name.first {
            self.init(.character(character), modifiers)
        } else if name.hasPrefix("f"), let n = Int(name.dropFirst()), (1...63).contains(n) {
            self.init(.function(n), modifiers)
        } else {
            return nil
        }
    }
}
