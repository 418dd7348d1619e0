import CompressionEngine
import Measurement
import Recipes
import TerminalCells

extension ExplorerModel {
    /// Does what a key, the mouse or the palette asks for.
    mutating func perform(_ action: Action) {
        logInterface(action)
        if let view = action.view { return show(view) }
        switch action {
        case .quit: quit()
        case .interrupt: interrupt()
        case .suspend: effects.append(.suspend)
        case .back: back()
        case .help: openHelp()
        case .palette: openPalette()
        case .filter: openFilter()
        case .nextMatch: moveSelection(by: 1, wrapping: true)
        case .previousMatch: moveSelection(by: -1, wrapping: true)
        case .messages: ui.overlay = .messages(ListState(selected: max(0, feed.messages.count - 1)))
        case .copyCommand: effects.append(.equivalentCommand(recipe, recipePath: ui.export.recipePath, shown: true))
        case .toggleMouse: toggleMouse()
        case .cycleGlyphs: cycleGlyphs()
        case .cycleColors: cycleColors()
        case .up: moveSelection(by: -1)
        case .down: moveSelection(by: 1)
        case .left: sideways(-1)
        case .right: sideways(1)
        case .first: select(0)
        case .last: select(Int.max)
        case .pageUp: moveSelection(by: -max(1, visibleRows - 1))
        case .pageDown: moveSelection(by: max(1, visibleRows - 1))
        case .halfPageUp: moveSelection(by: -max(1, visibleRows / 2))
        case .halfPageDown: moveSelection(by: max(1, visibleRows / 2))
        case .nextPane: cyclePane(1)
        case .previousPane: cyclePane(-1)
        case .zoom: ui.isZoomed.toggle()
        case .undo: act(.undo)
        case .redo: act(.redo)
        case .toggle: toggle()
        case .decrease: step(by: -1)
        case .increase: step(by: 1)
        case .decreaseMuch: step(by: -10)
        case .increaseMuch: step(by: 10)
        case .type: startTyping()
        case .reset: reset()
        case .moveEarlier: if let entry = focusedTechnique { moveStep(entry, by: -1) }
        case .moveLater: if let entry = focusedTechnique { moveStep(entry, by: 1) }
        case .removeStep: if let entry = focusedTechnique { act(.edit(.remove(entry.step))) }
        case .clearRecipe: act(.edit(.replace(Recipe(seed: recipe.seed), why: "baseline")))
        case .resumeSession: takeUpEarlier()
        case .measureLatency: measureLatency()
        case .evaluate:
            if facts.baselineProblem != nil {
                facts.baselineProblem = nil
                facts.baselineRun = (now, nil)
                effects.append(.evaluateBaseline)
            }
            evaluate(again: true)
            traceCurve(force: true)
        case .train: train(steps: nil)
        case .previewRecovery: train(steps: Self.previewSteps)
        case .pauseJob: pauseJob()
        case .finishJob: finishJob()
        case .pin: pin()
        case .classChanges: showClassChanges()
        case .takeRescue: takeRescue()
        case .compare: compare()
        case .curveMeasure: nextCurveMeasure()
        case .curveOverlay: nextCurveOverlay()
        case .axisX: (board.axes.x, board.areAxesChosen) = (next(board.axes.x, avoiding: board.axes.y), true)
        case .axisY: (board.axes.y, board.areAxesChosen) = (next(board.axes.y, avoiding: board.axes.x), true)
        case .previousTechnique: moveTechnique(by: -1)
        case .nextTechnique: moveTechnique(by: 1)
        case .previousParameter: moveParameter(by: -1)
        case .nextParameter: moveParameter(by: 1)
        case .sortNext: sort(by: 1)
        case .sortPrevious: sort(by: -1)
        case .sortReverse: reverseSort()
        case .search: askGoal()
        case .target: askTarget()
        case .analyzeSensitivity: analyzeSensitivity()
        case .allocate: askAllocation()
        case .applyCell: applyHeatCell()
        case .histogramLeft: moveHistogramCursor(by: -1)
        case .histogramRight: moveHistogramCursor(by: 1)
        case .restore: restore()
        case .rename: rename()
        case .markDifference: markDifference()
        case .cancelJob: cancelJob()
        case .copyDetail: copyDetail()
        case .startExport: startExport()
        case .viewExplore, .viewLayers, .viewPareto, .viewHistory, .viewJobs, .viewExport: break
        }
        traceCurve()
    }

    /// Cursor movements are left out of the log: they would drown the rest.
    private mutating func logInterface(_ action: Action) {
        switch action {
        case .histogramLeft, .histogramRight, .up, .down, .left, .right, .first, .last, .pageUp, .pageDown, .halfPageUp, .halfPageDown, .undo, .redo, .toggle, .decrease, .increase,
            .decreaseMuch, .increaseMuch, .reset, .moveEarlier, .moveLater, .removeStep, .restore, .nextMatch, .previousMatch, .clearRecipe:
            break
        default: effects.append(.log(SessionLine(t: now, action: action.rawValue)))
        }
    }

    mutating func show(_ view: ViewID) {
        self.ui.view = view
        ui.isZoomed = false
    }

