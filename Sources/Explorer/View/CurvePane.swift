import CompressionEngine
import Measurement
import Recipes
import Techniques
import TerminalCells

/// The what-if curve of the focused parameter.
extension Painter {
    mutating func drawCurve(in rect: Rect) {
        if let preset = model.focusedPreset { return drawPresetForecast(preset, in: rect) }
        if let group = model.focusedGroup {
            return text([StyledLine("Space folds and unfolds '\(group.title)'.", .muted)], in: panel(.curve, in: rect, title: "What if"))
        }
        if model.focusedTechnique?.descriptor.produces.contains(.training) ?? false { return drawTraining(in: rect) }
        let entry = model.focusedTechnique
        let parameter = model.focusedParameter
        let curve = model.whatIf.request.flatMap { model.whatIf.curves[$0.key] }
        var badge = StyledLine()
        if let curve {
            let count = curve.points.count
            let range = parameter.map { leavesOutLosses(curve, $0) } ?? false ? ", losses to 10 pt" : ""
            badge = StyledLine("\(count) value\(count == 1 ? "" : "s")\(range)", .muted)
        }
        let isOff = entry?.isEnabled == false
        let title = parameter.map { "\(isOff ? "If switched on" : "What if"): \($0.title)" } ?? "What if"
        if let measure = model.ui.curveMeasure {
            let content = panel(.curve, in: rect, title: title, badge: StyledLine("\(measure.name), predicted", .muted), footer: forecastFooter(measure, parameter))
            return drawForecast(of: measure, in: content)
        }
        let content = panel(.curve, in: rect, title: title, badge: badge, footer: curveFooter(curve, parameter))
        guard let entry, let parameter else { return text([StyledLine("this technique has no parameter to vary", .muted)], in: content) }
        guard let curve, !curve.points.isEmpty else {
            if let refusal = entry.refusal, !entry.isEnabled { return text([StyledLine("no curve: \(refusal)", .muted)], in: content) }
            let wait = model.answers.evaluation.status == .running ? "the curve fills in after the evaluation" : "the curve fills in as values are tried"
            return text([StyledLine(model.whyNoAccuracy ?? wait, .muted)], in: content)
        }
        switch parameter.domain {
        case .real, .integer: drawNumericCurve(curve, parameter, in: content)
        case .choice, .flag: drawChoices(curve, parameter, in: content)
        }
    }

    /// What a ready-made recipe is for, and what it is predicted to come to.
    private mutating func drawPresetForecast(_ preset: RecipePreset, in rect: Rect) {
        let content = panel(
            .curve, in: rect, title: preset.title, badge: StyledLine("predicted", .muted), footer: StyledLine("Space takes it, u undoes it", .muted))
        var lines = model.presetForecast(preset).map { StyledLine($0, .bold) }
        if lines.isEmpty { lines = [StyledLine("sizes are predicted once the model is prepared", .muted)] }
        text(lines + [StyledLine("")] + [StyledLine(preset.summary, .muted)], in: content)
    }

    private func curveFooter(_ curve: WhatIfCurve?, _ parameter: ParameterDescriptor?) -> StyledLine {
        guard let curve, let parameter else { return StyledLine() }
        let here = parameter.axisPosition(model.value(of: parameter))
        guard let point = curve.points.min(by: { abs($0.x - here) < abs($1.x - here) })?.point else { return StyledLine() }
        if let live = point.live { return liveFooter(live, at: parameter.shown(point.value)) }
        // The chart's top row has the accuracy.
        var parts = ["at \(parameter.shown(point.value))"]
        if let accuracy = point.accuracy { parts.append("n \(Grouping.text(accuracy.seen))") }
        if let bytes = point.serializedBytes { parts.append("\(Measure.file.name) \(Measure.file.numberFormat.text(bytes))") }
        var line = StyledLine(parts.joined(separator: ", "), .muted)
        if let problem = point.problem { line += Span(", \(problem)", .warning) }
        return line
    }

    private func liveFooter(_ live: LiveFigures, at value: String) -> StyledLine {
        var parts = ["at \(value)"]
        if let macs = live.macs { parts.append("\(Measure.macs.numberFormat.text(macs)) MACs") }
        if let time = live.milliseconds { parts.append(Measure.latency.numberFormat.text(time)) }
        parts.append("stay \(NumberFormat.fixed((live.shares.last ?? 0) * 100, digits: 0)) %")
        return StyledLine(parts.joined(separator: ", "), .muted)
    }

