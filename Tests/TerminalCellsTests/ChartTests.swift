import Testing

@testable import TerminalCells

@Suite struct ChartTests {
    @Test func ticksAreRound() {
        func labels(_ axis: Axis, _ domain: ClosedRange<Double>, _ count: Int) -> [String] {
            axis.labels(for: axis.ticks(in: domain, atMost: count))
        }
        #expect(labels(Axis("x"), 0...1, 6) == ["0", "0.2", "0.4", "0.6", "0.8", "1"])
        #expect(labels(Axis("x", format: .percent()), 0.36...0.95, 4) == ["40 %", "60 %", "80 %"])
        #expect(labels(Axis("x", format: .percent()), 0.981...0.984, 4) == ["98.1 %", "98.2 %", "98.3 %", "98.4 %"])
        #expect(labels(Axis("x", format: .bytes), 0...2_000_000, 5) == ["0 B", "500 KB", "1 MB", "1.5 MB", "2 MB"])
        #expect(
            labels(Axis("x", format: .bytes, scale: .log), 900...2_000_000, 5) == ["1 KB", "10 KB", "100 KB", "1 MB"])
        #expect(labels(Axis("x", scale: .log), 0.9...12, 9) == ["1", "2", "5", "10"])
    }

    @Test func ticksLieInsideAndNeverExceedTheirNumber() {
        var generator = SeededGenerator(state: 8)
        for _ in 0..<2000 {
            let low = Double.random(in: -1000...1000, using: &generator)
            let high = low + ElementaryMath.pow10(Double.random(in: -6...6, using: &generator))
            let count = Int.random(in: 2...10, using: &generator)
            let ticks = Axis("x").ticks(in: low...high, atMost: count)
            let slack = (high - low) * 1e-6
            #expect(ticks.count <= count && ticks.count >= 2)
            #expect(ticks.allSatisfy { $0 >= low - slack && $0 <= high + slack })
            let logTicks = Axis("x", scale: .log).ticks(
                in: 1e-3...ElementaryMath.pow10(Double.random(in: -2.5...8, using: &generator)), atMost: count)
            #expect(logTicks.count <= count)
            #expect(logTicks == logTicks.sorted())
        }
    }

    /// A second curve has its own scale, on the right: the same shape in other units lies on the same cells.
    @Test(arguments: GlyphTier.allCases) func aSecondScaleStandsOnTheRight(tier: GlyphTier) {
        let rising = (0...10).map { ChartPoint(Double($0), Double($0) / 10) }
        let milliseconds = rising.map { ChartPoint($0.x, 2 + 3 * $0.y) }
        let y = Axis("accuracy", format: .percent(), range: 0...1)
        var chart = LineChart(
            series: [.init("accuracy", [])], x: Axis("ratio"), y: y, right: .init(.init("latency", milliseconds), Axis("latency", format: .general, range: 2...5)), cursor: 10)
        func drawn(_ chart: LineChart) -> CellGrid {
            var grid = CellGrid(width: 50, height: 14, tier: tier)
            grid.draw(chart, in: Rect(x: 0, y: 0, width: 50, height: 14), theme: Theme(glyphTier: tier))
            return grid
        }
        let overlaid = drawn(chart)
        let rows = (0..<14).map { row in String(overlaid.text(row: row).reversed().drop { $0 == " " }.reversed()) }
        // Ticks of both, each on its side; the exact value says which scale it is of.
        #expect(rows.contains { $0.hasPrefix("100 %") && $0.hasSuffix("5") && !$0.hasSuffix("0.5") }, "\(rows)")
        #expect(rows.contains { $0.hasPrefix("  0 %") && $0.hasSuffix("2") })
        #expect(rows[0].contains("latency (right) 5") && !rows[0].contains("accuracy (right)"), "\(rows[0])")
        // The curve ends in the upper right corner as it would on the left scale.
        chart.right = .init(.init("latency", rising), Axis("latency", format: .general, range: 0...1))
        let same = (1..<11).map { String(drawn(chart).text(row: $0).dropFirst(7).prefix(38)) }
        #expect(same == (1..<11).map { String(overlaid.text(row: $0).dropFirst(7).prefix(38)) })
        chart.right = nil
        #expect(!drawn(chart).text(row: 0).contains("right"))
    }

    @Test func brailleDotsLieWhereTheyShould() {
        // Unicode 2800: dots 1 2 3 7 down the left column, 4 5 6 8 down the right one.
        let expected: [(Int, Int, Character)] = [
            (0, 0, "⠁"), (0, 1, "⠂"), (0, 2, "⠄"), (0, 3, "⡀"), (1, 0, "⠈"), (1, 1, "⠐"), (1, 2, "⠠"), (1, 3, "⢀"),
        ]
        for (x, y, glyph) in expected {
            var raster = DotRaster(columns: 1, rows: 1, tier: .braille)
            raster.set(x, y, style: .standard)
            var grid = CellGrid(width: 1, height: 1)
            raster.draw(at: Point(x: 0, y: 0), on: &grid)
            #expect(grid[0, 0].character == glyph)
        }
        let quadrants: [(Int, Int, Character)] = [(0, 0, "▘"), (1, 0, "▝"), (0, 1, "▖"), (1, 1, "▗")]
        for (x, y, glyph) in quadrants {
            var raster = DotRaster(columns: 1, rows: 1, tier: .block)
            raster.set(x, y, style: .standard)
            var grid = CellGrid(width: 1, height: 1)
            raster.draw(at: Point(x: 0, y: 0), on: &grid)
            #expect(grid[0, 0].character == glyph)
        }
    }

    /// A monotone curve is drawn monotone, and both its ends are there.
    @Test(arguments: GlyphTier.allCases) func curvesFollowTheirPoints(tier: GlyphTier) {
        let theme = Theme(glyphTier: tier)
        var grid = CellGrid(width: 60, height: 20, tier: tier)
        let points = (0...30).map { ChartPoint(Double($0), Double($0)) }
        let axis = Axis("", range: 0...30)
        grid.draw(LineChart(series: [LineChart.Series("", points)], x: axis, y: axis), in: grid.bounds, theme: theme)
        let frame = ChartFrame(in: grid.bounds, x: axis, y: axis, xValues: [], yValues: [])
        var tops: [Int] = []
        for x in frame.plot.minX..<frame.plot.maxX {
            let rows = (frame.plot.minY..<frame.plot.maxY).filter { grid[x, $0].character != " " }
            #expect(!rows.isEmpty)
            tops.append(rows.min() ?? 0)
        }
        #expect(tops == tops.sorted(by: >))
        #expect(tops.first == frame.plot.maxY - 1 && tops.last == frame.plot.minY)
    }

    /// Infinite, missing and negative values on a logarithmic axis are left out without a trap.
    @Test(arguments: GlyphTier.allCases) func uglyDataIsHarmless(tier: GlyphTier) {
        let theme = Theme(glyphTier: tier)
        let ugly = [
            ChartPoint(.nan, 1), ChartPoint(1, .infinity), ChartPoint(-1, 2), ChartPoint(0, 0),
            ChartPoint(1e300, 1e-300), ChartPoint(3, 4),
        ]
        for scale in [Axis.Scale.linear, .log] {
            for points in [ugly, [], [ugly[0]], [ugly[5]], [ugly[5], ugly[5]]] {
                var grid = CellGrid(width: 60, height: 20, tier: tier)
                let axis = Axis("a", scale: scale)
                grid.draw(
                    LineChart(series: [LineChart.Series("s", points)], x: axis, y: axis, cursor: .nan), in: grid.bounds,
                    theme: theme)
                grid.draw(
                    ScatterChart(
                        classes: [ScatterChart.PointClass("s", points)], front: points, x: axis, y: axis,
                        cursor: points.first), in: grid.bounds, theme: theme)
                grid.draw(Sparkline(points.map(\.y)), in: grid.bounds, theme: theme)
                grid.draw(
                    Histogram(counts: points.map { $0.y.isFinite ? abs($0.y) : 0 }, range: 0...1, x: axis),
                    in: grid.bounds, theme: theme)
                grid.draw(
                    HeatMap(rowLabels: ["r"], columnLabels: points.map { _ in "c" }, values: [points.map(\.y)]),
                    in: grid.bounds, theme: theme)
                for point in points { grid.draw(Gauge(now: point.x, baseline: point.y), in: grid.bounds, theme: theme) }
                for point in points {
                    grid.draw(Slider(value: point.x, range: 0...1, text: ""), in: grid.bounds, theme: theme)
                }
                #expect(grid.size.width == 60)
            }
        }
    }

    /// Bars have the area of their counts, also when bins and columns do not match.
    @Test func histogramKeepsItsShape() {
        // A flat distribution must look flat: 64 equal bins on any number of columns.
        for width in [20, 37, 50, 64, 90] {
            var grid = CellGrid(width: width, height: 12)
            grid.draw(
                Histogram(counts: [Double](repeating: 10, count: 64), range: 0...1, x: Axis("")), in: grid.bounds,
                theme: Theme())
            let frame = ChartFrame(
                in: grid.bounds, x: Axis("", range: 0...1), y: Axis("count", format: .count, range: 0...100),
                xValues: [], yValues: [])
            let row = (frame.plot.minX + 2..<frame.plot.maxX - 1).map { grid[$0, 4].character }
            #expect(Set(row).count == 1, "width \(width): \(String(row))")
        }
    }

    @Test func gaugeFillsItsShare() {
        for tier in GlyphTier.allCases {
            var grid = CellGrid(width: 80, height: 1, tier: tier)
            grid.draw(Gauge(now: 25, baseline: 100, maximum: 100), in: grid.bounds, theme: Theme(glyphTier: tier))
            let full = Glyphs.of(tier).horizontalBar.last
            #expect((0..<80).filter { grid[$0, 0].character == full }.count == 20)
        }
    }

    @Test func scrollThumbReachesBothEnds() throws {
        for (visible, total, length) in [(10, 100, 10), (5, 6, 8), (1, 1000, 20)] {
            let top = try #require(ScrollPosition(offset: 0, visible: visible, total: total).thumb(length: length))
            let end = try #require(
                ScrollPosition(offset: total - visible, visible: visible, total: total).thumb(length: length))
            #expect(top.first == 0 && end.first + end.count == length && top.count >= 1)
        }
        #expect(ScrollPosition(offset: 0, visible: 10, total: 10).thumb(length: 5) == nil)
    }

    /// A value from a part of the data is marked and written otherwise than a measured one.
    @Test func estimatesOnACurveLookDifferent() {
        let theme = Theme(glyphTier: .block)
        func text(_ series: LineChart.Series) -> String {
            var grid = CellGrid(width: 60, height: 12, tier: .block)
            grid.draw(LineChart(series: [series], x: Axis("x"), y: Axis("y"), cursor: 2), in: grid.bounds, theme: theme)
            return grid.text
        }
        let points = [ChartPoint(1, 1), ChartPoint(2, 4), ChartPoint(3, 2)]
        let estimated = text(LineChart.Series("s", points, estimated: points))
        #expect(estimated.contains("≈4") && estimated.contains("○") && !estimated.contains("●"))
        let mixed = text(LineChart.Series("s", points, marked: [points[1]], estimated: [points[0], points[2]]))
        #expect(!mixed.contains("≈") && mixed.contains("○") && mixed.contains("●"))
    }
}
