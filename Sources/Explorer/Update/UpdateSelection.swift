import CompressionEngine
import Measurement
import ModelGraph
import Techniques
import TerminalCells

extension ExplorerModel {
    /// The pane whose list the cursor keys move: charts and details move the list they belong to.
    public var listPane: Pane {
        switch pane {
        case .curve: .parameters
        case .scatter, .paretoPlot: .paretoList
        case .paretoDetail: .paretoList
        case .layerDetail, .layerHeat: .layerTable
        case .historyDiff: .historyTree
        case .jobDetail: .jobList
        default: pane
        }
    }

    /// Entries of a pane's list.
    public func count(of pane: Pane) -> Int {
        switch pane {
        case .techniques: techniqueRows.count
        case .parameters, .curve: focusedTechnique?.descriptor.parameters.count ?? 0
        case .figures: measureRows.count
        case .scatter, .paretoPlot: plottedTrials.count
        case .paretoList, .paretoDetail: trialRows.count
        case .layerTable, .layerDetail, .layerHeat: layerRows.count
        case .historyTree, .historyDiff: historyLines.count
        case .jobList, .jobDetail: jobRows.count
        case .exportForm, .exportSummary: ExportForm.Field.allCases.count
        }
    }

    /// Rows of the focused list in view, for the page keys.
    var visibleRows: Int {
        let area = ExplorerLayout.panes(of: self).first { $0.pane == (pane.isText ? pane : listPane) }?.rect ?? Rect(size)
        return max(1, area.height - (listPane == .layerTable || listPane == .paretoList ? 3 : 2))
    }

    /// Where a list's cursor is; before it was moved, on what matters now.
    func cursor(of pane: Pane) -> Int {
        switch pane {
        case .techniques: techniqueCursor
        case .historyTree: historyLines.firstIndex { $0.id == selectedState } ?? 0
        case .jobList: jobCursor
        default: ui.lists[pane]?.selected ?? 0
        }
    }

    mutating func moveSelection(by step: Int, wrapping: Bool = false) {
        if pane.isText, !wrapping { return scrollText(to: (ui.textOffsets[pane] ?? 0) + step) }
        // In the plots the cursor goes from point to point; up and down move it along, too.
        if pane == .scatter || pane == .paretoPlot { return moveTrialCursor(by: step) }
        if listPane == .paretoList { return moveTrialInList(by: step, wrapping: wrapping) }
        let count = count(of: listPane)
        guard count > 0 else { return }
        var state = ui.lists[listPane] ?? ListState()
        let old = min(max(0, cursor(of: listPane)), count - 1)
        var index = old + step
        index = wrapping ? (index + count) % count : min(max(0, index), count - 1)
        if listPane == .techniques { index = skippingFamilies(index, from: old, step) }
        state.selected = index
        store(state, for: listPane, count: count)
    }

    /// Scrolls the focused text, never past its end.
    private mutating func scrollText(to line: Int) {
        guard let rect = ExplorerLayout.panes(of: self).first(where: { $0.pane == pane })?.rect else { return }
        let hidden = Painter(self).textHeight(pane, in: rect) - (rect.height - 2)
        ui.textOffsets[pane] = min(max(0, line), max(0, hidden))
    }

    mutating func select(_ index: Int) {
        if pane.isText { return scrollText(to: index) }
        if pane == .scatter || pane == .paretoPlot {
            let points = plottedTrials
            guard !points.isEmpty else { return }
            board.cursor = points[min(max(0, index), points.count - 1)].trial.id
            return
        }
        if listPane == .paretoList {
            let rows = trialRows
            guard !rows.isEmpty else { return }
            board.cursor = rows[min(max(0, index), rows.count - 1)].id
            return
        }
        select(index, in: listPane)
    }

    mutating func select(_ index: Int, in pane: Pane) {
        let count = count(of: pane)
        guard count > 0 else { return }
        var state = ui.lists[pane] ?? ListState()
        var index = min(max(0, index), count - 1)
        if pane == .techniques { index = skippingFamilies(index, from: index, index == 0 ? 1 : -1) }
        state.selected = index
        store(state, for: pane, count: count)
    }

    private mutating func store(_ state: ListState, for pane: Pane, count: Int) {
        var state = state
        let area = ExplorerLayout.panes(of: self).first { $0.pane == pane }?.rect ?? Rect(size)
        state.scroll(count: count, visible: max(1, area.height - (pane == .layerTable ? 3 : 2)))
        let changed = ui.lists[pane]?.selected != state.selected
        ui.lists[pane] = state
        if changed { ui.textOffsets = [:] }
        // Another technique has other parameters.
        if pane == .techniques, changed { ui.lists[.parameters] = ListState() }
        traceCurve()
    }

