/// The axes of a chart laid out in a rectangle: where the plot is, and how values map into it.
struct ChartFrame {
    let plot: Rect
    let x: Axis
    private(set) var y: Axis
    let xDomain: ClosedRange<Double>
    private(set) var yDomain: ClosedRange<Double>
    private let frame: Rect
    private let right: (axis: Axis, domain: ClosedRange<Double>, ticks: [Double], labels: [String])?
    private let yTicks: [Double]
    private let yLabels: [String]

    /// Lays out axes for the given data. On the left the tick labels of y, below a line, the tick labels of x and its label;
    /// above the plot the label of y. A second axis of y has its tick labels on the right.
    init(in rect: Rect, x: Axis, y: Axis, xValues: [Double], yValues: [Double], right: (axis: Axis, values: [Double])? = nil) {
        self.x = x
        self.y = y
        frame = rect
        xDomain = x.domain(of: xValues)
        yDomain = y.domain(of: yValues)
        // Top: y label and legend. Bottom: axis line, tick labels.
        let height = max(0, rect.height - 3)
        yTicks = y.ticks(in: yDomain, atMost: max(2, min(8, (height + 1) / 2)))
        yLabels = y.labels(for: yTicks)
        let labelWidth = min(max(3, yLabels.map(DisplayWidth.of(_:)).max() ?? 3), max(0, rect.width / 3))
        var rightWidth = 0
        if let right {
            let domain = right.axis.domain(of: right.values)
            let ticks = right.axis.ticks(in: domain, atMost: max(2, min(8, (height + 1) / 2)))
            let labels = right.axis.labels(for: ticks)
            self.right = (right.axis, domain, ticks, labels)
            rightWidth = min(max(3, labels.map(DisplayWidth.of(_:)).max() ?? 3), rect.width / 4) + 1
        } else {
            self.right = nil
        }
        plot = Rect(x: rect.x + labelWidth + 1, y: rect.y + 1, width: rect.width - labelWidth - 1 - rightWidth, height: height)
    }

    /// The same plot with the right axis as that of y; `nil` where there is none.
    var onRight: ChartFrame? {
        guard let right else { return nil }
        var other = self
        (other.y, other.yDomain) = (right.axis, right.domain)
        return other
    }

    /// Whether there is room for more than the frame.
    var isDrawable: Bool { plot.width >= 4 && plot.height >= 2 }

    /// Position in a raster over the plot, in points.
    func point(_ x: Double, _ y: Double, in raster: DotRaster) -> (x: Double, y: Double)? {
        guard let px = self.x.position(x, in: xDomain), let py = self.y.position(y, in: yDomain) else { return nil }
        // Far outside is as good as further outside, and fits an Int.
        func near(_ share: Double) -> Double { min(1000, max(-1000, share)) }
        return (near(px) * Double(raster.width - 1), (1 - near(py)) * Double(raster.height - 1))
    }

    /// The cell of a value pair, when it is inside the plot.
    func cell(_ x: Double, _ y: Double) -> Point? {
        guard let column = column(x), let row = row(y) else { return nil }
        return Point(x: column, y: row)
    }

    /// The value in the middle of a column of the plot.
    func x(atColumn column: Double) -> Double {
        let share = column / Double(max(1, plot.width - 1))
        let (low, high) = (xDomain.lowerBound, xDomain.upperBound)
        guard x.scale == .log else { return low + (high - low) * share }
        return low * ElementaryMath.pow10(ElementaryMath.log10(high / low) * share)
    }

    func column(_ value: Double) -> Int? {
        guard let p = x.position(value, in: xDomain), p >= 0, p <= 1 else { return nil }
        return plot.x + Int((p * Double(plot.width - 1)).rounded())
    }

    func row(_ value: Double) -> Int? {
        guard let p = y.position(value, in: yDomain), p >= 0, p <= 1 else { return nil }
        return plot.maxY - 1 - Int((p * Double(plot.height - 1)).rounded())
    }

