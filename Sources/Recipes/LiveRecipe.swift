import Techniques

/// The live parameter of a recipe's model, and what else about the recipe its profile depends on.
package struct LiveKnob: Hashable, Sendable {
    /// The value it has.
    package var value: Double
    /// Equal for recipes that differ in the live parameter only.
    package var context: String
}

extension RecipeStep {
    /// Name of the step's live parameter; `nil` if its technique has none.
    package var liveParameter: String? { (TechniqueRegistry.technique(technique) as? any LiveTechnique)?.liveParameter }
}

extension Recipe {
    /// The live parameter of the model that the recipe makes: that of the last step which has one; `nil` without.
    package var liveKnob: LiveKnob? {
        guard let step = activeSteps.last(where: { $0.liveParameter != nil }), let name = step.liveParameter,
            let descriptor = TechniqueRegistry.technique(step.technique)?.descriptor
        else { return nil }
        var same = self
        for index in same.steps.indices { if let name = same.steps[index].liveParameter { same.steps[index].parameters[name] = nil } }
        return LiveKnob(value: step.parameters.resolved(by: descriptor).real(name), context: same.canonical)
    }
}
