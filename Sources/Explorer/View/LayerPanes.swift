import CompressionEngine
import Measurement
import ModelGraph
import Techniques
import TerminalCells

/// The table of layers and what is known about one.
extension Painter {
    mutating func drawLayerTable(in rect: Rect) {
        let rows = model.layerRows
        let state = (model.ui.lists[.layerTable] ?? ListState()).scrolled(count: rows.count, visible: rect.height - 3)
        let knob =
            model.focusedTechnique.map { entry in
                entry.descriptor.title + (model.focusedParameter.map { ": \($0.title)" } ?? "")
            } ?? ""
        let content = panel(
            .layerTable, in: rect, badge: StyledLine("\(rows.count) of \(model.facts.info?.layers.count ?? 0)", .muted), footer: StyledLine("own value of \(knob)", .muted),
            scroll: scroll(state, count: rows.count, visible: rect.height - 3))
        let sort = model.ui.layerSort
        let columns = LayerColumn.allCases.map { column in
            TableColumn(
                column.title, width: width(of: column), alignment: isText(column) ? .left : .right, truncation: column == .name ? .middle : .end,
                sort: sort.column == column ? (sort.isDescending ? .descending : .ascending) : nil)
        }
        let painter = self
        var table = Table(
            columns: columns, rowCount: rows.count, state: state, isFocused: isFocused(.layerTable), pinnedColumns: 2,
            emptyText: model.facts.info?.layers.isEmpty == true ? "this model has no layers with weights" : "no layer matches"
        ) { index in
            TableRow(LayerColumn.allCases.map { painter.cell($0, rows[index]) })
        }
        let area = content.inset(left: -1)
        // The column the rows are sorted by is always in view.
        let sorted = LayerColumn.allCases.firstIndex(of: sort.column) ?? 0
        while table.firstColumn < table.lastFirstColumn, !(area.minX..<area.maxX).contains(where: { table.column(atX: $0, in: area) == sorted }) {
            table.firstColumn += 1
        }
        grid.draw(table, in: area, theme: theme)
        for x in area.minX..<area.maxX {
            if let index = table.column(atX: x, in: area) { hit(Rect(x: x, y: area.y, width: 1, height: 1), .layerColumn(LayerColumn.allCases[index])) }
        }
        for y in area.minY..<area.maxY {
            if let index = table.index(atY: y, in: area) { hit(Rect(x: area.x, y: y, width: area.width, height: 1), .row(.layerTable, index)) }
        }
    }

    private func isText(_ column: LayerColumn) -> Bool { [.name, .own, .op, .shape].contains(column) }

    private func width(of column: LayerColumn) -> Length {
        switch column {
        case .position: .fixed(3)
        case .name: .minimum(12)
        case .own: .fixed(11)
        case .parameters: .fixed(8)
        case .sparsity: .fixed(7)
        case .bits: .fixed(5)
        case .file: .fixed(8)
        case .packed: .fixed(8)
        case .macs: .fixed(7)
        case .time: .fixed(8)
        case .op: .fixed(10)
        case .shape: .fixed(16)
        }
    }

    private func cell(_ column: LayerColumn, _ row: LayerRow) -> StyledLine {
        let figures = row.now ?? row.baseline
        let standing: ShownFigure.Standing = model.isBaseline || model.result?.figures != nil ? .measured : .estimated
        func number(_ value: Double?, _ format: NumberFormat) -> StyledLine {
            StyledLine(ShownFigure(value, format, standing: standing).span(theme: theme))
        }
        switch column {
        case .position: return StyledLine("\(row.position + 1)", .muted)
        case .name: return StyledLine(model.facts.layerNames(row.layer.id, isASCII: theme.glyphTier == .ascii))
        case .own:
            switch row.own {
            case .off(let value): return StyledLine(value, .muted)
            case .asStep(let value): return StyledLine(value)
            case .own(let value): return [Span(value, Style(.modified, .bold)), Span(" own", .muted)]
            case .excluded: return StyledLine("left out", Style(.warning))
            case .refused: return StyledLine("not here", .disabled)
            }
        case .parameters: return number(figures?.parameters, .count)
        case .sparsity: return number(figures?.sparsity, .percent())
        case .bits: return number(figures?.weightBits, .fixed(digits: figures.map { $0.weightBits == $0.weightBits.rounded() } ?? true ? 0 : 1))
        case .file: return number(figures?.serializedBytes, .bytes)
        case .packed: return number(figures?.packedBytes, .bytes)
        case .macs: return number(figures?.macs, .count)
        case .time:
            let time = ShownFigure(row.milliseconds, .milliseconds).span(theme: theme)
            return row.isSlower ? [Span(String(glyphs.warning), .warning), time] : StyledLine(time)
        case .op: return StyledLine(row.layer.opType, .muted)
        case .shape: return StyledLine(row.layer.weightShape.map(String.init).joined(separator: String(glyphs.times)), .muted)
        }
    }

