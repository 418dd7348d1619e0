/// A number as it is shown: its value, how it is written, how it was come by, and whether it still holds.
///
/// | standing | looks like | ASCII | besides |
/// |---|---|---|---|
/// | measured | `91.2 %` | `91.2 %` | |
/// | estimated | `≈91.2 %` | `~91.2 %` | italic, color of estimates |
/// | modeled | `◇91.2 %` | `^91.2 %` | italic, color of estimates |
/// | stale | `91.2 %*` | `91.2 %*` | dim |
/// | not measured yet | `–` | `-` | dim; never 0 |
///
/// The marks stand in every tier, so the difference survives without color and attributes.
public struct Figure: Hashable, Sendable {
    public enum Standing: Hashable, Sendable {
        /// Measured on the exported graph, or counted.
        case measured
        /// Measured on a part, with an interval.
        case estimated
        /// Computed by a model (FLOPs to energy, ...).
        case modeled
    }

    /// nil: not known yet.
    public var value: Double?
    public var format: NumberFormat
    public var standing: Standing
    /// True when the number belongs to an earlier recipe.
    public var isStale: Bool
    /// Half the width of the confidence interval, in the unit of `value`; written behind it with `±`.
    public var margin: Double?

    public init(
        _ value: Double?, _ format: NumberFormat, standing: Standing = .measured, isStale: Bool = false,
        margin: Double? = nil
    ) {
        self.value = value
        self.format = format
        self.standing = standing
        self.isStale = isStale
        self.margin = margin
    }

    /// A number nobody has come by yet.
    public static let absent = Figure(nil, .general)

    /// The text with its marks.
    public func text(tier: GlyphTier) -> String {
        let glyphs = Glyphs.of(tier)
        guard let value, !value.isNaN else { return String(glyphs.absent) }
        var text: String =
            switch standing {
            case .measured: ""
            case .estimated: String(glyphs.estimate)
            case .modeled: String(glyphs.modeled)
            }
        text += format.text(value)
        if let margin, margin.isFinite {
            // ASCII has no plus-minus sign; "+-" cannot be taken for anything else.
            text += tier == .ascii ? " +-" : " ±"
            text += Self.marginText(abs(margin), format)
        }
        if isStale { text.append(glyphs.stale) }
        return text
    }

    /// The style that goes with the marks, on top of `base`.
    public func style(over base: Style = .standard) -> Style {
        guard let value, !value.isNaN else { return Style(.muted, on: base.background, base.attributes.union(.dim)) }
        if isStale { return Style(.stale, on: base.background, base.attributes.union(.dim)) }
        switch standing {
        case .measured: return base
        case .estimated, .modeled:
            return Style(
                base.foreground == .standard ? .estimate : base.foreground, on: base.background,
                base.attributes.union(.italic))
        }
    }

    /// Text and style together.
    public func span(theme: Theme, over base: Style = .standard) -> Span {
        Span(text(tier: theme.glyphTier), style(over: base))
    }

    /// The margin without the sign that a difference carries.
    private static func marginText(_ margin: Double, _ format: NumberFormat) -> String {
        if case .points(let digits) = format { return NumberFormat.fixed(margin * 100, digits: digits) + " pt" }
        if case .signed(let digits, let unit) = format { return NumberFormat.fixed(digits: digits, unit: unit).text(margin) }
        return format.text(margin)
    }
}
