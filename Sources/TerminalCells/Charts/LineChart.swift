/// A point of a chart, in the units of its axes.
public struct ChartPoint: Hashable, Sendable {
    public var x: Double
    public var y: Double
    public init(_ x: Double, _ y: Double) {
        self.x = x
        self.y = y
    }
}

/// Curves over a common x axis.
///
/// Series differ by dash pattern as well as by color. A cursor draws a vertical line and writes the exact values at the
/// nearest point of each series in the top row; without one the top row is the legend.
public struct LineChart: Widget, Hashable, Sendable {
    /// One curve.
    public struct Series: Hashable, Sendable {
        public var name: String
        /// By ascending x. A point whose y is NaN breaks the curve.
        public var points: [ChartPoint]
        /// Points drawn with a marker: measured ones on an interpolated curve, say.
        public var marked: [ChartPoint]
        /// Points drawn with a hollow marker, their values written as estimates.
        public var estimated: [ChartPoint]
        public var role: Role?

        public init(_ name: String, _ points: [ChartPoint], marked: [ChartPoint] = [], estimated: [ChartPoint] = [], role: Role? = nil) {
            self.name = name
            self.points = points
            self.marked = marked
            self.estimated = estimated
            self.role = role
        }
    }

    /// Uncertainty of a curve at one x.
    public struct BandPoint: Hashable, Sendable {
        public var x: Double
        public var low: Double
        public var high: Double
        public init(x: Double, low: Double, high: Double) {
            self.x = x
            self.low = low
            self.high = high
        }
    }

    /// A curve and its scale.
    public struct Right: Hashable, Sendable {
        public var series: Series
        public var axis: Axis
        public init(_ series: Series, _ axis: Axis) {
            self.series = series
            self.axis = axis
        }
    }

    public var series: [Series]
    public var x: Axis
    public var y: Axis
    /// By ascending x; drawn shaded behind the curves.
    public var band: [BandPoint]
    /// A curve with a scale of its own, on the right.
    public var right: Right?
    /// The x under the cursor.
    public var cursor: Double?
    /// An x to mark (the current setting), drawn as a dotted vertical line.
    public var current: Double?
    /// A y to mark (a requirement, the baseline), drawn as a dotted horizontal line.
    public var reference: Double?
    /// A y that is not to be passed, drawn as a line of its own color; the axis holds it.
    public var limit: Double?

    public init(
        series: [Series], x: Axis, y: Axis, band: [BandPoint] = [], right: Right? = nil, cursor: Double? = nil, current: Double? = nil,
        reference: Double? = nil, limit: Double? = nil
    ) {
        self.series = series
        self.x = x
        self.y = y
        self.band = band
        self.right = right
        self.cursor = cursor
        self.current = current
        self.reference = reference
        self.limit = limit
    }

    private static let dashes: [(on: Int, off: Int)] = [(1, 0), (4, 2), (1, 2), (6, 2), (3, 3), (2, 1), (8, 3), (1, 3)]

    public func draw(in rect: Rect, on grid: inout CellGrid, theme: Theme) {
        let points = series.flatMap { $0.points + $0.marked }
        let frame = ChartFrame(
            in: rect, x: x, y: y,
            xValues: points.map(\.x) + (right?.series.points.map(\.x) ?? []) + band.map(\.x) + [cursor, current].compactMap { $0 },
            yValues: points.map(\.y) + band.flatMap { [$0.low, $0.high] } + [reference, limit].compactMap { $0 },
            right: right.map { ($0.axis, ($0.series.points + $0.series.marked).map(\.y)) })
        guard frame.isDrawable else { return }
        frame.draw(on: &grid, theme: theme)
        grid.withClip(frame.plot) { grid in
            drawBand(frame, on: &grid, theme: theme)
            drawCurves(frame, on: &grid, theme: theme)
        }
        let noData = curves(frame).allSatisfy { series, frame in
            !(series.points + series.marked).contains { x.position($0.x, in: frame.xDomain) != nil && frame.y.position($0.y, in: frame.yDomain) != nil }
        }
        if noData {
            let place = frame.plot.centered(width: frame.plot.width, height: 1)
            grid.put(StyledLine("no data yet", .disabled), in: place, alignment: .center)
        }
        if let cursor {
            frame.header(readout(at: cursor, theme: theme), readout(at: cursor, theme: theme, isShort: true), on: &grid)
        } else {
            frame.header(legend(theme: theme), on: &grid)
        }
    }

    /// Dashes need points finer than a cell; in ASCII every curve but the first is drawn in a letter of its own.
    private func raster(of index: Int, columns: Int, rows: Int, theme: Theme) -> DotRaster {
        let mark: Character? = theme.glyphTier == .ascii && index > 0 ? theme.glyphs.markers[index % 8] : nil
        return DotRaster(columns: columns, rows: rows, tier: theme.glyphTier, mark: mark)
    }

    /// All curves with the frame that each is drawn in.
    private func curves(_ frame: ChartFrame) -> [(series: Series, frame: ChartFrame)] {
        series.map { ($0, frame) } + (right.flatMap { right in frame.onRight.map { [(right.series, $0)] } } ?? [])
    }

    private func style(of index: Int) -> Style { Style((index < series.count ? series[index].role : right?.series.role) ?? .series(UInt8(index % 8))) }

