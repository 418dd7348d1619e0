/// Something that draws itself into a rectangle. Draw it with `grid.draw(widget, in: rect, theme: theme)`, which clips.
///
/// A widget is a value with everything it shows, state such as selection and scroll included; drawing changes nothing
/// but the grid. Every widget copes with any rectangle, however small.
public protocol Widget {
    func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme)
}

/// Where content sits in a wider space.
public enum Alignment: Hashable, Sendable { case left, center, right }

/// The message shown below the minimum size: "need W×H, have w×h".
public struct TooSmall: Widget, Hashable, Sendable {
    public var needed: Size
    public init(needed: Size) { self.needed = needed }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        grid.fill(rect)
        let times = theme.glyphs.times
        let text = "need \(needed.width)\(times)\(needed.height), have \(grid.size.width)\(times)\(grid.size.height)"
        let place = rect.centered(width: DisplayWidth.of(text), height: 1)
        grid.put(text, at: place.origin, style: .bold, limit: rect.width)
    }
}
