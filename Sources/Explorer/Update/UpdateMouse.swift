import CompressionEngine
import TerminalCells

extension ExplorerModel {
    /// Clicks focus and select, a second click on the same row does what Enter does; the wheel moves what is under it.
    mutating func handle(_ event: MouseEvent, _ target: HitTarget?) {
        guard isMouseOn, let target else { return }
        switch event.action {
        case .press(.left): click(target, isDrag: false)
        case .drag(.left): if case .slider = target { click(target, isDrag: true) }
        case .wheelUp: wheel(target, -3)
        case .wheelDown: wheel(target, 3)
        default: break
        }
    }

    private mutating func click(_ target: HitTarget, isDrag: Bool) {
        if let overlay = ui.overlay {
            if case .confirm(let confirmation) = overlay, case .button(let index) = target { answer(confirmation, index) }
            return
        }
        switch target {
        case .pane(let pane): ui.focus[pane.view] = pane
        case .row(let pane, let index):
            let wasSelected = ui.focus[ui.view] == pane && ui.lists[pane]?.selected == index
            ui.focus[pane.view] = pane
            select(index, in: pane)
            if pane == .paretoList, trialRows.indices.contains(index) {
                let id = trialRows[index].id
                if board.cursor == id, wasSelected { restore() }
                board.cursor = id
            } else if wasSelected, pane == .techniques {
                toggle()
            } else if wasSelected, pane == .exportForm {
                startTyping()
            }
        case .slider(let row, let share):
            ui.focus[.explore] = .parameters
            select(row, in: .parameters)
            guard let entry = focusedTechnique, let parameter = focusedParameter else { return }
            let range = parameter.axisRange
            let value = parameter.value(atAxis: range.lowerBound + (range.upperBound - range.lowerBound) * share)
            if value != self.value(of: parameter) { set(entry, parameter, to: value) }
        case .view(let view): show(view)
        case .trial(let id):
            ui.focus[ui.view] = ui.view == .pareto ? .paretoPlot : .scatter
            if board.cursor == id { restore() } else { board.cursor = id }
        case .layerColumn(let column): sortLayers(by: column)
        case .button: break
        }
        traceCurve()
    }

    private mutating func wheel(_ target: HitTarget, _ step: Int) {
        switch target {
        case .pane(let pane), .row(let pane, _):
            guard ui.overlay == nil else { return }
            ui.focus[pane.view] = pane
            moveSelection(by: step)
        default: break
        }
    }
}
