import EngineSupport
import TerminalCells

/// What the user may set in the settings file.
public struct ExplorerSettings: Hashable, Sendable {
    /// `nil`: what the terminal shows best.
    public var glyphs: GlyphTier?
    public var colors: ColorTier?
    public var mouse = true
    /// The view that is shown first.
    public var view = ViewID.explore
    /// Latency is measured by itself once the accuracy of a recipe is known; otherwise on a key.
    public var measuresLatency = true
    /// Keys by action, instead of the default ones.
    public var keys: [String: [String]] = [:]
    /// How much of earlier work is kept on disk.
    public var limits = StoreLimits()

    public init() {}

    /// The terminal's glyphs and colors, or less of them where the user wants less.
    public func theme(_ best: Theme) -> Theme {
        var theme = best
        if let glyphs, best.glyphTier != .ascii { theme.glyphTier = glyphs }
        if let colors {
            let order: [ColorTier] = [.mono, .sixteen, .indexed, .truecolor]
            let (wanted, most) = (order.firstIndex(of: colors) ?? 0, order.firstIndex(of: best.colorTier) ?? 0)
            theme.colorTier = order[min(wanted, most)]
        }
        return theme
    }
}
