import EngineSupport
import Foundation
import Measurement
import Recipes
import Techniques

/// Trainings as rungs: every strength of a kind of recipe is trained for some steps first, by bisection; what comes near enough is trained whole, the most
/// ambitious first, and where that fails the next milder one.
struct SearchTraining {
    /// Recipes of one kind that learn, the mildest first.
    struct Kind {
        var name: String
        var rungs: [Recipe]
    }

    private let space: SearchSpace
    private let goal: SearchGoal
    private let parameters: [String: ParameterValue]

    /// Steps of a short training.
    static let shortSteps = 60

    /// - Parameter epochs: of a whole training.
    init(_ space: SearchSpace, _ goal: SearchGoal, epochs: Int, isLabeled: Bool, weights: Int) {
        self.space = space
        self.goal = goal
        var parameters: [String: ParameterValue] = ["epochs": .integer(epochs)]
        // Large models lose at once what a rate for small ones would teach them.
        parameters["learning-rate"] = .real(weights > 5_000_000 ? 0.0003 : 0.002)
        // Labels and the original's outputs together teach more than either.
        if isLabeled, [.top1, .top5].contains(goal.metric) { parameters["loss"] = .choice("both") }
        self.parameters = parameters
    }

    private func learn(_ technique: String, _ values: [String: ParameterValue] = [:]) -> RecipeStep {
        SearchSpace.step(technique, parameters.merging(values) { $1 })
    }

    func kinds() -> [Kind] {
        let coding = space.countsEntropy ? [SearchSpace.step("range-coding", optional: true)] : []
        var all: [Kind] = []
        func add(_ name: String, _ strengths: [Double], _ steps: (Double) -> [RecipeStep]) {
            let rungs = strengths.map { Recipe(steps: steps($0)) }.filter(space.isAllowed)
            if !rungs.isEmpty { all.append(Kind(name: name, rungs: rungs)) }
        }
        let ratios = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
        func pruned(_ ratio: Double) -> RecipeStep { SearchSpace.step("structured-pruning", ["ratio": .real(ratio)]) }
        let bits = [8.0, 6, 5, 4, 3, 2, 1]
        add("quantization-aware training", bits) { [learn("quantization-aware-training", ["bits": .integer(Int($0)), "activation-bits": .choice("off")])] + coding }
        add("fewer channels, trained", ratios) { [pruned($0), learn("fine-tuning")] + coding }
        add("fewer channels, trained, int8", ratios) { [pruned($0), learn("fine-tuning"), space.int8] }
        add("fewer channels, trained, 4 bits", ratios) {
            [pruned($0), learn("fine-tuning"), SearchSpace.step("gptq", ["bits": .integer(4), "granularity": .choice("channel")])] + coding
        }
        add("fewer channels, quantization-aware training", ratios) {
            [pruned($0), learn("quantization-aware-training", ["bits": .integer(4), "activation-bits": .choice("off")])] + coding
        }
        add("thinner factors, trained", [0.8, 0.6, 0.5, 0.4, 0.3, 0.2]) { [SearchSpace.step("activation-aware-svd", ["ratio": .real($0)]), learn("fine-tuning")] + coding }
        if space.countsEntropy {
            for bits in [5, 4] {
                add("zeros, trained, \(bits) bits shared", [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95]) {
                    [
                        SearchSpace.step("magnitude-pruning", ["sparsity": .real($0)]), learn("fine-tuning"),
                        SearchSpace.step("weight-sharing", ["bits": .integer(bits), "method": .choice("lloyd")]),
                    ] + coding
                }
            }
        }
        return all
    }

    /// A recipe that loses too much, trained: before the first step that leaves few values to train, else at its end.
    func recovered(_ recipe: Recipe) -> Recipe? {
        var steps = recipe.activeSteps
        guard !recipe.learns, !steps.isEmpty else { return nil }
        let place = steps.firstIndex { step in
            guard let family = TechniqueRegistry.technique(step.technique)?.descriptor.family else { return false }
            return family == .coding || family == .sharing || family == .quantization && step.technique != "static-int8"
        }
        guard place != 0 else { return nil }
        steps.insert(learn("fine-tuning"), at: place ?? steps.count)
        let result = Recipe(steps: steps)
        return space.isAllowed(result) ? result : nil
    }

