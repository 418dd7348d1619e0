import ModelGraph
import Recipes
import Techniques

/// A step named so that moving it does not change its name: the n-th step of a technique, from 0.
public struct StepAddress: Hashable, Sendable {
    public var technique: String
    public var occurrence: Int

    public init(_ technique: String, _ occurrence: Int = 0) {
        self.technique = technique
        self.occurrence = occurrence
    }

    public func index(in recipe: Recipe) -> Int? {
        var seen = 0
        for (index, step) in recipe.steps.enumerated() where step.technique == technique {
            if seen == occurrence { return index }
            seen += 1
        }
        return nil
    }

    public static func of(_ index: Int, in recipe: Recipe) -> StepAddress {
        let technique = recipe.steps[index].technique
        return StepAddress(technique, recipe.steps[..<index].count { $0.technique == technique })
    }
}

/// A change of a recipe, as data: what keys do, what the session log holds, and what replay repeats.
public enum RecipeEdit: Hashable, Sendable {
    case enable(StepAddress)
    case disable(StepAddress)
    case remove(StepAddress)
    case set(StepAddress, parameter: String, ParameterValue)
    case reset(StepAddress, parameter: String)
    /// An own value of one layer.
    case setLayer(StepAddress, layer: String, parameter: String, ParameterValue)
    /// Takes a layer's own values and its exclusion back.
    case resetLayer(StepAddress, layer: String)
    case includeLayer(StepAddress, layer: String, Bool)
    /// Moves a step by so many places, negative for earlier.
    case move(StepAddress, by: Int)
    /// Another recipe altogether: a trial's, or the baseline's empty one.
    case replace(Recipe, why: String)
}

/// Applies edits. Pure: the same recipe, edit, catalog and layers give the same recipe.
public struct RecipeEditor: Sendable {
    public var catalog: TechniqueCatalog
    public var layers: [Layer]

    public init(catalog: TechniqueCatalog, layers: [Layer]) {
        self.catalog = catalog
        self.layers = layers
    }

    /// - Returns: the changed recipe and a few words on what was done.
    /// - Throws: `RecipeRefusal` saying why the edit makes no sense; the recipe is then unchanged.
    public func apply(_ edit: RecipeEdit, to recipe: Recipe) throws(RecipeRefusal) -> (recipe: Recipe, title: String) {
        var recipe = recipe
        let title: String
        switch edit {
        case .enable(let address): title = try enable(address, &recipe)
        case .disable(let address):
            recipe.steps[try existing(address, in: recipe)].enabled = false
            title = "\(catalog.title(address.technique)) off"
        case .remove(let address):
            recipe.steps.remove(at: try existing(address, in: recipe))
            title = "\(catalog.title(address.technique)) removed"
        case .set(let address, let name, let value):
            let parameter = try parameter(name, of: address)
            guard parameter.contains(value) else {
                throw RecipeRefusal("\(parameter.title): expected \(parameter.expectation), found \(value.text)")
            }
            let index = insertDisabledIfMissing(address, &recipe)
            recipe.steps[index].parameters[name] = value == parameter.defaultValue ? nil : value
            title = "\(catalog.title(address.technique)): \(parameter.title) \(value.text)"
        case .reset(let address, let name):
            let parameter = try parameter(name, of: address)
            let index = try existing(address, in: recipe)
            recipe.steps[index].parameters[name] = nil
            title = "\(catalog.title(address.technique)): \(parameter.title) default"
        case .setLayer(let address, let layer, let name, let value):
            let parameter = try parameter(name, of: address)
            guard parameter.contains(value) else {
                throw RecipeRefusal("\(parameter.title): expected \(parameter.expectation), found \(value.text)")
            }
            try setLayer(address, layer, name, value, &recipe)
            title = "\(layer): \(parameter.title) \(value.text)"
        case .resetLayer(let address, let layer):
            let position = try position(of: layer)
            let index = try existing(address, in: recipe)
            recipe.steps[index].layers.exclude.removeAll { names($0, position) }
            recipe.steps[index].overrides.removeAll { override in override.layers.include.count == 1 && names(override.layers.include[0], position) }
            title = "\(layer): as the step"
        case .includeLayer(let address, let layer, let included):
            try include(address, layer, included, &recipe)
            title = "\(layer) \(included ? "included" : "excluded")"
        case .move(let address, let count): title = try move(address, by: count, &recipe)
        case .replace(let other, let why):
            recipe.steps = other.steps
            recipe.seed = other.seed
            title = why
        }
        return (recipe, title)
    }

    // MARK: - Each edit

