import CompressionEngine
import Measurement
import TerminalCells

/// The target on a line of its own, and its marks elsewhere.
extension Painter {
    mutating func drawTarget(in rect: Rect) {
        guard let target = model.tasks.target, rect.height > 0 else { return }
        let marks = model.targetMarks
        // What the original already holds is no achievement.
        let isMet = !model.isBaseline && !marks.isEmpty && marks.allSatisfy { $0.isMet == true && !$0.isEstimate }
        var line: StyledLine = [Span("Target ", Style(.accent, .bold))]
        if isMet { line += Span("met ", Style(.good, .bold)) }
        for (index, mark) in marks.enumerated() {
            if index > 0 { line += Span("  ") }
            line += [Span(" "), Span(symbol(mark), style(mark)), Span(" \(limit(mark.demand)): ", .muted), Span(value(mark), style(mark).adding(.bold))]
        }
        if marks.isEmpty || target.objectives.first != target.demands.first(where: { $0.measure.metric == nil })?.measure || target.isFront {
            line += Span("   \(target.objectives.map { $0.metric == nil ? $0.name : "loss" }.joined(separator: " and ")) as small as possible", .muted)
        }
        grid.put(line, in: rect)
    }

    /// `✓`, `✗`, and a dash where it is not known yet.
    func symbol(_ mark: TargetMark) -> String {
        guard let isMet = mark.isMet else { return String(glyphs.absent) }
        return String(isMet ? glyphs.check : glyphs.cross)
    }

    func style(_ mark: TargetMark) -> Style {
        guard let isMet = mark.isMet else { return .muted }
        return isMet ? .good : .bad
    }

    private func limit(_ demand: Demand) -> String {
        let sign = theme.glyphTier == .ascii ? (demand.isAtLeast ? ">=" : "<=") : (demand.isAtLeast ? "≥" : "≤")
        let name = demand.quantity == .drop ? "drop" : demand.measure.name
        return "\(name) \(sign) \(number(demand.number, demand))"
    }

    private func value(_ mark: TargetMark) -> String {
        guard let value = mark.value else { return "not measured" }
        return (mark.isEstimate ? String(glyphs.estimate) : "") + number(value, mark.demand)
    }

    private func number(_ value: Double, _ demand: Demand) -> String {
        switch demand.quantity {
        case .drop: (value < 0 ? "-" : "") + demand.measure.changeFormat.magnitude(abs(value))
        case .ratio: demand.measure.isLatency ? NumberFormat.fixed(value, digits: 2) + String(glyphs.times) : NumberFormat.fixed(100 * value, digits: value < 0.0995 ? 1 : 0) + " %"
        case .value: demand.measure.numberFormat.text(value)
        }
    }

    /// How the present recipe stands to the target's limit on a measure.
    func targetMark(of measure: Measure) -> Span? {
        model.targetMarks.first { $0.demand.measure == measure }.map { Span(symbol($0), style($0).adding(.bold)) }
    }
}

/// The goals to choose from, above the line where one is typed.
extension Painter {
    mutating func drawGoalChoices(_ entry: Entry, in area: Rect) {
        let choices = model.goalChoices
        let width = min(area.width - 2, 78)
        let frame = Rect(x: area.x + 1, y: max(area.y, area.maxY - choices.count - 4), width: width, height: min(area.height, choices.count + 4))
        grid.fill(frame)
        grid.draw(Panel(title: StyledLine(entry.purpose == .target ? "A target that stays on screen" : "What is to be reached"), isFocused: true), in: frame, theme: theme)
        let content = Panel.content(of: frame).inset(left: 1, right: 1)
        let column = (choices.map(\.what.count).max() ?? 0) + 3
        for (index, choice) in choices.enumerated() {
            let row = content.row(index)
            let isChosen = choice.text == entry.field.text
            if isChosen { grid.put(glyphs.pointer, at: Point(x: row.x - 1, y: row.y), style: Style(.accent, .bold)) }
            grid.put(StyledLine(choice.what, isChosen ? .bold : .standard), in: Rect(x: row.x, y: row.y, width: min(column, row.width), height: 1))
            grid.put(StyledLine(choice.text, .muted), in: row.inset(left: column))
        }
        let hint: StyledLine = [
            Span("\(glyphs.arrowUp)\(glyphs.arrowDown)", .accent), Span(" choose  ", .muted), Span("Tab", .accent), Span(" completes  ", .muted), Span("Enter", .accent),
            Span(entry.purpose == .target ? " keeps it  " : " searches  ", .muted), Span("Esc", .accent), Span(" leaves", .muted),
        ]
        if content.height > choices.count + 1 { grid.put(hint, in: content.row(choices.count + 1)) }
    }
}
