import ModelGraph

/// Batch normalisation by the statistics of the batch (Ioffe and Szegedy 2015), which the runtime's operator computes in
/// training builds only: x, scale, bias → y, mean, variance (biased), 1/√(variance + ε), each statistic of shape [C].
enum BatchNormalizationMacro {
    static let opType = "BatchNormalization.batch"

    /// Axes that statistics are taken over.
    static func axes(_ rank: Int) -> [Int] { [0] + Array(2..<max(rank, 2)) }

    static func lower(_ node: Node, _ b: inout GradientBuilder) throws {
        let (x, scale, bias) = (node.inputs[0], node.inputs[1], node.inputs[2])
        let dims = try b.shape(x)
        let along = [1, dims[1]] + dims.dropFirst(2).map { _ in 1 }
        let axes = axes(dims.count)
        let mean = try b.mean(x, axes: axes, keep: true)
        let centred = try b.subtract(x, mean)
        let variance = try b.mean(try b.multiply(centred, centred), axes: axes, keep: true)
        let deviation = try b.map("Sqrt", try b.add(variance, b.scalar(node.float("epsilon") ?? 1e-5)))
        let inverse = try b.map("Reciprocal", deviation)
        let factor = try b.multiply(inverse, try b.reshape(scale, along))
        let y = try b.add(try b.multiply(centred, factor), try b.reshape(bias, along))
        try b.rename(y, to: node.outputs[0])
        for (value, output) in zip([mean, variance, inverse], node.outputs.dropFirst()) {
            b.emit("Reshape", [value, b.constant([dims[1]])], shape: [dims[1]])
            try b.rename(b.nodes[b.nodes.count - 1].outputs[0], to: output)
        }
    }

    /// dx = scale·s/n · (n·dy − Σdy − x̂·Σ(dy·x̂)), with x̂ = (x − mean)·s.
    static let rule: GradientRule = { node, g, b in
        guard let dy = g[0] else { return [] }
        let (x, scale, bias) = (node.inputs[0], node.inputs[1], node.inputs[2])
        let dims = try b.shape(x)
        let along = [1, dims[1]] + dims.dropFirst(2).map { _ in 1 }
        let axes = axes(dims.count)
        let count = Float(axes.reduce(1) { $0 * dims[$1] })
        let mean = try b.reshape(node.outputs[1], along)
        let inverse = try b.reshape(node.outputs[3], along)
        let centred = try b.subtract(x, mean)
        let totalDy = try b.sum(dy, axes: axes, keep: true)
        let totalProduct = try b.multiply(try b.sum(try b.multiply(dy, centred), axes: axes, keep: true), inverse)
        var result: [String?] = [nil, nil, nil]
        if b.needs(x) {
            let slope = try b.multiply(inverse, try b.multiply(totalProduct, by: 1 / count))
            let inner = try b.subtract(dy, try b.add(try b.multiply(centred, slope), try b.multiply(totalDy, by: 1 / count)))
            result[0] = try b.multiply(inner, try b.multiply(inverse, try b.reshape(scale, along)))
        }
        if b.needs(scale) { result[1] = try b.reshape(totalProduct, [dims[1]]) }
        if b.needs(bias) { result[2] = try b.reshape(totalDy, [dims[1]]) }
        return result
    }
}
