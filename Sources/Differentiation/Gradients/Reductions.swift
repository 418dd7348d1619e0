import ModelGraph

/// Reductions along axes.
enum ReductionGradients {
    static let rules: [String: GradientRule] = [
        "ReduceSum": { node, g, b in try rule(node, g, &b, axesAreInput: 13) { dy, _, _ in dy } },
        "ReduceMean": { node, g, b in
            try rule(node, g, &b, axesAreInput: 18) { dy, axes, b in
                let count = axes.reduce(1) { $0 * (b.shapes[node.inputs[0]]?[$1] ?? 1) }
                return try b.multiply(dy, by: 1 / Float(count))
            }
        },
        "ReduceMax": { node, g, b in try extremum(node, g, &b) },
        "ReduceMin": { node, g, b in try extremum(node, g, &b) },
        "ReduceSumSquare": { node, g, b in
            try rule(node, g, &b, axesAreInput: 18) { dy, _, b in try b.multiply(try b.multiply(dy, node.inputs[0]), by: 2) }
        },
        "ReduceL1": { node, g, b in
            try rule(node, g, &b, axesAreInput: 18) { dy, _, b in try b.multiply(dy, try b.map("Sign", node.inputs[0])) }
        },
        "ReduceL2": { node, g, b in
            try rule(node, g, &b, axesAreInput: 18) { dy, axes, b in
                // Of a norm of zero: no gradient, as in PyTorch.
                let norm = try kept(node.outputs[0], axes, node, &b)
                let safe = b.emit("Max", [norm, b.scalar(.leastNormalMagnitude)], shape: try b.shape(norm))
                return try b.divide(try b.multiply(dy, node.inputs[0]), safe)
            }
        },
        "ReduceLogSum": { node, g, b in
            try rule(node, g, &b, axesAreInput: 18) { dy, axes, b in
                try b.multiply(dy, try b.map("Exp", try b.map("Neg", try kept(node.outputs[0], axes, node, &b))))
            }
        },
        "ReduceLogSumExp": { node, g, b in
            try rule(node, g, &b, axesAreInput: 18) { dy, axes, b in
                let total = try kept(node.outputs[0], axes, node, &b)
                return try b.multiply(dy, try b.map("Exp", try b.subtract(node.inputs[0], total)))
            }
        },
    ]

    /// Axes reduced; all if none are given, none if the node says that this means none.
    static func axes(_ node: Node, _ b: GradientBuilder, axesAreInput version: Int) throws -> [Int] {
        let rank = try b.shape(node.inputs[0]).count
        let given = try b.opset >= version ? b.integers(node.input(1)) : node.ints("axes")
        if let given, !given.isEmpty { return given.map { normalized($0, rank) }.sorted() }
        return node.int("noop_with_empty_axes") == 1 ? [] : Array(0..<rank)
    }

    /// A reduced value with its reduced axes as dimensions of 1.
    private static func kept(_ value: String, _ axes: [Int], _ node: Node, _ b: inout GradientBuilder) throws -> String {
        let dims = try b.shape(node.inputs[0])
        return try b.reshape(value, dims.indices.map { axes.contains($0) ? 1 : dims[$0] })
    }

    private static func rule(
        _ node: Node, _ g: [String?], _ b: inout GradientBuilder, axesAreInput version: Int,
        _ body: (String, [Int], inout GradientBuilder) throws -> String
    ) throws -> [String?] {
        guard let dy = g[0] else { return [] }
        let axes = try axes(node, b, axesAreInput: version)
        let wide = try body(try kept(dy, axes, node, &b), axes, &b)
        return [try b.expand(wide, to: b.shape(node.inputs[0]))] + node.inputs.dropFirst().map { _ in nil }
    }

    /// Elements that hold the extreme value share the gradient evenly, as PyTorch's amax does.
    private static func extremum(_ node: Node, _ g: [String?], _ b: inout GradientBuilder) throws -> [String?] {
        guard let dy = g[0] else { return [] }
        let axes = try axes(node, b, axesAreInput: 18)
        let holds = try b.toFloat(try b.compare("Equal", node.inputs[0], try kept(node.outputs[0], axes, node, &b)))
        let count = try b.sum(holds, axes: axes, keep: true)
        let share = try b.divide(try kept(dy, axes, node, &b), count)
        return [try b.multiply(holds, share)] + node.inputs.dropFirst().map { _ in nil }
    }
}
