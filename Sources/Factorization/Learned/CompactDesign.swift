import EngineSupport
import LinearAlgebra
import ModelGraph
import Techniques
import Training

/// Puts cheaper blocks in the place of convolutions, and trains the network to answer as it did.
public struct CompactDesign: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "compact-design",
        title: "Compact design",
        family: .training,
        summary: "Replaces k×k convolutions by depthwise-separable, bottleneck or Fire blocks, initialized from their weights and trained by distillation",
        details: """
            Separable: a k×k convolution of each input channel on its own, to `multiplier` channels, then a 1×1 convolution across them (MobileNet). \
            It starts as the best approximation of the kernels in that form: for each input channel the truncated singular value decomposition of its \
            slice, outputs × kernel positions. Weights and MACs per position fall from k²·m·n to multiplier·n·(k² + m), about a ninth for 3×3.

            Bottleneck: 1×1 to fewer channels, k×k there, and 1×1 back (a ResNet block without the residual). It starts as a Tucker-2 decomposition \
            that keeps `ratio` of the weights.

            Fire: 1×1 to fewer channels, a PReLU, then 1×1 to half of the outputs next to k×k to the others (SqueezeNet), with `ratio` of the weights. \
            The PReLU starts as the identity. The start is the kernel along its strongest input directions; the 1×1 half takes only the kernel's \
            center. Kernels of even size, or whose padding does not center them, are left alone and noted.

            The whole network is then trained, by default on the softened outputs of the model before the recipe (distillation). Layers in which the \
            block would hold no fewer weights are left alone and noted. Depthwise convolutions reach a lower share of a CPU's peak than dense ones: \
            check the measured latency.
            """,
        source: """
            Howard et al., MobileNets, arXiv:1704.04861, section 3.1; Guo et al., Network Decoupling, BMVC 2018 (the start of separable blocks); He et al., Deep Residual Learning, CVPR 2016 \
            (bottleneck); Iandola et al., SqueezeNet, arXiv:1602.07360 (Fire); He et al., Delving Deep into Rectifiers, ICCV 2015 (PReLU); Hinton, Vinyals and Dean, arXiv:1503.02531 (distillation)
            """,
        parameters: [
            ParameterDescriptor(
                "block", title: "Block",
                domain: .choice([
                    .init("separable", "k×k per channel, then 1×1"), .init("bottleneck", "1×1, k×k over fewer channels, 1×1"),
                    .init("fire", "1×1 to fewer channels, then 1×1 next to k×k"),
                ]), default: .choice("separable"),
                help: "What replaces a convolution"),
            ParameterDescriptor(
                "multiplier", title: "Multiplier", domain: .integer(1...16, step: 1), default: .integer(1),
                help: "Separable: channels that the k×k convolution makes of each input channel"),
            ParameterDescriptor(
                "ratio", title: "Ratio", domain: .real(0.01...0.99, step: 0.01), default: .real(0.25), help: "Bottleneck and Fire: share of the weights that the block keeps"),
        ]
            + TrainingParameters.without().map { parameter in
                var parameter = parameter
                if parameter.name == "loss" { parameter.defaultValue = .choice("distillation") }
                return parameter
            },
        strength: "multiplier", requires: [.floatWeights], produces: [.training, .factorized])

    public func refusal(for layer: Layer, in model: Model) -> String? {
        guard layer.path.isMain else { return "in a subgraph (If, Loop, Scan)" }
        if let reason = ConvolutionForm.refusal(for: layer, in: model) { return reason }
        return Self.separableCount(layer, 1) < layer.weightCount ? nil : "too small: no block saves anything"
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        guard let parameters = targets.first?.parameters else { return }
        var compact = model
        let bottlenecks = targets.filter { $0.parameters.choice("block") == "bottleneck" }
        if !bottlenecks.isEmpty {
            let tucker = Tucker2()
            let asked = bottlenecks.map { target in
                LayerTarget(
                    layer: target.layer, parameters: ParameterValues(["mode": .choice("ratio"), "ratio": .real(target.parameters.real("ratio"))]).resolved(by: tucker.descriptor))
            }
            try tucker.rewrite(&compact, targets: asked, context: context)
        }
        let present = Dictionary(compact.layers().map { ($0.id, $0) }) { first, _ in first }
        let separable = targets.filter { $0.parameters.choice("block") == "separable" }.compactMap { target in
            present[target.layer.id].map { LayerTarget(layer: $0, parameters: target.parameters) }
        }
        try Self.separate(&compact, separable, context)
        let remaining = Dictionary(compact.layers().map { ($0.id, $0) }) { first, _ in first }
        let fires = targets.filter { $0.parameters.choice("block") == "fire" }.compactMap { target in
            remaining[target.layer.id].map { LayerTarget(layer: $0, parameters: target.parameters) }
        }
        if !fires.isEmpty { try FireBlock.insert(fires, into: &compact, context) }
        guard compact.graph.nodes.count > model.graph.nodes.count else {
            throw EngineError(.technique, "no chosen layer becomes smaller: \(context.notes.all.first ?? "lower the multiplier or the ratio")")
        }
        compact.graph.removeDeadCode()
        var plan = try TrainingParameters.plan(parameters, seed: context.seed)
        let teacher = TrainingParameters.teacher(parameters, plan: &plan, model: compact, previous: model, context: context)
        try LearningStep.run(&compact, plan: plan, teacher: teacher, context: context, name: descriptor.id)
        model = compact
    }

    // MARK: Separable blocks

    private struct Separable: Sendable {
        /// inputs · multiplier × positions.
        var depthwise: [Float]
        /// outputs × inputs · multiplier.
        var pointwise: [Float]
    }

    private static func separableCount(_ layer: Layer, _ multiplier: Int) -> Int {
        let (m, n) = (layer.weightShape[0], layer.weightShape[1])
        return multiplier * n * (layer.weightCount / (m * n) + m)
    }

    /// - Parameter always: whether layers are replaced that become no smaller.
    static func separate(_ model: inout Model, _ targets: [LayerTarget], _ context: RewriteContext, always: Bool = false) throws {
        func multiplier(_ layer: Layer, _ asked: Int) -> Int { min(asked, layer.weightCount / (layer.weightShape[0] * layer.weightShape[1]), layer.weightShape[0]) }
        var source = FactorSource<Int, Separable>(model: model, context: context) { multiplier($0.layer, $0.parameters.integer("multiplier")) }
        try source.prepare(targets) { layer, tensor, multiplier in
            guard always || separableCount(layer, multiplier) < layer.weightCount else {
                context.noteNothingSaved(layer, ranks: "a multiplier of \(multiplier)", count: separableCount(layer, multiplier))
                return nil
            }
            return try separable(layer, tensor, multiplier)
        }
        try source.insert(targets, into: &model) { layer, node, parts in
            let (m, n) = (layer.weightShape[0], layer.weightShape[1])
            let kernel = Array(layer.weightShape.dropFirst(2))
            let form = ConvolutionForm(layer, node: node)
            let width = parts.pointwise.count / m
            return [
                FactorLink(
                    suffix: "depthwise", node: form.convolution(along: Array(kernel.indices), group: n), operand: .weight(parts.depthwise, dims: [width, 1] + kernel)),
                FactorLink(
                    suffix: "pointwise", node: ConvolutionForm.pointwise(axes: kernel.count),
                    operand: .weight(parts.pointwise, dims: [m, width] + kernel.map { _ in 1 })),
            ]
        }
    }

    /// For each input channel the best rank-`multiplier` approximation of its slice of the kernels, outputs × positions.
    private static func separable(_ layer: Layer, _ tensor: Tensor, _ multiplier: Int) throws -> Separable? {
        guard let values = tensor.floats() else { return nil }
        let (m, n) = (layer.weightShape[0], layer.weightShape[1])
        let k = layer.weightCount / (m * n)
        let width = n * multiplier
        var result = Separable(depthwise: [Float](repeating: 0, count: width * k), pointwise: [Float](repeating: 0, count: m * width))
        var slice = [Float](repeating: 0, count: m * k)
        for channel in 0..<n {
            for output in 0..<m {
                for position in 0..<k { slice[output * k + position] = values[(output * n + channel) * k + position] }
            }
            let svd = try slice.withUnsafeBufferPointer { try Lapack.svd($0, rows: m, columns: k) }
            let factors = Factors(svd, rank: multiplier)
            for index in 0..<multiplier {
                let place = channel * multiplier + index
                for position in 0..<k { result.depthwise[place * k + position] = factors.right[index * k + position] }
                for output in 0..<m { result.pointwise[output * width + place] = factors.left[output * multiplier + index] }
            }
        }
        return result
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, values) in targets {
            let values = values.resolved(by: descriptor)
            let summary = summaries[index]
            if values.choice("block") == "fire" {
                let extents = FactorForecast.Extents(summary, states[index])
                let squeezed = FireBlock.squeezed(m: extents.outputs, n: extents.inputs, k: extents.kernel, ratio: values.real("ratio"))
                let count = FireBlock.count(m: extents.outputs, n: extents.inputs, k: extents.kernel, squeezed: squeezed)
                guard count < extents.inputs * extents.outputs * extents.kernel, extents.outputs > 1 else { continue }
                let into = (extents.inputPositions ?? extents.outputPositions ?? 0) * squeezed * extents.inputs
                let macs = extents.outputPositions.map { into + $0 * (count - squeezed * (extents.inputs + 1)) }
                FactorForecast.apply(weights: count, macs: macs, nodes: 5, to: &states[index], summary)
                continue
            }
            guard values.choice("block") == "separable" else {
                let tucker = Tucker2()
                let asked = ParameterValues(["mode": .choice("ratio"), "ratio": .real(values.real("ratio"))]).resolved(by: tucker.descriptor)
                tucker.predict(&states, targets: [index: asked], summaries: summaries)
                continue
            }
            let extents = FactorForecast.Extents(summary, states[index])
            let multiplier = min(Double(values.integer("multiplier")), extents.kernel, extents.outputs)
            let count = multiplier * extents.inputs * (extents.kernel + extents.outputs)
            guard count < extents.inputs * extents.outputs * extents.kernel else { continue }
            FactorForecast.apply(weights: count, macs: extents.outputPositions.map { $0 * count }, nodes: 2, to: &states[index], summary)
        }
    }
}
