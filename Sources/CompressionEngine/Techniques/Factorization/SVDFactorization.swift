import Foundation
import ModelGraph

/// Low-rank factorisation of dense, convolution and embedding layers by truncated singular value decomposition.
public struct SVDFactorization: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "svd", title: "SVD factorisation", family: .factorization,
        summary: "Replaces a layer by two thinner ones, the best approximation of its weights at that rank",
        details: """
            The weight matrix W (m × n) is approximated by U·V with r columns and rows, the truncated singular value \
            decomposition: the best of that rank in the least-squares sense (Eckart and Young). A dense layer becomes two; \
            a k×k convolution becomes a k×k convolution to r channels and a 1×1 convolution; an embedding becomes a narrower \
            table and a dense layer. The square roots of the singular values go to both factors, which keeps their ranges alike \
            for a later quantiser.

            Weights and MACs change from m·n to r·(m + n), so only a rank below m·n / (m + n) saves; a layer whose rank would \
            not is left alone and noted. Two small layers may run slower than one: look at the measured latency.
            """,
        source: "Eckart and Young 1936; Denton et al., Exploiting Linear Structure Within Convolutional Networks, NIPS 2014",
        parameters: [
            ParameterDescriptor(
                "mode", title: "Rank by",
                domain: .choice([
                    .init("ratio", "keep this share of each layer's parameters"),
                    .init("energy", "keep this share of the squared singular values"),
                    .init("rank", "keep this many singular values"),
                ]), default: .choice("ratio"), help: "What decides the rank of each layer"),
            ParameterDescriptor(
                "ratio", title: "Parameter ratio", domain: .real(0.01...0.99, step: 0.01), default: .real(0.5),
                help: "Parameters of both factors over parameters of the layer, with mode ratio"),
            ParameterDescriptor(
                "energy", title: "Energy", domain: .real(0.1...1, step: 0.01), default: .real(0.9),
                help: "Share of the sum of squared singular values kept, with mode energy"),
            ParameterDescriptor(
                "rank", title: "Rank", domain: .integer(1...4096, step: 1), default: .integer(16),
                help: "Singular values kept, with mode rank"),
        ],
        strength: "ratio", requires: [.floatWeights], produces: [.factorized])

    public func refusal(for layer: Layer, in model: Model) -> String? {
        guard layer.isFloat else { return "its weights are already quantised" }
        guard let graph = model.graph[layer.path], graph.nodes.indices.contains(layer.nodeIndex) else { return "its graph is gone" }
        let node = graph.nodes[layer.nodeIndex]
        guard node.isStandard(layer.opType), !layer.opType.hasPrefix("Fused") else { return "a fused \(layer.opType) cannot be split" }
        switch layer.kind {
        case .lstm, .gru, .rnn: return "ONNX's recurrent operators take whole matrices, not factors"
        case .conv, .convTranspose:
            if layer.group > 1 { return layer.isDepthwise ? "depthwise: each filter is already rank 1 across channels" : "grouped convolution" }
        case .matMul: if layer.weightShape.count > 2 { return "a batched constant is not one matrix" }
        case .gemm:
            let transposed = node.int(node.input(0) == layer.weight ? "transB" : "transA") == 1
            if transposed, model.opset < 11 { return "a transposed input needs opset 11 to be split" }
        case .embedding: break
        }
        guard let (rows, columns) = SingularValues.matrixShape(of: layer), Lapack.canDecompose(rows: rows, columns: columns) else {
            return "its weight is no matrix that can be decomposed"
        }
        // Every rank, 1 included, would hold as many weights.
        guard RankChoice.saves(1, rows: rows, columns: columns) else { return "too small: no rank saves anything" }
        return nil
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        var factors = FactorSource(model: model, context: context)
        try factors.prepare(targets)
        // From the last node to the first, inner graphs before the node that holds them: indices stay valid.
        let ordered = targets.sorted { $1.layer.position.lexicographicallyPrecedes($0.layer.position) }
        var names = FactorNames(model.graph)
        for target in ordered {
            try context.cancellation.check()
            guard let factors = try factors.factors(of: target) else { continue }
            try FactorizationRewrite(layer: target.layer, factors: factors).apply(to: &model, names: &names)
        }
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            guard let (rows, columns) = SingularValues.matrixShape(of: summaries[index].layer) else { continue }
            let choice = RankChoice(parameters.resolved(by: descriptor))
            // Channels removed by steps before this one.
            let outputsFirst = summaries[index].layer.outputAxis == 0
            let m = max((Double(rows) * (outputsFirst ? states[index].outputsKept : states[index].inputsKept)).rounded(), 1)
            let n = max((Double(columns) * (outputsFirst ? states[index].inputsKept : states[index].outputsKept)).rounded(), 1)
            let rank = choice.rank(rows: Int(m), columns: Int(n), singularValues: summaries[index].singularValues)
            guard RankChoice.saves(rank, rows: Int(m), columns: Int(n)) else { continue }
            let ratio = Double(rank) * (m + n) / (m * n)
            states[index].weightCount *= ratio
            states[index].density = 1
            states[index].distinctValues = nil
            states[index].valueEntropy = nil
            // One more node, its name and those of its values.
            states[index].overheadBits += Double(3 * summaries[index].layer.id.utf8.count + 120) * 8
            states[index].macs = macs(of: summaries[index].layer, before: states[index].macs, rank: rank, ratio: ratio)
        }
    }

    /// Both factors work on as many positions as the layer did, so MACs shrink as weights do; an embedding had none, and
    /// its new dense layer's rows are not known here.
    private func macs(of layer: Layer, before: Double?, rank: Int, ratio: Double) -> Double? {
        layer.kind == .embedding ? before : before.map { $0 * ratio }
    }
}

extension Layer {
    /// Place of the node in the model: nodes on the way to its graph, then its own index.
    var position: [Int] { path.steps.map(\.node) + [nodeIndex] }
}
