import CompressionEngine
import Measurement
import Metrics
import TerminalCells

/// Measures that fix the pane's geometry.
enum FiguresPane {
    /// Title row, the measures, two lines of detail under accuracy and one under latency, borders.
    static let fullHeight = ExplorerModel.shownMeasures(metric: nil).count + 6
}

/// Gauges: reference, now, change.
extension Painter {
    private enum Line {
        case measure(Int, MeasureRow)
        case detail(StyledLine)
    }

    mutating func drawFigures(in rect: Rect) {
        let rows = model.measureRows
        let selected = min(max(0, model.ui.lists[.figures]?.selected ?? 0), rows.count - 1)
        var lines: [Line] = []
        var selectedLine = 0
        for (index, row) in rows.enumerated() {
            if index == selected { selectedLine = lines.count }
            lines.append(.measure(index, row))
            if row.measure.metric != nil { lines += accuracyDetail(width: rect.width - 6).map(Line.detail) }
            if row.measure == .macs { lines += exitDetail.map(Line.detail) }
            if row.measure == .latency { lines += latencyDetail.map(Line.detail) }
        }
        let state = ListState(selected: model.pane == .figures ? selectedLine : 0)
        // The border names the columns; a heading of its own is for where there is room.
        let heading = rect.height >= FiguresPane.fullHeight ? 1 : 0
        let visible = rect.height - 2 - heading
        let content = panel(
            .figures, in: rect, title: "Figures", badge: StyledLine("\(model.reference.title) \(glyphs.arrowRight) now", .muted), footer: flag,
            scroll: scroll(state, count: lines.count, visible: visible))
        let columns = FigureColumns(content.width)
        if heading > 0 { drawHeading(columns, in: content.row(0)) }
        let offset = state.scrolled(count: lines.count, visible: visible).offset
        for line in 0..<visible where offset + line < lines.count {
            let area = content.row(line + heading)
            switch lines[offset + line] {
            case .detail(let text): grid.put(text, in: area.inset(left: 2))
            case .measure(let index, let row):
                hit(area, .row(.figures, index))
                draw(row, columns, in: area, isSelected: index == selected && model.pane == .figures)
            }
        }
    }

    private mutating func drawHeading(_ columns: FigureColumns, in row: Rect) {
        let style = Style(.muted, .underline)
        grid.put(StyledLine(model.reference.title, style), in: columns.reference(row), alignment: .right)
        grid.put(StyledLine("now", style), in: columns.now(row), alignment: .right)
        grid.put(StyledLine("change", style), in: columns.change(row), alignment: .right)
    }

    private mutating func draw(_ row: MeasureRow, _ columns: FigureColumns, in area: Rect, isSelected: Bool) {
        let name = columns.name(area)
        grid.put(StyledLine(row.measure.title(fitting: name.width), Style(.standard, .bold)), in: name)
        if let mark = targetMark(of: row.measure) { grid.put(StyledLine([mark]), in: Rect(x: name.maxX - 1, y: name.y, width: 1, height: 1)) }
        grid.put(StyledLine(row.reference.span(theme: theme, over: .muted)), in: columns.reference(area), alignment: .right)
        grid.put(StyledLine(row.now.span(theme: theme, over: .bold)), in: columns.now(area), alignment: .right)
        let tone: Style =
            switch row.verdict {
            case .better: .good
            case .worse: .bad
            case .unclear, .none: .standard
            }
        // An absent change is no missing measurement: there is nothing to compare.
        if row.change.value != nil { grid.put(StyledLine(row.change.span(theme: theme, over: tone)), in: columns.change(area), alignment: .right) }
        if let gauge = gauge(row) { grid.draw(gauge, in: columns.gauge(area), theme: theme) }
        if isSelected {
            grid.put(glyphs.pointer, at: Point(x: area.x - 1, y: area.y), style: Style(.accent, .bold))
            grid.highlight(Rect(x: area.x, y: area.y, width: min(columns.used, area.width), height: 1), isFocused(.figures) ? .selected : .selectedWithoutFocus)
        }
    }

    private func gauge(_ row: MeasureRow) -> Gauge? {
        guard let now = row.now.value else { return nil }
        var gauge = Gauge(now: now, baseline: row.reference.value, style: row.now.isStale ? .muted : .accent)
        if let scale = row.measure.scale { (gauge.minimum, gauge.maximum) = (scale.lowerBound, scale.upperBound) }
        if row.measure.metric != nil, let estimate = model.accuracyNow?.estimate, !estimate.isComplete, estimate.interval.low <= estimate.interval.high {
            gauge.interval = estimate.interval.low...estimate.interval.high
        }
        return gauge
    }