    private func drawBand(_ frame: ChartFrame, on grid: inout CellGrid, theme: Theme) {
        guard band.count > 1 else { return }
        var segment = 0
        for column in 0..<frame.plot.width {
            let value = frame.x(atColumn: Double(column))
            while segment < band.count - 2, band[segment + 1].x < value { segment += 1 }
            let (a, b) = (band[segment], band[segment + 1])
            // Half a column of slack, or rounding would cut the ends off.
            guard frame.x(atColumn: Double(column) - 0.5) <= b.x, frame.x(atColumn: Double(column) + 0.5) >= a.x else {
                continue
            }
            let t = b.x > a.x ? min(1, max(0, (value - a.x) / (b.x - a.x))) : 0
            guard let bottom = y.position(a.low + (b.low - a.low) * t, in: frame.yDomain),
                let top = y.position(a.high + (b.high - a.high) * t, in: frame.yDomain)
            else { continue }
            let rows = Double(frame.plot.height - 1)
            let first = Int((max(0, 1 - top) * rows).rounded())
            let last = Int((min(1, 1 - bottom) * rows).rounded())
            guard first <= last else { continue }
            let area = Rect(x: frame.plot.x + column, y: frame.plot.y + first, width: 1, height: last - first + 1)
            grid.fill(area, with: theme.glyphs.shades[0], style: Style(.estimate, .dim))
        }
    }

    private func drawCurves(_ frame: ChartFrame, on grid: inout CellGrid, theme: Theme) {
        if let reference, let y = frame.cell(frame.xDomain.lowerBound, reference)?.y {
            for column in stride(from: frame.plot.x, to: frame.plot.maxX, by: 2) {
                grid.put(theme.glyphs.axisHorizontal, at: Point(x: column, y: y), style: .muted)
            }
        }
        if let limit, let y = frame.cell(frame.xDomain.lowerBound, limit)?.y {
            for column in frame.plot.x..<frame.plot.maxX { grid.put(theme.glyphs.axisHorizontal, at: Point(x: column, y: y), style: Style(.warning)) }
        }
        if let current, let column = frame.column(current) {
            grid.fill(
                Rect(x: column, y: frame.plot.y, width: 1, height: frame.plot.height), with: theme.glyphs.cursorLine,
                style: .muted)
        }
        if let cursor, let column = frame.column(cursor) {
            grid.fill(
                Rect(x: column, y: frame.plot.y, width: 1, height: frame.plot.height), with: theme.glyphs.axisVertical,
                style: Style(.accent, .bold))
        }
        // The first series is drawn last, on top.
        let curves = curves(frame)
        for index in curves.indices.reversed() {
            let (series, frame) = curves[index]
            var raster = raster(of: index, columns: frame.plot.width, rows: frame.plot.height, theme: theme)
            let style = style(of: index)
            var previous: (x: Double, y: Double)?
            var phase = 0
            for point in series.points {
                let place = frame.point(point.x, point.y, in: raster)
                if let previous, let place {
                    raster.line(from: previous, to: place, style: style, dash: Self.dashes[index % 8], phase: &phase)
                } else if let place {
                    raster.set(Int(place.x.rounded()), Int(place.y.rounded()), style: style)
                }
                previous = place
            }
            raster.draw(at: frame.plot.origin, on: &grid)
        }
        for index in curves.indices.reversed() {
            let (series, frame) = curves[index]
            func mark(_ points: [ChartPoint], _ marker: Character) {
                for point in points {
                    guard let cell = frame.cell(point.x, point.y) else { continue }
                    grid.put(marker, at: cell, style: style(of: index).adding(.bold))
                }
            }
            // Full markers for what is measured lie over the hollow ones of estimates.
            mark(series.estimated, theme.glyphs.markers[(index + 4) % 8])
            mark(series.marked, theme.glyphs.markers[index % 8])
        }
    }

    private func legend(theme: Theme) -> StyledLine {
        let all = series + (right.map { [$0.series] } ?? [])
        guard all.count > 1 else { return StyledLine(all.first?.name ?? "", .muted) }
        var line = StyledLine()
        for index in all.indices {
            var raster = raster(of: index, columns: 3, rows: 1, theme: theme)
            var phase = 0
            let middle = Double(raster.height / 2)
            raster.line(
                from: (0, middle), to: (Double(raster.width - 1), middle), style: .standard,
                dash: Self.dashes[index % 8], phase: &phase)
            var sample = CellGrid(width: 3, height: 1, tier: theme.glyphTier)
            raster.draw(at: Point(x: 0, y: 0), on: &sample)
            if index > 0 { line += Span("  ") }
            line += Span(sample.text(row: 0), style(of: index))
            line += Span(" " + all[index].name + (index < series.count ? "" : " (right)"), .muted)
        }
        return line
    }

    /// The exact values nearest to the cursor.
    /// - Parameter isShort: values alone, in the order of the curves.
    private func readout(at value: Double, theme: Theme, isShort: Bool = false) -> StyledLine {
        var line = isShort ? StyledLine() : StyledLine("\(x.label) \(x.format.text(value))", .bold)
        let all = series.map { ($0, y) } + (right.map { [($0.series, $0.axis)] } ?? [])
        for (index, entry) in all.enumerated() {
            let (series, axis) = entry
            let candidates = series.marked + series.points
            let near = candidates.filter { $0.y.isFinite }.min { abs($0.x - value) < abs($1.x - value) }
            guard let near else { continue }
            let name = all.count > 1 && !isShort ? series.name + (index < self.series.count ? " " : " (right) ") : index < self.series.count ? "" : "right "
            let figure = Figure(near.y, axis.format, standing: series.estimated.contains(near) && !series.marked.contains(near) ? .estimated : .measured)
            line += Span("  \(name)\(figure.text(tier: theme.glyphTier))", style(of: index).adding(.bold))
            if near.x != value, !isShort { line += Span(" at \(x.format.text(near.x))", .muted) }
        }
        return line
    }
}
