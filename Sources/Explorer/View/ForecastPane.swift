import CompressionEngine
import Measurement
import Metrics
import Techniques
import TerminalCells

/// What a parameter does to a measure, from predictions.
extension Painter {
    private func forecastPoint(_ parameter: ParameterDescriptor) -> WhatIfForecastPoint? {
        let here = parameter.axisPosition(model.value(of: parameter))
        return model.whatIf.request.flatMap { model.whatIf.forecasts[$0.key] }?.min { abs($0.x - here) < abs($1.x - here) }
    }

    func forecastFooter(_ measure: Measure, _ parameter: ParameterDescriptor?) -> StyledLine {
        guard let parameter, let point = forecastPoint(parameter) else { return StyledLine() }
        var parts = ["at \(parameter.shown(point.value))"]
        if measure.isLatency, let predicted = point.figures.latency {
            let (low, high) = (predicted.interval.low * predicted.baseline, predicted.interval.high * predicted.baseline)
            parts.append("nine in ten within \(measure.text(Interval(low: low, high: high), dash: "\u{2013}"))")
        } else if let value = ExplorerModel.predicted(measure, point.figures), let whole = model.facts.baseline.flatMap(measure.figure(in:))?.value,
            let change = measure.change(from: whole, to: value)
        {
            parts.append("\(measure.changeFormat.numberFormat.text(change)) of the baseline")
        }
        return StyledLine(parts.joined(separator: ", "), .muted)
    }

    /// One measure over the parameter's range, from predictions; what was counted on the way is marked.
    mutating func drawForecast(of measure: Measure, in rect: Rect) {
        guard let parameter = model.focusedParameter, let request = model.whatIf.request, let points = model.whatIf.forecasts[request.key] else {
            return text([StyledLine("nothing is predicted for this technique", .muted)], in: rect)
        }
        let known = points.compactMap { point in ExplorerModel.predicted(measure, point.figures).map { (point: point, value: $0) } }
        guard !known.isEmpty else {
            return text([StyledLine(measure.isLatency ? "predicted once latency was measured and the machine looked at" : "not predicted for this technique", .muted)], in: rect)
        }
        let baseline = measure.isLatency ? known.first?.point.figures.latency?.baseline : model.facts.baseline.flatMap(measure.figure(in:))?.value
        switch parameter.domain {
        case .real, .integer:
            let here = parameter.axisPosition(model.value(of: parameter))
            let x = Axis(parameter.unit.isEmpty ? parameter.title : "\(parameter.title), \(parameter.unit)", range: parameter.axisRange)
            let line = known.map { ChartPoint($0.point.x, $0.value) }
            var band: [LineChart.BandPoint] = []
            if measure.isLatency {
                band = known.compactMap { entry in
                    entry.point.figures.latency.map { LineChart.BandPoint(x: entry.point.x, low: $0.interval.low * $0.baseline, high: $0.interval.high * $0.baseline) }
                }
            }
            var counted: [ChartPoint] = []
            if measure == .file, let curve = model.whatIf.curves[request.key] {
                counted = curve.points.compactMap { point in point.point.serializedBytes.map { ChartPoint(point.x, $0) } }
            }
            let highest = (line.map(\.y) + band.map(\.high) + [baseline ?? 0]).max() ?? 1
            let chart = LineChart(
                series: [.init(measure.name, line, marked: counted, estimated: line)], x: x,
                y: Axis(measure.name, format: measure.numberFormat, range: 0...max(highest * 1.05, .leastNormalMagnitude)), band: band, right: overlay(parameter), cursor: here,
                reference: baseline)
            grid.draw(chart, in: rect, theme: theme)
        case .choice, .flag:
            let present = model.value(of: parameter)
            let width = min(rect.width / 3, known.map { DisplayWidth.of($0.point.value.text) }.max() ?? 6)
            let shown = ListState(selected: known.firstIndex { $0.point.value == present }).scrolled(count: known.count, visible: rect.height)
            let highest = max(known.map(\.value).max() ?? 1, baseline ?? 0, .leastNormalMagnitude)
            for line in 0..<rect.height where shown.offset + line < known.count {
                let (point, value) = known[shown.offset + line]
                let row = rect.row(line)
                let isPresent = point.value == present
                if isPresent { grid.put(glyphs.pointer, at: Point(x: row.x - 1, y: row.y), style: Style(.accent, .bold)) }
                grid.put(StyledLine(point.value.text, isPresent ? .bold : .standard), in: Rect(x: row.x, y: row.y, width: width, height: 1))
                let figure = ShownFigure(value, measure.numberFormat, standing: .estimated)
                grid.put(StyledLine(figure.span(theme: theme)), in: Rect(x: row.x + width + 1, y: row.y, width: 11, height: 1), alignment: .right)
                let rest = row.inset(left: width + 13)
                guard rest.width >= 6 else { continue }
                var gauge = Gauge(now: value, baseline: baseline)
                (gauge.minimum, gauge.maximum) = (0, highest)
                grid.draw(gauge, in: rest, theme: theme)
            }
        }
    }
}
