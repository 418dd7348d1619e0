import Measurement
import Recipes
import TerminalCells

/// The undo tree and the difference of two of its states.
extension Painter {
    mutating func drawHistoryTree(in rect: Rect) {
        let lines = model.historyLines
        let history = model.session.history
        let selected = lines.firstIndex { $0.id == model.selectedState }
        var state = model.ui.lists[.historyTree] ?? ListState(selected: selected)
        state.selected = selected
        let content = panel(
            .historyTree, in: rect, badge: StyledLine("\(history.nodes.count) states", .muted), scroll: scroll(state, count: lines.count, visible: rect.height - 2))
        // A long session has thousands of states: only those in view are spelled out.
        let first = state.scrolled(count: lines.count, visible: content.height).offset
        let items = lines.enumerated().map { index, line in
            (first..<first + content.height).contains(index) ? item(line, history) : ListItem("")
        }
        list(items, of: .historyTree, state: state, in: content.inset(left: -1), emptyText: "no state matches")
    }

    private func item(_ line: RecipeHistory.Line, _ history: RecipeHistory) -> ListItem {
        let node = history.nodes[line.id]
        let isCurrent = line.id == history.currentID
        let rail = theme.glyphTier == .ascii ? "| " : "│ "
        let fork = theme.glyphTier == .ascii ? "|-" : "├─"
        // The number by which the difference and messages call the state.
        let number = "\(line.id)"
        var text = StyledLine(String(repeating: " ", count: max(0, "\(history.nodes.count - 1)".count - number.count)) + number + " ", .muted)
        if line.column > 0 {
            let rails = line.isBranch ? line.column - 1 : line.column
            text += Span(String(repeating: rail, count: rails) + (line.isBranch ? fork : ""), .muted)
        }
        let dot = isCurrent ? glyphs.markers[0] : (theme.glyphTier == .ascii ? "-" : glyphs.markers[4])
        text += Span("\(dot) ", isCurrent ? Style(.accent, .bold) : .muted)
        if !node.name.isEmpty { text += Span(node.name + "  ", Style(.accent, .bold)) }
        text += Span(node.title, isCurrent ? .bold : .standard)
        if isCurrent { text += Span("  now", Style(.accent, .bold)) }
        if node.isPinned { text += Span("  pinned", Style(.warning, .bold)) }
        if model.ui.differenceBase == line.id { text += Span("  marked", Style(.accent)) }
        return ListItem(text, detail: numbers(node.recipe))
    }

    /// Accuracy and file size of a state, where they are known.
    private func numbers(_ recipe: Recipe) -> StyledLine {
        let isBaseline = !recipe.steps.contains(where: \.enabled)
        let known = model.answers.results[recipe.canonical]
        let accuracy = isBaseline ? model.facts.baselineAccuracy : known?.accuracy
        let bytes = isBaseline ? model.facts.baseline?.serializedBytes : known?.figures?.serializedBytes
        var line = StyledLine()
        if let accuracy {
            line += ShownFigure(accuracy.value, accuracy.measure.numberFormat, standing: accuracy.isComplete ? .measured : .estimated).span(theme: theme, over: .muted)
        }
        if let bytes {
            if !line.isEmpty { line += Span("  ") }
            let text = NumberFormat.bytes.text(bytes.value)
            line += Span(String(repeating: " ", count: max(0, 8 - text.count)) + text, .muted)
        }
        return line
    }

    /// The two states that are compared.
    private var compared: (base: Int, state: Int) {
        let state = model.selectedState
        return (model.ui.differenceBase ?? model.session.history.nodes[state].parent ?? 0, state)
    }

    private func name(_ id: Int) -> String {
        let node = model.session.history.nodes[id]
        return node.name.isEmpty ? "state \(id)" : node.name
    }

    mutating func drawHistoryDifference(in rect: Rect) {
        let (base, state) = compared
        let footer = model.ui.differenceBase == nil ? "d marks a state to compare" : "d on \(name(base)) unmarks it"
        textPane(.historyDiff, in: rect, title: "\(name(base)) \(glyphs.arrowRight) \(name(state))", footer: StyledLine(footer, .muted))
    }

    var differenceLines: [StyledLine] {
        let history = model.session.history
        let (base, state) = compared
        let differences = RecipeDifference.lines(from: history.nodes[base].recipe, to: history.nodes[state].recipe, catalog: model.catalog)
        var lines: [StyledLine] = []
        for difference in differences {
            switch difference {
            case .added(let text): lines.append([Span("+ ", .good.adding(.bold)), Span(text)])
            case .removed(let text): lines.append([Span("- ", .bad.adding(.bold)), Span(text)])
            case .changed(let what, let before, let after):
                lines.append([Span("~ ", Style(.warning, .bold)), Span(what + ": "), Span(before, .muted), Span(" \(glyphs.arrowRight) ", .muted), Span(after, .bold)])
            }
        }
        if lines.isEmpty { lines = [StyledLine(base == state ? (history.nodes[state].parent == nil ? "start" : "the same state") : "the same recipe", .muted)] }
        lines += [StyledLine(""), StyledLine("the recipe of \(name(state))", Style(.muted, .underline))]
        return lines + model.description(of: history.nodes[state].recipe).map { StyledLine($0) }
    }
}