    /// Draws lines, ticks and labels.
    func draw(on grid: inout CellGrid, theme: Theme) {
        let glyphs = theme.glyphs
        let axisX = plot.x - 1
        grid.put(StyledLine(y.label, .muted), in: Rect(x: frame.x, y: frame.y, width: frame.width, height: 1))
        grid.fill(Rect(x: axisX, y: plot.y, width: 1, height: plot.height), with: glyphs.axisVertical, style: .muted)
        grid.fill(
            Rect(x: plot.x, y: plot.maxY, width: plot.width, height: 1), with: glyphs.axisHorizontal, style: .muted)
        grid.put(glyphs.axisCorner, at: Point(x: axisX, y: plot.maxY), style: .muted)
        var lastRow = Int.max
        for (tick, label) in zip(yTicks, yLabels) {
            guard let row = row(tick), row < lastRow else { continue }
            lastRow = row
            grid.put(glyphs.axisTickY, at: Point(x: axisX, y: row), style: .muted)
            grid.put(
                StyledLine(label, .muted), in: Rect(x: frame.x, y: row, width: axisX - frame.x, height: 1),
                alignment: .right)
        }
        drawRight(on: &grid, glyphs: glyphs)
        drawX(on: &grid, glyphs: glyphs)
    }

    private func drawRight(on grid: inout CellGrid, glyphs: Glyphs) {
        guard let right, let other = onRight else { return }
        grid.fill(Rect(x: plot.maxX, y: plot.y, width: 1, height: plot.height), with: glyphs.axisVertical, style: .muted)
        var lastRow = Int.max
        for (tick, label) in zip(right.ticks, right.labels) {
            guard let row = other.row(tick), row < lastRow else { continue }
            lastRow = row
            grid.put(StyledLine(label, .muted), in: Rect(x: plot.maxX + 1, y: row, width: frame.maxX - plot.maxX - 1, height: 1))
        }
    }

    private func drawX(on grid: inout CellGrid, glyphs: Glyphs) {
        let row = plot.maxY + 1
        var count = min(8, max(2, plot.width / 9))
        var ticks: [Double] = []
        var labels: [String] = []
        while count >= 1 {
            ticks = x.ticks(in: xDomain, atMost: count)
            labels = x.labels(for: ticks)
            let widest = labels.map(DisplayWidth.of(_:)).max() ?? 0
            if ticks.count * (widest + 2) <= plot.width { break }
            count -= 1
        }
        var free = frame.x
        var gaps: [(start: Int, width: Int)] = []
        for (tick, label) in zip(ticks, labels) {
            guard let column = column(tick) else { continue }
            grid.put(glyphs.axisTickX, at: Point(x: column, y: plot.maxY), style: .muted)
            let width = DisplayWidth.of(label)
            let start = min(max(free, column - width / 2), frame.maxX - width)
            guard start >= free else { continue }
            grid.put(label, at: Point(x: start, y: row), style: .muted)
            gaps.append((free, start - free))
            free = start + width + 1
        }
        gaps.append((free, frame.maxX - free))
        // The name of x goes into the rightmost gap between its labels that holds it, else onto the axis itself.
        let name = StyledLine(x.label, Style(.muted, .italic))
        let width = name.width
        guard width > 0 else { return }
        if let gap = gaps.last(where: { $0.width >= width + ($0.start + $0.width < frame.maxX ? 6 : 2) }) {
            // In the middle between two labels, so that it is not read as part of one; at the right edge.
            let end = gap.start + gap.width
            let start = end < frame.maxX ? gap.start + (gap.width - 1 - width) / 2 : end - width
            grid.put(name, in: Rect(x: start, y: row, width: width, height: 1))
        } else if width + 4 <= plot.width {
            grid.put(name, in: Rect(x: plot.maxX - width - 1, y: plot.maxY, width: width, height: 1))
        }
    }

    /// A legend or readout at the right end of the top row, behind the label of y.
    /// Of several forms, the longest first, the first that fits is taken; the last one is cut if it must be.
    func header(_ forms: StyledLine..., on grid: inout CellGrid) {
        let used = DisplayWidth.of(y.label)
        let room = frame.row(0).inset(left: used > 0 ? used + 2 : 0)
        guard let line = forms.first(where: { $0.width <= room.width }) ?? forms.last else { return }
        grid.put(line, in: room, alignment: .right)
    }
}
