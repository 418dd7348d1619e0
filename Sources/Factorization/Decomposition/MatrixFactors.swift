import EngineSupport
import LinearAlgebra
import ModelGraph
import Techniques

/// A weight matrix W (rows × columns) as left · right.
package struct Factors: Sendable {
    var rows: Int
    var columns: Int
    var rank: Int
    /// rows × rank, row-major.
    package var left: [Float]
    /// rank × columns, row-major.
    package var right: [Float]

    package init(rows: Int, columns: Int, rank: Int, left: [Float], right: [Float]) {
        self.rows = rows
        self.columns = columns
        self.rank = rank
        self.left = left
        self.right = right
    }

    /// Keeps `rank` singular values of a decomposition, the square roots in both factors.
    package init(_ svd: SingularValueDecomposition, rank: Int) {
        let (rows, columns, k) = (svd.rows, svd.columns, svd.s.count)
        let roots = svd.s.prefix(rank).map { max($0, 0).squareRoot() }
        self.init(
            rows: rows, columns: columns, rank: rank, left: [Float](repeating: 0, count: rows * rank), right: [Float](repeating: 0, count: rank * columns))
        for row in 0..<rows { for index in 0..<rank { left[row * rank + index] = svd.u[row * k + index] * roots[index] } }
        for index in 0..<rank { for column in 0..<columns { right[index * columns + column] = svd.vt[index * columns + column] * roots[index] } }
    }

    /// Gives column and row of each component the same length: ranges stay alike, also for float16 and a later quantizer.
    mutating func balance() {
        for index in 0..<rank {
            let before = (0..<rows).reduce(0.0) { $0 + Double(left[$1 * rank + index]) * Double(left[$1 * rank + index]) }
            let after = (0..<columns).reduce(0.0) { $0 + Double(right[index * columns + $1]) * Double(right[index * columns + $1]) }
            guard before > 0, after > 0 else { continue }
            let scale = Float((after / before).squareRoot().squareRoot())
            for row in 0..<rows { left[row * rank + index] *= scale }
            for column in 0..<columns { right[index * columns + column] /= scale }
        }
    }

    /// rank × rows, row-major.
    var leftTransposed: [Float] { WeightMatrix.transpose(left, rows: rows, columns: rank) }
    /// columns × rank, row-major.
    var rightTransposed: [Float] { WeightMatrix.transpose(right, rows: rank, columns: columns) }
    /// The factors of the transposed matrix.
    var transposed: Factors { Factors(rows: columns, columns: rows, rank: rank, left: rightTransposed, right: leftTransposed) }
}

extension RewriteContext {
    /// The singular value decomposition of a weight read as a matrix, remembered by content.
    func decomposition(_ tensor: Tensor, rows: Int, columns: Int) throws -> SingularValueDecomposition {
        let parts = try remembered("svd \(tensor.contentHash) \(rows)x\(columns)") {
            guard let svd = try tensor.withFloats({ try Lapack.svd($0, rows: rows, columns: columns) }) else {
                throw EngineError(.technique, "its weights cannot be read")
            }
            return [svd.u, svd.s, svd.vt]
        }
        return SingularValueDecomposition(rows: rows, columns: columns, u: parts[0], s: parts[1], vt: parts[2])
    }

    /// Truncates a decomposition, or notes that the rank wanted saves nothing.
    /// - Parameter svd: made only where it is needed: rank and ratio alone already tell whether to decompose at all.
    func truncated(
        _ layer: Layer, _ choice: RankChoice, rows: Int, columns: Int, svd: () throws -> SingularValueDecomposition
    ) throws -> Factors? {
        if !choice.needsSpectrum {
            let rank = choice.rank(rows: rows, columns: columns, singularValues: [])
            guard RankChoice.saves(rank, rows: rows, columns: columns) else { return noteMatrix(layer, rank, rows, columns) }
        }
        let svd = try svd()
        let rank = choice.rank(rows: rows, columns: columns, singularValues: svd.s)
        guard RankChoice.saves(rank, rows: rows, columns: columns) else { return noteMatrix(layer, rank, rows, columns) }
        return Factors(svd, rank: rank)
    }

    private func noteMatrix(_ layer: Layer, _ rank: Int, _ rows: Int, _ columns: Int) -> Factors? {
        let limit = (rows * columns - 1) / (rows + columns)
        notes.add("\(layer.id): rank \(rank) saves nothing on \(rows) × \(columns) (the largest that does is \(limit)); left as it is")
        return nil
    }
}