    // MARK: - Lines of detail

    private func accuracyDetail(width: Int) -> [StyledLine] {
        if let why = model.whyNoAccuracy { return StyledLine(why, .warning).wrapped(to: max(10, width)) }
        if let problem = model.result?.problem, !model.isBaseline {
            let repair = "\(model.keyLabel(.undo, theme.glyphTier)) undoes the last change"
            return StyledLine("\(glyphs.cross) \(problem)", .bad).wrapped(to: max(10, width)) + StyledLine(repair, .muted).wrapped(to: max(10, width))
        }
        guard let now = model.accuracyNow else { return [StyledLine(model.facts.isPrepared ? "evaluating" : "preparing", .muted)] }
        let estimate = now.estimate
        let measure = estimate.measure
        let count = estimate.isComplete ? Grouping.text(estimate.total) : "\(Grouping.text(estimate.seen))/\(Grouping.text(estimate.total))"
        var lines = [
            StyledLine("\(measure.text(estimate.interval, dash: theme.glyphTier == .ascii ? ".." : "–"))  n \(count)\(estimate.isBiased ? ", biased so far" : "")", .muted)
        ]
        if model.isUntrained, !now.isStale {
            if let preview = model.training?.preview {
                lines.append([
                    Span("\(theme.glyphTier == .ascii ? "~" : "≈")\(measure.numberFormat.text(preview.accuracy.value)) after \(preview.steps) steps", .accent),
                    Span(" (preview)", .muted),
                ])
            } else {
                let (train, preview) = (model.keyLabel(.train, theme.glyphTier), model.keyLabel(.previewRecovery, theme.glyphTier))
                lines.append(StyledLine("before training: \(train) trains, \(preview) previews", .warning))
            }
            return lines
        }
        if now.isStale { lines[0] = StyledLine("from the previous recipe", .muted) }
        // Every number after this one would be about a mistake in the data.
        for remark in isFocused(.figures) || model.isBaseline ? model.facts.baselineRemarks : [] { lines += StyledLine(remark, .warning).wrapped(to: max(10, width)) }
        if model.ui.comparedState != nil, !model.isBaseline {
            lines += StyledLine("not paired: no test against a pinned state", .muted).wrapped(to: max(10, width))
        } else if !now.isStale, !model.isBaseline, let line = comparison(estimate, width: width) {
            lines.append(line)
        }
        if !now.isStale, let rescue = model.result?.rescue {
            let key = model.keyLabel(.takeRescue, theme.glyphTier)
            lines += StyledLine("ruined; \(key) takes \(rescue.change): \(measure.numberFormat.text(rescue.accuracy.value))", .accent).wrapped(to: max(10, width))
        }
        return lines
    }

    /// Whether the metric fell or rose, and by how much it may have: "no loss found" is no proof of equality, so the loss that is still possible stands beside it.
    private func comparison(_ estimate: AccuracyEstimate, width: Int) -> StyledLine? {
        guard let interval = estimate.differenceInterval, let loss = estimate.possibleLoss else { return nil }
        let format = estimate.measure.changeFormat
        let verdict = estimate.verdict
        guard verdict == .worse || verdict == .better else {
            let within = format.magnitude(loss)
            return StyledLine(width >= 22 + within.count ? "no loss found (within \(within))" : "no loss within \(within)", .bold)
        }
        var line = StyledLine(verdict.rawValue, verdict == .worse ? .bad : .good)
        let ends = [abs(interval.low), abs(interval.high)].sorted()
        let range = estimate.measure.text(Interval(low: ends[0], high: ends[1]), of: format)
        let p = estimate.mcnemarP.map { $0 < 0.001 ? ", p<0.001" : ", p \(NumberFormat.fixed($0, digits: 3))" } ?? ""
        if width >= 10 + range.count { line += Span(" by \(range)", .muted) }
        if line.width + p.count <= width { line += Span(p, .muted) }
        return line
    }

