import ModelGraph

// Early exits answer a turn of their threshold from what was prepared once: each exit's confidence in every sample.

extension Recipe {
    /// The step of early exits that is switched on.
    private var exitStep: RecipeStep? { activeSteps.last { $0.technique == EarlyExits.id } }

    /// The threshold of its early exits; `nil` without any.
    var exitThreshold: Double? {
        guard let step = exitStep, let descriptor = TechniqueRegistry.technique(step.technique)?.descriptor else { return nil }
        return step.parameters.resolved(by: descriptor).real("threshold")
    }

    /// Equal for recipes whose exits differ in the threshold only; `nil` without exits.
    var exitContext: String? {
        guard exitStep != nil else { return nil }
        var same = self
        for index in same.steps.indices where same.steps[index].technique == EarlyExits.id { same.steps[index].parameters["threshold"] = nil }
        return same.canonical
    }
}

extension Workbench {
    /// What is to be expected of a recipe's early exits, once they were prepared.
    func exitFigures(for recipe: Recipe) -> ExitFigures? {
        guard let context = recipe.exitContext, let threshold = recipe.exitThreshold else { return nil }
        let (key, session) = state.withLock { ($0.exitKeys[context], $0.session) }
        guard let key, let profile = session?.knownExitProfile(key) else { return nil }
        return profile.figures(threshold: threshold)
    }

    /// Lays over a prediction what the exits are expected to do.
    func addExits(to figures: inout ModelFigures, _ recipe: Recipe) {
        guard let exits = exitFigures(for: recipe) else { return }
        figures.exits = exits
        if let macs = exits.macs { figures.macs = Figure(macs, .estimated) }
    }

    /// Notes which model a recipe with exits makes, so that other thresholds are foretold.
    func noteExits(_ recipe: Recipe, _ model: Model) {
        guard let context = recipe.exitContext, let declaration = ExitDeclaration(model) else { return }
        let key = EngineSession.exitKey(declaration, model)
        state.withLock { state in
            if state.exitKeys.count > 64 { state.exitKeys = [:] }
            state.exitKeys[context] = key
        }
    }

    /// Times the exits, if that was not done yet, and says that predictions know more now.
    func prepareExits(_ recipe: Recipe, _ model: Model, _ session: EngineSession, _ cancellation: Cancellation) throws {
        guard let declaration = ExitDeclaration(model), let profile = session.knownExitProfile(EngineSession.exitKey(declaration, model)) else { return }
        if profile.times == nil { try session.exitTimes(of: model, cancellation: cancellation) }
        if let baseline = state.withLock({ $0.predictor?.baseline }) { send(.prepared(baseline: baseline)) }
    }

    /// A point of the curve over the threshold, without rewriting or running anything; `nil` where that is not possible.
    func exitPoint(_ trace: WhatIfTrace, _ value: ParameterValue) -> WhatIfPoint? {
        guard trace.parameter == "threshold", trace.recipe.steps.indices.contains(trace.step), trace.recipe.steps[trace.step].technique == EarlyExits.id,
            let figures = exitFigures(for: trace.recipe(with: value))
        else { return nil }
        var point = WhatIfPoint(step: trace.step, parameter: trace.parameter, value: value)
        point.accuracy = figures.accuracy
        point.exits = figures
        return point
    }
}
