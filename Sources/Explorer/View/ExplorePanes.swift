import CompressionEngine
import Measurement
import Recipes
import Techniques
import TerminalCells

/// Techniques and parameters.
extension Painter {
    mutating func drawTechniques(in rect: Rect) {
        let rows = model.techniqueRows
        var state = model.ui.lists[.techniques] ?? ListState()
        state.selected = model.techniqueCursor
        let on = model.recipe.steps.count(where: \.enabled)
        let content = panel(
            .techniques, in: rect, badge: StyledLine(on == 0 ? "none on" : "\(on) on", on == 0 ? .muted : .accent),
            scroll: scroll(state, count: rows.count, visible: rect.height - 2))
        list(rows.map(item), of: .techniques, state: state, in: content.inset(left: -1, right: 0), emptyText: "no technique matches")
    }

    private func item(_ row: TechniqueRow) -> ListItem {
        switch row {
        case .group(let group, let count, let isFolded):
            return ListItem([Span(isFolded ? "+ " : "- ", .muted), Span(group.title, Style(.accent, .bold))], detail: StyledLine("\(count)", .muted))
        case .preset(let preset): return ListItem(StyledLine("  " + preset.title), detail: StyledLine(model.presetGain(preset).map { saving($0) } ?? "", .muted))
        case .family(let family): return ListItem(StyledLine("  " + family.title, Style(.muted, .bold)))
        case .technique(let entry):
            var line = StyledLine(entry.isEnabled ? glyphs.checkboxOn : glyphs.checkboxOff, entry.isEnabled ? Style(.accent, .bold) : .standard)
            // Only when there is an order does it matter.
            line += Span(entry.order.map { " \($0) " } ?? "   ", Style(.accent, .bold))
            line += Span(entry.descriptor.title, entry.isEnabled ? .bold : .standard)
            let value = StyledLine(entry.value, entry.isEnabled ? Style(.modified, .bold) : .muted)
            return ListItem(line, detail: value, disabledReason: entry.refusal)
        }
    }

    /// `file 3.8×`: by how much a ready-made recipe is predicted to shrink what it is for.
    private func saving(_ gain: (measure: Measure, factor: Double)) -> String {
        "\(gain.measure == .file ? "file" : "archive") \(NumberFormat.fixed(gain.factor, digits: gain.factor < 9.95 ? 1 : 0))\(glyphs.times)"
    }

    mutating func drawParameters(in rect: Rect) {
        if let preset = model.focusedPreset { return drawPreset(preset, in: rect) }
        if let group = model.focusedGroup {
            let content = panel(.parameters, in: rect, title: group.title)
            return text([StyledLine(group.explanation, .muted)], in: content)
        }
        guard let entry = model.focusedTechnique else {
            _ = panel(.parameters, in: rect)
            return
        }
        let parameters = entry.descriptor.parameters
        let state = model.ui.lists[.parameters] ?? ListState()
        var footer = StyledLine()
        if let parameter = model.focusedParameter {
            footer = StyledLine("\(range(parameter)), default \(parameter.shown(parameter.defaultValue))", .muted)
        }
        let content = panel(
            .parameters, in: rect, title: entry.descriptor.title, badge: entry.isEnabled ? StyledLine("on", .good) : StyledLine("off", .muted),
            footer: footer, scroll: scroll(state, count: parameters.count, visible: rect.height - 2))
        guard !parameters.isEmpty else {
            text([StyledLine("no parameters: Space switches it on or off", .muted)], in: content)
            return
        }
        let visible = content.height
        let shown = state.scrolled(count: parameters.count, visible: visible)
        let label = min(max(8, parameters.map { DisplayWidth.of($0.title) }.max() ?? 8), max(8, content.width * 45 / 100))
        for line in 0..<visible where shown.offset + line < parameters.count {
            let index = shown.offset + line
            drawParameter(parameters[index], index: index, isSelected: index == shown.selected, label: label, in: content.row(line), entry)
        }
        let left = visible - (parameters.count - shown.offset)
        if left >= 1, let note = layerNote { grid.put(StyledLine(note, .muted), in: content.row(visible - 1)) }
    }

