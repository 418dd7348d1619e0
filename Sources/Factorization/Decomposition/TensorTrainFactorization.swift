import EngineSupport
import LinearAlgebra
import ModelGraph
import Techniques

/// Tensor trains: convolutions as chains of four, dense layers as chains of small products over reshaped inputs.
public struct TensorTrainFactorization: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "tensor-train", title: "Tensor train", family: .factorization,
        summary: "Writes a layer's weights as a chain of small tensors: very few weights, but more arithmetic in dense layers",
        details: """
            A convolution becomes 1×1, k×1, 1×k and 1×1 convolutions, the cores of its kernel's tensor train in the order inputs, height, width, \
            outputs. For a dense layer, the numbers of outputs and of inputs are each written as a product (784 = 28·28), and the weight becomes a \
            tensor with one pair of these factors for each core. The graph becomes a chain of Reshape, MatMul and Transpose that never builds the \
            matrix. One sweep of singular value decompositions fits the cores (TT-SVD). With mode ratio all bonds (the ranks between cores) lose the \
            same share of energy.

            Dense layers of tens of thousands of weights can shrink to a few percent, but each core works at many positions: at moderate ratios MACs \
            grow, and the transpositions cost time. For dense layers it is a technique for size. For convolutions MACs fall with the weights.
            """,
        source: "Novikov et al., Tensorizing Neural Networks, NIPS 2015, section 4; Garipov et al., Ultimate Tensorization, 2016; Oseledets 2011",
        parameters: RankChoice.parameters([.ratio, .energy, .rank, .vbmf], ratio: 0.25, rank: "Rank of every bond, with mode rank") + [
            ParameterDescriptor(
                "cores", title: "Cores", domain: .integer(2...4, step: 1), default: .integer(2), help: "Cores of a dense layer's train; a convolution has one for each axis")
        ],
        strength: "ratio", requires: [.floatWeights], produces: [.factorized])

    private struct Request: Hashable, Sendable {
        var choice: RankChoice
        var cores: Int

        init(_ parameters: ParameterValues) {
            choice = RankChoice(parameters)
            cores = parameters.integer("cores")
        }
    }

    public func refusal(for layer: Layer, in model: Model) -> String? { refusal(for: layer, in: model, shapes: [:]) }

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        layers.map { refusal(for: $0, in: model, shapes: shapes) }
    }

    private func refusal(for layer: Layer, in model: Model, shapes: [String: [Int]]) -> String? {
        if layer.kind == .gemm || layer.kind == .matMul { return TrainOfProducts.refusal(for: layer, in: model, shapes: shapes) }
        if [.lstm, .gru, .rnn].contains(layer.kind) { return "recurrent operators take whole matrices, not factors" }
        if layer.kind == .embedding || layer.kind == .convTranspose { return "not a dense layer or convolution" }
        if let reason = ConvolutionForm.refusal(for: layer, in: model) { return reason }
        let dims = TrainOfConvolutions.dims(layer)
        let least = TensorTrain.count(dims: dims, ranks: [Int](repeating: 1, count: dims.count - 1))
        return least < layer.weightCount ? nil : "too small: no rank saves anything"
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        var source = FactorSource<Request, TensorTrain>(model: model, context: context) { Request($0.parameters) }
        try source.prepare(targets) { layer, tensor, request in
            let (values, dims) =
                layer.kind == .conv
                ? try TrainOfConvolutions.tensor(layer, tensor) : try TrainOfProducts.tensor(layer, tensor, cores: request.cores)
            let key = "\(tensor.contentHash) \(layer.kind) \(layer.outputAxis) \(dims)"
            let spectra = request.choice.mode == .rank ? [] : try context.remembered("train spectra \(key)") { try TensorTrain.spectra(values, dims: dims) }
            let ranks = TrainRanks(dims: dims, singularValues: spectra).ranks(request.choice)
            let count = TensorTrain.count(dims: dims, ranks: ranks)
            guard count < layer.weightCount else {
                context.noteNothingSaved(layer, ranks: "a train of ranks \(ranks.map(String.init).joined(separator: ", "))", count: count)
                return nil
            }
            let cores = try context.remembered("train \(key) \(ranks)") {
                try TensorTrain.decompose(values, dims: dims, ranks: ranks, cancellation: context.cancellation).cores
            }
            return TensorTrain(dims: dims, ranks: ranks, cores: cores)
        }
        let graphs = model
        try source.insert(targets, into: &model) { layer, node, train in
            layer.kind == .conv
                ? TrainOfConvolutions.links(layer, node, train)
                : try TrainOfProducts.links(layer, node, train, inputRank: TrainOfProducts.inputRank(layer, node, in: graphs, shapes: context.shapes))
        }
    }

    public var forecastFacets: [any ForecastFacet.Type] { [Spectra.self, TrainSpectra.self] }

    /// 1 × 1, one convolution along each axis, 1 × 1.
    /// - Parameter ranks: those of the bonds, with 1 at both ends.
    private static func links(_ layer: Layer, _ extents: FactorForecast.Extents, _ ranks: [Double]) -> [LayerLink] {
        guard let out = extents.outputPositions else { return [] }
        let window = Array(layer.weightShape[2...])
        let ones = window.map { _ in 1 }
        let axes = window.indices.filter { window[$0] > 1 }
        guard ranks.count == axes.count + 3 else { return [] }
        var links = [LayerLink(inputs: extents.inputs, outputs: ranks[1], window: ones, positions: extents.inputPositions ?? out)]
        for (number, axis) in axes.enumerated() {
            var own = ones
            own[axis] = window[axis]
            links.append(
                LayerLink(inputs: ranks[number + 1], outputs: ranks[number + 2], window: own, positions: number == axes.count - 1 ? out : extents.middlePositions ?? out))
        }
        return links + [LayerLink(inputs: ranks[axes.count + 1], outputs: extents.outputs, window: ones, positions: out)]
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            let (summary, layer) = (summaries[index], summaries[index].layer)
            let request = Request(parameters.resolved(by: descriptor))
            let extents = FactorForecast.Extents(summary, states[index])
            if layer.kind == .conv {
                let dims = [Int(extents.inputs)] + layer.weightShape.dropFirst(2).filter { $0 > 1 } + [Int(extents.outputs)]
                let bonds = TrainOfConvolutions.bonds[dims.count] ?? []
                let ranks = TrainRanks(dims: dims, spectra: Self.known(bonds, summary, dims)).ranks(request.choice)
                let count = TensorTrain.count(dims: dims, ranks: ranks)
                guard count < dims.reduce(1, *) else { continue }
                let all = ([1] + ranks + [1]).map(Double.init)
                var macs: Double?
                if let out = extents.outputPositions {
                    macs = 0
                    for core in dims.indices {
                        let positions = core == 0 ? extents.inputPositions ?? out : core < dims.count - 2 ? extents.middlePositions ?? out : out
                        macs = macs.map { $0 + positions * all[core] * Double(dims[core]) * all[core + 1] }
                    }
                }
                FactorForecast.apply(
                    weights: Double(count), macs: macs, nodes: dims.count, links: Self.links(layer, extents, all), to: &states[index], summary)
            } else {
                let shape = TrainOfProducts.Shape(outputs: Int(extents.outputs), inputs: Int(extents.inputs), cores: request.cores)
                let bonds = (0..<request.cores - 1).map { WeightUnfolding.train(cores: request.cores, bond: $0) }
                let ranks = TrainRanks(dims: shape.dims, spectra: Self.known(bonds, summary, shape.dims)).ranks(request.choice)
                let count = TensorTrain.count(dims: shape.dims, ranks: ranks)
                guard count < shape.dims.reduce(1, *) else { continue }
                let rows = states[index].macs.map { $0 / max(extents.outputs * extents.inputs, 1) }
                // Four nodes for each core; the two shapes of its Reshapes take about the room of half a node.
                let chain = rows.map { shape.links(ranks, rows: $0) }
                FactorForecast.apply(
                    weights: Double(count), macs: rows.map { $0 * shape.macs(ranks) }, nodes: 9 * request.cores / 2, links: chain?.links ?? [], moved: chain?.moved ?? 0,
                    to: &states[index], summary)
            }
        }
    }
}

