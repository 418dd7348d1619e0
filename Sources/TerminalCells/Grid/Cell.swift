/// One cell of the terminal: a character and how it looks.
///
/// A character two columns wide sits in its left cell with `width` 2; the cell to its right is its continuation, with
/// `width` 0. Cells are made by `CellGrid`, which keeps the two together.
public struct Cell: Hashable, Sendable {
    public internal(set) var character: Character
    /// 1 or 2 columns, or 0 for the right half of a wide character.
    public internal(set) var width: UInt8
    public internal(set) var style: Style

    init(character: Character, width: UInt8, style: Style) {
        self.character = character
        self.width = width
        self.style = style
    }

    /// A space in the terminal's own colors.
    public static let blank = Cell(character: " ", width: 1, style: .standard)

    static func blank(_ style: Style) -> Cell { Cell(character: " ", width: 1, style: style) }
    static func continuation(_ style: Style) -> Cell { Cell(character: " ", width: 0, style: style) }

    /// A cell that any terminal can show without side effects.
    ///
    /// Names come from files nobody has checked, so control characters become `?`. A cluster is cut to its first
    /// spacing scalar and the marks on it, at most four: that is what a curses cell holds, and what terminals agree on.
    /// In the ASCII tier everything outside U+0020...U+007E is replaced by a look-alike or `?`.
    init(drawing source: Character, style: Style, tier: GlyphTier) {
        if let ascii = source.asciiValue {
            // "\r\n" is one character with an asciiValue, too.
            let printable = ascii >= 0x20 && ascii < 0x7F
            self.init(character: printable ? source : "?", width: 1, style: style)
            return
        }
        if tier == .ascii {
            self.init(character: Self.asciiLookAlike(of: source), width: 1, style: style)
            return
        }
        var kept = String.UnicodeScalarView()
        var width = 0
        for scalar in source.unicodeScalars {
            let columns = DisplayWidth.of(scalar)
            if columns > 0 {
                if width > 0 { break }
                width = columns
                kept.append(scalar)
            } else if width > 0, Self.isMark(scalar), kept.count < 5 {
                kept.append(scalar)
            } else {
                break
            }
        }
        guard width > 0, let character = String(kept).first else {
            self.init(character: "?", width: 1, style: style)
            return
        }
        self.init(character: character, width: UInt8(width), style: style)
    }

    private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark: !scalar.properties.isVariationSelector
        default: false
        }
    }

    static func asciiLookAlike(of character: Character) -> Character {
        switch character {
        case "≈", "∼", "±": "~"
        case "–", "—", "−", "─", "━", "═": "-"
        case "│", "┃", "║", "┊", "┆": "|"
        case "…": ">"
        case "×", "✗": "x"
        case "·", "•", "●": "*"
        case "→", "▸", "›": ">"
        case "←", "‹": "<"
        case "↑", "▲": "^"
        case "↓", "▼": "v"
        case "✓": "+"
        case "µ", "μ": "u"
        case "‘", "’": "'"
        case "“", "”": "\""
        case "\u{A0}", "\u{202F}", "\u{2009}": " "
        case "²": "2"
        default: "?"
        }
    }
}
