/// What a color means. The `Palette` of the terminal's color tier turns it into a color (or, in mono, into
/// attributes), so widgets never name colors.
public enum Role: Hashable, Sendable {
    /// The terminal's own foreground or background. The only background roles in ordinary use are this and `ramp`.
    case standard
    /// Secondary text, borders without focus, disabled entries.
    case muted
    /// What the keyboard acts on: focused borders, selected tabs, keys in hints.
    case accent
    /// Better than the baseline, finished, within the requirement.
    case good
    /// Worth a look.
    case warning
    /// Worse than the baseline, failed, beyond the requirement.
    case bad
    /// A number that is an estimate or the output of a model instead of a measurement.
    case estimate
    /// A number that belongs to an earlier state of the recipe.
    case stale
    /// A value that differs from its default.
    case modified
    /// The n-th data series of a chart (eight distinct ones, then they repeat).
    case series(UInt8)
    /// A level from 0 (least) to 255 (most) on the sequential color ramp.
    case ramp(UInt8)
}

/// Attributes that every tier keeps, `NO_COLOR` included.
public struct Attributes: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let bold = Attributes(rawValue: 1)
    public static let dim = Attributes(rawValue: 2)
    public static let reverse = Attributes(rawValue: 4)
    public static let underline = Attributes(rawValue: 8)
    public static let italic = Attributes(rawValue: 16)
}

/// How a cell looks: what its colors mean and its attributes.
public struct Style: Hashable, Sendable {
    public var foreground: Role
    public var background: Role
    public var attributes: Attributes

    public init(_ foreground: Role = .standard, on background: Role = .standard, _ attributes: Attributes = []) {
        self.foreground = foreground
        self.background = background
        self.attributes = attributes
    }

    /// The terminal's own colors without attributes.
    public static let standard = Style()
    public static let muted = Style(.muted)
    public static let accent = Style(.accent)
    public static let bold = Style(.standard, .bold)
    public static let title = Style(.standard, .bold)
    public static let good = Style(.good)
    public static let warning = Style(.warning, .bold)
    public static let bad = Style(.bad, .bold)
    public static let disabled = Style(.muted, .dim)
    /// Selected in the pane that has the focus: reverse video, the one highlight every terminal shows.
    public static let selected = Style(.standard, .reverse)
    /// Selected in a pane that has not the focus.
    public static let selectedWithoutFocus = Style(.standard, [.bold, .underline])

    public init(_ foreground: Role, _ attributes: Attributes) {
        self.init(foreground, on: .standard, attributes)
    }

    /// The same style with attributes added.
    public func adding(_ more: Attributes) -> Style {
        Style(foreground, on: background, attributes.union(more))
    }
    /// The same style with another foreground.
    public func foreground(_ role: Role) -> Style { Style(role, on: background, attributes) }

    /// This style laid over by a highlight: the highlight's attributes are added, and its roles win where they are
    /// not `standard`.
    public func highlighted(by over: Style) -> Style {
        Style(
            over.foreground == .standard ? foreground : over.foreground,
            on: over.background == .standard ? background : over.background,
            attributes.union(over.attributes))
    }
}
