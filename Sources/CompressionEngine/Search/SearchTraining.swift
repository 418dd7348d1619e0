import EngineSupport
import Foundation
import Measurement
import Recipes
import Techniques

/// Trainings as rungs (successive halving: Jamieson and Talwalkar, AISTATS 2016): of every kind of recipe the mildest strength that is within the limits and
/// beyond the best is trained for some steps; the better half goes on to four times as many, until one is left. Then kinds are trained whole in the order
/// in which they came so far, each as strong as it holds.
struct SearchTraining {
    /// Recipes of one kind that learn, the mildest first.
    struct Kind {
        var name: String
        var rungs: [Recipe]
    }

    private let space: SearchSpace
    private let goal: SearchGoal
    private let parameters: [String: ParameterValue]

    /// Steps of the shortest trainings.
    static let firstSteps = 60

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
        if space.countsEntropy || space.countsFile {
            for bits in [5, 4] {
                add("zeros, trained, \(bits) bits shared", [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95]) {
                    let steps = [
                        SearchSpace.step("magnitude-pruning", ["sparsity": .real($0)]), learn("fine-tuning"),
                        SearchSpace.step("weight-sharing", ["bits": .integer(bits), "method": .choice("lloyd")]),
                    ]
                    return steps + space.storing(steps)
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
}

extension Search {
    /// - Throws: `EngineError.cancelled` alone.
    func train() throws {
        guard let source = try? session.trainingSource(store: nil) else { return }
        let stepsPerEpoch = max(1, source.samples.count / 128)
        let weights = session.layers.reduce(0) { $0 + $1.weightShape.reduce(1, *) }
        let plan = SearchTraining(space, goal, epochs: 2, isLabeled: source.labels != nil, weights: weights)
        var kinds = plan.kinds()
        let misses = archive.trials.filter { !$0.isFeasible && goal.keepsSizes($0) }
            .sorted { ($0.score ?? .infinity, $0.distance) < ($1.score ?? .infinity, $1.distance) }
        var techniques: Set<[String]> = []
        for miss in misses where techniques.count < 4 && techniques.insert(miss.recipe.activeSteps.map(\.technique)).inserted {
            guard let recipe = plan.recovered(miss.recipe) else { continue }
            kinds.append(SearchTraining.Kind(name: "trained: \(miss.recipe.activeSteps.map(\.technique).joined(separator: ", "))", rungs: [recipe]))
        }
        // The halves.
        var (running, waiting): ([Runner], [Runner]) = (kinds.map { Runner(kind: $0) }, [])
        var steps = SearchTraining.firstSteps
        var secondsPerStep = Double.infinity
        let share = secondsLeft
        while running.count > 1 || steps == SearchTraining.firstSteps, steps < 2 * stepsPerEpoch, secondsLeft > 0.6 * share {
            var tried: [Runner] = []
            var skipped: [Runner] = []
            for var runner in running {
                // Those that there is no time to try wait behind those that were.
                guard secondsLeft > 0.6 * share || tried.isEmpty else {
                    skipped.append(runner)
                    continue
                }
                update(.phase("\(runner.kind.name), for \(steps) steps"))
                while let recipe = runner.recipe {
                    let clock = ContinuousClock.now
                    if let trial = try attempt(recipe, training: .steps(steps)), goal.keepsSizes(trial) {
                        secondsPerStep = min(secondsPerStep, (ContinuousClock.now - clock) / .seconds(1) / Double(steps))
                        runner.loss = trial.findings.accuracy?.loss ?? .infinity
                        tried.append(runner)
                        break
                    }
                    // Larger than it was predicted, or it does not apply.
                    runner.rung += 1
                }
            }
            tried.sort { $0.loss < $1.loss }
            let kept = steps * 4 < 2 * stepsPerEpoch ? max(1, tried.count / 2) : tried.count
            waiting = tried.dropFirst(kept) + skipped + waiting
            running = Array(tried.prefix(kept))
            if running.isEmpty { break }
            steps *= 4
        }
        // A whole training may take a sixth of what is left.
        let affordable = Int(secondsLeft / 6 / max(min(secondsPerStep, 10) * Double(stepsPerEpoch), 1e-6))
        let epochs = min(max(affordable, 1), 8)
        for var runner in running + waiting {
            while var recipe = runner.recipe {
                for place in recipe.steps.indices where recipe.steps[place].learns { recipe.steps[place].parameters["epochs"] = .integer(epochs) }
                update(.phase("\(runner.kind.name), \(epochs) epochs"))
                let trial = try attempt(recipe)
                // What is stronger loses more; it may hold sizes that this one misses.
                if let trial, !goal.keepsMetric(trial) { break }
                runner.rung += 1
            }
        }
    }

    /// A kind of recipe on its way through the rungs.
    private struct Runner {
        var kind: SearchTraining.Kind
        /// The mildest strength that was not ruled out.
        var rung = 0
        var loss = Double.infinity

        init(kind: SearchTraining.Kind) { self.kind = kind }

        var recipe: Recipe? { kind.rungs.indices.contains(rung) ? kind.rungs[rung] : nil }
    }
}
