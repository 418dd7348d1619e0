import ModelGraph

/// Normalizations.
enum NormalizationGradients {
    static let rules: [String: GradientRule] = [
        BatchNormalizationMacro.opType: BatchNormalizationMacro.rule,
        // By running statistics, which are constants: an affine map per channel.
        "BatchNormalization": { node, g, b in
            guard let dy = g[0] else { return [] }
            let (x, scale, bias) = (node.inputs[0], node.inputs[1], node.inputs[2])
            let dims = try b.shape(x)
            let along = [1, dims[1]] + dims.dropFirst(2).map { _ in 1 }
            let axes = BatchNormalizationMacro.axes(dims.count)
            let shifted = try b.add(node.inputs[4], b.scalar(node.float("epsilon") ?? 1e-5))
            let inverse = try b.reshape(try b.map("Reciprocal", try b.map("Sqrt", shifted)), along)
            var result: [String?] = node.inputs.map { _ in nil }
            if b.needs(x) { result[0] = try b.multiply(dy, try b.multiply(inverse, try b.reshape(scale, along))) }
            if b.needs(scale) {
                let centered = try b.subtract(x, try b.reshape(node.inputs[3], along))
                let total = try b.sum(try b.multiply(dy, centered), axes: axes, keep: true)
                result[1] = try b.reshape(try b.multiply(total, inverse), [dims[1]])
            }
            if b.needs(bias) { result[2] = try b.sum(dy, axes: axes, keep: false) }
            return result
        },
        "LayerNormalization": { node, g, b in
            guard let dy = g[0] else { return [] }
            let (x, scale) = (node.inputs[0], node.inputs[1])
            let dims = try b.shape(x)
            let axes = Array(normalized(node.int("axis") ?? -1, dims.count)..<dims.count)
            guard g.dropFirst().allSatisfy({ $0 == nil }) else { throw DifferentiationError("gives out statistics that the loss depends on") }
            // The forward operator knows both statistics already.
            let reduced = dims.indices.map { axes.contains($0) ? 1 : dims[$0] }
            let centered = try b.subtract(x, try b.output(1, of: node, shape: reduced))
            let inverse = try b.output(2, of: node, shape: reduced)
            let hat = try b.multiply(centered, inverse)
            var result: [String?] = node.inputs.map { _ in nil }
            if b.needs(x) { result[0] = try inputGradient(try b.multiply(dy, scale), hat, inverse, axes, &b) }
            if b.needs(scale) { result[1] = try b.reduce(try b.multiply(dy, hat), to: b.shape(scale)) }
            if let bias = node.input(2), b.needs(bias) { result[2] = try b.reduce(dy, to: b.shape(bias)) }
            return result
        },
        "InstanceNormalization": { node, g, b in
            guard let dy = g[0] else { return [] }
            let (x, scale, bias) = (node.inputs[0], node.inputs[1], node.inputs[2])
            let dims = try b.shape(x)
            let along = [1, dims[1]] + dims.dropFirst(2).map { _ in 1 }
            let axes = Array(2..<dims.count)
            let (centered, inverse) = try standardized(x, axes, node.float("epsilon") ?? 1e-5, &b)
            let hat = try b.multiply(centered, inverse)
            var result: [String?] = [nil, nil, nil]
            if b.needs(x) { result[0] = try inputGradient(try b.multiply(dy, try b.reshape(scale, along)), hat, inverse, axes, &b) }
            let others = [0] + axes
            if b.needs(scale) { result[1] = try b.sum(try b.multiply(dy, hat), axes: others, keep: false) }
            if b.needs(bias) { result[2] = try b.sum(dy, axes: others, keep: false) }
            return result
        },
        "GroupNormalization": { node, g, b in
            guard let dy = g[0] else { return [] }
            let (x, scale, bias) = (node.inputs[0], node.inputs[1], node.inputs[2])
            let dims = try b.shape(x)
            guard let groups = node.int("num_groups"), groups > 0, dims[1] % groups == 0 else { throw DifferentiationError("has no groups") }
            // Samples, groups, channels of a group, places; scales are per group before operator set 21, per channel since.
            let split = [dims[0], groups, dims[1] / groups, dims.dropFirst(2).reduce(1, *)]
            let isPerChannel = try b.shape(scale)[0] == dims[1] && groups != dims[1]
            let along = isPerChannel ? [1, groups, split[2], 1] : [1, groups, 1, 1]
            let others = isPerChannel ? [0, 3] : [0, 2, 3]
            let (centered, inverse) = try standardized(try b.reshape(x, split), [2, 3], node.float("epsilon") ?? 1e-5, &b)
            let hat = try b.multiply(centered, inverse)
            let gradient = try b.reshape(dy, split)
            var result: [String?] = [nil, nil, nil]
            if b.needs(x) {
                let scaled = try b.multiply(gradient, try b.reshape(scale, along))
                result[0] = try b.reshape(try inputGradient(scaled, hat, inverse, [2, 3], &b), dims)
            }
            if b.needs(scale) { result[1] = try b.reshape(try b.sum(try b.multiply(gradient, hat), axes: others, keep: false), b.shape(scale)) }
            if b.needs(bias) { result[2] = try b.reshape(try b.sum(gradient, axes: others, keep: false), b.shape(bias)) }
            return result
        },
        "LpNormalization": { node, g, b in
            guard let dy = g[0] else { return [] }
            let x = node.inputs[0]
            let axes = [normalized(node.int("axis") ?? -1, try b.shape(x).count)]
            let isL1 = node.int("p") == 1
            let sum = try b.sum(try isL1 ? b.map("Abs", x) : b.multiply(x, x), axes: axes, keep: true)
            let norm = try isL1 ? sum : b.map("Sqrt", sum)
            let along = try b.sum(try b.multiply(dy, node.outputs[0]), axes: axes, keep: true)
            let direction = try isL1 ? b.map("Sign", x) : node.outputs[0]
            return [try b.divide(try b.subtract(dy, try b.multiply(direction, along)), norm)]
        },
    ]

    /// x − mean and 1/√(variance + ε) along axes.
    private static func standardized(_ x: String, _ axes: [Int], _ epsilon: Float, _ b: inout GradientBuilder) throws -> (centered: String, inverse: String) {
        let centered = try b.subtract(x, try b.mean(x, axes: axes, keep: true))
        let variance = try b.mean(try b.multiply(centered, centered), axes: axes, keep: true)
        return (centered, try b.map("Reciprocal", try b.map("Sqrt", try b.add(variance, b.scalar(epsilon)))))
    }

    /// s · (d − mean(d) − x̂ · mean(d·x̂)) for the gradient d of the standardized value x̂.
    private static func inputGradient(_ d: String, _ hat: String, _ inverse: String, _ axes: [Int], _ b: inout GradientBuilder) throws -> String {
        let level = try b.mean(d, axes: axes, keep: true)
        let slope = try b.mean(try b.multiply(d, hat), axes: axes, keep: true)
        return try b.multiply(try b.subtract(try b.subtract(d, level), try b.multiply(hat, slope)), inverse)
    }
}
