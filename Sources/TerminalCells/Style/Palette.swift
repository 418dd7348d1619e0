/// How many colors the terminal shows.
public enum ColorTier: String, Hashable, Sendable, CaseIterable {
    case mono
    case sixteen = "16"
    case indexed = "256"
    case truecolor
}

/// A color a terminal understands.
public enum TerminalColor: Hashable, Sendable {
    /// The terminal's own (curses color -1).
    case standard
    /// An index into the terminal's 16 or 256 colors.
    case indexed(UInt8)
    /// 0xRRGGBB.
    case rgb(UInt32)
}

/// A style with its roles resolved for one color tier.
public struct ResolvedStyle: Hashable, Sendable {
    public var foreground: TerminalColor
    public var background: TerminalColor
    public var attributes: Attributes
}

/// Turns roles into colors.
///
/// The hues follow Okabe and Ito, "Color Universal Design" (2008), distinguishable with every common form of color
/// blindness; their lightness is moved to the middle so that each keeps a contrast of at least 3:1 (WCAG 2.1, 1.4.11)
/// on both a white and a black background, because the terminal's own background is kept. The sixteen-color tier uses
/// the terminal's own theme.
public struct Palette: Hashable, Sendable {
    public let tier: ColorTier
    public init(tier: ColorTier) { self.tier = tier }

    /// Colors and attributes for `style` in this tier.
    public func resolve(_ style: Style) -> ResolvedStyle {
        var attributes = style.attributes
        if tier == .mono {
            attributes.formUnion(Self.monoAttributes(of: style.foreground))
        } else if tier == .sixteen, style.foreground == .muted || style.foreground == .stale {
            attributes.insert(.dim)
        }
        return ResolvedStyle(
            foreground: color(of: style.foreground), background: color(of: style.background), attributes: attributes)
    }

    /// The color for one role; `.standard` in mono.
    public func color(of role: Role) -> TerminalColor {
        switch tier {
        case .mono: .standard
        case .sixteen: Self.ansi(of: role).map(TerminalColor.indexed) ?? .standard
        case .indexed: Self.rgb(of: role).map { .indexed(Self.nearestIndexed($0)) } ?? .standard
        case .truecolor: Self.rgb(of: role).map(TerminalColor.rgb) ?? .standard
        }
    }

    /// What a role becomes where there is no color.
    static func monoAttributes(of role: Role) -> Attributes {
        switch role {
        case .muted, .stale: .dim
        case .accent, .bad, .modified: .bold
        case .warning: .bold
        case .estimate: .italic
        case .standard, .good, .series, .ramp: []
        }
    }

    /// 0xRRGGBB of a role; nil for the terminal's own color.
    public static func rgb(of role: Role) -> UInt32? {
        switch role {
        case .standard: nil
        case .muted, .stale: 0x808080
        case .accent: 0x2F7FC4
        case .good: 0x008F68
        case .warning: 0xB07D00
        case .bad: 0xD55E00
        case .estimate: 0x7F6FD0
        case .modified: 0x3C8EC0
        case .series(let n): seriesColors[Int(n) % seriesColors.count]
        case .ramp(let level): ramp(level)
        }
    }

    static let seriesColors: [UInt32] = [
        0x0078BA, 0xD55E00, 0x008F68, 0xB86FA0, 0xB07D00, 0x7F6FD0, 0x3C90C4, 0x808080,
    ]

    private static func ansi(of role: Role) -> UInt8? {
        switch role {
        case .standard: nil
        // Gray (bright black) vanishes in some themes: dim text in the default color is done by attribute instead.
        case .muted, .stale: nil
        case .accent: 6
        case .good: 2
        case .warning: 3
        case .bad: 1
        case .estimate: 5
        case .modified: 6
        case .series(let n): [6, 1, 2, 5, 3, 4, 6, 7][Int(n) % 8]
        case .ramp(let level): [4, 6, 2, 3, 1][min(4, Int(level) * 5 / 256)]
        }
    }

    /// Blue through gray-violet to vermilion: one order of lightness-independent hue that color-blind eyes keep.
    private static func ramp(_ level: UInt8) -> UInt32 {
        let stops: [(Int, Int, Int)] = [(0x00, 0x78, 0xBA), (0x85, 0x78, 0x96), (0xD5, 0x5E, 0x00)]
        let position = Int(level) * 2
        let low = min(1, position / 255)
        let t = position - low * 255
        func mix(_ a: Int, _ b: Int) -> UInt32 { UInt32(a + (b - a) * t / 255) }
        let (a, b) = (stops[low], stops[low + 1])
        return mix(a.0, b.0) << 16 | mix(a.1, b.1) << 8 | mix(a.2, b.2)
    }

    /// The nearest of the 240 fixed colors (cube and grays) of a 256-color terminal, by squared distance in sRGB.
    public static func nearestIndexed(_ rgb: UInt32) -> UInt8 {
        let levels = [0, 95, 135, 175, 215, 255]
        let (r, g, b) = (Int(rgb >> 16 & 255), Int(rgb >> 8 & 255), Int(rgb & 255))
        func nearestLevel(_ v: Int) -> Int {
            levels.indices.min { abs(levels[$0] - v) < abs(levels[$1] - v) } ?? 0
        }
        func distance(_ x: Int, _ y: Int, _ z: Int) -> Int {
            (x - r) * (x - r) + (y - g) * (y - g) + (z - b) * (z - b)
        }
        let (i, j, k) = (nearestLevel(r), nearestLevel(g), nearestLevel(b))
        let gray = min(23, max(0, ((r + g + b) / 3 - 3) / 10))
        let grayValue = 8 + 10 * gray
        return distance(grayValue, grayValue, grayValue) < distance(levels[i], levels[j], levels[k])
            ? UInt8(232 + gray) : UInt8(16 + 36 * i + 6 * j + k)
    }

    /// 0xRRGGBB of color `index` (16...255) of a 256-color terminal.
    public static func rgb(ofIndexed index: UInt8) -> UInt32? {
        guard index >= 16 else { return nil }
        if index >= 232 { return UInt32(8 + 10 * (Int(index) - 232)) * 0x010101 }
        let levels: [UInt32] = [0, 95, 135, 175, 215, 255]
        let k = Int(index) - 16
        return levels[k / 36] << 16 | levels[k / 6 % 6] << 8 | levels[k % 6]
    }
}
