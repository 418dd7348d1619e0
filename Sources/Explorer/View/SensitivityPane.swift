import CompressionEngine
import Measurement
import Recipes
import Techniques
import TerminalCells

/// The map of losses by layer and value.
extension Painter {
    mutating func drawSensitivity(in rect: Rect) {
        guard let grid = model.tasks.sensitivity else {
            let content = panel(.layerHeat, in: rect)
            let title = model.focusedTechnique?.descriptor.title ?? "the technique"
            return text(
                [
                    StyledLine(model.isAnalyzing ? "measuring the first layer" : "not measured yet"), StyledLine(),
                    [Span("a", .bold), Span(" measures how much accuracy is lost when \(title) changes one layer alone", .muted)],
                    [Span("A", .bold), Span(" then gives each layer its own value, to a budget of size or accuracy", .muted)],
                ], in: content)
        }
        let technique = model.catalog.title(grid.request.step.technique)
        let isOfLatency = model.ui.heatShowsLatency && grid.request.latency != nil
        let progress = grid.isComplete ? StyledLine() : StyledLine("\(grid.done) of \(grid.total)", .muted)
        let parameter = grid.request.parameter.flatMap { model.catalog[grid.request.step.technique]?.parameter($0)?.title }
        let content = panel(
            .layerHeat, in: rect, title: "Sensitivity: \(technique)", badge: progress,
            footer: StyledLine(parameter.map { "\(isOfLatency ? "latency" : "change") by \($0.lowercased())" } ?? "\(isOfLatency ? "latency" : "change") when on", .muted))
        let columns = grid.request.values.isEmpty ? ["on"] : grid.request.values.map(\.text)
        let losses = grid.cells.map { row in row.map { $0?.loss.map { max($0, 0) } } }
        let metric = grid.cells.joined().lazy.compactMap { $0?.accuracy?.measure }.first ?? model.metric
        let known = losses.joined().compactMap { $0 }
        // Where the baseline is a far ceiling every layer loses much: colors then tell the layers apart, not each from nothing.
        let lowest = metric.baselineBelongsOnAxis ? 0 : known.min() ?? 0
        let cell = model.heatCell
        var map = HeatMap(
            rowLabels: grid.units.map { $0.layers.count == 1 ? model.facts.layerNames($0.title, isASCII: theme.glyphTier == .ascii) : $0.title }, columnLabels: columns,
            values: losses, format: metric.comparison == .points ? .percent(digits: 1) : metric.numberFormat,
            // Differences below a point are mostly noise at these sample counts, not a pattern.
            range: lowest...max(known.max() ?? 0, lowest + visible(metric)), cursor: cell.map { ($0.unit, $0.column) })
        if isOfLatency {
            // Dark is slow. Less than a twentieth either way is no pattern.
            map.values = grid.cells.map { row in row.map { $0?.latency?.ratio } }
            map.format = .ratio()
            let ratios = map.values.joined().compactMap { $0 }
            map.range = min(ratios.min() ?? 1, 0.95)...max(ratios.max() ?? 1, 1.05)
        }
        let parts = content.rows([.fill, .fixed(1)])
        // The map's own last line is covered by one that knows the interval.
        draw(map, in: Rect(x: parts[0].x, y: parts[0].y, width: parts[0].width, height: parts[0].height + 1))
        let line = Rect(x: parts[1].x, y: parts[1].y, width: parts[1].width, height: 1)
        self.grid.fill(line, with: " ", style: Style())
        self.grid.put(
            cell.map { isOfLatency ? exactLatency(grid, $0.unit, $0.column) : exact(grid, $0.unit, $0.column) } ?? StyledLine("this layer was not measured", .muted), in: line)
    }

    /// The smallest loss that colors the map.
    private func visible(_ metric: Measure) -> Double {
        if case .significant = metric.format { return 0.005 * abs(model.facts.baselineAccuracy?.value ?? 1) }
        return metric.visibleLoss
    }

    private mutating func draw(_ map: HeatMap, in rect: Rect) { grid.draw(map, in: rect, theme: theme) }

    private func exactLatency(_ sensitivity: SensitivityGrid, _ unit: Int, _ column: Int) -> StyledLine {
        guard let cell = sensitivity.cells[unit][column] else { return StyledLine("not measured yet", .muted) }
        guard let latency = cell.latency else { return StyledLine(cell.problem ?? "not timed", cell.problem == nil ? .muted : Style(.warning)) }
        let format = Measure.latency.numberFormat
        var line: StyledLine = [Span("\(format.text(latency.baseline)) \(glyphs.arrowRight) \(format.text(latency.candidate))", .bold)]
        let interval = latency.ratioInterval
        line += Span(" \(NumberFormat.ratio().text(latency.ratio)) [\(NumberFormat.ratio().text(interval.low)), \(NumberFormat.ratio().text(interval.high))]", .muted)
        if latency.verdict == .unclear { line += Span(", noise", .muted) }
        return line
    }

    private func exact(_ sensitivity: SensitivityGrid, _ unit: Int, _ column: Int) -> StyledLine {
        guard let cell = sensitivity.cells[unit][column] else { return StyledLine("not measured yet", .muted) }
        if let problem = cell.problem { return StyledLine(problem, Style(.warning)) }
        guard let accuracy = cell.accuracy, let difference = accuracy.difference else { return StyledLine("no number", .muted) }
        let format = accuracy.measure.changeFormat.numberFormat
        var line: StyledLine = [Span(format.text(difference), .bold)]
        if let interval = accuracy.differenceInterval {
            line += Span(" [\(format.text(interval.low)), \(format.text(interval.high))]", .muted)
        }
        line += Span(", \(Grouping.text(accuracy.seen)) samples", .muted)
        return line
    }
}
