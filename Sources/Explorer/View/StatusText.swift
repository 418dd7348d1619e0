import CompressionEngine
import Recipes
import Techniques
import TerminalCells

/// The line above the footer: what is under the cursor, in words and with every digit.
struct StatusText {
    let model: ExplorerModel
    let theme: Theme

    init(_ model: ExplorerModel, theme: Theme) {
        self.model = model
        self.theme = theme
    }

    var line: StyledLine {
        switch model.pane {
        case .techniques:
            if let group = model.focusedGroup { return StyledLine(group.explanation, .muted) }
            if let preset = model.focusedPreset {
                let forecast = model.presetForecast(preset).joined(separator: ", ")
                return [Span("Space takes \(preset.title). ", .bold), Span(forecast.isEmpty ? "" : "Predicted: \(forecast).", .muted)]
            }
            guard let entry = model.focusedTechnique else { return "" }
            if let refusal = entry.refusal { return StyledLine("\(entry.descriptor.title): \(refusal)", .warning) }
            if model.recipe.steps.isEmpty {
                return [
                    Span("Begin: ", .bold), Span("Space", .accent), Span(" switches it on, ", .muted), Span("Tab \(arrows)", .accent), Span(" turn it, ", .muted),
                    Span(model.keyLabel(.search, theme.glyphTier), .accent), Span(" reaches a goal, ", .muted), Span("\(theme.glyphs.arrowUp)", .accent),
                    Span(" recipes", .muted),
                ]
            }
            return StyledLine(entry.descriptor.summary, .muted)
        case .parameters, .curve:
            guard let parameter = model.focusedParameter else { return StyledLine("this technique has no parameters", .muted) }
            return StyledLine(parameter.help, .muted)
        case .figures: return figureLine
        case .scatter, .paretoPlot, .paretoList, .paretoDetail:
            guard let trial = model.selectedTrial else { return StyledLine("Every recipe that was evaluated is kept here, also after a restart.", .muted) }
            return StyledLine(model.summary(of: trial.recipe), .muted)
        case .layerHeat:
            guard let grid = model.tasks.sensitivity else { return StyledLine("Changes one layer at a time and measures the accuracy that this alone costs.", .muted) }
            let look = theme.colorTier == .mono ? "Dense" : "Red and dense"
            let groups = grid.units.contains { $0.layers.count > 1 } ? " A row with several layers: they can only change together." : ""
            return StyledLine("\(look): \(model.ui.heatShowsLatency ? "slow there" : "\(model.metric.name) gets much worse there").\(groups)", .muted)
        case .layerTable, .layerDetail:
            guard let row = model.selectedLayer else { return "" }
            let technique =
                model.focusedTechnique.map { entry in
                    "\(entry.descriptor.title), \(model.focusedParameter?.title ?? "no parameter"): "
                } ?? ""
            switch row.own {
            case .refused(let reason): return StyledLine(technique + reason, .warning)
            case .excluded: return StyledLine(technique + "this layer is left out", .muted)
            case .own(let value): return StyledLine(technique + "own value \(value)", .muted)
            case .asStep(let value): return StyledLine(technique + "\(value), same as the step", .muted)
            case .off(let value): return StyledLine(technique + "off (\(value) when on)", .muted)
            }
        case .historyTree, .historyDiff:
            let history = model.session.history
            return StyledLine("\(history.nodes.count) state\(history.nodes.count == 1 ? "" : "s"). An edit after an undo opens a branch; no state is lost.", .muted)
        case .jobList, .jobDetail: return StyledLine("Evaluations, timing, trainings and exports; y copies the details.", .muted)
        case .exportForm, .exportSummary: return StyledLine("The test split is read once, for the report. No file is replaced unasked.", .muted)
        }
    }

    private var arrows: String { "\(theme.glyphs.arrowLeft)\(theme.glyphs.arrowRight)" }

    private var figureLine: StyledLine {
        let rows = model.measureRows
        let row = rows[min(max(0, model.ui.lists[.figures]?.selected ?? 0), rows.count - 1)]
        var line = StyledLine()
        if let value = row.now.value { line += Span(row.measure.format.exact(value) + provenance(row.now) + ". ", .bold) }
        line += Span(row.measure.explanation, .muted)
        return line
    }

    private func provenance(_ figure: TerminalCells.Figure) -> String {
        if figure.isStale { return " (from the previous recipe)" }
        return switch figure.standing {
        case .measured: " measured"
        case .estimated: " estimated"
        case .modeled: " modeled"
        }
    }
}
