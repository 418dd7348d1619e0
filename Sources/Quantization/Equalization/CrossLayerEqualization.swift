import EngineSupport
import ModelGraph
import Techniques

/// Evens out the weight ranges of neighboring layers' channels, so that one scale per tensor fits all of them.
public struct CrossLayerEqualization: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "cross-layer-equalization", title: "Cross-layer equalization", family: .quantization,
        summary: "Rescales channels between neighboring layers so that their weight ranges are alike. Same function, better int8. No data needed.",
        details: """
            Between two layers a channel can be divided by s > 0 in the first and multiplied by s in the second without changing what the model \
            computes, as long as only Relu, LeakyRelu, PRelu, pooling or per-channel constants are between them. With s = √(r₁·r₂) / r₂, where r₁ and \
            r₂ are the ranges of the channel's weights in the two layers, both ranges become √(r₁·r₂): one scale per tensor then wastes little. All \
            pairs are repeated until nothing moves; depthwise convolutions belong to two pairs. BatchNormalization after a convolution is folded into \
            it first. Weights stay float and the file stays as large: add static-int8 or weight-quantization after it. It helps most with one scale \
            per tensor and with depthwise convolutions, and hardly with one scale per channel. Activation ranges change too, sometimes for the worse.

            A layer is equalized with those before it. Layers whose input is also read by an addition or the like (residual connections), or comes \
            from Clip, Sigmoid or GELU, are left alone.
            """,
        source: "Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, arXiv:1906.04721, section 4.1",
        parameters: [
            ParameterDescriptor(
                "iterations", title: "Iterations", domain: .integer(1...100, step: 1), default: .integer(20),
                help: "Passes over all pairs at most; it stops when nothing moves by more than 1 %.")
        ])

    public func refusal(for layer: Layer, in model: Model) -> String? { refusals(for: [layer], in: model, shapes: [:])[0] }

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        // As the model will be when normalization is folded: layers keep their order and their names.
        let folded = Self.folded(model)
        let now = Dictionary(folded.layers().map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let sites = ScalingSites(folded)
        return layers.map { layer in
            guard let current = now[layer.id] else { return "not found" }
            switch sites.site(before: current) {
            case .failure(let refusal): return refusal.reason
            case .success(let site): return site.producer == nil ? "the node before it is a normalization, not a layer" : nil
            }
        }
    }

    private static func folded(_ model: Model) -> Model {
        var model = model
        // A convolution that has no name would otherwise be known by another output.
        for layer in model.layers() where layer.path.isMain && layer.kind == .conv && model.graph.nodes[layer.nodeIndex].name.isEmpty {
            model.graph.nodes[layer.nodeIndex].name = layer.id
        }
        BatchNormFolding.fold(&model)
        return model
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let folded = Self.folded(model)
        let gone = model.graph.nodes.count - folded.graph.nodes.count
        if gone > 0 { context.notes.add("BatchNormalization folded into \(gone) convolutions") }
        let ids = Dictionary(targets.map { ($0.layer.id, $0.parameters.integer("iterations")) }, uniquingKeysWith: { first, _ in first })
        let finder = ScalingSites(folded)
        var seen = Set<String>()
        var sites: [(site: ScalingSite, producer: Layer, iterations: Int)] = []
        for layer in folded.layers() where layer.path.isMain {
            guard let iterations = ids[layer.id], case .success(let site) = finder.site(before: layer), let producer = site.producer,
                seen.insert(site.value).inserted
            else { continue }
            sites.append((site, producer, iterations))
        }
        var scaling = ChannelScaling(folded)
        for round in 0..<(sites.map(\.iterations).max() ?? 0) {
            try context.cancellation.check()
            context.progress(Double(round) / 20, "equalizing")
            var moved = false
            for (site, producer, iterations) in sites where round < iterations {
                let factors = Self.factors(site, producer, scaling)
                guard factors.contains(where: { abs($0 - 1) > 0.01 }) else { continue }
                scaling.apply(factors, at: site)
                moved = true
            }
            if !moved { break }
        }
        model = scaling.model
    }

    /// s = √(r₁·r₂) / r₂ for each channel; 1 where a side has no weights but zeros.
    private static func factors(_ site: ScalingSite, _ producer: Layer, _ scaling: ChannelScaling) -> [Float] {
        guard let first = scaling.weight(producer) else { return [] }
        let before = producer.largestPerOutput(first)
        var after = [Float](repeating: 0, count: site.channels)
        for layer in site.consumers {
            guard let weight = scaling.weight(layer) else { return [] }
            for (channel, largest) in layer.largestPerInput(weight, channels: site.channels).enumerated() { after[channel] = max(after[channel], largest) }
        }
        return zip(before, after).map { first, second in
            let factor = Float((Double(first) / Double(second)).squareRoot())
            return first > 0 && second > 0 && factor.isFinite && factor > 1e-6 && factor < 1e6 ? factor : 1
        }
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        // Folding takes in every normalization behind a convolution, whichever layers are chosen.
        for index in states.indices { QuantizationForecast.foldNormalization(into: &states[index], summaries[index]) }
    }
}
