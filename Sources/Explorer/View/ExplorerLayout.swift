import CompressionEngine
import Techniques
import TerminalCells

/// Where everything is, from the model alone: the view draws by it, the page keys and the mouse measure by it.
public enum ExplorerLayout {
    /// Below this the program says what it needs.
    public static let minimum = Size(width: 60, height: 18)

    struct Chrome {
        var header: Rect
        var tabs: Rect
        /// Without height where no target is stated.
        var target: Rect
        var content: Rect
        var status: Rect
        var footer: Rect
    }

    static func chrome(_ model: ExplorerModel) -> Chrome {
        let rows = Rect(model.size).rows([.fixed(1), .fixed(1), .fixed(model.tasks.target == nil ? 0 : 1), .fill, .fixed(1), .fixed(1)])
        func padded(_ rect: Rect) -> Rect { rect.inset(left: 1, right: 1) }
        return Chrome(header: padded(rows[0]), tabs: rows[1], target: padded(rows[2]), content: rows[3], status: padded(rows[4]), footer: padded(rows[5]))
    }

    /// The panes in view and their rectangles, borders included. When room is short, panes share a place and the
    /// focused one is shown in it.
    static func panes(of model: ExplorerModel) -> [(pane: Pane, rect: Rect)] {
        let content = chrome(model).content
        if model.ui.isZoomed { return [(model.pane, content)] }
        let slots: [([Pane], Rect)] =
            switch model.ui.view {
            case .explore: explore(content, model)
            case .layers: layers(content, count: model.facts.info?.layers.count ?? 0)
            case .pareto: pareto(content)
            case .history: pair(content, .historyTree, .historyDiff, share: 55)
            case .jobs: pair(content, .jobList, .jobDetail, share: 45)
            case .export: pair(content, .exportForm, .exportSummary, share: 40)
            }
        return slots.map { panes, rect in (panes.first { $0 == model.pane } ?? panes[0], rect) }
    }

    /// The other panes that share a pane's place.
    static func hidden(of model: ExplorerModel) -> [Pane] {
        let shown = panes(of: model).map(\.pane)
        return model.ui.view.panes.filter { !shown.contains($0) }
    }

    private typealias Slot = (panes: [Pane], rect: Rect)

    // MARK: - Views

    private static func explore(_ area: Rect, _ model: ExplorerModel) -> [Slot] {
        // Fixed by the largest technique, so that nothing jumps when another is focused.
        let knobs = (model.catalog.descriptors.map(\.parameters.count).max() ?? 3) + 3
        if area.width < 76, area.height >= 32 {
            let techniques = min(techniqueHeight(model), area.height * 30 / 100)
            let rows = area.rows([.fixed(techniques), .fixed(min(knobs, 9)), .fixed(min(FiguresPane.fullHeight, area.height * 32 / 100)), .fill])
            let slots: [Slot] = [([.techniques], rows[0]), ([.parameters], rows[1]), ([.figures], rows[2])]
            guard rows[3].height >= 24 else { return slots + [([.curve, .scatter], rows[3])] }
            let halves = rows[3].rows([.fill, .fill])
            return slots + [([.curve], halves[0]), ([.scatter], halves[1])]
        }
        let left = area.width < 72 ? 27 : (area.width < 100 ? 36 : min(56, area.width * 36 / 100))
        let columns = area.columns([.fixed(left), .fill])
        // Most techniques have few parameters, and the list of techniques is what one chooses from.
        let parameters = min(knobs, max(6, area.height * (area.height < 30 ? 30 : 40) / 100))
        let leftRows = columns[0].rows([.fill, .fixed(parameters)])
        let leftSlots: [Slot] = [([.techniques], leftRows[0]), ([.parameters], leftRows[1])]
        let right = columns[1]
        guard right.height >= 18 else { return leftSlots + [([.figures, .curve, .scatter], right)] }
        let figures = min(FiguresPane.fullHeight, max(9, right.height * 55 / 100))
        let rows = right.rows([.fixed(figures), .fill])
        let charts = rows[1]
        if charts.height >= 24 {
            let halves = charts.rows([.fill, .fill])
            return leftSlots + [([.figures], rows[0]), ([.curve], halves[0]), ([.scatter], halves[1])]
        }
        if charts.width >= 72 {
            let halves = charts.columns([.fill, .fill])
            return leftSlots + [([.figures], rows[0]), ([.curve], halves[0]), ([.scatter], halves[1])]
        }
        return leftSlots + [([.figures], rows[0]), ([.curve, .scatter], charts)]
    }

    private static func techniqueHeight(_ model: ExplorerModel) -> Int {
        model.techniqueRows.count + 2
    }

    private static func layers(_ area: Rect, count: Int) -> [Slot] {
        if area.width >= 130 {
            let columns = area.columns([.fill, .fixed(min(64, area.width * 36 / 100))])
            guard area.height >= 30 else { return [([.layerTable], columns[0]), ([.layerDetail, .layerHeat], columns[1])] }
            let rows = columns[1].rows([.fill, .fill])
            return [([.layerTable], columns[0]), ([.layerDetail], rows[0]), ([.layerHeat], rows[1])]
        }
        guard area.height >= 18 else { return [([.layerTable, .layerDetail, .layerHeat], area)] }
        // A model of few layers leaves its room to the histograms.
        let table = min(max(8, count + 3), area.height - (area.height >= 30 ? 16 : 10))
        let rows = area.rows([.fixed(table), .fill])
        return [([.layerTable], rows[0]), ([.layerDetail, .layerHeat], rows[1])]
    }

    private static func pareto(_ area: Rect) -> [Slot] {
        if area.width >= 116 {
            let columns = area.columns([.fill, .fixed(min(80, area.width * 46 / 100))])
            let rows = columns[1].rows([.fill, .fixed(min(18, area.height * 45 / 100))])
            return [([.paretoPlot], columns[0]), ([.paretoList], rows[0]), ([.paretoDetail], rows[1])]
        }
        guard area.height >= 18 else { return [([.paretoPlot, .paretoList, .paretoDetail], area)] }
        if area.height >= 44 {
            let rows = area.rows([.fill, .percentage(28), .fixed(16)])
            return [([.paretoPlot], rows[0]), ([.paretoList], rows[1]), ([.paretoDetail], rows[2])]
        }
        let rows = area.rows([.fill, .fixed(area.height * 42 / 100)])
        return [([.paretoPlot], rows[0]), ([.paretoList, .paretoDetail], rows[1])]
    }

    private static func pair(_ area: Rect, _ first: Pane, _ second: Pane, share: Int) -> [Slot] {
        if area.width >= 100 {
            let columns = area.columns([.percentage(share), .fill])
            return [([first], columns[0]), ([second], columns[1])]
        }
        guard area.height >= 14 else { return [([first, second], area)] }
        let rows = area.rows([.percentage(share), .fill])
        return [([first], rows[0]), ([second], rows[1])]
    }
}
