import CompressionEngine
import TerminalCells

/// A drawn screen and what its places stand for.
public struct Frame: Sendable {
    public var grid: CellGrid
    var hits: [(rect: Rect, target: HitTarget)]
    var plots: [Plot]

    /// What is drawn at a position: the last drawn wins; in a plot the trial nearest to it.
    public func target(at point: Point) -> HitTarget? {
        let target = hits.last { $0.rect.contains(point) }?.target
        guard case .pane = target, let plot = plots.last(where: { $0.rect.contains(point) }), let found = plot.chart.nearest(to: point, in: plot.rect) else { return target }
        let place = plot.chart.classes[found.pointClass].points[found.index]
        return plot.trials.first { $0.x == place.x && $0.y == place.y }.map { .trial($0.trial.id) } ?? target
    }
}

/// A scatter plot on the screen and the trials in it.
struct Plot: Sendable {
    var rect: Rect
    var chart: ScatterChart
    var trials: [PlottedTrial]
}

/// Draws the model. Pure: the same model gives the same frame.
public enum ExplorerView {
    public static func frame(_ model: ExplorerModel) -> Frame {
        var painter = Painter(model)
        let size = model.size
        guard size.width >= ExplorerLayout.minimum.width, size.height >= ExplorerLayout.minimum.height else {
            painter.grid.draw(TooSmall(needed: ExplorerLayout.minimum), in: painter.grid.bounds, theme: model.theme)
            return painter.frame
        }
        painter.drawScreen()
        return painter.frame
    }
}

/// The grid being drawn on, with what every pane needs.
struct Painter {
    let model: ExplorerModel
    let theme: Theme
    var grid: CellGrid
    private(set) var hits: [(rect: Rect, target: HitTarget)] = []
    var plots: [Plot] = []

    init(_ model: ExplorerModel) {
        self.model = model
        theme = model.theme
        grid = CellGrid(size: model.size, tier: model.theme.glyphTier)
    }

    var glyphs: Glyphs { theme.glyphs }
    var frame: Frame { Frame(grid: grid, hits: hits, plots: plots) }

    mutating func hit(_ rect: Rect, _ target: HitTarget) { hits.append((rect, target)) }

    mutating func drawScreen() {
        let chrome = ExplorerLayout.chrome(model)
        drawHeader(in: chrome.header)
        drawTabs(in: chrome.tabs)
        drawTarget(in: chrome.target)
        switch model.facts.phase {
        case .ready: for (pane, rect) in ExplorerLayout.panes(of: model) { draw(pane, in: rect) }
        default: drawOpening(in: chrome.content)
        }
        drawStatus(in: chrome.status)
        drawFooter(in: chrome.footer)
        drawOverlay(chrome)
    }

    private mutating func draw(_ pane: Pane, in rect: Rect) {
        hit(rect, .pane(pane))
        switch pane {
        case .techniques: drawTechniques(in: rect)
        case .parameters: drawParameters(in: rect)
        case .figures: drawFigures(in: rect)
        case .curve: drawCurve(in: rect)
        case .scatter: drawScatter(.scatter, in: rect)
        case .layerTable: drawLayerTable(in: rect)
        case .layerDetail: drawLayerDetail(in: rect)
        case .layerHeat: drawSensitivity(in: rect)
        case .paretoPlot: drawScatter(.paretoPlot, in: rect)
        case .paretoList: drawTrialList(in: rect)
        case .paretoDetail: drawTrialDetail(in: rect)
        case .historyTree: drawHistoryTree(in: rect)
        case .historyDiff: drawHistoryDifference(in: rect)
        case .jobList: drawJobList(in: rect)
        case .jobDetail: drawJobDetail(in: rect)
        case .exportForm: drawExportForm(in: rect)
        case .exportSummary: drawExportSummary(in: rect)
        }
    }

    // MARK: - Parts that panes share

    /// Whether a pane has the keyboard: not while something lies over it.
    func isFocused(_ pane: Pane) -> Bool { model.ui.overlay == nil && model.pane == pane }

    /// Draws a pane's border and returns what it leaves free, with a column of air on both sides.
    mutating func panel(
        _ pane: Pane, in rect: Rect, title: String? = nil, badge: StyledLine = StyledLine(), footer: StyledLine = StyledLine(),
        scroll: ScrollPosition? = nil
    ) -> Rect {
        var heading = StyledLine(title ?? pane.title)
        if let filter = model.ui.filters[pane], !filter.isEmpty { heading += Span(" /\(filter)", .accent) }
        let focused = model.pane == pane
        grid.draw(Panel(title: heading, badge: badge, footer: footer, isFocused: focused, scroll: scroll), in: rect, theme: theme)
        return Panel.content(of: rect).inset(left: 1, right: 1)
    }

    /// Draws a list and makes its rows clickable.
    mutating func list(_ items: [ListItem], of pane: Pane, state: ListState, in rect: Rect, emptyText: String) {
        let list = ItemList(items, state: state, isFocused: isFocused(pane), emptyText: emptyText)
        grid.draw(list, in: rect, theme: theme)
        for y in rect.minY..<rect.maxY {
            if let index = list.index(atY: y, in: rect) { hit(Rect(x: rect.x, y: y, width: rect.width, height: 1), .row(pane, index)) }
        }
    }

    /// A pane of text that scrolls, in its border.
    mutating func textPane(_ pane: Pane, in rect: Rect, title: String? = nil, badge: StyledLine = StyledLine(), footer: StyledLine = StyledLine()) {
        let count = textHeight(pane, in: rect)
        let offset = min(model.ui.textOffsets[pane] ?? 0, max(0, count - (rect.height - 2)))
        let content = panel(
            pane, in: rect, title: title, badge: badge, footer: footer, scroll: ScrollPosition(offset: offset, visible: rect.height - 2, total: count))
        text(textLines(pane, width: content.width), in: content, offset: offset)
    }

    /// Lines that a pane's text takes in a rectangle of this width.
    func textHeight(_ pane: Pane, in rect: Rect) -> Int {
        let width = Panel.content(of: rect).inset(left: 1, right: 1).width
        return textLines(pane, width: width).flatMap { $0.wrapped(to: max(1, width)) }.count
    }

    private func textLines(_ pane: Pane, width: Int) -> [StyledLine] {
        switch pane {
        case .paretoDetail: trialLines
        case .historyDiff: differenceLines
        case .jobDetail: model.selectedJob.map { model.detail(of: $0).map { StyledLine($0) } } ?? []
        case .exportSummary: exportLines(width: width)
        default: []
        }
    }

    /// Text lines, wrapped, from the top.
    mutating func text(_ lines: [StyledLine], in rect: Rect, offset: Int = 0) {
        grid.draw(Paragraph(lines, offset: offset), in: rect, theme: theme)
    }

    func scroll(_ state: ListState, count: Int, visible: Int) -> ScrollPosition {
        ScrollPosition(offset: state.scrolled(count: count, visible: visible).offset, visible: visible, total: count)
    }
}
