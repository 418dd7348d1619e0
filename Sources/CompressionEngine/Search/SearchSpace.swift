import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques

/// Recipes that differ in how much they do, the mildest first.
struct SearchLadder: Sendable {
    var name: String
    var rungs: [Recipe]
}

/// Where a search begins: the registered techniques alone and in combinations that are known to go together, each over its range.
struct SearchSpace: Sendable {
    /// Techniques that may be used; `nil` for all that need no training.
    var allowed: Set<String>?
    var hasCalibration: Bool
    /// Whether the packed archive counts, in which zeros and entropy take no room.
    var countsEntropy: Bool
    /// Whether the ONNX file's size counts, which may leave zeros out.
    var countsFile = false
    /// Whether steps that learn are allowed.
    var mayTrain = false

    /// How many ladders come before anything else: what most people want.
    static let first = 18

    func ladders() -> [SearchLadder] {
        var all = basic + quantization + combined + lighter + variants + rest
        all = all.compactMap { ladder in
            var ladder = ladder
            // Trainings have their own turn.
            ladder.rungs = ladder.rungs.filter { isAllowed($0) && !$0.learns }
            return ladder.rungs.isEmpty ? nil : ladder
        }
        var seen: Set<String> = []
        return all.filter { seen.insert($0.rungs.map(\.canonical).joined(separator: "\n")).inserted }
    }

    /// Whether a recipe's steps are among the allowed ones, need no training, and find the data that they need.
    func isAllowed(_ recipe: Recipe) -> Bool {
        recipe.activeSteps.allSatisfy { step in
            guard let descriptor = TechniqueRegistry.technique(step.technique)?.descriptor else { return false }
            return descriptor.produces.isDisjoint(with: mayTrain ? [.earlyExit] : [.training, .earlyExit]) && (hasCalibration || !descriptor.needsCalibration)
                && (allowed.map { $0.contains(step.technique) } ?? (step.technique != "random-pruning"))
        }
    }

    static func step(_ technique: String, _ values: [String: ParameterValue] = [:], optional: Bool = false) -> RecipeStep {
        RecipeStep(technique: technique, parameters: ParameterValues(values), optional: optional)
    }

    private func one(_ name: String, _ steps: RecipeStep...) -> SearchLadder { SearchLadder(name: name, rungs: [Recipe(steps: steps)]) }

    /// What everybody tries, of one strength each.
    private var basic: [SearchLadder] {
        [
            one("static int8", int8), one("static int8, 8 bits", Self.step("static-int8")), one("dynamic int8", Self.step("dynamic-int8")), one("float16", Self.step("fp16")),
        ]
    }

    /// The same with help, and presets.
    private var variants: [SearchLadder] {
        let presets = RecipePreset.all.compactMap { preset in (try? preset.recipe()).map { SearchLadder(name: preset.title, rungs: [$0]) } }
        return [
            one("integers only", Self.step("static-int8", ["target": .choice("integer")])),
            one("equalized int8", Self.step("cross-layer-equalization"), int8),
            one("smoothed int8", Self.step("smoothquant"), int8),
            one("int8 by percentile", Self.step("static-int8", ["calibration": .choice("percentile")])),
        ] + presets
    }

    /// Without VNNI sums of 8-bit weights overflow.
    var int8: RecipeStep { Self.step("static-int8", InstructionSet.saturates ? ["weight-bits": .choice("7")] : [:]) }

    private static let bits = [8, 6, 5, 4, 3, 2]

    /// Bits of weights.
    private var quantization: [SearchLadder] {
        [("weight-quantization", "channel"), ("gptq", "channel"), ("gptq", "group"), ("weight-quantization", "group")].map { technique, granularity in
            SearchLadder(
                name: "\(technique), \(granularity)",
                rungs: Self.bits.map { bits in
                    Recipe(steps: [Self.step(technique, ["bits": .integer(bits), "granularity": .choice(granularity)])] + coding)
                })
        }
    }

    private var coding: [RecipeStep] { countsEntropy ? [Self.step("range-coding", optional: true)] : [] }

    /// What stores zeros in less room, behind steps that make some.
    func storing(_ steps: [RecipeStep]) -> [RecipeStep] {
        let hasZeros = steps.contains { TechniqueRegistry.technique($0.technique)?.descriptor.produces.contains(.sparseWeights) == true }
        return (hasZeros && countsFile && allowed.map { $0.contains("sparse-storage") } ?? true ? [Self.step("sparse-storage", optional: true)] : []) + coding
    }

