import Recipes
import Techniques

/// One difference between two recipes, in words.
public enum RecipeDifference: Sendable, Hashable {
    case added(String)
    case removed(String)
    case changed(String, from: String, to: String)

    /// What must be done to the first recipe to get the second.
    public static func lines(from old: Recipe, to new: Recipe, catalog: TechniqueCatalog) -> [RecipeDifference] {
        var result: [RecipeDifference] = []
        let oldSteps = Dictionary(uniqueKeysWithValues: old.steps.indices.map { (StepAddress.of($0, in: old), old.steps[$0]) })
        let newSteps = Dictionary(uniqueKeysWithValues: new.steps.indices.map { (StepAddress.of($0, in: new), new.steps[$0]) })
        for index in old.steps.indices {
            let address = StepAddress.of(index, in: old)
            if newSteps[address] == nil { result.append(.removed(catalog.title(address.technique))) }
        }
        for index in new.steps.indices {
            let address = StepAddress.of(index, in: new)
            guard let before = oldSteps[address], let after = newSteps[address] else {
                result.append(.added(catalog.title(address.technique) + (new.steps[index].enabled ? "" : " (off)")))
                if let step = newSteps[address] { result += changes(from: RecipeStep(technique: step.technique, enabled: step.enabled), to: step, catalog) }
                continue
            }
            result += changes(from: before, to: after, catalog)
        }
        let common = old.steps.indices.map { StepAddress.of($0, in: old) }.filter { newSteps[$0] != nil }
        let order = new.steps.indices.map { StepAddress.of($0, in: new) }.filter { oldSteps[$0] != nil }
        if common != order {
            func names(_ addresses: [StepAddress]) -> String { addresses.map { catalog.title($0.technique) }.joined(separator: ", ") }
            result.append(.changed("order", from: names(common), to: names(order)))
        }
        if old.seed != new.seed { result.append(.changed("seed", from: "\(old.seed)", to: "\(new.seed)")) }
        return result
    }

    private static func changes(from old: RecipeStep, to new: RecipeStep, _ catalog: TechniqueCatalog) -> [RecipeDifference] {
        var result: [RecipeDifference] = []
        let title = catalog.title(new.technique)
        if old.enabled != new.enabled { result.append(.changed(title, from: old.enabled ? "on" : "off", to: new.enabled ? "on" : "off")) }
        for parameter in catalog[new.technique]?.parameters ?? [] {
            let before = old.parameters[parameter.name] ?? parameter.defaultValue
            let after = new.parameters[parameter.name] ?? parameter.defaultValue
            if before != after { result.append(.changed("\(title), \(parameter.title)", from: parameter.shown(before), to: parameter.shown(after))) }
        }
        if old.layers != new.layers { result.append(.changed("\(title), layers", from: old.layers.inWords, to: new.layers.inWords)) }
        for override in old.overrides where !new.overrides.contains(override) {
            result.append(.removed("\(title), \(override.layers.inWords): \(catalog.inWords(override.parameters, of: new.technique))"))
        }
        for override in new.overrides where !old.overrides.contains(override) {
            result.append(.added("\(title), \(override.layers.inWords): \(catalog.inWords(override.parameters, of: new.technique))"))
        }
        return result
    }
}
