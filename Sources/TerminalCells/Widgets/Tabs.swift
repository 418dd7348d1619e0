/// View titles in one row, one of them selected. When they do not fit, only their digits and the selected title are shown.
public struct Tabs: Widget, Hashable, Sendable {
    public var titles: [String]
    public var selected: Int
    /// The keys shown before the titles; 1, 2, 3, ... by default.
    public var keys: [String]

    public init(_ titles: [String], selected: Int, keys: [String]? = nil) {
        self.titles = titles
        self.selected = selected
        self.keys = keys ?? titles.indices.map { "\($0 + 1)" }
    }

    private func labels(width: Int) -> [String] {
        let full = zip(keys, titles).map { " \($0) \($1) " }
        if full.reduce(0, { $0 + DisplayWidth.of($1) }) <= width { return full }
        return full.indices.map { $0 == selected ? full[$0] : " \(keys[$0]) " }
    }

    /// The tab at screen column `x` of `rect`, for the mouse.
    public func index(atX x: Int, in rect: Rect) -> Int? {
        var left = rect.x
        for (index, label) in labels(width: rect.width).enumerated() {
            let right = left + DisplayWidth.of(label)
            if x >= left, x < right, x < rect.maxX { return index }
            left = right
        }
        return nil
    }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        var x = rect.x
        for (index, label) in labels(width: rect.width).enumerated() {
            let style: Style = index == selected ? Style(.standard, [.bold, .reverse]) : .standard
            x += grid.put(label, at: Point(x: x, y: rect.y), style: style)
        }
    }
}
