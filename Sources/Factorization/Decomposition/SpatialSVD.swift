import EngineSupport
import LinearAlgebra
import ModelGraph
import Techniques

/// Splits k×k convolutions into a vertical and a horizontal one.
public struct SpatialSVD: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "spatial-svd", title: "Spatial SVD", family: .factorization,
        summary: "Splits a k×k convolution into a k×1 and a 1×k convolution",
        details: """
            A filter that is the outer product of a column and a row can run as two one-dimensional filters. The kernel is read as a matrix of \
            inputs·height × outputs·width; its truncated singular value decomposition gives the best r channels between a k×1 and a 1×k convolution. \
            Strides, dilations and padding stay with their axis. Grouped and depthwise convolutions are split group by group.

            Weights change from k·k·m·n to r·k·(m + n): for 3×3 kernels a rank of half the channels keeps a third. MACs follow, except that the first \
            convolution does not stride horizontally yet. The two convolutions write and read one more feature map: check the measured latency.
            """,
        source: "Jaderberg, Vedaldi and Zisserman, Speeding up Convolutional Neural Networks with Low Rank Expansions, BMVC 2014, scheme 2; Denton et al. 2014",
        parameters: RankChoice.parameters([.ratio, .energy, .rank, .vbmf], rank: "Channels between both convolutions (per group), with mode rank"),
        strength: "ratio", requires: [.floatWeights], produces: [.factorized])

    /// The factors of all groups.
    private struct Split: Sendable {
        var rank: Int
        /// (groups·rank) × inputs × height and outputs × rank × width.
        var vertical: [Float]
        var horizontal: [Float]
    }

    public func refusal(for layer: Layer, in model: Model) -> String? {
        if let reason = ConvolutionForm.refusal(for: layer, in: model, groups: true) { return reason }
        let dims = layer.weightShape
        guard dims.count == 4, dims[2] > 1, dims[3] > 1 else { return "its kernel is not two-dimensional" }
        guard dims[0] % layer.group == 0 else { return "its filters do not divide into its groups" }
        let (rows, columns) = Self.extents(layer)
        guard RankChoice.saves(1, rows: rows, columns: columns) else { return "too small: no rank saves anything" }
        return nil
    }

    /// Rows and columns of a group's matrix.
    private static func extents(_ layer: Layer) -> (rows: Int, columns: Int) {
        let dims = layer.weightShape
        return (dims[1] * dims[2], dims[0] / layer.group * dims[3])
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        var source = FactorSource<RankChoice, Split>(model: model, context: context) { RankChoice($0.parameters) }
        try source.prepare(targets) { layer, tensor, choice in try Self.split(layer, tensor, choice, context) }
        try source.insert(targets, into: &model) { layer, node, split in
            let (dims, form, groups) = (layer.weightShape, ConvolutionForm(layer, node: node), layer.group)
            return [
                FactorLink(
                    suffix: "spatial_v", node: form.convolution(along: [0], group: groups),
                    operand: .weight(split.vertical, dims: [groups * split.rank, dims[1], dims[2], 1])),
                FactorLink(
                    suffix: "spatial_h", node: form.convolution(along: [1], group: groups), operand: .weight(split.horizontal, dims: [dims[0], split.rank, 1, dims[3]])),
            ]
        }
    }

    private static func split(_ layer: Layer, _ tensor: Tensor, _ choice: RankChoice, _ context: RewriteContext) throws -> Split? {
        let (dims, groups) = (layer.weightShape, layer.group)
        let (rows, columns) = extents(layer)
        let outputs = dims[0] / groups
        func nothing(_ rank: Int) -> Split? {
            context.noteNothingSaved(layer, ranks: "rank \(rank)", count: groups * rank * (rows + columns))
            return nil
        }
        if !choice.needsSpectrum {
            let rank = choice.rank(rows: rows, columns: columns, singularValues: [])
            guard RankChoice.saves(rank, rows: rows, columns: columns) else { return nothing(rank) }
        }
        let k = min(rows, columns)
        let parts = try context.remembered("spatial \(tensor.contentHash) \(dims) \(groups)") {
            guard let floats = tensor.floats() else { throw EngineError(.technique, "its weights cannot be read") }
            var (u, s, vt): ([Float], [Float], [Float]) = ([], [], [])
            let size = rows * columns
            for group in 0..<groups {
                try context.cancellation.check()
                let matrix = floats[(group * size)..<((group + 1) * size)].withUnsafeBufferPointer {
                    WeightUnfolding.spatial.matrix($0, dims: [outputs] + dims[1...])
                }
                let svd = try Lapack.svd(array: matrix, rows: rows, columns: columns)
                u += svd.u
                s += svd.s
                vt += svd.vt
            }
            return [u, s, vt]
        }
        let (u, s, vt) = (parts[0], parts[1], parts[2])
        // What the groups hold at each rank, together.
        let spectrum = (0..<k).map { index in (0..<groups).reduce(Float(0)) { $0 + s[$1 * k + index] * s[$1 * k + index] }.squareRoot() }
        let rank = choice.rank(rows: rows, columns: columns, singularValues: spectrum)
        guard RankChoice.saves(rank, rows: rows, columns: columns) else { return nothing(rank) }
        var split = Split(
            rank: rank, vertical: [Float](repeating: 0, count: groups * rank * rows), horizontal: [Float](repeating: 0, count: groups * rank * columns))
        for group in 0..<groups {
            let factors = Factors(
                SingularValueDecomposition(
                    rows: rows, columns: columns, u: Array(u[(group * rows * k)..<((group + 1) * rows * k)]), s: Array(s[(group * k)..<((group + 1) * k)]),
                    vt: Array(vt[(group * k * columns)..<((group + 1) * k * columns)])), rank: rank)
            split.vertical.replaceSubrange((group * rank * rows)..<((group + 1) * rank * rows), with: factors.leftTransposed)
            // rank × outputs × width becomes outputs × rank × width.
            let horizontal = factors.right.withUnsafeBufferPointer { WeightUnfolding.permuted($0, dims: [rank, outputs, dims[3]], to: [1, 0, 2]) }
            split.horizontal.replaceSubrange((group * rank * columns)..<((group + 1) * rank * columns), with: horizontal)
        }
        return split
    }

    public var forecastFacets: [any ForecastFacet.Type] { [Spectra.self] }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            let (summary, layer) = (summaries[index], summaries[index].layer)
            let extents = FactorForecast.Extents(summary, states[index])
            let groups = Double(layer.group)
            let (height, width) = (Double(layer.weightShape[2]), Double(layer.weightShape[3]))
            let (rows, columns) = (extents.inputs * height, max(extents.outputs / groups, 1) * width)
            let choice = RankChoice(parameters.resolved(by: descriptor))
            let rank = choice.rank(rows: Int(rows), columns: Int(columns), spectrum: summary.spectra[.spatial])
            guard RankChoice.saves(rank, rows: Int(rows), columns: Int(columns)) else { continue }
            let r = Double(rank) * groups
            let macs = extents.outputPositions.map { $0 * r * columns + (extents.middlePositions ?? $0) * r * rows }
            let links = extents.outputPositions.map { positions in
                [
                    LayerLink(
                        inputs: extents.inputs * groups, outputs: r, window: [Int(height), 1], group: groups, positions: extents.middlePositions ?? positions),
                    LayerLink(inputs: r, outputs: extents.outputs, window: [1, Int(width)], group: groups, positions: positions),
                ]
            }
            FactorForecast.apply(weights: r * (rows + columns), macs: macs, nodes: 2, links: links ?? [], to: &states[index], summary)
        }
    }
}