    /// Shares that are left of something.
    private static let shares = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]

    /// Less to compute: fewer channels, thinner factors.
    private var lighter: [SearchLadder] {
        let fewer = ["structured-pruning", "head-pruning"].map { technique in
            SearchLadder(
                name: technique,
                rungs: Self.shares.prefix(6).map { Recipe(steps: [Self.step(technique, ["ratio": .real($0)]), Self.step("batchnorm-reestimation", optional: true)]) })
        }
        let thinner = ["activation-aware-svd", "svd", "tucker-2", "spatial-svd"].map { technique in
            SearchLadder(name: technique, rungs: [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3].map { Recipe(steps: [Self.step(technique, ["ratio": .real($0)])]) })
        }
        return fewer + thinner
    }

    /// Zeros and few bits together, or fewer channels and integers.
    private var combined: [SearchLadder] {
        var all: [SearchLadder] = []
        if countsEntropy || countsFile {
            for bits in [6, 5, 4] {
                all.append(
                    SearchLadder(
                        name: "zeros and \(bits) bits",
                        rungs: Self.shares.dropFirst().map { sparsity in
                            let steps = [
                                Self.step("sparsegpt", ["sparsity": .real(sparsity)]), Self.step("gptq", ["bits": .integer(bits), "granularity": .choice("channel")]),
                            ]
                            return Recipe(steps: steps + storing(steps))
                        }))
            }
        }
        for last in [int8, Self.step("gptq", ["bits": .integer(4), "granularity": .choice("group")])] {
            all.append(
                SearchLadder(
                    name: "fewer channels, \(last.technique)",
                    rungs: Self.shares.prefix(5).map { ratio in
                        Recipe(steps: [Self.step("structured-pruning", ["ratio": .real(ratio)]), Self.step("batchnorm-reestimation", optional: true), last])
                    }))
        }
        return all
    }

    /// Every other registered technique over the range of its main parameter.
    private var rest: [SearchLadder] {
        let known: Set<String> = [
            "static-int8", "dynamic-int8", "fp16", "weight-quantization", "gptq", "structured-pruning", "head-pruning", "activation-aware-svd", "svd", "tucker-2", "spatial-svd",
            "float32", "random-pruning",
        ]
        return TechniqueRegistry.all.map(\.descriptor).filter { descriptor in
            !known.contains(descriptor.id) && descriptor.produces.isDisjoint(with: [.training, .earlyExit, .correction, .coding, .storage])
        }.map { descriptor in
            guard let name = descriptor.mainParameter, let parameter = descriptor.parameter(name) else {
                return SearchLadder(name: descriptor.title, rungs: [Recipe(steps: [Self.step(descriptor.id)])])
            }
            return SearchLadder(
                name: descriptor.title,
                rungs: parameter.spread(6).map { value in
                    let steps = [Self.step(descriptor.id, [name: value])]
                    return Recipe(steps: steps + storing(steps))
                })
        }
    }
}

// MARK: - Neighbors

