/// Points of several classes, a front through the best of them, and a cursor on one.
///
/// Classes differ by marker as well as by color. The front is drawn as the staircase it is: between two of its points the
/// worse of both values is the best that is known.
public struct ScatterChart: Widget, Hashable, Sendable {
    /// Points that belong together.
    public struct PointClass: Hashable, Sendable {
        public var name: String
        public var points: [ChartPoint]
        public var role: Role?
        public init(_ name: String, _ points: [ChartPoint], role: Role? = nil) {
            self.name = name
            self.points = points
            self.role = role
        }
    }

    public struct Link: Hashable, Sendable {
        public var from: ChartPoint
        public var to: ChartPoint
        public init(from: ChartPoint, to: ChartPoint) { (self.from, self.to) = (from, to) }
    }

    public var classes: [PointClass]
    /// The points of the front by ascending x.
    public var front: [ChartPoint]
    /// Pairs of points that belong together, drawn with a line between them.
    public var links: [Link]
    public var x: Axis
    public var y: Axis
    /// The point under the cursor; drawn in reverse, its exact values in the top row.
    public var cursor: ChartPoint?
    /// What to call the point under the cursor.
    public var cursorName: String
    /// Without a cursor the top row says what the markers mean.
    public var showsLegend: Bool
    /// Values that are not to be passed, drawn as lines; the axes hold them.
    public var limitX: Double?
    public var limitY: Double?
    /// How far points may be off in y, drawn behind them.
    public var bars: [LineChart.BandPoint] = []

    public init(
        classes: [PointClass], front: [ChartPoint] = [], links: [Link] = [], x: Axis, y: Axis, cursor: ChartPoint? = nil,
        cursorName: String = "", showsLegend: Bool = true, limitX: Double? = nil, limitY: Double? = nil
    ) {
        self.classes = classes
        self.front = front
        self.links = links
        self.x = x
        self.y = y
        self.cursor = cursor
        self.cursorName = cursorName
        self.showsLegend = showsLegend
        (self.limitX, self.limitY) = (limitX, limitY)
    }

    private func frame(in rect: Rect) -> ChartFrame {
        let points = classes.flatMap(\.points) + front + [cursor].compactMap { $0 }
        return ChartFrame(in: rect, x: x, y: y, xValues: points.map(\.x) + [limitX].compactMap { $0 }, yValues: points.map(\.y) + [limitY].compactMap { $0 })
    }

