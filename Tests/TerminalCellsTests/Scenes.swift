import TerminalCells

/// Screens that show every widget, for snapshots and invariants.
enum Scene: String, CaseIterable, Sendable {
    case widgets, charts, overlay

    func draw(_ size: Size, _ theme: Theme) -> CellGrid {
        var grid = CellGrid(size: size, tier: theme.glyphTier)
        switch self {
        case .widgets: Self.widgets(&grid, theme)
        case .charts: Self.charts(&grid, theme)
        case .overlay: Self.overlay(&grid, theme)
        }
        return grid
    }

    static let sizes = [
        Size(width: 59, height: 17), Size(width: 80, height: 24), Size(width: 120, height: 40),
        Size(width: 200, height: 60),
    ]

    static let layers: [(name: String, bytes: Double, accuracy: Figure)] = [
        ("conv1/weight", 2000, Figure(0.912, .percent())),
        (
            "/backbone/stage.2/block.1/conv/weight", 147_456,
            Figure(0.904, .percent(), standing: .estimated, margin: 0.021)
        ),
        ("層/重み", 1_048_576, Figure(0.87, .percent(), isStale: true)),
        ("fc/bias", 40, Figure(nil, .percent())),
        ("embedding e\u{301}\u{1B}[31m", 25_600_000, Figure(1.32e-3, .si(unit: "J"), standing: .modeled)),
    ]

    static func table(_ theme: Theme) -> Table {
        Table(
            columns: [
                TableColumn("layer", width: .minimum(12), truncation: .middle),
                TableColumn("size", width: .fixed(9), alignment: .right, sort: .descending),
                TableColumn("value", width: .fixed(18), alignment: .right),
            ],
            rows: layers.enumerated().map { index, layer in
                TableRow(
                    [
                        StyledLine(layer.name), StyledLine(NumberFormat.bytes.text(layer.bytes)),
                        StyledLine(layer.accuracy.span(theme: theme)),
                    ], isDisabled: index == 3, isMarked: index == 0)
            }, state: ListState(selected: 1))
    }

    private static func widgets(_ grid: inout CellGrid, _ theme: Theme) {
        let parts = grid.bounds.rows([.fixed(1), .fill, .fixed(1), .fixed(1)])
        grid.draw(
            Tabs(["Explore", "Layers", "Pareto", "History", "Jobs", "Export"], selected: 1), in: parts[0], theme: theme)
        let columns = parts[1].columns([.percentage(55), .fill])
        let left = columns[0].rows([.fixed(8), .fill])
        let scroll = ScrollPosition(offset: 0, visible: 5, total: 9)
        grid.draw(
            Panel(title: "Layers", hotkey: "1", badge: "5 of 9", isFocused: true, scroll: scroll), in: left[0],
            theme: theme)
        grid.draw(table(theme), in: Panel.content(of: left[0]), theme: theme)
        grid.draw(Panel(title: "Techniques", hotkey: "2", footer: "2 on"), in: left[1], theme: theme)
        let items = [
            ListItem("\(theme.glyphs.checkboxOn) magnitude pruning", detail: "90 %"),
            ListItem("\(theme.glyphs.checkboxOff) static int8"),
            ListItem("\(theme.glyphs.checkboxOff) MatMulNBits", disabledReason: "no MatMul with constant weights"),
        ]
        grid.draw(
            ItemList(items, state: ListState(selected: 0), isFocused: false), in: Panel.content(of: left[1]),
            theme: theme)
        grid.draw(Panel(title: "Now"), in: columns[1], theme: theme)
        let inner = Panel.content(of: columns[1])
        grid.draw(Gauge(now: 37, baseline: 100), in: inner.row(0), theme: theme)
        grid.draw(Gauge(now: 120, baseline: 100), in: inner.row(1), theme: theme)
        grid.draw(
            Gauge(now: 0.9, baseline: 0.93, interval: 0.86...0.92, minimum: 0.5, maximum: 1, limit: 0.8),
            in: inner.row(2), theme: theme)
        grid.draw(Gauge(now: nil, baseline: 1, maximum: 1.2), in: inner.row(3), theme: theme)
        grid.draw(
            Slider(value: 0.7, range: 0...1, defaultValue: 0.5, text: "0.70", isFocused: true), in: inner.row(4),
            theme: theme)
        grid.draw(
            Slider(value: 4, range: 2...8, defaultValue: 4, text: "4 bit", isDisabled: true), in: inner.row(5),
            theme: theme)
        grid.draw(
            Slider(value: 0.7, range: 0...1, text: "", entry: TextField("0.8", error: nil)), in: inner.row(6),
            theme: theme)
        grid.draw(
            ProgressBar(phase: "evaluating", fraction: 0.43, elapsed: 12, remaining: 16, tick: 3), in: inner.row(7),
            theme: theme)
        grid.draw(ProgressBar(phase: "reading the model", fraction: nil, elapsed: 0.4), in: inner.row(8), theme: theme)
        grid.draw(Sparkline([1, 2, nil, 4, 8, 5, 3, 3, 9, 0]), in: inner.row(9), theme: theme)
        for (row, kind) in [Toast.Kind.info, .success, .warning, .failure].enumerated() {
            grid.draw(Toast(kind, "a message of this kind"), in: inner.row(10 + row), theme: theme)
        }
        grid.draw(TextField("conv", prompt: "/", error: "no layer of this name"), in: parts[2], theme: theme)
        grid.draw(
            KeyHints([
                KeyHint("enter", "edit"), KeyHint("space", "on/off"), KeyHint("u", "undo", isEnabled: false),
                KeyHint("/", "filter"), KeyHint("q", "quit"),
            ]), in: parts[3], theme: theme)
    }