    /// Which ways samples take through a network that does not run all of itself for each.
    private var exitDetail: [StyledLine] {
        guard let live = model.figuresNow?.live, live.shares.count > 1 else { return [] }
        let shares = live.shares.map { NumberFormat.fixed($0 * 100, digits: 0) }
        return [StyledLine("leave \(shares.dropLast().joined(separator: ", ")) %, stay \(shares[shares.count - 1]) %", .muted)]
    }

    private var latencyDetail: [StyledLine] {
        if model.result?.latency == nil, model.figuresNow?.live?.milliseconds != nil { return [StyledLine("mean over samples, predicted", .muted)] }
        if model.result?.latency == nil, let predicted = model.latencyPrediction {
            let change = { (ratio: Double) in Measure.latency.changeFormat.numberFormat.text(ratio - 1) }
            let waits = model.answers.latencyRun?.isWaiting == true ? ", waits: machine busy" : ""
            return [StyledLine("predicted: \(change(predicted.interval.low)) to \(change(predicted.interval.high))\(waits)", .muted)]
        }
        if let run = model.answers.latencyRun, run.isWaiting { return [StyledLine("waits: other programs are busy", .muted)] }
        guard let latency = model.latencyNow, !latency.isStale else {
            guard model.answers.latencyRun == nil, model.facts.info?.runtimeVersion != nil, model.facts.info?.cannotRun == nil else { return [] }
            let key = model.keyMap.binding(of: .measureLatency, in: model.pane).flatMap { model.keyMap.reachableKeys(of: $0, in: model.pane).first }
            return key.map { [StyledLine("\(KeyBinding.label($0, tier: theme.glyphTier)) measures it", .muted)] } ?? []
        }
        let figures = latency.figures
        return [
            StyledLine(
                "now p90 \(Measure.latency.numberFormat.text(figures.candidateP90)), "
                    + (figures.batch == 1 ? "" : "batch \(figures.batch), ")
                    + "\(figures.threads) thread\(figures.threads == 1 ? "" : "s"), \(figures.instructionSet)", .muted
            )
        ]
    }

    /// Where two numbers disagree in a way that misleads people.
    private var flag: StyledLine {
        guard !model.isBaseline, let baseline = model.facts.baseline, let now = model.figuresNow else { return StyledLine() }
        if let latency = model.latencyNow, !latency.isStale, latency.figures.ratioInterval.low > 1, let before = baseline.macs, let after = now.macs,
            after.value < before.value * 0.95
        {
            return StyledLine("\(glyphs.warning) fewer MACs, yet slower", .warning)
        }
        if let latency = model.latencyNow, !latency.isStale, latency.figures.ratioInterval.low > 1.02 {
            return StyledLine("\(glyphs.warning) slower than the baseline; ! tells why", .warning)
        }
        if let before = baseline.packedBytes ?? baseline.theoreticalBytes, let after = now.packedBytes ?? now.theoreticalBytes, after.value < before.value * 0.9,
            now.serializedBytes.value > baseline.serializedBytes.value * 0.99
        {
            return StyledLine("\(glyphs.warning) the ONNX file is no smaller", .warning)
        }
        return StyledLine()
    }
}

/// Where the columns of the figures pane are. The reference gives way first, then the gauge.
struct FigureColumns {
    private let widths: (name: Int, reference: Int, now: Int, change: Int)

    init(_ width: Int) {
        widths = width < 38 ? (9, 0, 10, 10) : (width < 40 ? (9, 9, 10, 10) : (width < 64 ? (10, 9, 10, 11) : (21, 10, 11, 11)))
    }

    /// Columns the text takes; the gauge has the rest.
    var used: Int { widths.name + widths.reference + widths.now + widths.change }
    func name(_ row: Rect) -> Rect { part(row, 0, widths.name) }
    func reference(_ row: Rect) -> Rect { part(row, widths.name, widths.reference) }
    func now(_ row: Rect) -> Rect { part(row, widths.name + widths.reference, widths.now) }
    func change(_ row: Rect) -> Rect { part(row, widths.name + widths.reference + widths.now, widths.change) }
    func gauge(_ row: Rect) -> Rect {
        let left = row.x + used + 2
        return row.maxX - left >= 5 ? Rect(x: left, y: row.y, width: row.maxX - left, height: 1) : .zero
    }

    private func part(_ row: Rect, _ start: Int, _ width: Int) -> Rect {
        Rect(x: row.x + start, y: row.y, width: width, height: 1).intersection(row)
    }
}
