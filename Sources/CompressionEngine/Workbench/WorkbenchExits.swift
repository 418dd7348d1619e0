import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques

// Early exits answer a turn of their threshold from what was prepared once: each exit's confidence in every sample.

extension Recipe {
    /// The step of early exits that is switched on.
    private var exitStep: RecipeStep? { activeSteps.last(where: \.hasExits) }

    /// The threshold of its early exits; `nil` without any.
    var exitThreshold: Double? {
        guard let step = exitStep, let descriptor = TechniqueRegistry.technique(step.technique)?.descriptor else { return nil }
        return step.parameters.resolved(by: descriptor).real("threshold")
    }

    /// Equal for recipes whose exits differ in the threshold only; `nil` without exits.
    var exitContext: String? {
        guard exitStep != nil else { return nil }
        var same = self
        for index in same.steps.indices where same.steps[index].hasExits { same.steps[index].parameters["threshold"] = nil }
        return same.canonical
    }
}

extension ModelFigures {
    /// The same numbers, predicted.
    fileprivate var asEstimates: ModelFigures {
        func estimate(_ figure: Figure?) -> Figure? { figure.map { Figure($0.value, $0.provenance == .modeled ? .modeled : .estimated) } }
        var result = self
        result.parameters = Figure(parameters.value, .estimated)
        result.nonZeros = Figure(nonZeros.value, .estimated)
        result.serializedBytes = Figure(serializedBytes.value, .estimated)
        result.macs = estimate(macs)
        result.theoreticalBytes = estimate(theoreticalBytes)
        result.transferBytes = estimate(transferBytes)
        result.packedBytes = estimate(packedBytes)
        result.peakActivationBytes = estimate(peakActivationBytes)
        result.memoryBytes = estimate(memoryBytes)
        result.energyPicojoules = estimate(energyPicojoules)
        return result
    }
}

extension Workbench {
    /// What is to be expected of a recipe's early exits, once they were prepared.
    func exitFigures(for recipe: Recipe) -> ExitFigures? {
        guard let context = recipe.exitContext, let threshold = recipe.exitThreshold else { return nil }
        let (key, session) = state.withLock { ($0.exitKeys.value(for: context), $0.session) }
        guard let key, let profile = session?.knownExitProfile(key) else { return nil }
        return profile.figures(threshold: threshold)
    }

    /// Lays over a prediction what the exits are expected to do.
    func addExits(to figures: inout ModelFigures, _ recipe: Recipe) {
        guard let context = recipe.exitContext, let exits = exitFigures(for: recipe) else { return }
        // Another threshold changes no size.
        if let known = state.withLock({ $0.exitSizes.value(for: context) }) {
            let (macs, energy) = (known.macs?.value, known.energyPicojoules?.value)
            figures = known.asEstimates
            if let macs, macs > 0, let energy, let now = exits.macs { figures.energyPicojoules = Figure(energy * now / macs, .modeled) }
        }
        figures.exits = exits
        if let macs = exits.macs { figures.macs = Figure(macs, .estimated) }
    }

    /// Keeps what was counted of a recipe with exits, for other thresholds of it.
    func noteSizes(_ figures: ModelFigures, of recipe: Recipe) {
        guard let context = recipe.exitContext, figures.exits != nil else { return }
        state.withLock { $0.exitSizes[context] = figures }
    }

    /// The whole curve over the threshold at once.
    func sweepExits(_ trace: WhatIfTrace) {
        let dense = WhatIfTrace(recipe: trace.recipe, step: trace.step, parameter: trace.parameter, generation: trace.generation, isDense: true)
        start("lathe.exits") {
            // Nothing in it throws.
            let points = (try? Parallel.map(dense.values) { self.exitPoint(dense, $0) }) ?? []
            for point in points { if let point { self.send(.whatIf(generation: dense.generation, point)) } }
        }
    }

    /// Notes which model a recipe with exits makes, so that other thresholds are predicted.
    func noteExits(_ recipe: Recipe, _ model: Model) {
        guard let context = recipe.exitContext, let declaration = ExitDeclaration(model) else { return }
        let key = EngineSession.exitKey(declaration, model)
        state.withLock { $0.exitKeys[context] = key }
    }

    /// Times the exits, if that was not done yet, and says that predictions know more now.
    func prepareExits(_ recipe: Recipe, _ model: Model, _ session: EngineSession, _ cancellation: Cancellation) throws {
        guard let declaration = ExitDeclaration(model), let profile = session.knownExitProfile(EngineSession.exitKey(declaration, model)) else { return }
        if profile.times == nil { try session.exitTimes(of: model, cancellation: cancellation) }
        let (baseline, trace) = state.withLock { ($0.predictor?.baseline, $0.exitTrace) }
        if let baseline { send(.prepared(baseline: baseline)) }
        if let trace { sweepExits(trace) }
    }

    /// A point of the curve over the threshold, without rewriting or running anything; `nil` where that is not possible.
    func exitPoint(_ trace: WhatIfTrace, _ value: ParameterValue) -> WhatIfPoint? {
        guard trace.parameter == "threshold", trace.recipe.steps.indices.contains(trace.step), trace.recipe.steps[trace.step].hasExits,
            let figures = exitFigures(for: trace.recipe(with: value))
        else { return nil }
        var point = WhatIfPoint(step: trace.step, parameter: trace.parameter, value: value)
        point.accuracy = figures.accuracy
        point.exits = figures
        return point
    }
}

extension RecipeStep {
    /// Whether the step gives the network early exits.
    var hasExits: Bool { TechniqueRegistry.technique(technique)?.descriptor.family == .earlyExit }
}