    // MARK: - One layer

    mutating func drawLayerDetail(in rect: Rect) {
        guard let row = model.selectedLayer else {
            _ = panel(.layerDetail, in: rect)
            return
        }
        let content = panel(
            .layerDetail, in: rect, title: row.layer.id,
            badge: StyledLine("\(row.layer.opType) \(row.layer.weightShape.map(String.init).joined(separator: String(glyphs.times)))", .muted))
        let lines = detailLines(row)
        if content.height >= lines.count + 8 {
            let parts = content.rows([.fixed(lines.count), .fixed(1), .fill])
            text(lines, in: parts[0])
            drawHistograms(in: parts[2])
        } else {
            let parts = content.columns([.fixed(min(34, max(28, content.width * 45 / 100))), .fixed(2), .fill])
            text(lines, in: parts[0])
            drawHistograms(in: parts[2])
        }
    }

    private func detailLines(_ row: LayerRow) -> [StyledLine] {
        let standing: ShownFigure.Standing = model.isBaseline || model.result?.figures != nil ? .measured : .estimated
        func line(_ title: String, _ before: Double?, _ after: Double?, _ format: NumberFormat) -> StyledLine {
            let name = title + String(repeating: " ", count: max(0, 9 - title.count))
            var line: StyledLine = [Span(name, .muted), ShownFigure(before, format).span(theme: theme)]
            if !model.isBaseline {
                line += Span(" \(glyphs.arrowRight) ", .muted)
                line += ShownFigure(after, format, standing: standing).span(theme: theme, over: .bold)
            }
            return line
        }
        let (before, after) = (row.baseline, row.now)
        var lines = [
            line("weights", before?.parameters, after?.parameters, .count),
            line("zeros", before?.sparsity, after?.sparsity, .percent()),
            line("bits", before?.weightBits, after?.weightBits, .general),
            line("file", before?.serializedBytes, after?.serializedBytes, .bytes),
            line("archive", before?.packedBytes, after?.packedBytes, .bytes),
            line("MACs", before?.macs, after?.macs, .count),
        ]
        var time = line("time", model.isBaseline ? row.milliseconds : row.baselineMilliseconds, row.milliseconds, .milliseconds)
        if row.isSlower { time += Span(" slower", .warning) }
        lines.append(time)
        if after == nil, !model.isBaseline { lines.append(StyledLine("replaced by other layers", .muted)) }
        return lines
    }

    private mutating func drawHistograms(in rect: Rect) {
        guard let histogram = model.ui.histogram, histogram.layer == model.selectedLayer?.layer.id, let value = histogram.value else {
            return text([StyledLine(model.facts.isPrepared ? "no histogram of this layer" : "preparing", .muted)], in: rect)
        }
        func draw(_ counts: [Int], _ label: String, in rect: Rect) {
            // A pruned layer is one spike: on a linear scale nothing else would be seen.
            let width = (value.range.upperBound - value.range.lowerBound) / Double(max(1, counts.count))
            let cursor = model.ui.histogramCursor.map { value.range.lowerBound + (Double(min($0, counts.count - 1)) + 0.5) * width }
            let chart = Histogram(
                counts: counts.map(Double.init), range: value.range, x: Axis(label, format: .fixed(digits: 4, unit: "")), isLogarithmic: true, cursor: cursor)
            grid.draw(chart, in: rect, theme: theme)
        }
        guard let current = value.current else { return draw(value.baseline, "weight, baseline", in: rect) }
        if rect.height >= 16 {
            let parts = rect.rows([.fill, .fill])
            draw(value.baseline, "weight, baseline", in: parts[0])
            draw(current, "weight, now", in: parts[1])
        } else if rect.width >= 64 {
            let parts = rect.columns([.fill, .fill], spacing: 2)
            draw(value.baseline, "weight, baseline", in: parts[0])
            draw(current, "weight, now", in: parts[1])
        } else {
            draw(current, "weight, now", in: rect)
        }
    }
}
