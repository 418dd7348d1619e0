import ModelGraph

/// Softmax and its logarithm.
enum SoftmaxGradients {
    static let rules: [String: GradientRule] = [
        "Softmax": { node, g, b in
            guard let dy = g[0] else { return [] }
            // y · (dy − Σ dy·y)
            let y = node.outputs[0]
            let product = try b.multiply(dy, y)
            let total = try b.sum(product, axes: try axes(node, b), keep: true)
            return [try b.subtract(product, try b.multiply(y, total))]
        },
        "LogSoftmax": { node, g, b in
            guard let dy = g[0] else { return [] }
            // dy − softmax · Σ dy
            let total = try b.sum(dy, axes: try axes(node, b), keep: true)
            return [try b.subtract(dy, try b.multiply(try b.map("Exp", node.outputs[0]), total))]
        },
    ]

    /// One axis since operator set 13; before, all from the given one on, as one.
    private static func axes(_ node: Node, _ b: GradientBuilder) throws -> [Int] {
        let rank = try b.shape(node.outputs[0]).count
        if b.opset >= 13 { return [normalized(node.int("axis") ?? -1, rank)] }
        return Array(normalized(node.int("axis") ?? 1, rank)..<rank)
    }
}

/// An axis counted from the front.
func normalized(_ axis: Int, _ rank: Int) -> Int { axis < 0 ? axis + rank : axis }
