import ModelGraph

/// Quantization with straight-through gradients (Bengio et al. 2013): rounding counts as the identity, values outside the
/// range get none; the step size learns (Esser et al. 2020, LSQ).
///
/// The integer tensor between QuantizeLinear and DequantizeLinear has no gradient of its own type; what flows "through" it
/// is the gradient with respect to its value as a real number.
enum QuantizationGradients {
    static let rules: [String: GradientRule] = [
        "DequantizeLinear": { node, g, b in
            guard let dy = g[0] else { return [] }
            let (q, scale) = (node.inputs[0], node.inputs[1])
            let wide = try spread(scale, node, &b)
            var result: [String?] = node.inputs.map { _ in nil }
            if b.needs(q) { result[0] = try b.multiply(dy, wide) }
            if b.needs(scale) {
                // y / s is the integer less its zero point.
                let steps = try b.divide(node.outputs[0], wide)
                result[1] = try collect(try b.multiply(dy, steps), scale, node, &b)
            }
            return result
        },
        "QuantizeLinear": { node, g, b in
            guard let dq = g[0] else { return [] }
            let (x, scale) = (node.inputs[0], node.inputs[1])
            guard let range = range(node, b) else { throw DifferentiationError("an output type without a known range") }
            let wide = try spread(scale, node, &b)
            let ratio = try b.divide(x, wide)
            var (low, high) = (b.scalar(range.low), b.scalar(range.high))
            if let zero = node.input(2) {
                let offset = try spread(b.emit("Cast", [zero], [Attribute("to", .integer(1))], shape: try b.shape(zero)), like: scale, node, &b)
                (low, high) = (try b.subtract(low, offset), try b.subtract(high, offset))
            }
            let tooLow = try b.compare("Less", ratio, low)
            let tooHigh = try b.compare("Greater", ratio, high)
            let kept = try b.select(tooHigh, b.scalar(0), try b.select(tooLow, b.scalar(0), dq))
            var result: [String?] = node.inputs.map { _ in nil }
            if b.needs(x) { result[0] = try b.divide(kept, wide) }
            // d round(x/s)/ds = −x/s² inside, 0 where clipped.
            if b.needs(scale) {
                result[1] = try collect(try b.map("Neg", try b.divide(try b.multiply(kept, ratio), wide)), scale, node, &b)
            }
            return result
        },
    ]

    /// The scale laid along the quantized tensor: a scalar, a vector along `axis`, or blocks along it.
    private static func spread(_ scale: String, _ node: Node, _ b: inout GradientBuilder) throws -> String {
        try spread(scale, like: scale, node, &b)
    }

    private static func spread(_ value: String, like scale: String, _ node: Node, _ b: inout GradientBuilder) throws -> String {
        let dims = try b.shape(node.inputs[0])
        let own = try b.shape(value)
        if own.reduce(1, *) == 1 { return try b.reshape(value, []) }
        let axis = normalized(node.int("axis") ?? 1, dims.count)
        if own.count == 1 { return try b.reshape(value, dims.indices.map { $0 == axis ? own[0] : 1 }) }
        let block = node.int("block_size") ?? 0
        guard block > 0, own.count == dims.count else { throw DifferentiationError("scales of shape \(own)") }
        return try b.gather(value, (0..<dims[axis]).map { $0 / block }, axis: axis)
    }

    /// Sums a gradient of the quantized tensor's shape to the scale's.
    private static func collect(_ gradient: String, _ scale: String, _ node: Node, _ b: inout GradientBuilder) throws -> String {
        let dims = try b.shape(node.inputs[0])
        let own = try b.shape(scale)
        if own.reduce(1, *) == 1 { return try b.reshape(try b.sum(gradient, axes: Array(dims.indices), keep: false), own) }
        let axis = normalized(node.int("axis") ?? 1, dims.count)
        if own.count == 1 { return try b.sum(gradient, axes: dims.indices.filter { $0 != axis }, keep: false) }
        let block = node.int("block_size") ?? 0
        guard block > 0, dims[axis] % block == 0 else { throw DifferentiationError("learned scales of unequal blocks") }
        let split = Array(dims[..<axis]) + [dims[axis] / block, block] + Array(dims[(axis + 1)...])
        return try b.sum(try b.reshape(gradient, split), axes: [axis + 1], keep: false)
    }

    private static func range(_ node: Node, _ b: GradientBuilder) -> (low: Float, high: Float)? {
        let type = node.input(2).flatMap { b.constants[$0]?.elementType } ?? node.int("output_dtype").map { ElementType(rawValue: Int32($0)) } ?? .uint8
        return switch type {
        case .uint8: (0, 255)
        case .int8: (-128, 127)
        case .uint16: (0, 65_535)
        case .int16: (-32_768, 32_767)
        case .uint4: (0, 15)
        case .int4: (-8, 7)
        case .uint2: (0, 3)
        case .int2: (-2, 1)
        default: nil
        }
    }
}