    /// The cursor of the techniques pane never rests on a family's title.
    private func skippingFamilies(_ index: Int, from old: Int, _ step: Int) -> Int {
        let rows = techniqueRows
        func isPlace(_ index: Int) -> Bool { rows.indices.contains(index) && rows[index].isSelectable }
        let direction = step < 0 ? -1 : 1
        var index = index
        while rows.indices.contains(index), !isPlace(index) { index += direction }
        if isPlace(index) { return index }
        index = min(max(0, index), rows.count - 1)
        while rows.indices.contains(index), !isPlace(index) { index -= direction }
        return rows.indices.contains(index) ? index : old
    }

    private mutating func moveTrialCursor(by step: Int) {
        let points = plottedTrials
        guard !points.isEmpty else { return }
        let selected = selectedTrial?.id
        let index = points.firstIndex { $0.trial.id == selected } ?? 0
        board.cursor = points[min(max(0, index + step), points.count - 1)].trial.id
        ui.textOffsets[.paretoDetail] = nil
    }

    private mutating func moveTrialInList(by step: Int, wrapping: Bool) {
        let rows = trialRows
        guard !rows.isEmpty else { return }
        let selected = selectedTrial?.id
        let index = (rows.firstIndex { $0.id == selected } ?? 0) + step
        ui.textOffsets[.paretoDetail] = nil
        board.cursor = rows[wrapping ? (index + rows.count) % rows.count : min(max(0, index), rows.count - 1)].id
    }

    /// Left and right where they turn no knob.
    mutating func sideways(_ step: Int) {
        switch pane {
        case .techniques: if step > 0 { ui.focus[.explore] = .parameters }
        case .scatter, .paretoPlot: moveTrialCursor(by: step)
        case .layerHeat: tasks.heatColumn = min(max(0, tasks.heatColumn + step), max(0, (tasks.sensitivity?.request.columnCount ?? 1) - 1))
        default: break
        }
    }

    mutating func moveTechnique(by step: Int) {
        let rows = techniqueRows
        guard !rows.isEmpty else { return }
        let old = techniqueCursor
        // Titles and ready-made recipes are no techniques to turn in other views.
        let places = rows.indices.filter { if case .technique = rows[$0] { true } else { false } }
        guard let index = step < 0 ? places.last(where: { $0 < old }) ?? places.first : places.first(where: { $0 > old }) ?? places.last else { return }
        store(ListState(selected: index, offset: ui.lists[.techniques]?.offset ?? 0), for: .techniques, count: rows.count)
    }

    mutating func moveParameter(by step: Int) {
        let count = focusedTechnique?.descriptor.parameters.count ?? 0
        guard count > 0 else { return }
        let old = ui.lists[.parameters]?.selected ?? 0
        ui.lists[.parameters] = ListState(selected: (old + step + count) % count)
    }

    /// Moves the histogram's cursor by a few bins, from the middle at first.
    mutating func moveHistogramCursor(by step: Int) {
        guard let bins = ui.histogram?.value?.baseline.count, bins > 0 else { return notify(.info, "this layer has no histogram") }
        ui.histogramCursor = min(max(0, (ui.histogramCursor ?? bins / 2) + step * max(1, bins / 64)), bins - 1)
    }

    // MARK: - Sorting

    mutating func sort(by step: Int) {
        if listPane == .paretoList {
            let all: [Measure?] = [nil] + trialMeasures.map(Optional.some)
            let index = all.firstIndex(of: board.sort.measure) ?? 0
            board.sort.measure = all[(index + step + all.count) % all.count]
            board.sort.isDescending = board.sort.measure?.direction == .higher
            return
        }
        let all = LayerColumn.allCases
        let index = all.firstIndex(of: ui.layerSort.column) ?? 0
        sortLayers(by: all[(index + step + all.count) % all.count])
    }

    /// Numbers are looked at from the largest down.
    mutating func sortLayers(by column: LayerColumn) {
        let selected = selectedLayer?.layer.id
        if ui.layerSort.column == column {
            ui.layerSort.isDescending.toggle()
        } else {
            ui.layerSort.column = column
            switch column {
            case .position, .name, .op, .shape, .own: ui.layerSort.isDescending = false
            default: ui.layerSort.isDescending = true
            }
        }
        keepLayer(selected)
    }

    mutating func reverseSort() {
        if listPane == .paretoList {
            board.sort.isDescending.toggle()
        } else {
            let selected = selectedLayer?.layer.id
            ui.layerSort.isDescending.toggle()
            keepLayer(selected)
        }
    }

    /// The cursor stays on its layer when the order changes.
    private mutating func keepLayer(_ id: String?) {
        let rows = layerRows
        guard let id, let index = rows.firstIndex(where: { $0.layer.id == id }) else { return }
        store(ListState(selected: index, offset: ui.lists[.layerTable]?.offset ?? 0), for: .layerTable, count: rows.count)
    }
}
