import EngineSupport
import LinearAlgebra
import ModelGraph
import Techniques

/// Canonical polyadic decomposition of convolutions: pointwise convolutions around one-dimensional depthwise ones.
public struct CPDecomposition: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "cp", title: "CP decomposition", family: .factorization,
        summary: "Replaces a k×k convolution by 1×1, depthwise k×1, depthwise 1×k and 1×1 convolutions",
        details: """
            The kernel is approximated by a sum of r outer products of four vectors (canonical polyadic decomposition): a 1×1 convolution from the \
            inputs to r channels, a depthwise convolution along each axis of the kernel, and a 1×1 convolution from r channels to the outputs. \
            Alternating least squares from two starts fits it. Convolutions of one or three axes are split likewise.

            Weights change from k²·m·n to r·(m + n + 2k): the most compact form here, and the one with the largest ranks at equal size. The depthwise \
            convolutions have few MACs but move much data, so latency falls less than MACs do. With mode vbmf the rank is the larger of those of the \
            unfoldings along inputs and outputs, a lower bound for this decomposition.
            """,
        source: "Lebedev et al., Speeding-up Convolutional Neural Networks Using Fine-tuned CP-Decomposition, ICLR 2015, section 3",
        parameters: RankChoice.parameters([.ratio, .rank, .vbmf], rank: "Outer products, with mode rank") + [
            ParameterDescriptor(
                "iterations", title: "Iterations", domain: .integer(1...2000, step: 10), default: .integer(200), help: "Iterations of alternating least squares at most")
        ],
        strength: "ratio", requires: [.floatWeights], produces: [.factorized])

    private struct Request: Hashable, Sendable {
        var choice: RankChoice
        var iterations: Int
    }

    private struct Factored: Sendable {
        var rank: Int
        /// outputs × rank, rank × inputs, and for each wide axis rank × size.
        var outputs: [Float]
        var inputs: [Float]
        var axes: [[Float]]
    }

    /// Weights of one outer product: dimensions of channels and of the kernel's wide axes.
    private static func perComponent(_ layer: Layer) -> Int {
        layer.weightShape[0] + layer.weightShape[1] + layer.weightShape.dropFirst(2).filter { $0 > 1 }.reduce(0, +)
    }

    public func refusal(for layer: Layer, in model: Model) -> String? {
        if let reason = ConvolutionForm.refusal(for: layer, in: model) { return reason }
        return Self.perComponent(layer) < layer.weightCount ? nil : "too small: no rank saves anything"
    }

    /// - Parameters:
    ///   - size: weights of one component, of the layer.
    ///   - unfoldings: ranks that variational Bayes finds, where they are known.
    private static func rank(_ choice: RankChoice, component: Int, total: Int, unfoldings: Int?) -> Int {
        switch choice.mode {
        case .rank: return choice.rank
        case .ratio, .energy: return max(Int(choice.ratio * Double(total) / Double(component)), 1)
        case .vbmf:
            let most = max((total - 1) / component, 1)
            let found = max(unfoldings ?? most, 1)
            return found + Int((choice.weakening * Double(max(most - found, 0))).rounded())
        }
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        var source = FactorSource<Request, Factored>(model: model, context: context) {
            Request(choice: RankChoice($0.parameters), iterations: $0.parameters.integer("iterations"))
        }
        try source.prepare(targets) { layer, tensor, request in try Self.factors(layer, tensor, request, context) }
        try source.insert(targets, into: &model) { layer, node, factored in Self.links(layer, node, factored) }
    }

    private static func factors(_ layer: Layer, _ tensor: Tensor, _ request: Request, _ context: RewriteContext) throws -> Factored? {
        guard let floats = tensor.floats() else { throw EngineError(.technique, "its weights cannot be read") }
        let dims = [layer.weightShape[0], layer.weightShape[1]] + layer.weightShape.dropFirst(2).filter { $0 > 1 }
        let values = floats.map(Double.init)
        var unfoldings: Int?
        if request.choice.mode == .vbmf {
            unfoldings = try [WeightUnfolding.first, .second].map { unfolding in
                guard let (rows, columns) = unfolding.shape(of: layer) else { return 1 }
                let matrix = floats.withUnsafeBufferPointer { unfolding.matrix($0, dims: layer.weightShape) }
                return VariationalBayes.rank(rows: rows, columns: columns, singularValues: try Lapack.singularValues(array: matrix, rows: rows, columns: columns))
            }.max()
        }
        let component = perComponent(layer)
        let rank = rank(request.choice, component: component, total: layer.weightCount, unfoldings: unfoldings)
        guard rank * component < layer.weightCount else {
            context.noteNothingSaved(layer, ranks: "rank \(rank)", count: rank * component)
            return nil
        }
        let parts = try context.remembered("cp \(tensor.contentHash) \(dims) \(rank) \(request.iterations) \(context.seed)") {
            let found = try CanonicalPolyadic.decompose(
                values, dims: dims, rank: rank, iterations: request.iterations, seed: context.seed, cancellation: context.cancellation)
            return found.factors.map { $0.map(Float.init) }
        }
        return Factored(
            rank: rank, outputs: parts[0], inputs: WeightMatrix.transpose(parts[1], rows: dims[1], columns: rank),
            axes: (2..<dims.count).map { WeightMatrix.transpose(parts[$0], rows: dims[$0], columns: rank) })
    }

    private static func links(_ layer: Layer, _ node: Node, _ factored: Factored) -> [FactorLink] {
        let (dims, form, rank) = (layer.weightShape, ConvolutionForm(layer, node: node), factored.rank)
        let ones = [Int](repeating: 1, count: dims.count - 2)
        let pointwise = ConvolutionForm.pointwise(axes: ones.count)
        var links = [FactorLink(suffix: "cp_in", node: pointwise, operand: .weight(factored.inputs, dims: [rank, dims[1]] + ones))]
        let narrow = form.kernel.indices.filter { form.kernel[$0] == 1 }
        for (number, axis) in form.wideAxes.enumerated() {
            var shape = [rank, 1] + ones
            shape[2 + axis] = form.kernel[axis]
            links.append(
                FactorLink(
                    // Axes without size may still step; the first convolution does it.
                    suffix: "cp_axis\(axis)", node: form.convolution(along: [axis], stepping: number == 0 ? narrow : [], group: rank),
                    operand: .weight(factored.axes[number], dims: shape)))
        }
        links.append(FactorLink(suffix: "cp_out", node: pointwise, operand: .weight(factored.outputs, dims: [dims[0], rank] + ones)))
        return links
    }

    public var forecastFacets: [any ForecastFacet.Type] { [Spectra.self] }

    /// 1 × 1 to the rank, one depthwise convolution for each axis, 1 × 1 to the outputs.
    private static func links(_ layer: Layer, _ extents: FactorForecast.Extents, rank: Double) -> [LayerLink] {
        guard layer.kind == .conv, let out = extents.outputPositions else { return [] }
        let window = Array(layer.weightShape[2...])
        let ones = window.map { _ in 1 }
        let axes = window.indices.filter { window[$0] > 1 }
        let steps = axes.enumerated().map { number, axis -> LayerLink in
            var own = ones
            own[axis] = window[axis]
            return LayerLink(inputs: rank, outputs: rank, window: own, group: rank, positions: number == axes.count - 1 ? out : extents.middlePositions ?? out)
        }
        return [LayerLink(inputs: extents.inputs, outputs: rank, window: ones, positions: extents.inputPositions ?? out)] + steps
            + [LayerLink(inputs: rank, outputs: extents.outputs, window: ones, positions: out)]
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            let (summary, layer) = (summaries[index], summaries[index].layer)
            let extents = FactorForecast.Extents(summary, states[index])
            let axes = layer.weightShape.dropFirst(2).filter { $0 > 1 }.map(Double.init)
            let component = extents.outputs + extents.inputs + axes.reduce(0, +)
            let total = extents.outputs * extents.inputs * extents.kernel
            let unfoldings = [WeightUnfolding.first, .second].compactMap { summary.spectra[$0]?.bayesianRank }.max()
            let rank = Double(
                Self.rank(RankChoice(parameters.resolved(by: descriptor)), component: Int(component), total: Int(total), unfoldings: unfoldings))
            guard rank * component < total else { continue }
            var macs: Double?
            if let out = extents.outputPositions {
                let into = extents.inputPositions ?? out
                macs = rank * (into * extents.inputs + out * extents.outputs)
                // Each axis steps in turn: positions go from the input's to the output's.
                for (number, extent) in axes.enumerated() {
                    let positions = number == axes.count - 1 ? out : (extents.middlePositions ?? out)
                    macs = macs.map { $0 + rank * positions * extent }
                }
            }
            FactorForecast.apply(
                weights: rank * component, macs: macs, nodes: 2 + axes.count, links: Self.links(layer, extents, rank: rank), to: &states[index], summary)
        }
    }
}
