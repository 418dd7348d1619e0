import CompressionEngine
import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques
import TerminalCells

extension Measure {
    /// What may stand behind a typed loss of a metric. A number without any is a share of the budget's measure.
    fileprivate var lossUnits: [String] { comparison == .points ? ["points", "point", "pt"] : [unit == "1" ? name : unit.lowercased()] }

    fileprivate var exampleLoss: String { comparison == .points ? "0.5pt" : unit == "1" ? "0.01 \(name)" : "3\(unit)" }
}

extension ExplorerModel {
    /// Whether a sensitivity analysis or an allocation is under way.
    var isAnalyzing: Bool { tasks.jobs.contains { $0.isRunning && tasks.analysisJobs.contains($0.id) } }

    /// Measures, layer by layer, what the focused technique costs.
    mutating func analyzeSensitivity() {
        guard facts.phase == .ready, let info = facts.info, let entry = focusedTechnique else { return }
        guard info.validationCount > 0, info.runtimeProblem == nil else {
            return notify(.warning, "sensitivity needs a data set and ONNX Runtime")
        }
        guard !isAnalyzing else { return notify(.info, "an analysis is running: 5 shows it, c there cancels it") }
        if let problem = entry.refusal { return notify(.warning, "\(entry.descriptor.title): \(problem)") }
        do {
            var step = focusedStep ?? RecipeStep(technique: entry.descriptor.id)
            step.overrides = []
            var request = try SensitivityRequest(step: step)
            if measuresLatency { request.latency = answers.conditions }
            tasks.sensitivity = nil
            tasks.heatColumn = 0
            effects.append(.analyze(request, job: startJob("Sensitivity to \(entry.descriptor.title)")))
            notify(.info, "measuring every layer; the map fills in as it goes")
            ui.focus[.layers] = .layerHeat
        } catch {
            notify(.warning, error.message)
        }
    }

    /// Asks for the budget of an allocation.
    mutating func askAllocation() {
        guard let grid = tasks.sensitivity, grid.done > 0 else { return notify(.info, "a measures the sensitivities first") }
        guard !isAnalyzing else { return notify(.info, "the sensitivities are still being measured") }
        let measure = grid.naturalMeasure
        ui.overlay = .entry(
            Entry(purpose: .allocation, field: TextField("", prompt: "budget = ", placeholder: "50% of the \(measure.title), or \(metric.exampleLoss) of \(metric.name) at most")))
    }

    /// Reads a budget: `50%` of the measure, or a loss of the metric in its own unit, such as `0.5pt` or `3dB`.
    /// - Returns: nil if the text is neither.
    static func allocationGoal(_ text: String, metric: Measure = .top1) -> AllocationGoal? {
        var text = text.trimmingCharacters(" ")
        for unit in metric.lossUnits where text.lowercased().hasSuffix(unit) {
            text = String(text.dropLast(unit.count)).trimmingCharacters(" ")
            guard let typed = Double(text), typed >= 0 else { return nil }
            let drop = typed / metric.changeFormat.typedScale
            return drop <= metric.range.upperBound - metric.range.lowerBound ? .maximumDrop(drop) : nil
        }
        if text.hasSuffix("%") { text = String(text.dropLast()).trimmingCharacters(" ") }
        guard let share = Double(text), share > 0, share <= 100 else { return nil }
        return .share(share / 100)
    }

    mutating func allocate(_ goal: AllocationGoal) {
        guard let grid = tasks.sensitivity else { return }
        effects.append(.allocate(grid, grid.naturalMeasure, goal, job: startJob("Allocate \(catalog.title(grid.request.step.technique))")))
        notify(.info, "allocating; the recipe follows")
    }

    /// Gives the selected layers the value under the cursor of the map.
    mutating func applyHeatCell() {
        guard let cell = heatCell, let grid = tasks.sensitivity else { return notify(.info, "a measures the sensitivities first") }
        guard let parameter = grid.request.parameter, let info = facts.info else {
            return notify(.info, "\(catalog.title(grid.request.step.technique)) has no value to set: Space in the table leaves a layer out")
        }
        for position in grid.units[cell.unit].layers where info.layers.indices.contains(position) {
            act(
                .edit(.setLayer(StepAddress(grid.request.step.technique), layer: info.layers[position].id, parameter: parameter, grid.request.values[cell.column])),
                quietly: true)
        }
    }

    /// The cell of the map that belongs to the selected layer.
    public var heatCell: (unit: Int, column: Int)? {
        guard let grid = tasks.sensitivity, let row = selectedLayer, let unit = grid.units.firstIndex(where: { $0.layers.contains(row.position) }) else { return nil }
        return (unit, min(max(tasks.heatColumn, 0), grid.request.columnCount - 1))
    }

    private mutating func startJob(_ title: String) -> Int {
        tasks.lastJob += 1
        tasks.analysisJobs.insert(tasks.lastJob)
        tasks.jobs.append(
            Job(update: JobUpdate(id: tasks.lastJob, title: title, phase: "waiting", fraction: nil, elapsedSeconds: 0, remainingSeconds: nil, state: .waiting)))
        return tasks.lastJob
    }
}