/// A layer whose stored weight, its first dimension by all others, became two factors: the nodes `svd_v` and `svd_u`.
package enum MatrixLinks {
    /// Why a layer cannot be two; `nil` if it can.
    static func refusal(for layer: Layer, in model: Model) -> String? {
        guard layer.isFloat else { return "its weights are already quantized" }
        guard let graph = model.graph[layer.path], graph.nodes.indices.contains(layer.nodeIndex) else { return "its graph is gone" }
        let node = graph.nodes[layer.nodeIndex]
        guard node.isStandard(layer.opType), !layer.opType.hasPrefix("Fused") else { return "a fused \(layer.opType) cannot be split" }
        switch layer.kind {
        case .lstm, .gru, .rnn: return "recurrent operators take whole matrices, not factors"
        case .conv, .convTranspose:
            if layer.group > 1 { return layer.isDepthwise ? "depthwise: each filter is already rank 1 across channels" : "grouped convolution" }
        case .matMul: if layer.weightShape.count > 2 { return "a batched constant is not one matrix" }
        case .gemm:
            let transposed = node.int(node.input(0) == layer.weight ? "transB" : "transA") == 1
            if transposed, model.opset < 11 { return "a transposed input needs opset 11 to be split" }
        case .embedding: break
        }
        guard let (rows, columns) = SingularValues.matrixShape(of: layer), Lapack.canDecompose(rows: rows, columns: columns) else {
            return "its weight is not a matrix"
        }
        // Every rank, 1 included, would hold as many weights.
        guard RankChoice.saves(1, rows: rows, columns: columns) else { return "too small: no rank saves anything" }
        return nil
    }

    /// - Parameter factors: of the weight as `SingularValues.matrixShape` reads it.
    package static func links(_ layer: Layer, _ node: Node, _ factors: Factors, opset: Int) throws -> [FactorLink] {
        let rank = factors.rank
        let ones = [Int](repeating: 1, count: max(layer.weightShape.count - 2, 0))
        let onLeft = node.input(1) != layer.weight
        let left = FactorLink.Operand.weight(factors.left, dims: [factors.rows, rank])
        let right = FactorLink.Operand.weight(factors.right, dims: [rank, factors.columns])
        func pair(_ first: Node, _ v: FactorLink.Operand, _ second: Node, _ u: FactorLink.Operand, first onFirst: Bool, second onSecond: Bool) -> [FactorLink] {
            [
                FactorLink(suffix: "svd_v", node: first, operand: v, operandFirst: onFirst),
                FactorLink(suffix: "svd_u", node: second, operand: u, operandFirst: onSecond),
            ]
        }
        switch layer.kind {
        case .conv:
            return pair(
                node, .weight(factors.right, dims: [rank] + layer.weightShape.dropFirst()), ConvolutionForm.pointwise(axes: ones.count),
                .weight(factors.left, dims: [factors.rows, rank] + ones), first: false, second: false)
        case .convTranspose:
            // Channels are reduced first, at the smaller resolution.
            return pair(
                ConvolutionForm.pointwise(axes: ones.count), .weight(factors.leftTransposed, dims: [rank, factors.rows] + ones), node,
                .weight(factors.right, dims: [rank] + layer.weightShape.dropFirst()), first: false, second: false)
        case .embedding:
            return pair(node, left, Node("MatMul", inputs: [], outputs: []), right, first: true, second: false)
        case .matMul:
            return pair(node, onLeft ? right : left, node, onLeft ? left : right, first: onLeft, second: onLeft)
        case .gemm:
            return gemm(node, factors, opset: opset, onLeft: onLeft)
        case .lstm, .gru, .rnn:
            throw EngineError(.technique, "\(layer.id): \(node.opType) of this form cannot be factorized")
        }
    }

    /// Gemm takes its weight transposed or not, on either side. Both factors keep the layer's form; before opset 11 Gemm
    /// insists on a bias, so that the first node is a MatMul.
    private static func gemm(_ node: Node, _ factors: Factors, opset: Int, onLeft: Bool) -> [FactorLink] {
        let rank = factors.rank
        let flag = onLeft ? "transA" : "transB"
        let inputFlag = onLeft ? "transB" : "transA"
        let transposed = node.int(flag) == 1
        let inputTransposed = node.int(inputFlag) == 1
        // On the left the product is W·X, whose right factor meets X first; transposition swaps them.
        let rightFirst = onLeft != transposed
        let left = FactorLink.Operand.weight(factors.left, dims: [factors.rows, rank])
        let right = FactorLink.Operand.weight(factors.right, dims: [rank, factors.columns])
        var first = Node("Gemm", inputs: [], outputs: [])
        var firstWeight = rightFirst ? right : left
        if opset >= 11 {
            if transposed { first.set(flag, .int(1)) }
            if inputTransposed { first.set(inputFlag, .int(1)) }
        } else {
            first = Node("MatMul", inputs: [], outputs: [])
            if transposed {
                firstWeight =
                    rightFirst
                    ? .weight(factors.rightTransposed, dims: [factors.columns, rank]) : .weight(factors.leftTransposed, dims: [rank, factors.rows])
            }
        }
        var second = node
        second.set(inputFlag, nil)
        return [
            FactorLink(suffix: "svd_v", node: first, operand: firstWeight, operandFirst: onLeft),
            FactorLink(suffix: "svd_u", node: second, operand: rightFirst ? left : right, operandFirst: onLeft),
        ]
    }
}

extension Layer {
    /// Place of the node in the model: nodes on the way to its graph, then its own index.
    var position: [Int] { path.steps.map(\.node) + [nodeIndex] }
}
