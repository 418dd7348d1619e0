import ModelGraph

/// Batch normalization by the statistics of the batch (Ioffe and Szegedy 2015), which the runtime's operator computes in
/// training builds only: x, scale, bias → y, mean, variance (biased), 1/√(variance + ε), each statistic of shape [C].
enum BatchNormalizationMacro {
    static let opType = "BatchNormalization.batch"

    /// Axes that statistics are taken over.
    static func axes(_ rank: Int) -> [Int] { [0] + Array(2..<max(rank, 2)) }

    static func lower(_ node: Node, _ b: inout GradientBuilder) throws {
        let (x, scale, bias) = (node.inputs[0], node.inputs[1], node.inputs[2])
        let dims = try b.shape(x)
        let axes = axes(dims.count)
        let epsilon = node.float("epsilon") ?? 1e-5
        let mean = try b.mean(x, axes: axes, keep: true)
        let centered = try b.subtract(x, mean)
        let variance = try b.mean(try b.multiply(centered, centered), axes: axes, keep: false)
        let inverse = try b.map("Reciprocal", try b.map("Sqrt", try b.add(variance, b.scalar(epsilon))))
        // The runtime's operator makes one pass of what would be three.
        b.emit("Reshape", [mean, b.constant([dims[1]])], shape: [dims[1]])
        let level = b.nodes[b.nodes.count - 1].outputs[0]
        let y = b.affine(x, scale: scale, bias: bias, mean: level, variance: variance, epsilon: epsilon, shape: dims)
        for (value, output) in zip([y, level, variance, inverse, centered], node.outputs) where !output.isEmpty {
            b.nodes.append(Node("Identity", inputs: [value], outputs: [output]))
            b.note(output, shape: try b.shape(value))
        }
    }

    /// dx = scale·s/n · (n·dy − Σdy − x̂·Σ(dy·x̂)), with x̂ = (x − mean)·s.
    static let rule: GradientRule = { node, g, b in
        guard let dy = g[0] else { return [] }
        let (x, scale, bias) = (node.inputs[0], node.inputs[1], node.inputs[2])
        let dims = try b.shape(x)
        let axes = axes(dims.count)
        let count = Float(axes.reduce(1) { $0 * dims[$1] })
        let inverse = node.outputs[3]
        // The forward pass has it already.
        let centered = try b.output(4, of: node, shape: dims)
        let totalDy = try b.sum(dy, axes: axes, keep: false)
        let totalProduct = try b.multiply(try b.sum(try b.multiply(dy, centered), axes: axes, keep: false), inverse)
        var result: [String?] = [nil, nil, nil]
        if b.needs(x) {
            let factor = try b.multiply(inverse, scale)
            let slope = try b.multiply(try b.multiply(factor, inverse), try b.multiply(totalProduct, by: -1 / count))
            let level = try b.multiply(factor, try b.multiply(totalDy, by: -1 / count))
            let (zeros, ones) = (b.constant([Float](repeating: 0, count: dims[1]), [dims[1]]), b.constant([Float](repeating: 1, count: dims[1]), [dims[1]]))
            let rest = b.affine(centered, scale: slope, bias: level, mean: zeros, variance: ones, epsilon: 0, shape: dims)
            let along = [1, dims[1]] + dims.dropFirst(2).map { _ in 1 }
            result[0] = try b.add(try b.multiply(dy, try b.reshape(factor, along)), rest)
        }
        if b.needs(scale) { result[1] = totalProduct }
        if b.needs(bias) { result[2] = totalDy }
        return result
    }
}

extension GradientBuilder {
    /// (x − mean)/√(variance + ε)·scale + bias by channel, all of shape [C].
    fileprivate mutating func affine(
        _ x: String, scale: String, bias: String, mean: String, variance: String, epsilon: Float, shape: [Int]
    ) -> String {
        emit("BatchNormalization", [x, scale, bias, mean, variance], [Attribute("epsilon", .float(epsilon))], shape: shape)
    }
}