extension SearchSpace {
    /// A recipe near another: one thing is changed at random.
    /// - Parameter layers: of the model.
    func neighbor(of recipe: Recipe, layers: [Layer], _ generator: inout SeededGenerator) -> Recipe? {
        var recipe = recipe
        // What stands before a training cannot be changed without training anew.
        let free = (recipe.steps.lastIndex(where: \.learns).map { $0 + 1 } ?? 0)..<recipe.steps.count
        guard !free.isEmpty else { return nil }
        let place = free.lowerBound + generator.below(free.count)
        guard let descriptor = TechniqueRegistry.technique(recipe.steps[place].technique)?.descriptor else { return nil }
        switch generator.below(10) {
        case 0...3:
            // Some steps of a knob either way, the one that says how much more often than others.
            guard let parameter = parameter(of: descriptor, &generator) else { return nil }
            let value = recipe.steps[place].parameters[parameter.name] ?? parameter.defaultValue
            recipe.steps[place].parameters[parameter.name] = parameter.stepped(value, by: stride(&generator, parameter))
        case 4...6:
            // The same for one layer.
            guard let name = descriptor.mainParameter, let parameter = descriptor.parameter(name), !layers.isEmpty else { return nil }
            let layer = generator.below(layers.count)
            guard recipe.steps[place].layers.matches(layers[layer], position: layer) else { return nil }
            let selector = LayerSelector(include: [LayerPattern.exactly(layer, in: layers)])
            // The last one for a layer wins, so an earlier one would say nothing.
            let old = recipe.steps[place].overrides.last { $0.layers == selector }?.parameters[name]
            recipe.steps[place].overrides.removeAll { $0.layers == selector }
            let value = parameter.stepped(old ?? recipe.steps[place].parameters[name] ?? parameter.defaultValue, by: stride(&generator, parameter))
            if value != recipe.steps[place].parameters[name] {
                recipe.steps[place].overrides.append(LayerOverride(layers: selector, parameters: ParameterValues([name: value])))
            }
        case 7:
            // A layer is left alone.
            guard layers.count > 1 else { return nil }
            let layer = generator.below(layers.count)
            guard recipe.steps[place].layers.matches(layers[layer], position: layer) else { return nil }
            recipe.steps[place].layers.exclude.append(LayerPattern.exactly(layer, in: layers))
        case 8:
            // A step that makes up for the others, or prepares them.
            let helpers = ["bias-correction", "batchnorm-reestimation", "least-squares-reconstruction", "cross-layer-equalization", "awq", "smoothquant"]
            let helper = helpers[generator.below(helpers.count)]
            guard !recipe.steps.contains(where: { $0.technique == helper }) else { return nil }
            let isFirst = free.lowerBound == 0 && TechniqueRegistry.technique(helper)?.descriptor.produces.contains(.correction) != true
            recipe.steps.insert(Self.step(helper, optional: true), at: isFirst ? 0 : recipe.steps.count)
        default:
            guard recipe.steps.count > 1 else { return nil }
            recipe.steps.remove(at: place)
        }
        return isAllowed(recipe) ? recipe : nil
    }

    /// Steps of two recipes: of a technique that both have one's, of others each by chance, in the order in which techniques go together.
    func crossing(_ one: Recipe, _ other: Recipe, _ generator: inout SeededGenerator) -> Recipe? {
        var steps: [RecipeStep] = []
        for step in one.activeSteps {
            if let twin = other.activeSteps.first(where: { $0.technique == step.technique }) {
                steps.append(generator.below(2) == 0 ? step : twin)
            } else if generator.below(2) == 0 {
                steps.append(step)
            }
        }
        for step in other.activeSteps where !one.activeSteps.contains(where: { $0.technique == step.technique }) && generator.below(2) == 0 { steps.append(step) }
        let ranked = steps.enumerated().sorted { (Self.rank($0.element), $0.offset) < (Self.rank($1.element), $1.offset) }.map(\.element)
        let recipe = Recipe(steps: ranked)
        return ranked.isEmpty || recipe.learns || recipe.steps == one.activeSteps || recipe.steps == other.activeSteps || !isAllowed(recipe) ? nil : recipe
    }

    /// Zeros and ranks are found on floats, integers are made of what is left, corrections make up for all of it, codes come last.
    static func rank(_ step: RecipeStep) -> Int {
        guard let descriptor = TechniqueRegistry.technique(step.technique)?.descriptor else { return 9 }
        if ["smoothquant", "awq", "cross-layer-equalization"].contains(step.technique) { return 3 }
        switch descriptor.family {
        case .pruning: return 0
        case .factorization: return 1
        case .training, .earlyExit: return 2
        case .sharing: return 4
        case .quantization: return 5
        case .correction: return 6
        case .coding: return descriptor.produces.contains(.storage) ? 7 : 8
        }
    }

    private func parameter(of descriptor: TechniqueDescriptor, _ generator: inout SeededGenerator) -> ParameterDescriptor? {
        if let name = descriptor.mainParameter, generator.below(10) < 6 { return descriptor.parameter(name) }
        return descriptor.parameters.isEmpty ? nil : descriptor.parameters[generator.below(descriptor.parameters.count)]
    }

    /// Small steps mostly; a real number's own step is often too small to be felt.
    private func stride(_ generator: inout SeededGenerator, _ parameter: ParameterDescriptor) -> Int {
        let size: Int
        if case .real(let range, let step) = parameter.domain, !parameter.isLogarithmic, step > 0 {
            size = max(1, Int((range.upperBound - range.lowerBound) / step / 25)) * (1 + generator.below(3))
        } else {
            size = 1 + generator.below(4) / 3
        }
        return generator.below(2) == 0 ? size : -size
    }
}
