import CompressionEngine
import Measurement
import Recipes
import TerminalCells

/// Trials: the scatter plot (in two views), the list, the recipe of one.
extension Painter {
    mutating func drawScatter(_ pane: Pane, in rect: Rect) {
        let trials = model.plottedTrials
        let onFront = trials.count(where: \.isOnFront)
        var badge = StyledLine()
        let title = pane == .scatter ? "Trade-off" : "Pareto front: \(model.board.axes.x.title), \(model.board.axes.y.title)"
        let count = "\(trials.count) trial\(trials.count == 1 ? "" : "s")"
        if !trials.isEmpty {
            let full = "\(count), \(onFront) on the front"
            badge = StyledLine(title.count + full.count + 6 <= rect.width ? full : count, .muted)
        }
        // The chart's top row is for what is under the cursor: what the markers mean stands below.
        let content = panel(pane, in: rect, title: title, badge: badge, footer: markers(width: rect.width - 4))
        let hasCursor = pane == .paretoPlot || model.pane == .scatter
        let selected = hasCursor ? model.selectedTrial : nil
        let chart = scatterChart(trials, selected: selected)
        grid.draw(chart, in: content, theme: theme)
        plots.append(Plot(rect: content, chart: chart, trials: trials))
    }

    /// What the markers mean; closer together where room is short.
    private func markers(width: Int) -> StyledLine {
        func line(_ gap: String, _ between: String) -> StyledLine {
            var line = StyledLine()
            for (index, name) in Self.markerNames.enumerated() {
                line += [Span(index > 0 ? between : ""), Span("\(glyphs.markers[index])\(gap)", Style(Self.markerRoles[index], .bold)), Span(name, .muted)]
            }
            return line
        }
        let wide = line(" ", "  ")
        return wide.width <= width ? wide : line("", " ")
    }

    // The first is drawn on top: where one is.
    private static let markerNames = ["now", "front", "pinned", "baseline", "other"]
    private static let markerRoles: [Role] = [.accent, .good, .warning, .series(0), .muted]

    private func scatterChart(_ trials: [PlottedTrial], selected: TrialRecord?) -> ScatterChart {
        let present = model.recipe.contentHash
        let isNow = Set(trials.filter { $0.trial.recipeHash == present }.map(\.trial.id))
        func points(_ choose: (PlottedTrial) -> Bool) -> [ChartPoint] { trials.filter(choose).map { ChartPoint($0.x, $0.y) } }
        let isPresent: (PlottedTrial) -> Bool = { isNow.contains($0.trial.id) }
        // All of them, also the empty ones, so that a marker always means the same.
        let classes = [
            points(isPresent), points { $0.isOnFront && !isPresent($0) }, points { $0.trial.pinned && !$0.isOnFront && !isPresent($0) },
            baselinePoint.map { [$0] } ?? [], points { !$0.isOnFront && !$0.trial.pinned && !isPresent($0) },
        ].enumerated().map { ScatterChart.PointClass(Self.markerNames[$0], $1, role: Self.markerRoles[$0]) }
        let front = trials.filter(\.isOnFront).map { ChartPoint($0.x, $0.y) }
        let cursor = selected.flatMap { trial -> ChartPoint? in
            guard let x = trial.figures[model.board.axes.x], let y = trial.figures[model.board.axes.y] else { return nil }
            return ChartPoint(x, y)
        }
        // Raw and recovered: where one is, and under the cursor.
        let learned = trials.filter { isNow.contains($0.trial.id) || $0.trial.id == selected?.id }.filter(\.trial.recipe.learns)
        let links = learned.compactMap { point -> ScatterChart.Link? in
            guard let raw = model.beforeTraining(point.trial.recipe), let x = raw.figures[model.board.axes.x], let y = raw.figures[model.board.axes.y] else { return nil }
            return ScatterChart.Link(from: ChartPoint(x, y), to: ChartPoint(point.x, point.y))
        }
        var chart = ScatterChart(
            classes: classes, front: front, links: links, x: axis(model.board.axes.x, isEmpty: trials.isEmpty), y: axis(model.board.axes.y, isEmpty: trials.isEmpty),
            cursor: cursor,
            cursorName: "", showsLegend: false, limitX: model.targetLimit(of: model.board.axes.x), limitY: model.targetLimit(of: model.board.axes.y))
        // Of those that matter: bars of all would hide the points.
        if model.board.axes.y.metric != nil {
            chart.bars = trials.filter { $0.isOnFront || isPresent($0) || $0.trial.id == selected?.id }.compactMap { point in
                point.trial.figures.accuracyInterval.map { LineChart.BandPoint(x: point.x, low: $0.low, high: $0.high) }
            }
        }
        return chart
    }

