import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes
import Techniques

/// Where new recipes come from once the first ones are tried. Which way is asked next is drawn by how often each has brought the search on lately
/// (Thompson sampling of a Beta distribution, with forgetting).
struct SearchProposals {
    enum Way: Int, CaseIterable {
        /// The next combination of techniques that was not tried yet.
        case ladder
        /// One of the best, changed a little.
        case neighbor
        /// Steps of two of the best together.
        case crossing
        /// Of many of both, what a model of the trials expects most of.
        case guided
    }

    private let goal: SearchGoal
    private let space: SearchSpace
    private let layers: [Layer]
    private var wins = [Double](repeating: 1, count: Way.allCases.count)
    private var tries = [Double](repeating: 2, count: Way.allCases.count)
    /// Share of what was learned of a way that one more try leaves.
    private static let memory = 0.97
    private var surrogates: (trials: Int, values: [Surrogate?])?

    init(_ goal: SearchGoal, _ space: SearchSpace, layers: [Layer]) {
        (self.goal, self.space, self.layers) = (goal, space, layers)
    }

    /// Draws which way to go.
    func way(_ usable: [Way], _ generator: inout SeededGenerator) -> Way {
        usable.max { one, other in
            draw(one, &generator) < draw(other, &generator)
        } ?? .neighbor
    }

    /// A normal draw with the mean and the deviation of the Beta distribution is close enough to order four ways.
    private func draw(_ way: Way, _ generator: inout SeededGenerator) -> Double {
        let (won, lost) = (wins[way.rawValue], max(tries[way.rawValue] - wins[way.rawValue], 1))
        let sum = won + lost
        let deviation = (won * lost / (sum * sum * (sum + 1))).squareRoot()
        let uniform = (0..<4).reduce(0.0) { sum, _ in sum + Double(generator.below(1 << 20)) / Double(1 << 20) }
        return won / sum + deviation * (uniform - 2) * 3.0.squareRoot()
    }

    /// Says what came of a recipe.
    mutating func learn(_ way: Way, won: Bool) {
        for index in wins.indices {
            wins[index] = 1 + (wins[index] - 1) * Self.memory
            tries[index] = 2 + (tries[index] - 2) * Self.memory
        }
        tries[way.rawValue] += 1
        if won { wins[way.rawValue] += 1 }
    }

    // MARK: - Recipes

    func neighbor(_ archive: SearchArchive, _ generator: inout SeededGenerator) -> Recipe? {
        let parents = archive.parents(8)
        guard !parents.isEmpty else { return nil }
        var child = space.neighbor(of: Self.pick(parents, isFront: goal.isFront, &generator).recipe, layers: layers, &generator)
        for _ in 0..<generator.below(3) { child = child.flatMap { space.neighbor(of: $0, layers: layers, &generator) ?? $0 } }
        return child
    }

    func crossing(_ archive: SearchArchive, _ generator: inout SeededGenerator) -> Recipe? {
        let parents = archive.parents(16)
        guard parents.count > 1 else { return nil }
        let one = Self.pick(parents, isFront: goal.isFront, &generator).recipe
        let other = Self.pick(parents, isFront: goal.isFront, &generator).recipe
        guard one != other else { return nil }
        return space.crossing(one, other, &generator)
    }

    /// The better, the more often; of a front all alike.
    private static func pick(_ parents: [SearchTrial], isFront: Bool, _ generator: inout SeededGenerator) -> SearchTrial {
        parents[isFront ? generator.below(parents.count) : min(generator.below(parents.count), generator.below(parents.count))]
    }

    /// Of some dozens of neighbors and crossings that are not ruled out, the one of which most is expected.
    /// - Parameter isNew: whether a recipe was not tried, and is not ruled out by its sizes; gives what is predicted of it.
    mutating func guided(_ archive: SearchArchive, _ generator: inout SeededGenerator, predict: (Recipe) -> Demand.Findings?) -> Recipe? {
        learn(from: archive)
        guard let values = surrogates?.values, values.contains(where: { $0 != nil }) else { return nil }
        // Another point of the front every time, so that it moves everywhere.
        let reference = goal.isFront && !archive.front.isEmpty ? archive.front[generator.below(archive.front.count)] : archive.best
        var best: (value: Double, recipe: Recipe)?
        for _ in 0..<32 {
            let candidate = generator.below(3) == 0 ? crossing(archive, &generator) : neighbor(archive, &generator)
            guard let candidate, let found = predict(candidate) else { continue }
            let value = expected(features(candidate, found), found, archive, reference, values)
            if best.map({ value > $0.value }) ?? true { best = (value, candidate) }
        }
        return best?.recipe
    }

    /// Unknown numbers that are guessed: the loss, and the ratio of latencies where it counts.
    private var guessed: [Demand] {
        var all: [Demand] = []
        if let metric = goal.metric { all.append(Demand(.metric(metric), .drop, 0)) }
        if goal.needsLatency { all.append(Demand(.latency, .ratio, 0)) }
        return all
    }