    /// The steps of a ready-made recipe.
    private mutating func drawPreset(_ preset: RecipePreset, in rect: Rect) {
        let content = panel(.parameters, in: rect, title: preset.title)
        let steps = model.catalog.presets.first { $0.preset.id == preset.id }?.recipe.steps ?? []
        let lines = steps.enumerated().map { index, step -> StyledLine in
            let title = model.catalog.title(step.technique)
            let values = model.catalog.inWords(step.parameters, of: step.technique)
            return [Span("\(index + 1) ", .accent), Span(title), Span(values.isEmpty ? "" : "  " + values, .muted)]
        }
        text(lines, in: content)
    }

    private mutating func drawParameter(
        _ parameter: ParameterDescriptor, index: Int, isSelected: Bool, label: Int, in row: Rect, _ entry: TechniqueEntry
    ) {
        let value = model.value(of: parameter)
        let isModified = value != parameter.defaultValue
        let disabled = entry.refusal != nil && !entry.isEnabled
        hit(row, .row(.parameters, index))
        if isSelected { grid.put(glyphs.pointer, at: Point(x: row.x - 1, y: row.y), style: Style(.accent, .bold)) }
        let name = Rect(x: row.x, y: row.y, width: label, height: 1)
        grid.put(StyledLine(parameter.title, disabled ? .disabled : .standard), in: name)
        if isSelected { grid.highlight(name, isFocused(.parameters) ? .selected : .selectedWithoutFocus) }
        let control = row.inset(left: label + 1)
        switch parameter.domain {
        case .real, .integer:
            let range = parameter.axisRange
            let slider = Slider(
                value: parameter.axisPosition(value), range: range, defaultValue: parameter.axisPosition(parameter.defaultValue), text: parameter.shown(value),
                isFocused: isSelected && isFocused(.parameters), isDisabled: disabled)
            grid.draw(slider, in: control, theme: theme)
            for x in control.minX..<control.maxX {
                guard let at = slider.value(atX: x, in: control) else { continue }
                let share = (at - range.lowerBound) / max(1e-12, range.upperBound - range.lowerBound)
                hit(Rect(x: x, y: control.y, width: 1, height: 1), .slider(row: index, share: share))
            }
        case .choice, .flag:
            let style: Style = disabled ? .disabled : (isModified ? Style(.modified, .bold) : .standard)
            let line: StyledLine = [Span("\(glyphs.arrowLeft) ", .muted), Span(parameter.shown(value), style), Span(" \(glyphs.arrowRight)", .muted)]
            grid.put(line, in: control, alignment: .right)
        }
    }

    private func range(_ parameter: ParameterDescriptor) -> String {
        let dots = theme.glyphTier == .ascii ? ".." : "…"
        return switch parameter.domain {
        case .real(let range, _): "\(ParameterValue.real(range.lowerBound).text)\(dots)\(ParameterValue.real(range.upperBound).text)"
        case .integer(let range, _): "\(range.lowerBound)\(dots)\(range.upperBound)"
        case .choice(let choices): "\(choices.count) choices"
        case .flag: "true or false"
        }
    }

    /// Which layers the step works on, when it is not simply all.
    private var layerNote: String? {
        guard let info = model.facts.info, let step = model.focusedStep else { return nil }
        let refused = model.facts.refusals[step.technique] ?? [:]
        let chosen = info.layers.indices.filter { step.layers.matches(info.layers[$0], position: $0) && refused[$0] == nil }.count
        let own = step.overrides.isEmpty ? "" : ", \(step.overrides.count) with own values"
        return "\(chosen) of \(info.layers.count) layers\(own)"
    }
}
