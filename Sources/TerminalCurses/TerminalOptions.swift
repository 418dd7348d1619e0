import TerminalCells

/// What the user may decide about the terminal; nil lets the terminal decide.
public struct TerminalOptions: Hashable, Sendable {
    public var colorTier: ColorTier?
    public var glyphTier: GlyphTier?
    public var usesMouse: Bool

    public init(colorTier: ColorTier? = nil, glyphTier: GlyphTier? = nil, usesMouse: Bool = true) {
        self.colorTier = colorTier
        self.glyphTier = glyphTier
        self.usesMouse = usesMouse
    }
}

/// What the environment says about the terminal: pure, so that it can be tested.
public enum TerminalDetection {
    /// Terminal types that are (or stand for) hardware and consoles whose fonts lack box drawing or block elements.
    /// The Linux console has a font of 256 or 512 glyphs: no eighth blocks, no rounded corners, no braille.
    private static let plainTerminals = [
        "linux", "vt", "ansi", "cons25", "sun", "hurd", "mach", "wsvt", "pcansi", "Eterm",
    ]

    /// The richest glyphs the terminal can be trusted with.
    public static func glyphTier(term: String, isUTF8: Bool) -> GlyphTier {
        guard isUTF8 else { return .ascii }
        return plainTerminals.contains { term.hasPrefix($0) } ? .ascii : .braille
    }

    /// The colors to use. `colors` is what terminfo promises; a direct-color terminal promises 2^24.
    ///
    /// `NO_COLOR` (no-color.org: present and not empty) removes color; `COLORTERM` of `truecolor` or `24bit` adds it.
    public static func colorTier(environment: [String: String], colors: Int) -> ColorTier {
        if environment["NO_COLOR"]?.isEmpty == false { return .mono }
        if colors < 8 { return .mono }
        if wantsTruecolor(environment: environment) || colors >= 1 << 24 { return .truecolor }
        return colors >= 256 ? .indexed : .sixteen
    }

    static func wantsTruecolor(environment: [String: String]) -> Bool {
        ["truecolor", "24bit"].contains(environment["COLORTERM"] ?? "")
    }
}