    /// What is saved over a live parameter: MACs and time as shares of the baseline's, and the samples that run through everything.
    private mutating func drawLiveCurves(_ curve: WhatIfCurve, _ x: Axis, cursor: Double, in rect: Rect) {
        let known = curve.points.compactMap { point in point.point.live.map { (x: point.x, live: $0) } }
        var series: [LineChart.Series] = []
        if let whole = model.facts.baseline?.macs?.value, whole > 0 {
            series.append(.init("MACs", known.compactMap { point in point.live.macs.map { ChartPoint(point.x, $0 / whole) } }))
        }
        let times = known.compactMap { point -> ChartPoint? in
            guard let time = point.live.milliseconds, let whole = point.live.baselineMilliseconds, whole > 0 else { return nil }
            return ChartPoint(point.x, time / whole)
        }
        if !times.isEmpty { series.append(.init("time", times)) }
        series.append(.init("stay", known.map { ChartPoint($0.x, $0.live.shares.last ?? 0) }))
        let highest = max(1, series.flatMap(\.points).map(\.y).max() ?? 1)
        grid.draw(LineChart(series: series, x: x, y: Axis("of the baseline", format: .percent(digits: 0), range: 0...highest), cursor: cursor), in: rect, theme: theme)
    }

    private mutating func drawNumericCurve(_ curve: WhatIfCurve, _ parameter: ParameterDescriptor, in rect: Rect) {
        let here = parameter.axisPosition(model.value(of: parameter))
        let x = Axis(parameter.unit.isEmpty ? parameter.title : "\(parameter.title), \(parameter.unit)", range: parameter.axisRange)
        let measured = curve.points.compactMap { point in point.point.accuracy.map { (x: point.x, estimate: $0) } }
        var rect = rect
        if curve.points.contains(where: { $0.point.live != nil }), rect.height >= 14 {
            let upper = rect.height / 2
            drawLiveCurves(curve, x, cursor: here, in: Rect(x: rect.x, y: rect.y + upper, width: rect.width, height: rect.height - upper))
            rect = Rect(x: rect.x, y: rect.y, width: rect.width, height: upper)
        }
        guard !measured.isEmpty else {
            let sizes = curve.points.compactMap { point in point.point.serializedBytes.map { ChartPoint(point.x, $0) } }
            let chart = LineChart(
                series: [.init("file", sizes, marked: sizes)], x: x, y: Axis(Measure.file.name, format: Measure.file.numberFormat, range: fileRange(sizes)), cursor: here,
                reference: model.facts.baseline?.serializedBytes.value)
            return grid.draw(chart, in: rect, theme: theme)
        }
        func points(_ choose: (AccuracyEstimate) -> Bool) -> [ChartPoint] { measured.filter { choose($0.estimate) }.map { ChartPoint($0.x, $0.estimate.value) } }
        let band = measured.map { LineChart.BandPoint(x: $0.x, low: $0.estimate.interval.low, high: $0.estimate.interval.high) }
        // The band belongs to the picture: the axis holds it, and the baseline.
        let measure = model.metric
        let reference = measure.baselineBelongsOnAxis ? model.facts.baselineAccuracy?.value : nil
        var range = measure.axisRange(of: band.flatMap { [$0.low, $0.high] } + [reference, model.targetLimit(of: measure)].compactMap(\.self))
        if leavesOutLosses(curve, parameter), let floor = lossFloor { range = floor...max(range.upperBound, floor + 0.01) }
        let chart = LineChart(
            series: [.init(measure.name, points { _ in true }, marked: points(\.isComplete), estimated: points { !$0.isComplete })], x: x,
            y: Axis(measure.name, format: measure.numberFormat, range: range), band: band, right: overlay(parameter), cursor: here, reference: reference,
            limit: model.targetLimit(of: measure))
        grid.draw(chart, in: rect, theme: theme)
    }

    /// The second measure of the curve, with its scale.
    func overlay(_ parameter: ParameterDescriptor) -> LineChart.Right? {
        guard let request = model.whatIf.request else { return nil }
        switch model.ui.curveOverlay {
        case .none: return nil
        case .metric:
            let measured = model.whatIf.curves[request.key]?.points.compactMap { point in point.point.accuracy.map { (x: point.x, estimate: $0) } } ?? []
            guard !measured.isEmpty else { return nil }
            let measure = model.metric
            func points(_ choose: (AccuracyEstimate) -> Bool) -> [ChartPoint] { measured.filter { choose($0.estimate) }.map { ChartPoint($0.x, $0.estimate.value) } }
            let line = points { _ in true }
            return LineChart.Right(
                .init(measure.name, line, marked: points(\.isComplete), estimated: points { !$0.isComplete }),
                Axis(measure.name, format: measure.numberFormat, range: measure.axisRange(of: line.map(\.y))))
        case .measure(let measure):
            let line = model.whatIf.forecasts[request.key]?.compactMap { point in ExplorerModel.predicted(measure, point.figures).map { ChartPoint(point.x, $0) } } ?? []
            guard !line.isEmpty else { return nil }
            let highest = line.map(\.y).max() ?? 1
            return LineChart.Right(
                .init(measure.name, line, estimated: line),
                Axis(measure.name, format: measure.numberFormat, range: 0...max(highest * 1.05, .leastNormalMagnitude)))
        }
    }

