import ModelGraph

/// Matrix products.
enum MatrixGradients {
    static let rules: [String: GradientRule] = [
        "MatMul": { node, g, b in
            guard let dy = g[0] else { return [] }
            let (a, w) = (node.inputs[0], node.inputs[1])
            let (left, right) = (try b.shape(a), try b.shape(w))
            guard left.count >= 2, right.count >= 2 else { return try vectors(node, dy, &b) }
            var result: [String?] = [nil, nil]
            if b.needs(a) {
                if right.count == 2, left.count > 2 {
                    // One large product instead of a batch of small ones.
                    let rows = left.dropLast().reduce(1, *)
                    let product = try b.gemm(try b.reshape(dy, [rows, right[1]]), w, transB: true)
                    result[0] = try b.reshape(product, left)
                } else if right.count == 2 {
                    result[0] = try b.gemm(dy, w, transB: true)
                } else {
                    result[0] = try b.reduce(try b.matmul(dy, try b.swapped(w)), to: left)
                }
            }
            if b.needs(w) {
                if right.count == 2 {
                    let rows = left.dropLast().reduce(1, *)
                    result[1] = try b.gemm(try b.reshape(a, [rows, left[left.count - 1]]), try b.reshape(dy, [rows, right[1]]), transA: true)
                } else {
                    result[1] = try b.reduce(try b.matmul(try b.swapped(a), dy), to: right)
                }
            }
            return result
        },
        "Gemm": { node, g, b in
            guard let dy = g[0] else { return [] }
            let (a, w) = (node.inputs[0], node.inputs[1])
            let (transA, transB) = (node.int("transA") == 1, node.int("transB") == 1)
            let alpha = node.float("alpha") ?? 1
            var result: [String?] = node.inputs.map { _ in nil }
            if b.needs(a) {
                result[0] = try transA ? b.gemm(w, dy, transA: transB, transB: true, alpha: alpha) : b.gemm(dy, w, transB: !transB, alpha: alpha)
            }
            if b.needs(w) {
                result[1] = try transB ? b.gemm(dy, a, transA: true, transB: transA, alpha: alpha) : b.gemm(a, dy, transA: !transA, alpha: alpha)
            }
            if let c = node.input(2), b.needs(c) {
                result[2] = try b.multiply(try b.reduce(dy, to: b.shape(c)), by: node.float("beta") ?? 1)
            }
            return result
        },
    ]

    /// Products in which one side is a vector: as matrices of one row or column.
    private static func vectors(_ node: Node, _ dy: String, _ b: inout GradientBuilder) throws -> [String?] {
        let (a, w) = (node.inputs[0], node.inputs[1])
        let (left, right) = (try b.shape(a), try b.shape(w))
        let wideA = try b.reshape(a, left.count == 1 ? [1, left[0]] : left)
        let wideW = try b.reshape(w, right.count == 1 ? [right[0], 1] : right)
        var dims = try b.shape(dy)
        if left.count == 1 { dims.insert(1, at: dims.count - (right.count == 1 ? 0 : 1)) }
        if right.count == 1 { dims.append(1) }
        let wide = try b.reshape(dy, dims)
        var result: [String?] = [nil, nil]
        if b.needs(a) { result[0] = try b.reshape(try b.reduce(try b.matmul(wide, try b.swapped(wideW)), to: b.shape(wideA)), left) }
        if b.needs(w) { result[1] = try b.reshape(try b.reduce(try b.matmul(try b.swapped(wideA), wide), to: b.shape(wideW)), right) }
        return result
    }
}
