import ModelGraph

/// Lookups of rows by index.
enum LookupGradients {
    static let rules: [String: GradientRule] = [
        "Gather": { node, g, b in
            guard let dy = g[0] else { return [] }
            let dims = try b.shape(node.inputs[0])
            let indices = node.inputs[1]
            let axis = normalized(node.int("axis") ?? 0, dims.count)
            let extents = try b.shape(indices)
            let count = extents.reduce(1, *)
            // The looked-up axis comes first, so that whole rows are added.
            var rows = try b.reshape(dy, Array(dims[..<axis]) + [count] + Array(dims[(axis + 1)...]))
            let order = [axis] + (0..<dims.count).filter { $0 != axis }
            rows = try b.transpose(rows, order)
            let moved = order.map { dims[$0] }
            let summed = try add(rows, at: indices, count: count, to: moved, &b)
            var inverse = order
            for (index, from) in order.enumerated() { inverse[from] = index }
            return [try b.transpose(summed, inverse), nil]
        },
        "GatherElements": { node, g, b in
            guard let dy = g[0] else { return [] }
            guard b.opset >= 16 else { throw DifferentiationError("needs operator set 16 for a scattered sum") }
            let dims = try b.shape(node.inputs[0])
            let zero = try b.zeros(dims)
            let axis = Attribute("axis", .integer(node.int("axis") ?? 0))
            return [b.emit("ScatterElements", [zero, node.inputs[1], dy], [axis, Attribute("reduction", .text("add"))], shape: dims), nil]
        },
        "GatherND": { node, g, b in
            guard let dy = g[0] else { return [] }
            guard b.opset >= 16, (node.int("batch_dims") ?? 0) == 0 else { throw DifferentiationError("needs operator set 16 and no batch dimensions") }
            let dims = try b.shape(node.inputs[0])
            return [b.emit("ScatterND", [try b.zeros(dims), node.inputs[1], dy], [Attribute("reduction", .text("add"))], shape: dims), nil]
        },
        "ScatterND": { node, g, b in
            guard let dy = g[0] else { return [] }
            return try scattered(node, dy, back: "GatherND", [], &b)
        },
        "ScatterElements": { node, g, b in
            guard let dy = g[0] else { return [] }
            return try scattered(node, dy, back: "GatherElements", [Attribute("axis", .integer(node.int("axis") ?? 0))], &b)
        },
        "TopK": { node, g, b in
            guard let dy = g[0] else { return [] }
            guard b.opset >= 11 else { throw DifferentiationError("needs operator set 11") }
            let dims = try b.shape(node.inputs[0])
            let axis = Attribute("axis", .integer(node.int("axis") ?? -1))
            let indices = try b.output(1, of: node, shape: b.shape(dy))
            return [b.emit("ScatterElements", [try b.zeros(dims), indices, dy], [axis], shape: dims), nil]
        },
    ]

    /// What was written over gets nothing, what was written gets the gradient of its place.
    private static func scattered(_ node: Node, _ dy: String, back: String, _ axis: [Attribute], _ b: inout GradientBuilder) throws -> [String?] {
        let (data, indices, updates) = (node.inputs[0], node.inputs[1], node.inputs[2])
        let reduction = node.string("reduction") ?? "none"
        guard ["none", "add"].contains(reduction) else { throw DifferentiationError("scatters by \(reduction)") }
        let dims = try b.shape(updates)
        var result: [String?] = [nil, nil, nil]
        if b.needs(data) { result[0] = try reduction == "add" ? dy : b.emit(node.opType, [dy, indices, b.zeros(dims)], axis, shape: b.shape(data)) }
        if b.needs(updates) { result[2] = b.emit(back, [dy, indices], axis, shape: dims) }
        return result
    }

    /// Sums rows of a matrix into the rows of a zero tensor that indices name.
    private static func add(_ rows: String, at indices: String, count: Int, to dims: [Int], _ b: inout GradientBuilder) throws -> String {
        // Lookups may have int32 indices, sums may not.
        let flat = b.emit("Cast", [try b.reshape(indices, [count])], [Attribute("to", .integer(7))], shape: [count])
        if b.opset >= 16 {
            let wide = try b.reshape(flat, [count, 1])
            return b.emit("ScatterND", [try b.zeros(dims), wide, rows], [Attribute("reduction", .text("add"))], shape: dims)
        }
        // Before scattered sums existed: the product with a one-hot matrix.
        let hot = b.emit(
            "OneHot", [flat, b.constant([dims[0]]), b.constant([Float(0), 1], [2])], [Attribute("axis", .integer(0))], shape: [dims[0], count])
        let width = dims.dropFirst().reduce(1, *)
        return try b.reshape(try b.gemm(hot, try b.reshape(rows, [count, width])), dims)
    }
}
