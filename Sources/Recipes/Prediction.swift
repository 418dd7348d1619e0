import Archive
import EngineSupport
import Measurement
import ModelGraph
import Techniques

/// Predicts figures of recipes from the baseline's summaries. Built once per model; answering costs O(layers × steps).
public struct Predictor: Sendable {
    public let baseline: ModelFigures
    public let layers: [Layer]
    public let summaries: [LayerSummary]
    /// Why a technique does not apply to a layer of the baseline: `refusals[technique][position]`.
    public let refusals: [String: [Int: String]]
    /// What is known about time; `nil` until the machine was looked at.
    package var latency: LatencyForecast?
    private let initial: [LayerState]
    private let totalActivationBits: Double

    public init(baseline: ModelFigures, layers: [Layer], summaries: [LayerSummary], refusals: [String: [Int: String]]) {
        self.baseline = baseline
        self.layers = layers
        self.summaries = summaries
        self.refusals = refusals
        initial = summaries.map(LayerState.init)
        totalActivationBits = summaries.reduce(0) { $0 + ($1.outputElements ?? 0) * 32 }
    }

    /// Figures of the model after `recipe`, as estimates.
    /// - Throws: `EngineError` if the recipe does not fit the model.
    public func figures(for recipe: Recipe) throws(EngineError) -> ModelFigures {
        let states = try states(for: recipe)
        guard !recipe.activeSteps.isEmpty else { return baseline }
        var figures = combine(states)
        // What samples decide is known from their profile only.
        if recipe.liveKnob == nil { figures.latency = latency?.prediction(initial: initial, states: states) }
        return figures
    }

    /// Takes in how long the model after a recipe was found to take.
    package mutating func learn(_ ratio: Double, of recipe: Recipe) {
        guard recipe.liveKnob == nil, let states = try? states(for: recipe), let raw = latency?.rawRatio(initial, states) else { return }
        latency?.residuals.learn(ratio, raw: raw, changes: LatencyForecast.changes(initial, states))
    }

    /// The layers after a recipe.
    private func states(for recipe: Recipe) throws(EngineError) -> [LayerState] {
        try RecipeOrder.check(recipe)
        let steps = recipe.activeSteps
        var states = initial
        for (number, step) in steps.enumerated() {
            let place = EngineError.Step(number: number + 1, technique: step.technique)
            guard let technique = TechniqueRegistry.technique(step.technique) else { throw EngineError(.recipe, step: place, "there is no such technique") }
            let refused = refusals[step.technique] ?? [:]
            var targets: [Int: ParameterValues] = [:]
            for (index, values) in try step.resolve(layers, step: number) where refused[index] == nil {
                targets[index] = values.resolved(by: technique.descriptor)
            }
            guard !targets.isEmpty else {
                if step.optional { continue }
                let why = refused.min { $0.key < $1.key }.map { ": \($0.value)" } ?? ""
                throw EngineError(.technique, step: place, "applies to no layer of this model\(why)")
            }
            technique.predict(&states, targets: targets, summaries: summaries)
        }
        return states
    }