extension TensorTrainFactorization {
    /// The prepared spectra of a train's bonds; empty where one is missing or channels were removed since.
    fileprivate static func known(_ bonds: [WeightUnfolding], _ summary: LayerSummary, _ dims: [Int]) -> [Spectrum] {
        guard !bonds.isEmpty, dims.reduce(1, *) == summary.layer.weightCount else { return [] }
        let found = bonds.compactMap { summary.spectra[$0] }
        return found.count == bonds.count ? found : []
    }
}

/// A convolution's kernel as a train in the order inputs, wide axes of the kernel, outputs.
enum TrainOfConvolutions {
    /// The unfoldings between neighbors, by the number of dimensions.
    static let bonds: [Int: [WeightUnfolding]] = [2: [.first], 3: [.second, .first], 4: [.second, .spatial, .first]]

    static func dims(_ layer: Layer) -> [Int] { [layer.weightShape[1]] + layer.weightShape.dropFirst(2).filter { $0 > 1 } + [layer.weightShape[0]] }

    static func tensor(_ layer: Layer, _ tensor: Tensor) throws -> ([Float], [Int]) {
        guard let floats = tensor.floats() else { throw EngineError(.technique, "its weights cannot be read") }
        let (m, n) = (layer.weightShape[0], layer.weightShape[1])
        let values = floats.withUnsafeBufferPointer { WeightUnfolding.permuted($0, dims: [m, n, layer.weightCount / (m * n)], to: [1, 2, 0]) }
        return (values, dims(layer))
    }

    static func links(_ layer: Layer, _ node: Node, _ train: TensorTrain) -> [FactorLink] {
        let form = ConvolutionForm(layer, node: node)
        let ones = [Int](repeating: 1, count: form.kernel.count)
        let ranks = [1] + train.ranks + [1]
        let narrow = form.kernel.indices.filter { form.kernel[$0] == 1 }
        let last = train.dims.count - 1
        return train.dims.indices.map { core in
            // before × size × after; the first has no channel before it, the last none behind.
            let (before, extent, after) = (ranks[core], train.dims[core], ranks[core + 1])
            guard core > 0, core < last else {
                let (rows, columns) = core == 0 ? (extent, after) : (before, extent)
                return FactorLink(
                    suffix: core == 0 ? "tt_in" : "tt_out", node: ConvolutionForm.pointwise(axes: ones.count),
                    operand: .weight(WeightMatrix.transpose(train.cores[core], rows: rows, columns: columns), dims: [columns, rows] + ones))
            }
            let axis = form.wideAxes[core - 1]
            var shape = [after, before] + ones
            shape[2 + axis] = extent
            let kernel = train.cores[core].withUnsafeBufferPointer { WeightUnfolding.permuted($0, dims: [before, extent, after], to: [2, 0, 1]) }
            return FactorLink(
                suffix: "tt_axis\(axis)", node: form.convolution(along: [axis], stepping: core == 1 ? narrow : []), operand: .weight(kernel, dims: shape))
        }
    }
}
