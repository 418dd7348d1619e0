import EngineSupport
import Measurement
import ModelGraph
import Techniques

/// Shifts biases so that each layer's outputs have on average what they had before the recipe.
public struct BiasCorrection: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "bias-correction",
        title: "Bias correction",
        family: .correction,
        summary: "Shifts biases so that each output's mean on calibration data is what it was before the recipe",
        details: """
            Zeroed, shared or quantized weights shift the mean of a layer's outputs, and the shifts add up from layer to layer. Each output channel's \
            bias is changed by the difference between its mean in the model before the recipe and in the current one, over calibration data, without \
            labels. With order layer-by-layer each layer is measured with the layers before it already corrected; with one-pass all are measured once.

            Convolutions and Gemm without a bias get one, which costs one number per channel; after a MatMul the constant of the Add is changed. It \
            works after quantization, where the 32-bit codes of a bias are changed, and after mild pruning. Heavy pruning also makes the spread of activations \
            smaller; correct means alone can then silence the layers after a ReLU. Use least-squares reconstruction there or, with BatchNormalization, \
            its re-estimation.
            """,
        source:
            "Nagel, van Baalen, Blankevoort and Welling, Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019, section 4.2 and appendix D (empirical)",
        parameters: [
            ParameterDescriptor(
                "order", title: "Order",
                domain: .choice([
                    .init("layer-by-layer", "each with the layers before it corrected: the data is run again for each"),
                    .init("one-pass", "all measured once: fast, and right for one layer at a time"),
                ]), default: .choice("layer-by-layer"), help: "What a layer's inputs are when it is measured"),
            ParameterDescriptor(
                "samples", title: "Samples", domain: .integer(16...4096, step: 16), default: .integer(256), unit: "samples",
                help: "Calibration samples to use"),
        ],
        needsCalibration: true, requires: [], produces: [.correction])

    public func refusal(for layer: Layer, in model: Model) -> String? { refusals(for: [layer], in: model, shapes: [:])[0] }

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        let index = GraphIndex(model.graph)
        let constants = model.graph.constantNames()
        return layers.map { layer in
            if case .failure(let refusal) = BiasSite.find(layer, in: model, index: index, constants: constants) { return refusal.reason }
            return nil
        }
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        guard let baseline = context.baseline, let parameters = targets.first?.parameters else {
            throw EngineError(.technique, "bias-correction: there is no model to compare with")
        }
        let index = GraphIndex(model.graph)
        let constants = model.graph.constantNames()
        let counterparts = BaselineValues(baseline: baseline, present: model)
        var entries: [Entry] = []
        for target in targets {
            guard case .success(let site) = BiasSite.find(target.layer, in: model, index: index, constants: constants),
                let output = model.graph.nodes[target.layer.nodeIndex].outputs.first
            else { continue }
            guard let wanted = counterparts.counterpart(of: output, dimension: site.dimension) else {
                context.notes.add("\(target.layer.id) left as it is: the model before the recipe has no such layer")
                continue
            }
            let axis = site.dimension == -1 ? -1 : 1
            entries.append(
                Entry(layer: target.layer, site: site, present: .init(name: output, axis: axis), wanted: .init(name: wanted.name, axis: axis), kept: wanted.kept))
        }
        guard !entries.isEmpty else { throw EngineError(.technique, "bias-correction: none of the layers was in the model before the recipe") }
        let samples = parameters.integer("samples")
        let wanted = try ChannelStatistics.gather(
            of: baseline, values: Array(Set(entries.map(\.wanted))).sorted { $0.name < $1.name }, limit: samples, context: context)
        var names = NameSupply(model.graph)
        let stages = parameters.choice("order") == "one-pass" ? [entries.map(\.layer)] : LayerStages.byDepth(entries.map(\.layer), in: model)
        let byLayer = Dictionary(entries.map { ($0.layer.id, $0) }, uniquingKeysWith: { first, _ in first })
        var corrected = 0
        for (number, stage) in stages.enumerated() {
            try context.cancellation.check()
            let members = stage.compactMap { byLayer[$0.id] }
            let present = try ChannelStatistics.gather(
                of: model, values: members.map(\.present), limit: samples, context: context.part(number, of: stages.count))
            for entry in members {
                guard let now = present[entry.present]?.mean, let all = wanted[entry.wanted]?.mean, now.count == entry.site.count else { continue }
                guard entry.kept?.allSatisfy({ $0 < all.count }) ?? true else { continue }
                let target = entry.kept.map { kept in kept.map { all[$0] } } ?? all
                guard target.count == now.count else {
                    context.notes.add("\(entry.layer.id) left as it is: it has other channels than before the recipe")
                    continue
                }
                let bias = entry.site.values(in: model)
                let moved = bias.indices.map { Float(Double(bias[$0]) + (target[$0] - now[$0]) / Double(entry.site.scale)) }
                guard moved.allSatisfy(\.isFinite) else { continue }
                entry.site.store(moved, of: entry.layer, type: BiasSite.type(of: entry.layer, in: model), in: &model, index: index, names: &names)
                corrected += 1
            }
        }
        context.notes.add("corrected \(corrected) of \(targets.count) layers")
    }

    private struct Entry {
        var layer: Layer
        var site: BiasSite
        var present: ChannelStatistics.Value
        var wanted: ChannelStatistics.Value
        var kept: [Int]?
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for index in targets.keys {
            let layer = summaries[index].layer
            guard summaries[index].biasCount == 0, layer.kind == .conv || layer.kind == .gemm || layer.kind == .convTranspose, states[index].biasCount == 0
            else { continue }
            states[index].biasCount = Double(layer.weightShape[layer.outputAxis] * (layer.kind == .convTranspose ? layer.group : 1)) * states[index].outputsKept
        }
    }
}
