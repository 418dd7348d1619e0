import Datasets
import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques

/// What to try where a step has ruined a model: a nearby recipe, tried on the same samples.
public struct Rescue: Sendable {
    public let recipe: Recipe
    /// The step that is changed.
    public let technique: String
    /// What is other than before, in words.
    public let change: String
    public let accuracy: AccuracyEstimate

    /// Whether so much is lost that nobody would go on from there: ten points, or of other metrics half of the way to nothing.
    static func isCollapse(_ estimate: AccuracyEstimate) -> Bool {
        guard estimate.verdict == .worse, let loss = estimate.loss, let baseline = estimate.baseline, loss > 0 else { return false }
        return estimate.measure.comparison == .points ? loss >= 0.1 : loss >= 0.5 * abs(baseline)
    }
}

extension EngineSession {
    /// The best of the recipes near one that has ruined the model; `nil` where it has not, or none of them loses half as much.
    ///
    /// The last step that is on is changed. Tried are a scale per channel where it is one per tensor, the layer left out that is first and that is last
    /// in the model, both, and in place of static int8 ranges found at every inference.
    public func rescue(
        _ recipe: Recipe, _ estimate: AccuracyEstimate, split: SplitName = .validation, limit: Int? = nil, cancellation: Cancellation
    ) throws -> Rescue? {
        guard Rescue.isCollapse(estimate), let loss = estimate.loss, !recipe.learns, let place = recipe.steps.lastIndex(where: \.enabled) else { return nil }
        let technique = recipe.steps[place].technique
        var tries: [(String, Recipe)] = []
        func add(_ change: String, _ edit: (inout RecipeStep) -> Void) {
            var other = recipe
            edit(&other.steps[place])
            if other.steps[place] != recipe.steps[place] { tries.append((change, other)) }
        }
        for name in ["weights", "granularity"] where recipe.steps[place].parameters[name] == .choice("tensor") {
            add("\(name)=channel") { $0.parameters[name] = .choice("channel") }
        }
        if InstructionSet.saturates, recipe.steps[place].technique == "static-int8" { add("weight-bits=7") { $0.parameters["weight-bits"] = .choice("7") } }
        let covered = layers.enumerated().filter { recipe.steps[place].layers.matches($0.element, position: $0.offset) }.map(\.element)
        if let first = covered.first, let last = covered.last, covered.count > 2 {
            add("without '\(first.id)'") { $0.layers.exclude.append(.name(first.id)) }
            add("without '\(last.id)'") { $0.layers.exclude.append(.name(last.id)) }
            add("without '\(first.id)' and '\(last.id)'") { $0.layers.exclude += [.name(first.id), .name(last.id)] }
        }
        if technique == "static-int8" { add("dynamic-int8 in its place") { $0 = RecipeStep(technique: "dynamic-int8", layers: $0.layers) } }
        var best: Rescue?
        for (change, other) in tries {
            guard let applied = try? apply(other, cancellation: cancellation) else {
                try cancellation.check()
                continue
            }
            let found = try evaluate(applied.model, split: split, limit: limit, cancellation: cancellation)
            guard let left = found.loss, left < (best?.accuracy.loss ?? loss / 2) else { continue }
            best = Rescue(recipe: other, technique: technique, change: change, accuracy: found)
            if found.verdict != .worse || left < 0.01 * (found.measure.comparison == .points ? 1 : abs(found.baseline ?? 1)) { break }
        }
        return best
    }
}
