import ModelGraph
import Techniques

/// Low-rank factorization of dense, convolution and embedding layers by truncated singular value decomposition.
public struct SVDFactorization: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "svd", title: "SVD factorization", family: .factorization,
        summary: "Replaces a layer by two thinner ones, the best approximation of its weights at that rank",
        details: """
            The weight matrix W (m × n) is approximated by U·V with r columns and rows, the truncated singular value decomposition: the best of that \
            rank in the least-squares sense (Eckart and Young). A dense layer becomes two; a k×k convolution becomes a k×k convolution to r channels \
            and a 1×1 convolution; an embedding becomes a narrower table and a dense layer. Both factors get the square roots of the singular values, \
            which keeps their ranges alike for a later quantizer.

            Weights and MACs change from m·n to r·(m + n), so only a rank below m·n / (m + n) saves; other layers are left alone and noted. Two small \
            layers may run slower than one large one: check the measured latency.
            """,
        source: "Eckart and Young 1936; Denton et al., Exploiting Linear Structure Within Convolutional Networks, NIPS 2014",
        parameters: RankChoice.parameters([.ratio, .energy, .rank, .vbmf]),
        strength: "ratio", requires: [.floatWeights], produces: [.factorized])

    public func refusal(for layer: Layer, in model: Model) -> String? { MatrixLinks.refusal(for: layer, in: model) }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        try Self.factorize(&model, targets: targets, context: context)
    }

    /// Replaces targets by the truncated decompositions of their weights.
    static func factorize(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        var source = FactorSource<RankChoice, Factors>(model: model, context: context) { RankChoice($0.parameters) }
        try source.prepare(targets) { layer, tensor, choice in
            guard let (rows, columns) = SingularValues.matrixShape(of: layer) else { return nil }
            return try context.truncated(layer, choice, rows: rows, columns: columns) { try context.decomposition(tensor, rows: rows, columns: columns) }
        }
        let opset = model.opset
        try source.insert(targets, into: &model) { try MatrixLinks.links($0, $1, $2, opset: opset) }
    }

    public var forecastFacets: [any ForecastFacet.Type] { [Spectra.self] }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            Self.predict(&states[index], summaries[index], RankChoice(parameters.resolved(by: descriptor)), spectrum: summaries[index].spectra[.first])
        }
    }

    /// A convolution to the rank and one of 1 × 1 behind it, or two products.
    private static func links(_ summary: LayerSummary, _ state: LayerState, rank: Double) -> [LayerLink] {
        let extents = FactorForecast.Extents(summary, state)
        guard summary.layer.kind == .conv || summary.layer.kind == .gemm || summary.layer.kind == .matMul, let positions = extents.outputPositions else { return [] }
        let window = summary.layer.kind == .conv ? Array(summary.layer.weightShape[2...]) : []
        let groups = Double(summary.layer.group)
        return [
            LayerLink(inputs: extents.inputs * groups, outputs: rank, window: window, positions: positions),
            LayerLink(inputs: rank, outputs: extents.outputs, window: window.map { _ in 1 }, positions: positions),
        ]
    }

    static func predict(_ state: inout LayerState, _ summary: LayerSummary, _ choice: RankChoice, spectrum: Spectrum?) {
        guard let (rows, columns) = SingularValues.matrixShape(of: summary.layer) else { return }
        // Channels removed by steps before this one.
        let outputsFirst = summary.layer.outputAxis == 0
        let m = max((Double(rows) * (outputsFirst ? state.outputsKept : state.inputsKept)).rounded(), 1)
        let n = max((Double(columns) * (outputsFirst ? state.inputsKept : state.outputsKept)).rounded(), 1)
        let rank = choice.rank(rows: Int(m), columns: Int(n), spectrum: spectrum)
        guard RankChoice.saves(rank, rows: Int(m), columns: Int(n)) else { return }
        let ratio = Double(rank) * (m + n) / (m * n)
        // Both factors work on as many positions as the layer did, so MACs shrink as weights do. An embedding had none, and has those
        // of its new dense layer.
        let macs = summary.layer.kind == .embedding ? summary.outputElements.map { $0 * Double(rank) } : state.macs.map { $0 * ratio }
        FactorForecast.apply(
            weights: state.weightCount * ratio, macs: macs, nodes: 2, links: links(summary, state, rank: Double(rank)), to: &state, summary)
    }
}
