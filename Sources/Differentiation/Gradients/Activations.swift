import Foundation
import ModelGraph

/// Activation functions.
enum ActivationGradients {
    static let rules: [String: GradientRule] = [
        "Relu": { node, g, b in
            guard let dy = g[0] else { return [] }
            return [try b.multiply(dy, try step(node.outputs[0], &b))]
        },
        "LeakyRelu": { node, g, b in
            guard let dy = g[0] else { return [] }
            let positive = try b.compare("Greater", node.inputs[0], b.scalar(0))
            return [try b.select(positive, dy, try b.multiply(dy, by: node.float("alpha") ?? 0.01))]
        },
        "PRelu": { node, g, b in
            guard let dy = g[0] else { return [] }
            let x = node.inputs[0]
            let positive = try b.compare("Greater", x, b.scalar(0))
            var result: [String?] = [nil, nil]
            if b.needs(x) { result[0] = try b.select(positive, dy, try b.multiply(dy, node.inputs[1])) }
            if b.needs(node.inputs[1]) {
                let negative = try b.select(positive, b.scalar(0), x)
                result[1] = try b.reduce(try b.multiply(dy, negative), to: b.shape(node.inputs[1]))
            }
            return result
        },
        "Clip": { node, g, b in
            guard let dy = g[0] else { return [] }
            let x = node.inputs[0]
            var kept = dy
            // Bounds are attributes before operator set 11, inputs after.
            let low = node.input(1) ?? node.float("min").map { b.scalar($0) }
            let high = node.input(2) ?? node.float("max").map { b.scalar($0) }
            if let low { kept = try b.select(try b.compare("Less", x, low), b.scalar(0), kept) }
            if let high { kept = try b.select(try b.compare("Greater", x, high), b.scalar(0), kept) }
            return [kept] + node.inputs.dropFirst().map { _ in nil }
        },
        "Sigmoid": { node, g, b in
            guard let dy = g[0] else { return [] }
            // y · (1 − y)
            let y = node.outputs[0]
            return [try b.multiply(dy, try b.multiply(y, try b.subtract(b.scalar(1), y)))]
        },
        "Tanh": { node, g, b in
            guard let dy = g[0] else { return [] }
            // 1 − y²
            let y = node.outputs[0]
            return [try b.multiply(dy, try b.subtract(b.scalar(1), try b.multiply(y, y)))]
        },
        "HardSigmoid": { node, g, b in
            guard let dy = g[0] else { return [] }
            let (alpha, beta) = (node.float("alpha") ?? 0.2, node.float("beta") ?? 0.5)
            return [try b.multiply(try inside(node.inputs[0], from: -beta / alpha, to: (1 - beta) / alpha, dy, &b), by: alpha)]
        },
        "HardSwish": { node, g, b in
            guard let dy = g[0] else { return [] }
            // x · HardSigmoid(x; 1/6, 1/2): its slope is 0 below −3, 1 above 3, (2x + 3)/6 between.
            let x = node.inputs[0]
            let between = try b.multiply(try b.add(try b.multiply(x, by: 2), b.scalar(3)), by: 1 / 6)
            let above = try b.select(try b.compare("Greater", x, b.scalar(3)), b.scalar(1), between)
            let slope = try b.select(try b.compare("Less", x, b.scalar(-3)), b.scalar(0), above)
            return [try b.multiply(dy, slope)]
        },
        "Softplus": { node, g, b in
            guard let dy = g[0] else { return [] }
            return [try b.multiply(dy, try b.map("Sigmoid", node.inputs[0]))]
        },
        "Softsign": { node, g, b in
            guard let dy = g[0] else { return [] }
            let denominator = try b.add(try b.map("Abs", node.inputs[0]), b.scalar(1))
            return [try b.divide(dy, try b.multiply(denominator, denominator))]
        },
        "Elu": { node, g, b in
            guard let dy = g[0] else { return [] }
            // Below zero the slope is y + alpha.
            let positive = try b.compare("Greater", node.inputs[0], b.scalar(0))
            let below = try b.multiply(dy, try b.add(node.outputs[0], b.scalar(node.float("alpha") ?? 1)))
            return [try b.select(positive, dy, below)]
        },
        "Celu": { node, g, b in
            guard let dy = g[0] else { return [] }
            // Below zero y = α (exp(x/α) − 1), whose slope is y/α + 1.
            let positive = try b.compare("Greater", node.inputs[0], b.scalar(0))
            let slope = try b.add(try b.multiply(node.outputs[0], by: 1 / (node.float("alpha") ?? 1)), b.scalar(1))
            return [try b.select(positive, dy, try b.multiply(dy, slope))]
        },
        "ThresholdedRelu": { node, g, b in
            guard let dy = g[0] else { return [] }
            return [try b.select(try b.compare("Greater", node.inputs[0], b.scalar(node.float("alpha") ?? 1)), dy, b.scalar(0))]
        },
        "Selu": { node, g, b in
            guard let dy = g[0] else { return [] }
            let (alpha, gamma) = (node.float("alpha") ?? 1.673_263_2, node.float("gamma") ?? 1.050_701)
            let positive = try b.compare("Greater", node.inputs[0], b.scalar(0))
            let below = try b.multiply(dy, try b.add(node.outputs[0], b.scalar(alpha * gamma)))
            return [try b.select(positive, try b.multiply(dy, by: gamma), below)]
        },
        "Gelu": { node, g, b in
            guard let dy = g[0] else { return [] }
            let x = node.inputs[0]
            if node.string("approximate") == "tanh" {
                // t = tanh(√(2/π)(x + 0.044715 x³)); slope (1 + t)/2 + x (1 − t²)/2 · √(2/π)(1 + 3·0.044715 x²)
                let root = Float(0.797_884_56)
                let square = try b.multiply(x, x)
                let inner = try b.multiply(try b.multiply(x, try b.add(try b.multiply(square, by: 0.044_715), b.scalar(1))), by: root)
                let t = try b.map("Tanh", inner)
                let outer = try b.multiply(try b.add(t, b.scalar(1)), by: 0.5)
                let rise = try b.multiply(try b.add(try b.multiply(square, by: 3 * 0.044_715), b.scalar(1)), by: root / 2)
                let bend = try b.multiply(try b.multiply(x, try b.subtract(b.scalar(1), try b.multiply(t, t))), rise)
                return [try b.multiply(dy, try b.add(outer, bend))]
            }
            // Φ(x) + x φ(x)
            let phi = try b.multiply(try b.add(try b.map("Erf", try b.multiply(x, by: Float(0.5).squareRoot())), b.scalar(1)), by: 0.5)
            let bell = try b.multiply(try b.map("Exp", try b.multiply(try b.multiply(x, x), by: -0.5)), by: 0.398_942_28)
            return [try b.multiply(dy, try b.add(phi, try b.multiply(x, bell)))]
        },
        "Mish": { node, g, b in
            guard let dy = g[0] else { return [] }
            // t + x (1 − t²) σ(x), t = tanh(softplus(x))
            let x = node.inputs[0]
            let t = try b.map("Tanh", try b.map("Softplus", x))
            let bend = try b.multiply(try b.subtract(b.scalar(1), try b.multiply(t, t)), try b.map("Sigmoid", x))
            return [try b.multiply(dy, try b.add(t, try b.multiply(x, bend)))]
        },
    ]

    /// 1 where a value that is never negative is positive, else 0: a hard sigmoid so steep that nothing lies on its slope,
    /// which ONNX Runtime computes faster than a comparison and a selection.
    static func step(_ value: String, _ b: inout GradientBuilder) throws -> String {
        try b.map("HardSigmoid", value, [Attribute("alpha", .float(1e38)), Attribute("beta", .float(0))])
    }

    private static func inside(_ x: String, from low: Float, to high: Float, _ dy: String, _ b: inout GradientBuilder) throws -> String {
        let above = try b.select(try b.compare("Less", x, b.scalar(low)), b.scalar(0), dy)
        return try b.select(try b.compare("Greater", x, b.scalar(high)), b.scalar(0), above)
    }
}