    /// Whether a short training leaves hope for a whole one: no more lost than some times what may be, and a little.
    func isNear(_ trial: SearchTrial) -> Bool {
        zip(goal.demands, trial.excess).allSatisfy { demand, excess in
            guard demand.measure.metric != nil else { return excess == 0 }
            guard let loss = trial.findings.accuracy?.loss else { return false }
            let points = demand.measure.comparison == .points
            let baseline = trial.findings.accuracy?.baseline ?? 0
            let allowed = demand.quantity == .drop ? demand.number : max(0, demand.measure.loss(ofChange: demand.number - baseline))
            return loss <= 3 * allowed + (points ? 0.015 : 0.02 * abs(baseline))
        }
    }
}

extension Search {
    /// - Throws: `EngineError.cancelled` alone.
    func train() throws {
        guard let source = try? session.trainingSource(store: nil) else { return }
        let stepsPerEpoch = max(1, source.samples.count / 128)
        let weights = session.layers.reduce(0) { $0 + $1.weightShape.reduce(1, *) }
        // What a step takes is known after the first short training.
        var secondsPerStep: Double?
        func plan(_ epochs: Int) -> SearchTraining { SearchTraining(space, goal, epochs: epochs, isLabeled: source.labels != nil, weights: weights) }
        func short(_ recipe: Recipe) throws -> SearchTrial? {
            let clock = ContinuousClock.now
            let trial = try attempt(recipe, training: .steps(SearchTraining.shortSteps))
            if trial != nil {
                let seconds = (ContinuousClock.now - clock) / .seconds(1) / Double(SearchTraining.shortSteps)
                secondsPerStep = min(secondsPerStep ?? seconds, seconds)
            }
            return trial
        }
        // Which strengths a short training brings near the goal.
        var queue: [(kind: SearchTraining.Kind, rung: Int)] = []
        var kinds = plan(2).kinds()
        let misses = archive.trials.filter { !$0.isFeasible && zip(goal.demands, $0.excess).allSatisfy { $0.measure.metric != nil || $1 == 0 } }
            .sorted { ($0.score ?? .infinity, $0.distance) < ($1.score ?? .infinity, $1.distance) }
        var techniques: Set<[String]> = []
        for miss in misses where techniques.count < 4 && techniques.insert(miss.recipe.activeSteps.map(\.technique)).inserted {
            if let recipe = plan(2).recovered(miss.recipe) {
                kinds.append(SearchTraining.Kind(name: "trained: \(miss.recipe.activeSteps.map(\.technique).joined(separator: ", "))", rungs: [recipe]))
            }
        }
        for kind in kinds {
            guard secondsLeft > 0.45 * request.budget else { break }
            update(.phase("\(kind.name), for \(SearchTraining.shortSteps) steps"))
            var (low, high, strongest) = (0, kind.rungs.count, -1)
            while low < high {
                let middle = low + (high - low) / 2
                guard let trial = try short(kind.rungs[middle]) else {
                    low = middle + 1
                    continue
                }
                if plan(2).isNear(trial) { (strongest, low) = (middle, middle + 1) } else { high = middle }
            }
            if strongest >= 0 { queue.append((kind, strongest)) }
        }
        // A whole training may take an eighth of what is left.
        let affordable = Int(secondsLeft / 8 / max((secondsPerStep ?? 0.01) * Double(stepsPerEpoch), 1e-6))
        let epochs = min(max(affordable, 1), 8)
        func whole(_ recipe: Recipe) -> Recipe {
            var recipe = recipe
            for place in recipe.steps.indices where recipe.steps[place].learns { recipe.steps[place].parameters["epochs"] = .integer(epochs) }
            return recipe
        }
        func rated(_ entry: (kind: SearchTraining.Kind, rung: Int)) -> Double {
            runner.predicted(entry.kind.rungs[entry.rung]).flatMap { goal.scores($0).first ?? nil } ?? .infinity
        }
        // The most ambitious first.
        while let next = queue.indices.min(by: { (rated(queue[$0]), $0) < (rated(queue[$1]), $1) }) {
            let entry = queue.remove(at: next)
            update(.phase("\(entry.kind.name), \(epochs) epochs"))
            let trial = try attempt(whole(entry.kind.rungs[entry.rung]))
            if trial?.isFeasible != true, entry.rung > 0 { queue.append((entry.kind, entry.rung - 1)) }
        }
    }
}
