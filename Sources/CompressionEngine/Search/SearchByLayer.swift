import Dispatch
import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques

// Strengths, techniques and layers left alone, found from what each layer loses.
extension Search {
    /// What each layer loses when it alone is changed, and from that a value for each layer.
    func byLayer() throws {
        let measures: [Measure: AllocationMeasure] = Dictionary(uniqueKeysWithValues: AllocationMeasure.allCases.map { ($0.measure, $0) })
        let measure = goal.axes.lazy.compactMap { measures[$0] }.first { $0 != .latency } ?? (goal.needsLatency ? .macs : .size)
        // The techniques of the best so far, each once.
        var used: [String] = []
        let best = archive.parents(40)
        for step in best.flatMap(\.recipe.activeSteps) where !used.contains(step.technique) { used.append(step.technique) }
        let choices: [String: [ParameterValue]] = [
            "weight-quantization": [8, 6, 5, 4, 3, 2].map { .integer($0) }, "gptq": [8, 6, 5, 4, 3, 2].map { .integer($0) },
            "sparsegpt": [0.3, 0.5, 0.6, 0.7, 0.8, 0.9].map { .real($0) }, "structured-pruning": [0.1, 0.2, 0.3, 0.5, 0.7].map { .real($0) },
            "activation-aware-svd": [0.7, 0.5, 0.35, 0.25].map { .real($0) },
        ]
        // By what changes together: techniques that change the same groups of layers can share them out.
        var grids: [[[Int]]: [SensitivityGrid]] = [:]
        for technique in used.filter({ choices[$0] != nil }).prefix(3) {
            var step = best.lazy.flatMap(\.recipe.activeSteps).first { $0.technique == technique } ?? SearchSpace.step(technique)
            (step.overrides, step.layers) = ([], .all)
            update(.phase("\(technique) by layer"))
            let request = try SensitivityRequest(step: step, values: choices[technique] ?? [], samples: min(session.validation?.count ?? 512, 512))
            guard let grid = try sensitivities(request, share: 0.12), let allocation = try? Allocation(grid, measure: measure) else { continue }
            grids[grid.units.map(\.layers), default: []].append(grid)
            try climb(allocation.path.indices.dropFirst().map { coded(allocation.recipe(at: $0, of: session.layers)) })
        }
        for same in grids.values.filter({ $0.count > 1 }).sorted(by: { $0.count > $1.count }) {
            let ordered = same.sorted { (SearchSpace.rank($0.request.step), $0.request.step.line) < (SearchSpace.rank($1.request.step), $1.request.step.line) }
            guard let allocation = try? Allocation(ordered, measure: measure) else { continue }
            update(.phase("a technique for each layer"))
            try climb(allocation.path.indices.dropFirst().map { coded(allocation.recipe(at: $0, of: session.layers)) })
        }
    }

    /// From recipes that lose too much, layers are given back: those first that lose most for what they save.
    func giveBack() throws {
        let misses = archive.trials.filter { trial in
            !trial.isFeasible && !trial.recipe.learns && !archive.beats(trial.scores, slack: goal.axes.map { _ in 1 })
                && goal.keepsSizes(trial)
        }.sorted(by: SearchTrial.isBetter)
        var done: Set<String> = []
        for miss in misses where done.count < 3 {
            let steps = miss.recipe.activeSteps
            guard let place = steps.lastIndex(where: { ![6, 7].contains(SearchSpace.rank($0)) }), done.insert(steps.map(\.technique).joined(separator: " ")).inserted else {
                continue
            }
            update(.phase("\(steps[place].technique): layers given back"))
            let main = TechniqueRegistry.technique(steps[place].technique)?.descriptor.mainParameter
            let value = main.flatMap { name in steps[place].parameters[name] ?? TechniqueRegistry.technique(steps[place].technique)?.descriptor.parameter(name)?.defaultValue }
            guard
                let request = try? SensitivityRequest(
                    step: steps[place], parameter: main, values: value.map { [$0] } ?? [], samples: min(session.validation?.count ?? 512, 512)),
                let grid = try sensitivities(request, share: 0.06), grid.units.count > 1
            else { continue }
            func harm(_ unit: Int) -> Double {
                guard let cell = grid.cells[unit].first ?? nil, let loss = cell.loss else { return 0 }
                return max(loss, 0) / max(cell.saved[.size] ?? cell.saved[.macs] ?? 1, 1)
            }
            let worst = grid.units.indices.sorted { (harm($1), $0) < (harm($0), $1) }
            try climb(
                (1..<grid.units.count).reversed().map { count in
                    var recipe = Recipe(steps: steps)
                    recipe.steps[place].layers.exclude += worst.prefix(count).flatMap { grid.units[$0].layers.map { LayerPattern.exactly($0, in: session.layers) } }
                    return recipe
                })
        }
    }

    /// - Returns: `nil` where not every layer has a value when its share of the budget is spent.
    func sensitivities(_ request: SensitivityRequest, share: Double) throws -> SensitivityGrid? {
        // A model of many layers would take the whole budget.
        let limited = Cancellation()
        let timer = DispatchSource.makeTimerSource()
        timer.schedule(deadline: .now() + share * self.request.budget)
        timer.setEventHandler { limited.cancel() }
        timer.resume()
        defer { timer.cancel() }
        var last: SensitivityGrid?
        do {
            return try work.withHook({ limited.cancel() }) {
                let analysis = SensitivityAnalysis(session, store: store, cancellation: limited)
                // Gradients tell all layers at once; where they do not reach, each layer is run.
                if let grid = try? analysis.refined(request, measures: false, packed: goal.needsSlowSizes), Self.isUsable(grid) { return grid }
                return try analysis.run(request) { last = $0 }
            }
        } catch {
            try work.check()
            return last.flatMap { Self.isUsable($0) ? $0 : nil }
        }
    }

    /// With what stores zeros and codes weights, where file or archive count.
    private func coded(_ recipe: Recipe) -> Recipe { recipe.steps.isEmpty ? recipe : Recipe(steps: recipe.steps + space.storing(recipe.steps)) }

    /// Whether every group of layers has a loss, or a reason why there is none.
    private static func isUsable(_ grid: SensitivityGrid) -> Bool {
        grid.cells.allSatisfy { cells in cells.contains { $0?.loss != nil } || cells.allSatisfy { $0?.problem == SensitivityAnalysis.nothingToChange } }
            && grid.cells.joined().contains { $0?.loss != nil }
    }
}