    /// Asks where work of minutes would be lost.
    private mutating func quit() {
        let running = tasks.jobs.filter(\.isRunning)
        guard let first = running.first else { return effects.append(.quit) }
        let more = running.count > 1 ? " and \(running.count - 1) more" : ""
        ui.overlay = .confirm(
            Confirmation(
                subject: .quit, title: "Quit while work is running?", text: "\(first.update.title)\(more) will be canceled.", buttons: ["Stay", "Quit"], selected: 0))
    }

    /// Without the baseline's accuracy there is no other.
    mutating func cancelBaseline() {
        guard isBaselineRunning else { return }
        effects.append(.cancelBaseline)
        facts.baselineRun?.finished = now
        (facts.baselineProblem, facts.baselineAccuracy) = ("canceled", nil)
    }

    private mutating func interrupt() {
        guard isBusy else { return effects.append(.quit) }
        if let job = tasks.jobs.last(where: \.isRunning) {
            effects.append(.cancel(job: job.id))
            return notify(.warning, "canceling \(job.update.title); when it has stopped, ^C quits")
        }
        effects.append(.cancel(job: nil))
        cancelBaseline()
        if answers.evaluation.status == .running {
            answers.evaluation.status = .cancelled
            answers.evaluation.finished = now
        }
        answers.latencyRun = nil
        whatIf.request = nil
        notify(.warning, "canceled; E evaluates again, ^C quits")
    }

    /// One level out: filter, zoom, comparison, view.
    private mutating func back() {
        if let filter = ui.filters[listPane], !filter.isEmpty {
            setFilter("", listPane)
        } else if ui.isZoomed {
            ui.isZoomed = false
        } else if ui.comparedState != nil {
            ui.comparedState = nil
            notify(.info, "compared with the baseline again")
        } else if pane != ui.view.panes[0] {
            ui.focus[ui.view] = ui.view.panes[0]
        } else if ui.view != .explore {
            ui.view = .explore
        } else {
            notify(.info, "q quits")
        }
    }

    private mutating func cyclePane(_ step: Int) {
        let panes = ui.view.panes
        let index = panes.firstIndex(of: pane) ?? 0
        ui.focus[ui.view] = panes[(index + step + panes.count) % panes.count]
    }

    private mutating func toggleMouse() {
        guard capabilities.hasMouse else { return notify(.warning, "this terminal has no mouse") }
        isMouseOn.toggle()
        effects.append(.setMouse(isMouseOn))
        notify(.info, isMouseOn ? "mouse on" : "mouse off: the terminal selects text again")
    }

    private mutating func cycleGlyphs() {
        let tiers: [GlyphTier] = [.braille, .block, .ascii]
        // What the terminal cannot show is not offered.
        let offered = capabilities.theme.glyphTier == .ascii ? [.ascii] : tiers
        let index = offered.firstIndex(of: theme.glyphTier) ?? 0
        theme.glyphTier = offered[(index + 1) % offered.count]
        notify(.info, "glyphs: \(theme.glyphTier.rawValue)" + (offered.count == 1 ? " (all this terminal shows)" : ""))
    }

    private mutating func cycleColors() {
        let all: [ColorTier] = [.truecolor, .indexed, .sixteen, .mono]
        // A direct-color terminal has no palette of 256.
        let offered = Array(all[(all.firstIndex(of: capabilities.theme.colorTier) ?? 0)...]).filter { $0 != .indexed || capabilities.theme.colorTier == .indexed }
        let index = offered.firstIndex(of: theme.colorTier) ?? 0
        theme.colorTier = offered[(index + 1) % offered.count]
        effects.append(.setColors(theme.colorTier))
        notify(.info, "colors: \(theme.colorTier.rawValue)" + (offered.count == 1 ? " (all this terminal shows)" : ""))
    }

    /// The data set's metric, then the measures that can be predicted.
    private mutating func nextCurveMeasure() {
        if pane == .layerHeat {
            guard tasks.sensitivity?.request.latency != nil else { return notify(.info, "latency was not measured with these sensitivities") }
            ui.heatShowsLatency.toggle()
            return
        }
        let all = Self.curveMeasures
        defer { if ui.curveOverlay == (ui.curveMeasure.map(CurveOverlay.measure) ?? .metric) { ui.curveOverlay = .none } }
        guard let present = ui.curveMeasure, let index = all.firstIndex(of: present) else {
            ui.curveMeasure = all.first
            return
        }
        ui.curveMeasure = index + 1 < all.count ? all[index + 1] : nil
    }

    /// Nothing, then every measure but the one that is shown.
    private mutating func nextCurveOverlay() {
        let measures = Self.curveMeasures.filter { $0 != ui.curveMeasure }.map(CurveOverlay.measure)
        let all = [.none] + (ui.curveMeasure == nil ? [] : [.metric]) + measures
        let index = all.firstIndex(of: ui.curveOverlay) ?? 0
        ui.curveOverlay = all[(index + 1) % all.count]
    }

    private func next(_ measure: Measure, avoiding other: Measure) -> Measure {
        let all = trialMeasures.filter { $0 != other }
        let index = all.firstIndex(of: measure) ?? -1
        return all[(index + 1) % all.count]
    }
}
