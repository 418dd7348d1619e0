import ModelGraph
import Techniques

// From a recipe to its form. What is as it would be anyway is left out.

extension Recipe {
    /// The recipe as plain values.
    public var form: RecipeForm {
        var fields = [RecipeForm.Field("lathe", RecipeForm(.number(UInt64(Self.formatVersion))))]
        if !name.isEmpty { fields.append(RecipeForm.Field("name", RecipeForm(.text(name)))) }
        if let modelHash { fields.append(RecipeForm.Field("model", RecipeForm(.text(modelHash)))) }
        if seed != 0 { fields.append(RecipeForm.Field("seed", RecipeForm(.number(seed)))) }
        fields.append(RecipeForm.Field("steps", RecipeForm(.list(steps.map(\.form)))))
        return RecipeForm(.fields(fields))
    }

    /// What the recipe does and nothing else: active steps with every parameter written out, no name, no model. Two recipes that do the same are
    /// the same when normalized.
    public var normalized: Recipe { Recipe(seed: seed, steps: activeSteps.map(\.normalized)) }

    /// The normalized recipe as text: the seed and one step a line, each as on the command line. Equal exactly when the recipes do the same.
    public var canonical: String { (["seed=\(seed)"] + activeSteps.map(\.canonical)).joined(separator: "\n") }

    /// Of the canonical text: stands for what the recipe does wherever results are kept.
    public var contentHash: ContentHash { ContentHash(of: canonical) }
}

extension RecipeStep {
    public var form: RecipeForm {
        var fields = [RecipeForm.Field("technique", RecipeForm(.text(technique)))]
        if !enabled { fields.append(RecipeForm.Field("enabled", RecipeForm(.flag(false)))) }
        if optional { fields.append(RecipeForm.Field("optional", RecipeForm(.flag(true)))) }
        if !parameters.explicit.isEmpty { fields.append(RecipeForm.Field("parameters", parameters.form)) }
        if layers != .all { fields.append(RecipeForm.Field("layers", layers.form)) }
        if !overrides.isEmpty {
            fields.append(
                RecipeForm.Field(
                    "overrides",
                    RecipeForm(
                        .list(
                            overrides.map {
                                RecipeForm(.fields([RecipeForm.Field("layers", $0.layers.form), RecipeForm.Field("parameters", $0.parameters.form)]))
                            }))))
        }
        return RecipeForm(.fields(fields))
    }

    /// With every parameter written out.
    public var normalized: RecipeStep {
        guard let descriptor = TechniqueRegistry.technique(technique)?.descriptor else { return self }
        var step = self
        step.parameters = parameters.resolved(by: descriptor)
        return step
    }

    /// The normalized step as on the command line.
    public var canonical: String { normalized.line }
}

extension ParameterValues {
    fileprivate var form: RecipeForm {
        RecipeForm(.fields(explicit.sorted { $0.key < $1.key }.map { RecipeForm.Field($0.key, RecipeForm(.text($0.value.text))) }))
    }
}

extension LayerSelector {
    fileprivate var form: RecipeForm {
        guard self != .all else { return RecipeForm(.text("all")) }
        var fields: [RecipeForm.Field] = []
        if !include.isEmpty { fields.append(RecipeForm.Field("include", RecipeForm(.list(include.map(\.form))))) }
        if !exclude.isEmpty { fields.append(RecipeForm.Field("exclude", RecipeForm(.list(exclude.map(\.form))))) }
        return RecipeForm(.fields(fields))
    }
}

extension LayerPattern {
    fileprivate var form: RecipeForm {
        func numbers(_ values: [Int]) -> RecipeForm { RecipeForm(.list(values.map { RecipeForm(.number(UInt64(clamping: $0))) })) }
        switch self {
        case .name(let name): return RecipeForm(.text(name))
        case .kind(let kind): return RecipeForm(.fields([RecipeForm.Field("kind", RecipeForm(.text(kind)))]))
        case .positions(let range): return RecipeForm(.fields([RecipeForm.Field("positions", numbers([range.lowerBound, range.upperBound]))]))
        case .layer(let name, let kind, let shape, let occurrence):
            return RecipeForm(
                .fields([
                    RecipeForm.Field("name", RecipeForm(.text(name))), RecipeForm.Field("kind", RecipeForm(.text(kind))),
                    RecipeForm.Field("shape", numbers(shape)), RecipeForm.Field("occurrence", RecipeForm(.number(UInt64(clamping: occurrence)))),
                ]))
        }
    }
}