    /// Where nobody would go: ten points below the baseline. `nil` for metrics that are no percentages.
    private var lossFloor: Double? {
        guard model.metric.comparison == .points, model.metric.direction == .higher, let baseline = model.facts.baselineAccuracy?.value else { return nil }
        return baseline - 0.1
    }

    /// Whether the curve shows only losses that somebody might take: not where the present value is beyond them, nor in a zoomed pane.
    private func leavesOutLosses(_ curve: WhatIfCurve, _ parameter: ParameterDescriptor) -> Bool {
        guard let floor = lossFloor, !model.ui.isZoomed else { return false }
        let values = curve.points.compactMap { point in point.point.accuracy.map { (x: point.x, value: $0.value) } }
        let here = parameter.axisPosition(model.value(of: parameter))
        guard let present = values.min(by: { abs($0.x - here) < abs($1.x - here) }), present.value >= floor else { return false }
        return values.contains { $0.value < floor } && values.count { $0.value >= floor } > 1
    }

    /// Sizes from nothing up: of a file that stays as large, a range that fits would show noise.
    private func fileRange(_ sizes: [ChartPoint]) -> ClosedRange<Double> {
        0...max(1, 1.05 * max(sizes.map(\.y).max() ?? 0, model.facts.baseline?.serializedBytes.value ?? 0))
    }

    /// Words have no scale: one line each.
    private mutating func drawChoices(_ curve: WhatIfCurve, _ parameter: ParameterDescriptor, in rect: Rect) {
        let present = model.value(of: parameter)
        let names: [ParameterValue] =
            switch parameter.domain {
            case .choice(let choices): choices.map { .choice($0.name) }
            default: [.flag(false), .flag(true)]
            }
        let width = min(rect.width / 3, names.map { DisplayWidth.of($0.text) }.max() ?? 6)
        let shown = ListState(selected: names.firstIndex(of: present)).scrolled(count: names.count, visible: rect.height)
        for line in 0..<rect.height where shown.offset + line < names.count {
            let value = names[shown.offset + line]
            let row = rect.row(line)
            let isPresent = value == present
            if isPresent { grid.put(glyphs.pointer, at: Point(x: row.x - 1, y: row.y), style: Style(.accent, .bold)) }
            grid.put(StyledLine(value.text, isPresent ? .bold : .standard), in: Rect(x: row.x, y: row.y, width: width, height: 1))
            let point = curve.points.first { $0.point.value == value }?.point
            var rest = row.inset(left: width + 1)
            guard let point else {
                grid.put(StyledLine(ShownFigure.absent.span(theme: theme)), in: rest)
                continue
            }
            if let problem = point.problem {
                grid.put(StyledLine(problem, .warning), in: rest)
                continue
            }
            if let bytes = point.serializedBytes {
                grid.put(StyledLine(NumberFormat.bytes.text(bytes), .muted), in: Rect(x: rest.x, y: row.y, width: 9, height: 1), alignment: .right)
                rest = rest.inset(left: 10)
            }
            guard let accuracy = point.accuracy else { continue }
            let measure = accuracy.measure
            let figure = ShownFigure(accuracy.value, measure.numberFormat, standing: accuracy.isComplete ? .measured : .estimated)
            grid.put(StyledLine(figure.span(theme: theme)), in: Rect(x: rest.x, y: row.y, width: 9, height: 1), alignment: .right)
            rest = rest.inset(left: 10)
            guard rest.width >= 6 else { continue }
            var gauge = Gauge(now: accuracy.value, baseline: model.facts.baselineAccuracy?.value)
            if accuracy.interval.low <= accuracy.interval.high { gauge.interval = accuracy.interval.low...accuracy.interval.high }
            if let scale = measure.scale { (gauge.minimum, gauge.maximum) = (scale.lowerBound, scale.upperBound) }
            grid.draw(gauge, in: rest, theme: theme)
        }
    }
}
