import CompressionEngine
import TerminalCells

/// Trials: the scatter plot (in two views), the list, the recipe of one.
extension Painter {
    mutating func drawScatter(_ pane: Pane, in rect: Rect) {
        let trials = model.plottedTrials
        let onFront = trials.count(where: \.isOnFront)
        var badge = StyledLine()
        if !trials.isEmpty { badge = StyledLine("\(trials.count) trials, \(onFront) on the front", .muted) }
        let title = "\(pane == .scatter ? "Trade-off" : "Pareto front"): \(model.axes.x.title), \(model.axes.y.title)"
        let content = panel(pane, in: rect, title: title, badge: badge)
        let hasCursor = pane == .paretoPlot || model.pane == .scatter
        let selected = hasCursor ? model.selectedTrial : nil
        let chart = scatterChart(trials, selected: selected)
        grid.draw(chart, in: content, theme: theme)
        for y in content.minY..<content.maxY where model.isMouseOn {
            for x in content.minX..<content.maxX {
                guard let found = chart.nearest(to: Point(x: x, y: y), in: content) else { continue }
                let point = chart.classes[found.pointClass].points[found.index]
                guard let trial = trials.first(where: { $0.x == point.x && $0.y == point.y })?.trial else { continue }
                hit(Rect(x: x, y: y, width: 1, height: 1), .trial(trial.id))
            }
        }
    }

    private func scatterChart(_ trials: [PlottedTrial], selected: TrialRecord?) -> ScatterChart {
        func points(_ choose: (PlottedTrial) -> Bool) -> [ChartPoint] { trials.filter(choose).map { ChartPoint($0.x, $0.y) } }
        let present = model.recipe.canonical
        let isPresent: (PlottedTrial) -> Bool = { $0.trial.recipe.canonical == present }
        // All of them, also the empty ones, so that a marker always means the same.
        let classes = [
            ScatterChart.PointClass("front", points { $0.isOnFront && !isPresent($0) }, role: .good),
            ScatterChart.PointClass("now", points(isPresent), role: .accent),
            ScatterChart.PointClass("pinned", points { $0.trial.pinned && !$0.isOnFront && !isPresent($0) }, role: .warning),
            ScatterChart.PointClass("baseline", baselinePoint.map { [$0] } ?? [], role: .series(0)),
            ScatterChart.PointClass("other", points { !$0.isOnFront && !$0.trial.pinned && !isPresent($0) }, role: .muted),
        ]
        let front = trials.filter(\.isOnFront).map { ChartPoint($0.x, $0.y) }
        let cursor = selected.flatMap { trial -> ChartPoint? in
            guard let x = model.axes.x.value(of: trial), let y = model.axes.y.value(of: trial) else { return nil }
            return ChartPoint(x, y)
        }
        return ScatterChart(
            classes: classes, front: front, x: axis(model.axes.x), y: axis(model.axes.y), cursor: cursor,
            cursorName: "")
    }

    private func axis(_ measure: Measure) -> Axis {
        Axis(measure.title, format: measure.format)
    }

    private var baselinePoint: ChartPoint? {
        func value(_ measure: Measure) -> Double? {
            if measure == .accuracy { return model.baselineAccuracy?.value }
            if measure == .latency { return model.latencyNow?.figures.baselineMedian }
            return model.baseline.flatMap { measure.figure(in: $0)?.value }
        }
        guard let x = value(model.axes.x), let y = value(model.axes.y) else { return nil }
        return ChartPoint(x, y)
    }

    mutating func drawTrialList(in rect: Rect) {
        let trials = model.trialRows
        let selected = trials.firstIndex { $0.id == model.selectedTrial?.id }
        let state = ListState(selected: selected).scrolled(count: trials.count, visible: rect.height - 3)
        let content = panel(
            .paretoList, in: rect, badge: StyledLine("\(trials.count)", .muted), scroll: scroll(state, count: trials.count, visible: rect.height - 3))
        let front = Set(model.plottedTrials.filter(\.isOnFront).map(\.trial.id))
        let sort = model.trialSort
        func column(_ measure: Measure, _ width: Int) -> TableColumn {
            TableColumn(measure.title, width: .fixed(width), alignment: .right, sort: sort.measure == measure ? (sort.isDescending ? .descending : .ascending) : nil)
        }
        let shown: [Measure] = [.accuracy, .file, .packed, .latency, .macs]
        let painter = self
        let table = Table(
            columns: [TableColumn("", width: .fixed(1)), TableColumn("recipe", width: .minimum(22))] + shown.map { column($0, $0 == .accuracy || $0 == .file ? 10 : 8) },
            rowCount: trials.count, state: state, isFocused: isFocused(.paretoList), pinnedColumns: 2,
            emptyText: "no trials yet: every evaluated recipe is kept here"
        ) { index in
            let trial = trials[index]
            let mark = trial.pinned ? "P" : (front.contains(trial.id) ? String(painter.glyphs.markers[0]) : " ")
            let numbers = shown.map { measure -> StyledLine in
                let standing: ShownFigure.Standing = measure == .accuracy && !trial.accuracyComplete ? .estimated : (measure == .energy ? .modelled : .measured)
                return StyledLine(ShownFigure(measure.value(of: trial), measure.format, standing: standing).span(theme: painter.theme))
            }
            return TableRow([StyledLine(mark, Style(.accent, .bold)), StyledLine(painter.model.summary(of: trial.recipe))] + numbers)
        }
        let area = content.inset(left: -1)
        grid.draw(table, in: area, theme: theme)
        for y in area.minY..<area.maxY {
            if let index = table.index(atY: y, in: area) { hit(Rect(x: area.x, y: y, width: area.width, height: 1), .row(.paretoList, index)) }
        }
    }

    mutating func drawTrialDetail(in rect: Rect) {
        guard let trial = model.selectedTrial else {
            let content = panel(.paretoDetail, in: rect)
            return text([StyledLine("no trial is chosen", .muted)], in: content)
        }
        let content = panel(.paretoDetail, in: rect, badge: trial.pinned ? StyledLine("pinned", .accent) : StyledLine(), footer: StyledLine("Enter takes this recipe", .muted))
        var lines = model.description(of: trial.recipe).map { StyledLine($0) }
        lines.append(StyledLine(""))
        for measure in Measure.ofTrials {
            guard let value = measure.value(of: trial) else { continue }
            let standing: ShownFigure.Standing = measure == .accuracy && !trial.accuracyComplete ? .estimated : (measure == .energy ? .modelled : .measured)
            var line: StyledLine = [Span(measure.title + " ", .muted), ShownFigure(value, measure.format, standing: standing).span(theme: theme, over: .bold)]
            if measure == .accuracy, let interval = trial.accuracyInterval {
                line += Span("  \(NumberFormat.fixed(interval.low * 100, digits: 2)) to \(NumberFormat.fixed(interval.high * 100, digits: 2)) %", .muted)
            }
            if measure == .latency, let ratio = trial.latencyRatio { line += Span("  \(NumberFormat.ratio().text(ratio))", .muted) }
            lines.append(line)
        }
        text(lines, in: content)
    }
}
