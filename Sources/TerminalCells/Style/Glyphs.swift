/// Which characters the terminal can show.
public enum GlyphTier: String, Hashable, Sendable, CaseIterable {
    /// Only U+0020...U+007E, for terminals and locales without UTF-8.
    case ascii
    /// Box drawing, block elements and common symbols.
    case block
    /// As `block`, with braille patterns in charts.
    case braille
}

/// The eight parts of a border.
public struct BorderGlyphs: Hashable, Sendable {
    public let horizontal, vertical, topLeft, topRight, bottomLeft, bottomRight: Character

    init(_ glyphs: String) {
        let g = Array(glyphs)
        (horizontal, vertical) = (g[0], g[1])
        (topLeft, topRight, bottomLeft, bottomRight) = (g[2], g[3], g[4], g[5])
    }
}

/// The characters widgets draw with, per glyph tier. Every one is one column wide.
public struct Glyphs: Hashable, Sendable {
    public let border: BorderGlyphs
    /// The border of the pane that has the focus: different without color, too.
    public let focusBorder: BorderGlyphs
    /// Fill levels of a horizontal bar, from one part to full.
    public let horizontalBar: [Character]
    /// Fill levels of a vertical bar, from one part to full.
    public let verticalBar: [Character]
    /// Shades from least to most.
    public let shades: [Character]
    /// What a bar shows between now and the baseline.
    public let saved: Character
    /// What a bar shows beyond the baseline.
    public let excess: Character
    /// The range a value may lie in.
    public let band: Character
    /// A position on a bar.
    public let tick: Character
    public let arrowUp, arrowDown, arrowLeft, arrowRight: Character
    public let sortAscending, sortDescending: Character
    public let pointer: Character
    public let check, cross, bullet, warning: Character
    public let checkboxOn, checkboxOff: String
    public let ellipsis: Character
    public let estimate, modeled, stale, absent, plusMinus, times: Character
    public let sliderTrack, sliderFill, sliderKnob, sliderDefault: Character
    public let scrollTrack, scrollThumb: Character
    public let axisHorizontal, axisVertical, axisCorner, axisTickX, axisTickY: Character
    public let cursorLine: Character
    /// Markers of point classes, in order.
    public let markers: [Character]
    public let spinner: [Character]

    /// The glyphs of a tier.
    public static func of(_ tier: GlyphTier) -> Glyphs {
        switch tier {
        case .ascii: ascii
        case .block: block
        case .braille: braille
        }
    }

    static let ascii = Glyphs(
        border: BorderGlyphs("-|++++"), focusBorder: BorderGlyphs("=|####"),
        horizontalBar: ["#"], verticalBar: ["_", ".", "-", "=", "*", "#"], shades: [".", ":", "+", "#"],
        saved: ".", excess: "!", band: "~", tick: "|",
        arrowUp: "^", arrowDown: "v", arrowLeft: "<", arrowRight: ">",
        sortAscending: "^", sortDescending: "v", pointer: ">",
        check: "+", cross: "x", bullet: "*", warning: "!", checkboxOn: "[x]", checkboxOff: "[ ]",
        ellipsis: ">", estimate: "~", modeled: "^", stale: "*", absent: "-", plusMinus: "~", times: "x",
        sliderTrack: "-", sliderFill: "=", sliderKnob: "O", sliderDefault: ":",
        scrollTrack: "|", scrollThumb: "#",
        axisHorizontal: "-", axisVertical: "|", axisCorner: "+", axisTickX: "+", axisTickY: "+", cursorLine: "|",
        markers: ["o", "x", "+", "#", "%", "@", "&", "$"], spinner: ["|", "/", "-", "\\"])

    static let block = Glyphs(blockLikeWithSpinner: ["◐", "◓", "◑", "◒"])
    static let braille = Glyphs(blockLikeWithSpinner: ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"])
}

extension Glyphs {
    private init(blockLikeWithSpinner spinner: [Character]) {
        self.init(
            border: BorderGlyphs("─│╭╮╰╯"), focusBorder: BorderGlyphs("━┃┏┓┗┛"),
            horizontalBar: ["▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"],
            verticalBar: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"], shades: ["░", "▒", "▓", "█"],
            saved: "·", excess: "▓", band: "▒", tick: "┃",
            arrowUp: "↑", arrowDown: "↓", arrowLeft: "←", arrowRight: "→",
            sortAscending: "▲", sortDescending: "▼", pointer: "▸",
            check: "✓", cross: "✗", bullet: "•", warning: "!", checkboxOn: "[x]", checkboxOff: "[ ]",
            ellipsis: "…", estimate: "≈", modeled: "◇", stale: "*", absent: "–", plusMinus: "±", times: "×",
            sliderTrack: "─", sliderFill: "━", sliderKnob: "●", sliderDefault: "┆",
            scrollTrack: "│", scrollThumb: "█",
            axisHorizontal: "─", axisVertical: "│", axisCorner: "└", axisTickX: "┬", axisTickY: "┤", cursorLine: "┊",
            markers: ["●", "▲", "■", "◆", "○", "△", "□", "◇"], spinner: spinner)
    }
}

/// Everything about the terminal that a widget may depend on: a value, so that views are pure functions.
public struct Theme: Hashable, Sendable {
    public var glyphTier: GlyphTier
    public var colorTier: ColorTier

    public init(glyphTier: GlyphTier = .braille, colorTier: ColorTier = .indexed) {
        self.glyphTier = glyphTier
        self.colorTier = colorTier
    }
    public var glyphs: Glyphs { Glyphs.of(glyphTier) }
    public var palette: Palette { Palette(tier: colorTier) }
}
