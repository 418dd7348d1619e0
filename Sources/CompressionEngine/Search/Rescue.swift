import Datasets
import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques

/// What to try where quantization has ruined a model: nearby recipes, tried on the same samples.
public struct Rescue: Sendable {
    public let recipe: Recipe
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
    /// The best of the nearby recipes of one whose static int8 has ruined the model; `nil` where it has not, or none of them is better.
    ///
    /// Tried are scales per channel where they are per tensor, the layer left out that is first and that is last in the model, both, and int8 with
    /// ranges found at every inference.
    public func rescue(
        _ recipe: Recipe, _ estimate: AccuracyEstimate, split: SplitName = .validation, limit: Int? = nil, cancellation: Cancellation
    ) throws -> Rescue? {
        guard Rescue.isCollapse(estimate), let place = recipe.steps.lastIndex(where: { $0.enabled && $0.technique == "static-int8" }) else { return nil }
        var tries: [(String, Recipe)] = []
        func add(_ change: String, _ edit: (inout RecipeStep) -> Void) {
            var other = recipe
            edit(&other.steps[place])
            if other.steps[place] != recipe.steps[place] { tries.append((change, other)) }
        }
        add("weights=channel") { $0.parameters["weights"] = .choice("channel") }
        let covered = layers.enumerated().filter { recipe.steps[place].layers.matches($0.element, position: $0.offset) }.map(\.element)
        if let first = covered.first, let last = covered.last, covered.count > 2 {
            add("without '\(first.id)'") { $0.layers.exclude.append(.name(first.id)) }
            add("without '\(first.id)' and '\(last.id)'") { $0.layers.exclude += [.name(first.id), .name(last.id)] }
        }
        add("dynamic-int8 in its place") { $0 = RecipeStep(technique: "dynamic-int8", layers: $0.layers) }
        var best: Rescue?
        for (change, other) in tries {
            guard let applied = try? apply(other, cancellation: cancellation) else {
                try cancellation.check()
                continue
            }
            let found = try evaluate(applied.model, split: split, limit: limit, cancellation: cancellation)
            guard let loss = found.loss, loss < (best?.accuracy.loss ?? estimate.loss ?? 0) else { continue }
            best = Rescue(recipe: other, change: change, accuracy: found)
            if found.verdict != .worse || loss < 0.01 * (found.measure.comparison == .points ? 1 : abs(found.baseline ?? 1)) { break }
        }
        return best
    }
}
