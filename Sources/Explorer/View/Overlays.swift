import Techniques
import TerminalCells

/// What lies over the panes.
extension Painter {
    mutating func drawOverlay(_ chrome: ExplorerLayout.Chrome) {
        switch model.ui.overlay {
        case .help(let list, let pane): drawHelp(list, pane, in: chrome.content)
        case .palette(let list, _): drawPalette(list, in: chrome.content)
        case .messages(let state): drawMessages(state, in: chrome.content)
        case .text(let box): drawText(box, in: chrome.content)
        case .confirm(let confirmation): drawConfirmation(confirmation, in: chrome.content)
        case .entry(let entry): if [.search, .target].contains(entry.purpose) { drawGoalChoices(entry, in: chrome.content) }
        case nil: break
        }
    }

    /// A box over the content, cleared, with its border.
    private mutating func box(_ title: String, width: Int, height: Int, in area: Rect, footer: StyledLine = StyledLine()) -> Rect {
        let frame = area.centered(width: min(width, area.width - 2), height: min(height, area.height))
        grid.fill(frame)
        grid.draw(Panel(title: StyledLine(title), footer: footer, isFocused: true), in: frame, theme: theme)
        return Panel.content(of: frame).inset(left: 1, right: 1)
    }

    private mutating func drawHelp(_ list: CommandList, _ pane: Pane, in area: Rect) {
        let content = box("Help: \(pane.title)", width: 84, height: area.height, in: area)
        let about = aboutLines(pane, width: content.width)
        // The keys are what help is opened for: the text below gives way to them.
        let aboutHeight = min(about.count, max(2, content.height * 45 / 100))
        let parts = content.rows([.fill, .fixed(1), .fixed(aboutHeight)])
        grid.draw(list, in: parts[0], theme: theme)
        text(about, in: parts[2])
    }

    private func aboutLines(_ pane: Pane, width: Int) -> [StyledLine] {
        var lines = [legend]
        switch pane {
        case .techniques, .parameters, .curve:
            guard let descriptor = model.focusedTechnique?.descriptor else { break }
            lines.append(StyledLine(descriptor.title, .bold))
            lines.append(StyledLine(descriptor.details))
            if pane != .techniques, let parameter = model.focusedParameter {
                lines.append([Span(parameter.title + ": ", .bold), Span(parameter.help + " Expected: \(parameter.expectation).")])
                if case .choice(let choices) = parameter.domain { lines += choices.map { [Span("  \($0.name) ", .bold), Span($0.help, .muted)] } }
            }
            lines.append(StyledLine("Source: \(descriptor.source)", .muted))
        case .figures:
            lines += model.measureRows.map { [Span("\($0.measure.title): ", .bold), Span($0.measure.explanation)] }
        case .scatter, .paretoPlot, .paretoList, .paretoDetail:
            lines.append("Each point is an evaluated recipe. A point is on the front if no other point is better in both measures.")
        case .layerHeat:
            lines.append(
                "Each row is changed alone, on the same validation samples as the baseline. Layers with coupled channels or a shared weight are one row, because they can only change together."
            )
            lines.append("An allocation adds up the losses of the rows, which is an approximation. It then measures the whole model before it says that the goal is met.")
        case .layerTable, .layerDetail:
            lines.append("The column 'own value' shows the parameter that is chosen in Explore: [ ] choose the technique, { } the parameter.")
        case .historyTree, .historyDiff:
            lines.append("Several quick changes of one parameter make one state. No state is lost: an edit after an undo opens a branch.")
        case .jobList, .jobDetail, .exportForm, .exportSummary: break
        }
        lines.append(StyledLine("Terms: Docs/Glossary.md. Choosing: Docs/WhichTechniqueWhen.md.", .muted))
        return lines.flatMap { $0.wrapped(to: width) }
    }

    /// How numbers of different standing look.
    private var legend: StyledLine {
        let format = NumberFormat.general
        func sample(_ figure: ShownFigure, _ text: String) -> [Span] { [figure.span(theme: theme), Span(" \(text)  ", .muted)] }
        return StyledLine(
            sample(ShownFigure(98, format), "measured") + sample(ShownFigure(98, format, standing: .estimated), "estimated")
                + sample(ShownFigure(98, format, standing: .modeled), "modeled") + sample(ShownFigure(98, format, isStale: true), "stale") + sample(.absent, "not yet"))
    }

    private mutating func drawPalette(_ list: CommandList, in area: Rect) {
        let content = box("Commands", width: 84, height: area.height - 2, in: area)
        grid.draw(list, in: content, theme: theme)
    }

    private mutating func drawMessages(_ state: ListState, in area: Rect) {
        let content = box("Messages", width: area.width - 4, height: area.height, in: area, footer: StyledLine("Enter copies", .muted))
        let selected = min(max(0, state.selected ?? 0), max(0, model.feed.messages.count - 1))
        let detail = model.feed.messages.indices.contains(selected) ? StyledLine(model.feed.messages[selected].text).wrapped(to: content.width) : []
        let parts = content.rows([.fill, .fixed(1), .fixed(min(detail.count, content.height / 2))])
        let items = model.feed.messages.map { message -> ListItem in
            let (mark, style): (Character, Style) =
                switch message.kind {
                case .info: (glyphs.bullet, .muted)
                case .warning: (glyphs.warning, .warning)
                case .failure: (glyphs.cross, .bad)
                }
            return ListItem([Span("\(mark) ", style), Span(message.text)], detail: StyledLine(NumberFormat.duration(message.time), .muted))
        }
        grid.draw(ItemList(items, state: state, emptyText: "no message yet"), in: parts[0], theme: theme)
        text(detail, in: parts[2])
    }

    private mutating func drawText(_ box: TextBox, in area: Rect) {
        let lines = box.lines.map { StyledLine($0) }
        let width = min(area.width - 6, 96)
        let height = lines.flatMap { $0.wrapped(to: width) }.count
        let footer = box.copied ? StyledLine("\(glyphs.check) copied", .good) : StyledLine("select with the mouse off (m), or y", .muted)
        let content = self.box(box.title, width: width + 4, height: height + 2, in: area, footer: footer)
        text(lines, in: content, offset: box.offset)
    }

    private mutating func drawConfirmation(_ confirmation: Confirmation, in area: Rect) {
        let body = confirmation.text.split(separator: "\n").map { StyledLine(String($0)) }
        let dialog = Dialog(title: confirmation.title, body: body, buttons: confirmation.buttons, selectedButton: confirmation.selected)
        grid.draw(dialog, in: area, theme: theme)
        let frame = dialog.frame(in: area)
        var x = frame.x + 2
        for (index, button) in confirmation.buttons.enumerated() {
            let width = DisplayWidth.of(button) + 4
            hit(Rect(x: x, y: frame.maxY - 2, width: width, height: 1), .button(index))
            x += width + 2
        }
    }
}