    /// The point drawn nearest to a screen position (class and index), for the mouse; nil when none is within three cells.
    public func nearest(to position: Point, in rect: Rect) -> (pointClass: Int, index: Int)? {
        let frame = frame(in: rect)
        guard frame.isDrawable else { return nil }
        var best: (distance: Int, pointClass: Int, index: Int)?
        for (c, pointClass) in classes.enumerated() {
            for (i, point) in pointClass.points.enumerated() {
                guard let cell = frame.cell(point.x, point.y) else { continue }
                // A row is about twice as high as a column is wide.
                let (dx, dy) = (cell.x - position.x, 2 * (cell.y - position.y))
                let distance = dx * dx + dy * dy
                if distance <= 9, distance < best?.distance ?? Int.max { best = (distance, c, i) }
            }
        }
        return best.map { ($0.pointClass, $0.index) }
    }

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        let frame = frame(in: rect)
        guard frame.isDrawable else { return }
        frame.draw(on: &grid, theme: theme)
        grid.withClip(frame.plot) { grid in
            drawLimits(frame, on: &grid, theme: theme)
            drawFront(frame, on: &grid, theme: theme)
            drawLinks(frame, on: &grid, theme: theme)
            for bar in bars {
                guard let low = frame.cell(bar.x, bar.low), let high = frame.cell(bar.x, bar.high) else { continue }
                for y in high.y...max(high.y, low.y) { grid.put(theme.glyphs.axisVertical, at: Point(x: low.x, y: y), style: .muted) }
            }
            // The first class is drawn last, on top.
            for index in classes.indices.reversed() {
                for point in classes[index].points {
                    guard let cell = frame.cell(point.x, point.y) else { continue }
                    grid.put(theme.glyphs.markers[index % 8], at: cell, style: style(of: index))
                }
            }
            if let cursor, let cell = frame.cell(cursor.x, cursor.y) {
                let here = Rect(x: cell.x, y: cell.y, width: 1, height: 1)
                if grid[cell.x, cell.y].character == " " { grid.put(theme.glyphs.bullet, at: cell) }
                grid.highlight(here, Style(.standard, [.reverse, .bold]))
            }
        }
        if classes.allSatisfy(\.points.isEmpty) {
            let place = frame.plot.centered(width: frame.plot.width, height: 1)
            grid.put(StyledLine("no trials yet", .disabled), in: place, alignment: .center)
        }
        if let cursor {
            let name = StyledLine(cursorName.isEmpty ? "" : cursorName + "  ", .muted)
            let values = StyledLine("\(x.format.text(cursor.x))  \(y.format.text(cursor.y))", .bold)
            let labeled = StyledLine(
                "\(x.label) \(x.format.text(cursor.x))  \(y.label) \(y.format.text(cursor.y))", .bold)
            frame.header(name + labeled, name + values, values, on: &grid)
        } else if showsLegend {
            frame.header(legend(theme: theme), on: &grid)
        }
    }

    private func style(of index: Int) -> Style { Style(classes[index].role ?? .series(UInt8(index % 8)), .bold) }

    private func drawLimits(_ frame: ChartFrame, on grid: inout CellGrid, theme: Theme) {
        if let limitY, let y = frame.cell(frame.xDomain.lowerBound, limitY)?.y {
            for x in frame.plot.x..<frame.plot.maxX { grid.put(theme.glyphs.axisHorizontal, at: Point(x: x, y: y), style: Style(.warning)) }
        }
        if let limitX, let x = frame.column(limitX) {
            grid.fill(Rect(x: x, y: frame.plot.y, width: 1, height: frame.plot.height), with: theme.glyphs.axisVertical, style: Style(.warning))
        }
    }

    private func drawFront(_ frame: ChartFrame, on grid: inout CellGrid, theme: Theme) {
        guard front.count > 1 else { return }
        var raster = DotRaster(columns: frame.plot.width, rows: frame.plot.height, tier: theme.glyphTier)
        var phase = 0
        for (a, b) in zip(front, front.dropFirst()) {
            guard let start = frame.point(a.x, a.y, in: raster), let end = frame.point(b.x, b.y, in: raster) else {
                continue
            }
            let corner = (x: end.x, y: start.y)
            raster.line(from: start, to: corner, style: .muted, phase: &phase)
            raster.line(from: corner, to: end, style: .muted, phase: &phase)
        }
        raster.draw(at: frame.plot.origin, on: &grid)
    }

    private func drawLinks(_ frame: ChartFrame, on grid: inout CellGrid, theme: Theme) {
        guard !links.isEmpty else { return }
        var raster = DotRaster(columns: frame.plot.width, rows: frame.plot.height, tier: theme.glyphTier)
        for link in links {
            guard let start = frame.point(link.from.x, link.from.y, in: raster), let end = frame.point(link.to.x, link.to.y, in: raster) else { continue }
            var phase = 0
            raster.line(from: start, to: end, style: Style(.accent), phase: &phase)
        }
        raster.draw(at: frame.plot.origin, on: &grid)
    }

    private func legend(theme: Theme) -> StyledLine {
        var line = StyledLine()
        for index in classes.indices {
            if index > 0 { line += Span("  ") }
            line += Span(String(theme.glyphs.markers[index % 8]), style(of: index))
            line += Span(" " + classes[index].name, .muted)
        }
        return line
    }
}