    private static func charts(_ grid: inout CellGrid, _ theme: Theme) {
        let rows = grid.bounds.rows([.percentage(50), .fill])
        let top = rows[0].columns([.percentage(50), .fill])
        let bottom = rows[1].columns([.percentage(50), .fill])
        let curve = (0...40).map { index -> ChartPoint in
            let x = Double(index) / 40
            return ChartPoint(x, 0.92 - 0.5 * x * x * x)
        }
        let raw = curve.map { ChartPoint($0.x, $0.y - 0.08) }
        let band = curve.map { LineChart.BandPoint(x: $0.x, low: $0.y - 0.03, high: $0.y + 0.02) }
        let line = LineChart(
            series: [LineChart.Series("tuned", curve, marked: [curve[8], curve[24]]), LineChart.Series("raw", raw)],
            x: Axis("sparsity", format: .percent()), y: Axis("accuracy", format: .percent()), band: band, current: 0.5,
            reference: 0.9)
        grid.draw(Panel(title: "What if"), in: top[0], theme: theme)
        grid.draw(line, in: Panel.content(of: top[0]), theme: theme)

        let tried = [(40e3, 0.88), (60e3, 0.905), (400e3, 0.91), (1.7e6, 0.915), (90e3, 0.86)].map {
            ChartPoint($0.0, $0.1)
        }
        let scatter = ScatterChart(
            classes: [
                ScatterChart.PointClass("int8", Array(tried[..<2])),
                ScatterChart.PointClass("pruned", Array(tried[2...])),
            ], front: Array(tried[..<4]), x: Axis("size", format: .bytes, scale: .log),
            y: Axis("accuracy", format: .percent()),
            cursor: tried[1], cursorName: "trial 7")
        grid.draw(Panel(title: "Pareto"), in: top[1], theme: theme)
        grid.draw(scatter, in: Panel.content(of: top[1]), theme: theme)

        let counts = (0..<64).map { index -> Double in
            let d = Double(index) - 31.5
            return (2000 / (1 + d * d / 20)).rounded()
        }
        grid.draw(Panel(title: "Weights"), in: bottom[0], theme: theme)
        grid.draw(
            Histogram(
                counts: counts, range: -0.4...0.4, x: Axis("weight"), isLogarithmic: true, muted: -0.05...0.05,
                cursor: 0.1),
            in: Panel.content(of: bottom[0]), theme: theme)

        grid.draw(Panel(title: "Sensitivity"), in: bottom[1], theme: theme)
        let map = HeatMap(
            rowLabels: ["conv1", "conv2", "fc1", "fc2"], columnLabels: ["8 bit", "6 bit", "4 bit", "2 bit"],
            values: [[0, 0.001, 0.02, 0.3], [0, 0.002, 0.03, 0.25], [0, 0, 0.004, 0.1], [0, 0.001, nil, nil]],
            format: .points(), cursor: (row: 1, column: 2))
        grid.draw(map, in: Panel.content(of: bottom[1]), theme: theme)
    }

    private static func overlay(_ grid: inout CellGrid, _ theme: Theme) {
        widgets(&grid, theme)
        var list = CommandList(commands: [
            Command("export model and recipe", keys: "x", group: "file"),
            Command("next layer", keys: "j", group: "move"),
            Command("explore", keys: "1", group: "view"),
            Command("expand subgraph", group: "view", disabledReason: "the model has none"),
        ])
        list.field.set("exp")
        let box = grid.bounds.centered(width: 50, height: 7)
        grid.fill(box)
        grid.draw(Panel(title: "Commands", isFocused: true), in: box, theme: theme)
        grid.draw(list, in: Panel.content(of: box), theme: theme)
        let below = Rect(x: 0, y: box.maxY, width: grid.size.width, height: grid.size.height - box.maxY)
        grid.draw(
            Dialog(
                title: "Delete trial 7?", body: ["Its numbers are lost. The recipe stays in the history."],
                buttons: ["Delete", "Keep"], selectedButton: 1),
            in: below, theme: theme)
    }
}