    private mutating func learn(from archive: SearchArchive) {
        guard surrogates.map({ archive.trials.count >= $0.trials + 4 }) ?? true else { return }
        // The latest and the nearest say most about what is near them.
        let known = archive.trials.filter { !$0.recipe.steps.isEmpty && $0.findings.accuracy?.loss != nil }
        let used = Array(known.sorted(by: SearchTrial.isBetter).prefix(100)) + known.suffix(60)
        var names: Set<String> = []
        let distinct = used.filter { names.insert($0.recipe.canonical).inserted }
        let points = distinct.map { features($0.recipe, $0.findings) }
        let values = guessed.map { demand -> Surrogate? in
            let pairs = zip(points, distinct).compactMap { point, trial in demand.value(trial.findings).map { (point, Self.squeezed($0, demand)) } }
            return Surrogate(pairs.map(\.0), pairs.map(\.1))
        }
        surrogates = (archive.trials.count, values)
    }

    /// Losses spread over orders of magnitude; what is far from the limits need not be known well.
    private static func squeezed(_ value: Double, _ demand: Demand) -> Double {
        guard demand.quantity == .drop else { return value }
        return asinh(value / (demand.measure.comparison == .points ? 0.005 : max(demand.measure.resolution, 1e-9)))
    }

    /// Expected improvement on a trial times the chance that the limits hold (Gardner et al., Bayesian Optimization with Inequality Constraints, ICML 2014).
    private func expected(_ features: Surrogate.Features, _ found: Demand.Findings, _ archive: SearchArchive, _ reference: SearchTrial?, _ values: [Surrogate?]) -> Double {
        let guesses = values.map { $0?.guess(features) }
        func guess(_ measure: Measure) -> (mean: Double, deviation: Double)? { guessed.firstIndex { $0.measure == measure }.flatMap { guesses[$0] } }
        var chance = 1.0
        for demand in goal.demands where !demand.measure.isOfFigures {
            guard let guess = guess(demand.measure) else { continue }
            let limit: Double
            switch demand.quantity {
            case .drop: limit = Self.squeezed(demand.number, demand)
            case .ratio: limit = demand.number
            case .value:
                guard let baseline = archive.trials.first?.findings.accuracy?.baseline, demand.measure.metric != nil else { continue }
                limit = Self.squeezed(demand.measure.loss(ofChange: demand.number - baseline), Demand(demand.measure, .drop, 0))
            }
            chance *= Double.normalShare(below: (limit - guess.mean) / guess.deviation)
        }
        guard let reference else { return chance }
        let scores = goal.scores(found)
        var improvement = 0.0
        for (axis, measure) in goal.axes.enumerated() where goal.isFront || axis == 0 {
            guard let there = reference.scores[axis] else { continue }
            let unit = max(abs(there), 1e-12)
            if let score = scores[axis] {
                if score > there { chance = 0 }
                improvement += max(0, there - score) / unit
            } else if let guess = guess(measure) {
                let isLoss = measure.metric != nil
                let z = ((isLoss ? Self.squeezed(there, Demand(measure, .drop, 0)) : there) - guess.mean) / guess.deviation
                improvement += guess.deviation * (z * Double.normalShare(below: z) + Double.normalDensity(z)) / (isLoss ? 1 : unit)
                if goal.isFront { chance *= Double.normalShare(below: z) }
            }
        }
        return chance * (improvement + 1e-6)
    }

    /// What a model of the trials sees of a recipe: which techniques, how strong over how many of the weights, other choices, and sizes.
    func features(_ recipe: Recipe, _ found: Demand.Findings) -> Surrogate.Features {
        var features: Surrogate.Features = [:]
        let weights = layers.map { Double($0.weightShape.reduce(1, *)) }
        let total = max(weights.reduce(0, +), 1)
        for step in recipe.activeSteps {
            guard let descriptor = TechniqueRegistry.technique(step.technique)?.descriptor else { continue }
            let main = descriptor.mainParameter.flatMap(descriptor.parameter)
            var (strength, covered) = (0.0, 0.0)
            for (index, layer) in layers.enumerated() where step.layers.matches(layer, position: index) {
                covered += weights[index] / total
                guard let main else { continue }
                let own = step.overrides.last { $0.layers.matches(layer, position: index) && $0.parameters[main.name] != nil }?.parameters[main.name]
                strength += weights[index] / total * main.place(own ?? step.parameters[main.name] ?? main.defaultValue)
            }
            features[step.technique, default: 0] += 0.5 * covered
            if main != nil { features[step.technique + " main", default: 0] += 2 * strength }
            for (name, value) in step.parameters.explicit where name != main?.name { features["\(step.technique) \(name)=\(value.text)"] = 0.3 }
        }
        for measure in [Measure.file, .macs] + goal.axes where measure.isOfFigures {
            if let before = measure.figure(in: found.before)?.value, let after = measure.figure(in: found.after)?.value, before > 0 {
                features["of " + measure.id] = 2 * after / before
            }
        }
        return features
    }
}

extension ParameterDescriptor {
    /// Where a value stands in the range, 0…1.
    fileprivate func place(_ value: ParameterValue) -> Double {
        switch (domain, value) {
        case (.integer(let range, _), .integer(let number)): Double(number - range.lowerBound) / Double(max(range.upperBound - range.lowerBound, 1))
        case (.real(let range, _), .real(let number)): (number - range.lowerBound) / max(range.upperBound - range.lowerBound, 1e-12)
        default: 0.5
        }
    }
}
