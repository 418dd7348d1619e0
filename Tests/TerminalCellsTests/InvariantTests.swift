import Testing

@testable import TerminalCells

/// What holds for every screen in every tier and size.
@Suite struct InvariantTests {
    static let themes = GlyphTier.allCases.flatMap { glyphs in
        ColorTier.allCases.map { Theme(glyphTier: glyphs, colorTier: $0) }
    }
    /// From nothing at all to far too small for any content, besides the sizes of the snapshots.
    static let sizes: [Size] =
        Scene.sizes
        + [(0, 0), (1, 1), (2, 2), (3, 1), (1, 30), (7, 3), (20, 4), (31, 9)].map { Size(width: $0.0, height: $0.1) }

    @Test(arguments: Scene.allCases, themes)
    func wideCharactersStayWhole(scene: Scene, theme: Theme) {
        for size in Self.sizes {
            let grid = scene.draw(size, theme)
            for y in 0..<size.height {
                for x in 0..<size.width {
                    let cell = grid[x, y]
                    if cell.width == 2 { #expect(x + 1 < size.width && grid[x + 1, y].width == 0) }
                    if cell.width == 0 { #expect(x > 0 && grid[x - 1, y].width == 2) }
                }
            }
        }
    }

    @Test(arguments: Scene.allCases) func asciiTierEmitsOnlyPrintableASCII(scene: Scene) {
        for size in Self.sizes {
            let grid = scene.draw(size, Theme(glyphTier: .ascii, colorTier: .mono))
            for scalar in grid.text.unicodeScalars where scalar != "\n" {
                #expect((0x20...0x7E).contains(scalar.value))
            }
        }
    }

    @Test(arguments: Scene.allCases, GlyphTier.allCases) func noControlCharacterReachesTheGrid(
        scene: Scene, tier: GlyphTier
    ) {
        let text = scene.draw(Size(width: 120, height: 40), Theme(glyphTier: tier)).text
        #expect(!text.unicodeScalars.contains { ($0.value < 0x20 && $0 != "\n") || (0x7F..<0xA0).contains($0.value) })
    }

    /// A screen drawn in a rectangle of a larger grid leaves the rest untouched and draws inside as it would alone.
    @Test(arguments: GlyphTier.allCases) func nothingLeavesItsRectangle(tier: GlyphTier) {
        let theme = Theme(glyphTier: tier)
        for (width, height) in [(59, 17), (30, 9), (8, 3), (3, 2)] {
            let place = Rect(x: 5, y: 4, width: width, height: height)
            for (name, widget) in Self.widgets(theme) {
                var grid = CellGrid(width: width + 10, height: height + 8, tier: tier)
                grid.fill(grid.bounds, with: "@")
                let before = grid
                func draw(_ widget: some Widget) { grid.draw(widget, in: place, theme: theme) }
                draw(widget)
                for y in 0..<grid.size.height {
                    for x in 0..<grid.size.width where !place.contains(Point(x: x, y: y)) {
                        #expect(grid[x, y] == before[x, y], "\(name) drew at \(x),\(y) outside \(place)")
                    }
                }
            }
        }
    }

    static func widgets(_ theme: Theme) -> [(String, any Widget)] {
        let points = (0..<20).map { ChartPoint(Double($0), Double($0 * $0)) }
        return [
            ("panel", Panel(title: "日本語のとても長いタイトル", hotkey: "1", badge: "badge", footer: "footer", isFocused: true)),
            ("table", Scene.table(theme)),
            (
                "list",
                ItemList([ListItem("日本語のとても長いタイトル", detail: "detail"), ListItem("b", disabledReason: "why not")])
            ),
            ("paragraph", Paragraph("日本語 and a long text that must be wrapped in narrow places")),
            ("tabs", Tabs(["One", "Two", "Three"], selected: 2)),
            ("hints", KeyHints([KeyHint("enter", "edit"), KeyHint("q", "quit")])),
            ("dialog", Dialog(title: "A title wider than most", body: ["Body"], buttons: ["Yes", "No"])),
            ("field", TextField("日本語のとても長いタイトル", prompt: "prompt ", error: "wrong")),
            ("slider", Slider(value: 1, range: 0...1, defaultValue: 0, text: "a long value text")),
            ("gauge", Gauge(now: 5, baseline: 4, interval: 4.5...5.5, limit: 9)),
            ("progress", ProgressBar(phase: "a long phase name", fraction: 0.5, elapsed: 100, remaining: 50)),
            ("toast", Toast(.failure, "a long message about a failure that will not fit")),
            (
                "commands",
                CommandList(commands: [Command("a command with a long name", keys: "ctrl-x", group: "group")])
            ),
            ("line", LineChart(series: [LineChart.Series("s", points)], x: Axis("x"), y: Axis("y"), cursor: 3)),
            (
                "scatter",
                ScatterChart(classes: [ScatterChart.PointClass("c", points)], front: points, x: Axis("x"), y: Axis("y"))
            ),
            ("histogram", Histogram(counts: points.map(\.y), range: 0...1, x: Axis("x"), cursor: 0.5)),
            ("heat map", HeatMap(rowLabels: ["日本語"], columnLabels: ["a", "b"], values: [[1, nil]], cursor: (0, 1))),
            ("sparkline", Sparkline(points.map(\.y))),
            ("too small", TooSmall(needed: Size(width: 80, height: 24))),
        ]
    }

    /// Without color, the selected row differs from every other row in its attributes.
    @Test(arguments: [true, false]) func selectionShowsInMono(isFocused: Bool) {
        let theme = Theme(glyphTier: .ascii, colorTier: .mono)
        func attributes(selected: Int) -> [Attributes] {
            var table = Scene.table(theme)
            table.state.selected = selected
            table.isFocused = isFocused
            var grid = CellGrid(width: 50, height: 7, tier: .ascii)
            grid.draw(table, in: grid.bounds, theme: theme)
            return (0..<7).map { theme.palette.resolve(grid[1, $0].style).attributes }
        }
        for row in 0..<5 {
            let other = attributes(selected: (row + 1) % 5)[row + 1]
            #expect(attributes(selected: row)[row + 1] != other)
        }
    }

    /// The focus of a panel shows without color: in ASCII by its glyphs, everywhere by attributes.
    @Test(arguments: GlyphTier.allCases) func focusShowsInMono(tier: GlyphTier) {
        let theme = Theme(glyphTier: tier, colorTier: .mono)
        func corner(_ isFocused: Bool) -> Character {
            var grid = CellGrid(width: 20, height: 4, tier: tier)
            grid.draw(Panel(title: "t", isFocused: isFocused), in: grid.bounds, theme: theme)
            return grid[0, 0].character
        }
        #expect(corner(true) != corner(false))
    }
}