    private func enable(_ address: StepAddress, _ recipe: inout Recipe) throws(RecipeRefusal) -> String {
        guard catalog[address.technique] != nil else { throw RecipeRefusal("there is no technique '\(address.technique)'") }
        let title = catalog.title(address.technique)
        if let index = address.index(in: recipe) {
            recipe.steps[index].enabled = true
            guard catalog.problem(in: recipe.steps) != nil else { return "\(title) on" }
            let step = recipe.steps.remove(at: index)
            let position = try catalog.place(for: step, in: recipe.steps).get()
            recipe.steps.insert(step, at: position)
            return "\(title) on, moved to step \(position + 1)"
        }
        let step = RecipeStep(technique: address.technique)
        let position = try catalog.place(for: step, in: recipe.steps).get()
        let atEnd = position == recipe.steps.count
        recipe.steps.insert(step, at: position)
        return atEnd ? "\(title) on" : "\(title) on as step \(position + 1), before \(catalog.title(recipe.steps[position + 1].technique))"
    }

    /// A knob may be turned before its technique is switched on; the value waits in a disabled step.
    private func insertDisabledIfMissing(_ address: StepAddress, _ recipe: inout Recipe) -> Int {
        if let index = address.index(in: recipe) { return index }
        recipe.steps.append(RecipeStep(technique: address.technique, enabled: false))
        return recipe.steps.count - 1
    }

    private func setLayer(
        _ address: StepAddress, _ layer: String, _ name: String, _ value: ParameterValue, _ recipe: inout Recipe
    ) throws(RecipeRefusal) {
        let position = try position(of: layer)
        let index = insertDisabledIfMissing(address, &recipe)
        recipe.steps[index].layers.exclude.removeAll { names($0, position) }
        if let own = recipe.steps[index].overrides.firstIndex(where: { $0.layers.include.count == 1 && names($0.layers.include[0], position) }) {
            recipe.steps[index].overrides[own].parameters[name] = value
        } else {
            let pattern = LayerPattern.exactly(position, in: layers)
            recipe.steps[index].overrides.append(
                LayerOverride(layers: LayerSelector(include: [pattern]), parameters: ParameterValues([name: value])))
        }
    }

    private func include(_ address: StepAddress, _ layer: String, _ included: Bool, _ recipe: inout Recipe) throws(RecipeRefusal) {
        let position = try position(of: layer)
        let index = insertDisabledIfMissing(address, &recipe)
        var selector = recipe.steps[index].layers
        let pattern = LayerPattern.exactly(position, in: layers)
        if included {
            selector.exclude.removeAll { names($0, position) }
            if !selector.matches(layers[position], position: position) {
                // A wider pattern keeps it out, or a list of others does: spell the remaining ones out.
                if selector.exclude.contains(where: { $0.matches(layers[position], position: position) }) {
                    let rest = layers.indices.filter { recipe.steps[index].layers.matches(layers[$0], position: $0) } + [position]
                    selector = LayerSelector(include: rest.sorted().map { .exactly($0, in: layers) })
                } else {
                    selector.include.append(pattern)
                }
            }
        } else {
            if selector.include.contains(where: { names($0, position) }), selector.include.count > 1 {
                selector.include.removeAll { names($0, position) }
            }
            if selector.matches(layers[position], position: position) { selector.exclude.append(pattern) }
        }
        guard layers.indices.contains(where: { selector.matches(layers[$0], position: $0) }) else {
            throw RecipeRefusal("the step would have no layer left; switch the technique off instead")
        }
        recipe.steps[index].layers = selector
    }

    private func move(_ address: StepAddress, by count: Int, _ recipe: inout Recipe) throws(RecipeRefusal) -> String {
        let index = try existing(address, in: recipe)
        let target = index + count
        guard recipe.steps.indices.contains(target) else { throw RecipeRefusal("the step is already \(count < 0 ? "first" : "last")") }
        let step = recipe.steps.remove(at: index)
        recipe.steps.insert(step, at: target)
        if let problem = catalog.problem(in: recipe.steps) {
            throw RecipeRefusal("\(catalog.title(recipe.steps[problem.index].technique)) \(problem.reason)")
        }
        return "\(catalog.title(address.technique)) is step \(target + 1)"
    }

    // MARK: - Finding things

    private func existing(_ address: StepAddress, in recipe: Recipe) throws(RecipeRefusal) -> Int {
        guard let index = address.index(in: recipe) else { throw RecipeRefusal("\(catalog.title(address.technique)) is not in the recipe") }
        return index
    }

    private func parameter(_ name: String, of address: StepAddress) throws(RecipeRefusal) -> ParameterDescriptor {
        guard let technique = catalog[address.technique] else { throw RecipeRefusal("there is no technique '\(address.technique)'") }
        guard let parameter = technique.parameter(name) else { throw RecipeRefusal("\(technique.title) has no parameter '\(name)'") }
        return parameter
    }

    private func position(of layer: String) throws(RecipeRefusal) -> Int {
        guard let position = layers.firstIndex(where: { $0.id == layer }) else { throw RecipeRefusal("the model has no layer '\(layer)'") }
        return position
    }

    /// Whether a pattern is about this one layer and no other.
    private func names(_ pattern: LayerPattern, _ position: Int) -> Bool {
        pattern.matches(layers[position], position: position)
            && layers.indices.allSatisfy { $0 == position || !pattern.matches(layers[$0], position: $0) }
    }
}