    /// Adds the states up into figures; what belongs to no layer stays as in the baseline.
    private func combine(_ states: [LayerState]) -> ModelFigures {
        var result = baseline
        var parameters = 0.0
        var nonZeros = 0.0
        var bits = 0.0
        var loaded = 0.0
        var theoretical = 0.0
        var packed = 0.0
        var macs = 0.0
        var macsKnown = true
        var products = 0.0
        var outputs = 0.0
        var operands: [(count: Double, bits: Double)] = []
        // Tied weights stand in several layers and are stored once.
        var seen = Set<String>()
        for (index, state) in states.enumerated() {
            let first = seen.insert("\(layers[index].path.steps.count)/\(layers[index].weight)").inserted
            if first {
                let before = initial[index]
                parameters += state.weightCount + state.biasCount - before.weightCount - before.biasCount
                nonZeros += state.nonZeroCount + state.biasCount - before.nonZeroCount - before.biasCount
                bits += state.serializedBits - before.serializedBits
                loaded += state.loadedBits - before.loadedBits
                theoretical += state.theoreticalBits - before.theoreticalBits
                packed += PackedSize.bits(of: state) - PackedSize.bits(of: before)
            }
            // Normalization constants and the like go with the layer's outputs; each is attached to one layer.
            let attached = state.attachedCount - initial[index].attachedCount
            parameters += attached
            nonZeros += attached
            bits += attached * 32
            loaded += attached * 32
            theoretical += attached * 32
            packed += attached * 32
            if let now = state.macs, let before = initial[index].macs {
                macs += now - before
                operands.append((now, state.operandBits))
            } else {
                macsKnown = false
            }
            products += state.productMacs
            outputs += state.outputElements ?? 0
            result.layers[index] = layer(index, state)
        }
        result.parameters = Figure(baseline.parameters.value + parameters, .estimated)
        result.nonZeros = Figure(baseline.nonZeros.value + nonZeros, .estimated)
        result.serializedBytes = Figure(max(baseline.serializedBytes.value + bits / 8, 0), .estimated)
        result.theoreticalBytes = baseline.theoreticalBytes.map { Figure(max($0.value + theoretical / 8, 0), .estimated) }
        result.packedBytes = baseline.packedBytes.map { Figure(max($0.value + packed / 8, 0), .estimated) }
        // gzip cannot be predicted well: the entropy bound is close for coded weights, and never above the file.
        result.transferBytes = nil
        if macsKnown || macs + products != 0 { result.macs = baseline.macs.map { Figure(max($0.value + macs + products, 0), .estimated) } }
        let weightBits = max(baseline.serializedBytes.value * 8 + loaded, 0)
        if let total = baseline.macs?.value {
            let other = max(total - initial.reduce(0) { $0 + ($1.macs ?? 0) } + products, 0)
            let scale = totalActivationBits > 0 ? outputs * 32 / totalActivationBits : 1
            result.energyPicojoules = Figure(
                EnergyModel.picojoules(
                    macs: operands + [(other, 32)], weightBits: weightBits, activationBits: activationBitsBaseline * scale), .modeled)
        }
        if let peak = baseline.peakActivationBytes {
            result.peakActivationBytes = Figure(peak.value, .estimated)
            result.memoryBytes = baseline.memoryBytes.map { Figure(max($0.value + loaded / 8, 0), .estimated) }
        }
        return result
    }

    /// Activation bits behind the baseline's energy figure.
    private var activationBitsBaseline: Double { totalActivationBits }

    private func layer(_ index: Int, _ state: LayerState) -> LayerFigures {
        var figures = baseline.layers[index]
        figures.parameters = state.weightCount + state.biasCount
        figures.nonZeros = state.nonZeroCount + state.biasCount
        figures.macs = state.macs
        figures.serializedBytes = state.serializedBits / 8
        figures.packedBytes = PackedSize.bits(of: state) / 8
        figures.weightBits = state.weightBits
        figures.outputElements = state.outputElements
        figures.milliseconds = nil
        return figures
    }
}

extension LayerState {
    /// Bits of the layer's tensors in the ONNX file; biases are 32-bit in every encoding here.
    public var serializedBits: Double { fileBits + biasCount * 32 + overheadBits }

    /// The same once it is loaded: zeros that the file leaves out are there again.
    var loadedBits: Double { weightCount * weightBits + biasCount * 32 + overheadBits }

    /// Bits of the encoding the layer stands for: shared or quantized weights at their true width, zeros left out with
    /// relative indices and the fillers they need where that is smaller (facts: Deep Compression).
    public var theoreticalBits: Double {
        let valueBits = distinctValues.map { TheoreticalSize.indexWidth(entries: $0) } ?? weightBits
        let codebook = distinctValues.map { valueBits <= 16 ? TheoreticalSize.codebookBits(entries: $0) : 0 } ?? 0
        var best = weightCount * valueBits
        if density < 1 {
            for bits in coding.indexBits.map({ $0...$0 }) ?? 2...8 {
                let fillers = TheoreticalSize.expectedFillers(nonZeros: nonZeroCount, density: density, indexBits: bits)
                best = min(best, TheoreticalSize.sparseBits(nonZeros: nonZeroCount, fillers: fillers, valueBits: valueBits, indexBits: bits))
            }
        }
        return best + codebook + biasCount * 32
    }
}
