import Recipes
import Techniques

/// A recipe as it stands in a session log. Values are text; the technique's description gives them their type.
public struct RecordedRecipe: Codable, Hashable, Sendable {
    public struct Step: Codable, Hashable, Sendable {
        var technique: String
        var enabled: Bool
        /// Absent in logs of earlier versions.
        var optional: Bool?
        var parameters: [String: String]
        var layers: Selector
        var overrides: [Override]
    }

    struct Override: Codable, Hashable, Sendable {
        var layers: Selector
        var parameters: [String: String]
    }

    struct Selector: Codable, Hashable, Sendable {
        var include: [Pattern]
        var exclude: [Pattern]

        init(_ selector: LayerSelector) {
            include = selector.include.map(Pattern.init)
            exclude = selector.exclude.map(Pattern.init)
        }

        var selector: LayerSelector { LayerSelector(include: include.compactMap(\.pattern), exclude: exclude.compactMap(\.pattern)) }
    }

    /// Exactly one way of naming layers is filled in; `shape` and `occurrence` go with a single layer.
    struct Pattern: Codable, Hashable, Sendable {
        var name: String?
        var kind: String?
        var from: Int?
        var to: Int?
        var shape: [Int]?
        var occurrence: Int?

        init(_ pattern: LayerPattern) {
            switch pattern {
            case .name(let name): self.name = name
            case .kind(let kind): self.kind = kind
            case .positions(let range): (from, to) = (range.lowerBound, range.upperBound)
            case .layer(let name, let kind, let shape, let occurrence):
                (self.name, self.kind, self.shape, self.occurrence) = (name, kind, shape, occurrence)
            }
        }

        var pattern: LayerPattern? {
            if let name, let kind, let shape, let occurrence { return .layer(name: name, kind: kind, shape: shape, occurrence: occurrence) }
            if let name { return .name(name) }
            if let kind { return .kind(kind) }
            if let from, let to, from <= to { return .positions(from..<to) }
            return nil
        }
    }

    var seed: UInt64
    var steps: [Step]

    public init(_ recipe: Recipe) {
        seed = recipe.seed
        steps = recipe.steps.map { step in
            Step(
                technique: step.technique, enabled: step.enabled, optional: step.optional ? true : nil, parameters: step.parameters.explicit.mapValues(\.text),
                layers: Selector(step.layers),
                overrides: step.overrides.map { Override(layers: Selector($0.layers), parameters: $0.parameters.explicit.mapValues(\.text)) })
        }
    }

    /// - Throws: `RecipeRefusal` for techniques, parameters and values that do not exist.
    public func recipe(_ catalog: TechniqueCatalog) throws(RecipeRefusal) -> Recipe {
        var recipe = Recipe(seed: seed)
        for step in steps {
            var read = RecipeStep(technique: step.technique, layers: step.layers.selector, enabled: step.enabled, optional: step.optional ?? false)
            read.parameters = try values(step.parameters, of: step.technique, catalog)
            for override in step.overrides {
                read.overrides.append(
                    LayerOverride(layers: override.layers.selector, parameters: try values(override.parameters, of: step.technique, catalog)))
            }
            recipe.steps.append(read)
        }
        return recipe
    }

    private func values(_ texts: [String: String], of technique: String, _ catalog: TechniqueCatalog) throws(RecipeRefusal) -> ParameterValues {
        var values = ParameterValues()
        for (name, text) in texts { values[name] = try catalog.parse(text, technique: technique, parameter: name) }
        return values
    }
}