    /// - Parameter isEmpty: there is nothing to plot; the baseline tells what to expect.
    private func axis(_ measure: Measure, isEmpty: Bool) -> Axis {
        var axis = measure.axis
        if isEmpty, measure.metric == nil, let value = model.baselineValue(of: measure), value > 0 { axis.range = 0...value * 1.05 }
        return axis
    }

    private var baselinePoint: ChartPoint? {
        guard let x = model.baselineValue(of: model.board.axes.x), let y = model.baselineValue(of: model.board.axes.y) else { return nil }
        return ChartPoint(x, y)
    }

    mutating func drawTrialList(in rect: Rect) {
        let trials = model.trialRows
        let selected = trials.firstIndex { $0.id == model.selectedTrial?.id }
        let state = ListState(selected: selected).scrolled(count: trials.count, visible: rect.height - 3)
        let content = panel(
            .paretoList, in: rect, badge: StyledLine("\(trials.count)", .muted), scroll: scroll(state, count: trials.count, visible: rect.height - 3))
        let front = Set(model.plottedTrials.filter(\.isOnFront).map(\.trial.id))
        let sort = model.board.sort
        func column(_ measure: Measure, _ width: Int) -> TableColumn {
            TableColumn(measure.shortTitle, width: .fixed(width), alignment: .right, sort: sort.measure == measure ? (sort.isDescending ? .descending : .ascending) : nil)
        }
        // The measures of the axes first: where room is short they are the ones to be seen.
        let shown = [model.board.axes.y, model.board.axes.x] + model.trialMeasures.filter { $0 != model.board.axes.x && $0 != model.board.axes.y }
        let painter = self
        var table = Table(
            columns: [TableColumn("", width: .fixed(1)), TableColumn("recipe", width: .minimum(22))] + shown.map { column($0, max(9, DisplayWidth.of($0.shortTitle) + 1)) },
            rowCount: trials.count, state: state, isFocused: isFocused(.paretoList), pinnedColumns: 2,
            emptyText: "no trials yet: every evaluated recipe is kept here"
        ) { index in
            let trial = trials[index]
            let mark = trial.pinned ? "P" : (front.contains(trial.id) ? String(painter.glyphs.markers[1]) : " ")
            let numbers = shown.map { measure -> StyledLine in
                StyledLine(ShownFigure(trial.figures[measure], measure.numberFormat, standing: measure.standing(in: trial)).span(theme: painter.theme))
            }
            return TableRow([StyledLine(mark, Style(.accent, .bold)), StyledLine(painter.model.summary(of: trial.recipe))] + numbers)
        }
        let area = content.inset(left: -1)
        // The column the rows are sorted by is always in view.
        if let measure = sort.measure, let sorted = shown.firstIndex(of: measure) {
            while table.firstColumn < table.lastFirstColumn, !(area.minX..<area.maxX).contains(where: { table.column(atX: $0, in: area) == sorted + 2 }) {
                table.firstColumn += 1
            }
        }
        grid.draw(table, in: area, theme: theme)
        for y in area.minY..<area.maxY {
            if let index = table.index(atY: y, in: area) { hit(Rect(x: area.x, y: y, width: area.width, height: 1), .row(.paretoList, index)) }
        }
    }

    mutating func drawTrialDetail(in rect: Rect) {
        let trial = model.selectedTrial
        textPane(
            .paretoDetail, in: rect, badge: trial?.pinned == true ? StyledLine("pinned", .accent) : StyledLine(),
            footer: StyledLine(trial == nil ? "" : "Enter takes this recipe", .muted))
    }

    var trialLines: [StyledLine] {
        guard let trial = model.selectedTrial else { return [StyledLine("no trial is chosen", .muted)] }
        var lines = model.description(of: trial.recipe).map { StyledLine($0) }
        // First, since recipes that learn are long.
        if let raw = model.beforeTraining(trial.recipe), let before = raw.figures[model.metric] {
            let figure = ShownFigure(before, model.metric.numberFormat, standing: model.metric.standing(in: raw))
            lines.insert([Span("before training ", .muted), figure.span(theme: theme)], at: 0)
        }
        lines.append(StyledLine(""))
        let known = model.trialMeasures.filter { trial.figures[$0] != nil }
        let width = known.map(\.title.count).max() ?? 0
        for measure in known {
            let name = measure.title + String(repeating: " ", count: max(width + 1, 10) - measure.title.count)
            let figure = ShownFigure(trial.figures[measure], measure.numberFormat, standing: measure.standing(in: trial))
            var line: StyledLine = [Span(name, .muted), figure.span(theme: theme, over: .bold)]
            if measure.metric != nil, let interval = trial.figures.accuracyInterval { line += Span("  " + measure.text(interval, dash: " to "), .muted) }
            if measure.isLatency, let ratio = trial.figures.latencyRatio, let factor = measure.factorText(from: 1, to: ratio, times: glyphs.times) {
                line += Span("  \(factor)", .muted)
            }
            lines.append(line)
        }
        return lines
    }
}
