import ModelGraph

/// Arithmetic of two or more values with broadcasting, and functions of one value.
enum ElementwiseGradients {
    static let rules: [String: GradientRule] = [
        "Add": { node, g, b in
            try binary(node, g, &b) { dy, _ in
                dy
            } _: { dy, _ in
                dy
            }
        },
        "Sub": { node, g, b in
            try binary(node, g, &b) { dy, _ in
                dy
            } _: { dy, b in
                try b.map("Neg", dy)
            }
        },
        "Mul": { node, g, b in
            try binary(node, g, &b) { dy, b in
                try b.multiply(dy, node.inputs[1])
            } _: { dy, b in
                try b.multiply(dy, node.inputs[0])
            }
        },
        "Div": { node, g, b in
            try binary(node, g, &b) { dy, b in
                try b.divide(dy, node.inputs[1])
            } _: { dy, b in
                // −dy · y / b
                try b.map("Neg", try b.divide(try b.multiply(dy, node.outputs[0]), node.inputs[1]))
            }
        },
        "Pow": { node, g, b in
            try binary(node, g, &b) { dy, b in
                if let exponent = try? b.floats(node.inputs[1]), exponent.count == 1 {
                    if exponent[0] == 2 { return try b.multiply(try b.multiply(dy, node.inputs[0]), by: 2) }
                    let power = b.emit("Pow", [node.inputs[0], b.scalar(exponent[0] - 1)], shape: try b.shape(node.inputs[0]))
                    return try b.multiply(try b.multiply(dy, power), by: exponent[0])
                }
                let less = try b.subtract(node.inputs[1], b.scalar(1))
                let power = b.emit("Pow", [node.inputs[0], less], shape: try b.shape(node.outputs[0]))
                return try b.multiply(try b.multiply(dy, node.inputs[1]), power)
            } _: { dy, b in
                try b.multiply(try b.multiply(dy, node.outputs[0]), try b.map("Log", node.inputs[0]))
            }
        },
        "Max": { node, g, b in try extremum(node, g, &b) },
        "Min": { node, g, b in try extremum(node, g, &b) },
        "Sum": { node, g, b in try node.inputs.map { try spread(g[0], to: $0, &b) } },
        "Mean": { node, g, b in
            guard let dy = g[0] else { return [] }
            let share = try b.multiply(dy, by: 1 / Float(node.inputs.count))
            return try node.inputs.map { try spread(share, to: $0, &b) }
        },
        "Where": { node, g, b in
            guard let dy = g[0] else { return [] }
            func branch(_ index: Int) throws -> String? {
                guard b.needs(node.inputs[index]) else { return nil }
                let zero = b.scalar(0)
                let kept = try index == 1 ? b.select(node.inputs[0], dy, zero) : b.select(node.inputs[0], zero, dy)
                return try b.reduce(kept, to: b.shape(node.inputs[index]))
            }
            return [nil, try branch(1), try branch(2)]
        },
        "Neg": { node, g, b in try unary(g) { try b.map("Neg", $0) } },
        "Exp": { node, g, b in try unary(g) { try b.multiply($0, node.outputs[0]) } },
        "Log": { node, g, b in try unary(g) { try b.divide($0, node.inputs[0]) } },
        "Sqrt": { node, g, b in try unary(g) { try b.divide(try b.multiply($0, by: 0.5), node.outputs[0]) } },
        "Reciprocal": { node, g, b in
            try unary(g) { try b.map("Neg", try b.multiply($0, try b.multiply(node.outputs[0], node.outputs[0]))) }
        },
        "Abs": { node, g, b in try unary(g) { try b.multiply($0, try b.map("Sign", node.inputs[0])) } },
        "Sin": { node, g, b in try unary(g) { try b.multiply($0, try b.map("Cos", node.inputs[0])) } },
        "Cos": { node, g, b in try unary(g) { try b.map("Neg", try b.multiply($0, try b.map("Sin", node.inputs[0]))) } },
        "Atan": { node, g, b in
            try unary(g) { try b.divide($0, try b.add(try b.multiply(node.inputs[0], node.inputs[0]), b.scalar(1))) }
        },
        "Erf": { node, g, b in
            try unary(g) {
                // 2/√π · exp(−x²)
                let square = try b.multiply(node.inputs[0], node.inputs[0])
                let bell = try b.map("Exp", try b.map("Neg", square))
                return try b.multiply($0, try b.multiply(bell, by: 1.128_379_2))
            }
        },
        "Identity": { _, g, _ in g },
        // In evaluation dropout lets everything pass; a second output is its mask.
        "Dropout": { node, g, b in [g[0]] + node.inputs.dropFirst().map { _ in nil } },
        "Cast": { node, g, b in
            // Through casts between floating-point types; the training graph itself holds float32.
            guard let to = node.int("to"), [1, 10, 11, 16].contains(to) else { throw DifferentiationError("casts to a type without gradients") }
            return g
        },
        // Rounding is treated as the identity (straight-through estimator, Bengio et al. 2013).
        "Round": { _, g, _ in g },
        "Floor": { _, g, _ in g },
        "Ceil": { _, g, _ in g },
    ]

    /// A gradient summed back to an input's shape, if that is needed.
    static func spread(_ gradient: String?, to input: String, _ b: inout GradientBuilder) throws -> String? {
        guard let gradient, b.needs(input) else { return nil }
        return try b.reduce(gradient, to: b.shape(input))
    }

    private static func binary(
        _ node: Node, _ g: [String?], _ b: inout GradientBuilder, _ left: (String, inout GradientBuilder) throws -> String,
        _ right: (String, inout GradientBuilder) throws -> String
    ) throws -> [String?] {
        guard let dy = g[0] else { return [] }
        var result: [String?] = [nil, nil]
        if b.needs(node.inputs[0]) { result[0] = try spread(left(dy, &b), to: node.inputs[0], &b) }
        if b.needs(node.inputs[1]) { result[1] = try spread(right(dy, &b), to: node.inputs[1], &b) }
        return result
    }

    private static func unary(_ g: [String?], _ body: (String) throws -> String) rethrows -> [String?] { [try g[0].map(body)] }

    /// The gradient goes to the first input that holds the extreme value.
    private static func extremum(_ node: Node, _ g: [String?], _ b: inout GradientBuilder) throws -> [String?] {
        guard var left = g[0] else { return [] }
        var result: [String?] = []
        for input in node.inputs {
            let holds = try b.compare("Equal", input, node.outputs[0])
            let taken = try b.select(holds, left, b.scalar(0))
            left = try b.subtract(left, taken)
            result.append(try spread(taken, to: input, &b))
        }
        return result
    }
}
