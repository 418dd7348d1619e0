import EngineSupport
import Measurement
import ModelGraph
import OnnxRuntime
import Techniques
import Training

/// A model whose weights and activations pass through quantizers while it is trained, and the way from there to integers.
package struct FakeQuantization {
    /// What a layer is to be quantized to.
    package struct Setting {
        var weights: WeightGrid
        /// `nil` to leave what the layer reads in float.
        var activationBits: Int?
    }

    /// The model with quantizers in it, which computes what the exported one will.
    private(set) var model: Model
    private(set) var preparation: TrainingPreparation
    private var weights: [WeightFakeQuantizer] = []
    private var activations: [ActivationFakeQuantizer] = []

    /// - Parameter relativeRates: have scales learn in proportion to their size, for optimizers whose steps do not shrink with gradients.
    /// - Throws: `EngineError` if the runtime refuses the model.
    init(
        _ original: Model, targets: [(layer: Layer, setting: Setting)], relativeRates: Bool, source: TrainingSource, context: RewriteContext
    ) throws {
        model = original
        preparation = TrainingPreparation(structure: original, scales: [])
        var editor = GraphEditor(original)
        var known: [String: String] = [:]
        for (layer, setting) in targets {
            for name in [layer.weight] + layer.otherWeights {
                guard let tensor = original.graph.initializers[name] else { throw EngineError(.technique, "layer '\(layer.id)': weight '\(name)' is missing") }
                // Layers that share a weight share what rounds it, if they want the same of it.
                let layout = try WeightView(tensor, of: layer, granularity: setting.weights.granularity, groupSize: 0).layout
                let key = "\(name) \(setting.weights) \(layout.kind)"
                let value: String
                if let found = known[key] {
                    value = found
                } else {
                    let quantizer = try WeightFakeQuantizer(tensor, of: layer, grid: setting.weights, relativeRate: relativeRates, editor: &editor)
                    weights.append(quantizer)
                    preparation.scales += quantizer.scales
                    value = quantizer.value
                    known[key] = value
                }
                editor.edit(layer.nodeIndex, at: .main) { $0.replaceInput(name, by: value) }
            }
        }
        try quantizeActivations(original, targets, relativeRates, source, context, &editor)
        model = editor.finish()
    }

    private mutating func quantizeActivations(
        _ original: Model, _ targets: [(layer: Layer, setting: Setting)], _ relativeRates: Bool, _ source: TrainingSource, _ context: RewriteContext,
        _ editor: inout GraphEditor
    ) throws {
        /// Readers of a value, and the widest grid that one of them asks for.
        var readers: [String: (bits: Int, nodes: [Int], learns: Bool)] = [:]
        var order: [String] = []
        for (layer, setting) in targets {
            guard let bits = setting.activationBits, let value = Self.activation(of: layer, in: original) else { continue }
            if readers[value] == nil { order.append(value) }
            let old = readers[value] ?? (bits, [], false)
            readers[value] = (max(old.bits, bits), old.nodes + [layer.nodeIndex], old.learns || setting.weights.learnsScales)
        }
        let sizes = try ActivationSizes.measured(order, of: original, source: source, context: context)
        for value in order {
            guard let (bits, nodes, learns) = readers[value], let first = nodes.min(), let size = sizes[value] else { continue }
            let quantizer = ActivationFakeQuantizer(value, bits: bits, seen: size, before: first, editor: &editor)
            activations.append(quantizer)
            for node in nodes { editor.edit(node, at: .main) { $0.replaceInput(value, by: quantizer.output) } }
            guard learns, let start = editor.graph(.main).initializers[quantizer.scale]?.floats()?.first else { continue }
            preparation.scales.append(
                LearnedScale(
                    name: quantizer.scale, gradientFactor: 1 / (Float(size.features) * Float(quantizer.range.high)).squareRoot(),
                    rate: relativeRates ? start : 1, minimum: start * 1e-3))
        }
    }

    /// The value that a product takes beside its weight; `nil` for layers of other kinds and constant values.
    static func activation(of layer: Layer, in model: Model) -> String? {
        guard [.conv, .convTranspose, .gemm, .matMul].contains(layer.kind) else { return nil }
        return model.graph.nodes[layer.nodeIndex].inputs.prefix(2).first { $0 != layer.weight && !$0.isEmpty && model.graph.initializers[$0] == nil }
    }

    // MARK: Export

    /// The trained model with integers in place of quantizers.
    ///
    /// Codes and scales are what the runtime computes from the trained tensors, so that nothing is rounded in two ways.
    /// - Parameter trained: `model` with other values in its tensors.
    func exported(_ trained: Model, library: RuntimeLibrary, cancellation: Cancellation) throws -> Model {
        let found = try constants(of: trained, library: library, cancellation: cancellation)
        func floats(_ name: String) throws -> [Float] {
            guard let values = found[name] else { throw EngineError(.technique, "'\(name)' has no constant value") }
            return values
        }
        var editor = GraphEditor(trained)
        for quantizer in weights {
            let codes = try floats(quantizer.codes)
            let scales = try floats(quantizer.scale)
            guard (codes + scales).allSatisfy(\.isFinite) else { throw EngineError(.technique, "weight '\(quantizer.weight)' is not finite after training") }
            let layout = quantizer.layout
            let stored: QuantizedWeight
            if let negative = quantizer.negativeScale {
                let book = [-(try floats(negative)[0]), 0, scales[0]]
                stored = QuantizedWeight(
                    layout: layout, bits: 2, codes: Tensor(name: "", uint8s: codes.map { UInt8(min(max($0 + 1, 0), 2)) }, dims: layout.dims),
                    scales: Tensor(name: "", floats: [1], dims: layout.scaleDims), codebook: book)
            } else {
                stored = QuantizedWeight(
                    layout: layout, bits: quantizer.grid.bits, codes: Tensor(name: "", int8s: codes.map { Int8(min(max($0, -128), 127)) }, dims: layout.dims),
                    scales: Tensor(name: "", floats: scales, dims: layout.scaleDims))
            }
            let value = UnpackedStorage(stored, dims: layout.dims, opset: trained.opset).emit(&editor, name: quantizer.weight, at: .main)
            for (index, node) in trained.graph.nodes.enumerated() where node.inputs.contains(quantizer.value) {
                editor.edit(index, at: .main) { $0.replaceInput(quantizer.value, by: value) }
            }
        }
        for quantizer in activations { try quantizer.export(step: try floats(quantizer.scale)[0], editor: &editor) }
        var result = editor.finish()
        result.graph.removeDeadCode()
        return result
    }

    /// Codes and scales of a trained model.
    private func constants(of trained: Model, library: RuntimeLibrary, cancellation: Cancellation) throws -> [String: [Float]] {
        var found: [String: [Float]] = [:]
        var computed: [String] = []
        let names = weights.flatMap { [$0.codes, $0.scale] + ($0.negativeScale.map { [$0] } ?? []) } + activations.map(\.scale)
        for name in names where found[name] == nil {
            if let tensor = trained.graph.initializers[name] { found[name] = tensor.floats() } else { computed.append(name) }
        }
        var part = trained
        part.graph.outputs = computed.map { ValueInfo(name: $0, elementType: .float32, shape: nil) }
        part.graph.inputs = []
        part.graph.removeDeadCode()
        var options = SessionOptions()
        options.graphOptimizationLevel = .disable
        let runner = try ModelRunner(part, library: library, threads: 1, options: options, label: "quantizers")
        for (name, value) in zip(computed, try runner.run([], outputs: computed, cancellation: cancellation)) { found[name] = try value.floats() }
        return found
    }
}
