import Foundation
import ModelGraph

/// How gradients move weights, in PyTorch's formulation, so that results can be compared.
public struct Optimizer: Sendable, Hashable {
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        case sgd, adam, adamw
    }

    public var kind: Kind
    /// SGD: share of the last step that is kept.
    public var momentum: Float = 0.9
    /// SGD: whether the gradient is looked at after the momentum's step (Nesterov).
    public var nesterov = false
    /// Adam: decay of the averages of gradients and of their squares (Kingma and Ba 2015).
    public var beta1: Float = 0.9
    public var beta2: Float = 0.999
    public var epsilon: Float = 1e-8
    /// L2 penalty (SGD, Adam) or decoupled decay (AdamW, Loshchilov and Hutter 2019), for weights that decay.
    public var weightDecay: Float = 0
    /// Largest norm of all gradients together; 0 for no limit.
    public var clipNorm: Float = 0

    public init(_ kind: Kind) { self.kind = kind }

    /// Tensors of a weight's shape that are kept between steps.
    public var stateCount: Int { kind == .sgd ? (momentum == 0 ? 0 : 1) : 2 }
}

/// A trained tensor as the update sees it.
public struct UpdatedWeight: Sendable {
    public var name: String
    public var dims: [Int]
    public var decays: Bool
    /// Factor on the learning rate.
    public var rate: Float
    /// Whether some elements are held at zero: by the 0 and 1 of an input, `UpdateGraph.mask(_:)`.
    public var isMasked: Bool
    /// Strength of a penalty on magnitudes (L1), which the gradient gets.
    public var l1: Float = 0
    /// Strength of a penalty on the norms of slices along the first axis (group lasso, Wen et al. 2016).
    public var groupLasso: Float = 0
    /// Factor on the gradient, before anything else sees it.
    public var gradientFactor: Float = 1
    /// What no element falls below; `nil` for no limit.
    public var minimum: Float?

    public init(name: String, dims: [Int], decays: Bool, rate: Float = 1, isMasked: Bool = false) {
        self.name = name
        self.dims = dims
        self.decays = decays
        self.rate = rate
        self.isMasked = isMasked
    }
}

/// The graph of one optimiser step: gradients of all shards, weights and states in, weights and states out.
public struct UpdateGraph: Sendable {
    public var model: Model
    /// Number of shards whose gradients are summed.
    public let shards: Int

    /// Names of graph inputs and outputs.
    public static func gradient(_ weight: String, shard: Int) -> String { "gradient.\(shard).\(weight)" }
    public static func state(_ weight: String, _ number: Int) -> String { "state.\(number).\(weight)" }
    public static func mask(_ weight: String) -> String { "mask.\(weight)" }
    public static func updated(_ value: String) -> String { "new.\(value)" }
    /// Scalars of a step: the learning rate, and 1/(1 − β₁ᵗ) and 1/√(1 − β₂ᵗ) of Adam.
    public static let rate = "rate"
    public static let correction1 = "correction.1"
    public static let correction2 = "correction.2"
    /// Norm of all gradients together, an output.
    public static let norm = "norm"

    public init(_ optimizer: Optimizer, weights: [UpdatedWeight], shards: Int, opset: Int = 17) throws {
        self.shards = shards
        var inputs = [Self.rate, Self.correction1, Self.correction2].map { ValueInfo(name: $0, elementType: .float32, shape: []) }
        for weight in weights {
            let shape = weight.dims.map { Dimension.fixed($0) }
            inputs.append(ValueInfo(name: weight.name, elementType: .float32, shape: shape))
            for shard in 0..<shards { inputs.append(ValueInfo(name: Self.gradient(weight.name, shard: shard), elementType: .float32, shape: shape)) }
            if weight.isMasked { inputs.append(ValueInfo(name: Self.mask(weight.name), elementType: .float32, shape: shape)) }
            for number in 0..<optimizer.stateCount { inputs.append(ValueInfo(name: Self.state(weight.name, number), elementType: .float32, shape: shape)) }
        }
        var b = GradientBuilder(Model(graph: Graph(name: "update", inputs: inputs), opset: opset), shapes: [:])
        var outputs: [ValueInfo] = []
        func output(_ value: String, as name: String, _ dims: [Int]) throws {
            try b.rename(value, to: name)
            outputs.append(ValueInfo(name: name, elementType: .float32, shape: dims.map { .fixed($0) }))
        }
        var gradients: [String] = []
        for weight in weights {
            var gradient = try b.total((0..<shards).map { Self.gradient(weight.name, shard: $0) })
            gradient = try b.multiply(gradient, by: weight.gradientFactor)
            if weight.isMasked { gradient = try b.multiply(gradient, Self.mask(weight.name)) }
            gradients.append(gradient)
        }
        var squares: [String] = []
        for (weight, gradient) in zip(weights, gradients) {
            squares.append(b.emit("ReduceSumSquare", [gradient], [Attribute("axes", .integers(Array(weight.dims.indices))), Attribute("keepdims", .integer(0))], shape: []))
        }
        // A clipped step needs the norm; otherwise it is left out, being a pass over all gradients.
        if optimizer.clipNorm > 0, !squares.isEmpty {
            let norm = try b.map("Sqrt", try b.total(squares))
            let ratio = try b.divide(b.scalar(optimizer.clipNorm), try b.add(norm, b.scalar(1e-6)))
            let factor = b.emit("Min", [ratio, b.scalar(1)], shape: [])
            for index in gradients.indices { gradients[index] = try b.multiply(gradients[index], factor) }
        } else {
            let unused = Set(squares)
            b.nodes.removeAll { !unused.isDisjoint(with: $0.outputs) }
        }
        for (weight, raw) in zip(weights, gradients) {
            var gradient = raw
            let old = weight.name
            let decay = weight.decays ? optimizer.weightDecay : 0
            let rate = weight.rate == 1 ? Self.rate : try b.multiply(Self.rate, by: weight.rate)
            if weight.l1 > 0 { gradient = try b.add(gradient, try b.multiply(try b.map("Sign", old), by: weight.l1)) }
            if weight.groupLasso > 0, weight.dims.count > 1 {
                let axes = Array(weight.dims.indices.dropFirst())
                let norm = try b.map("Sqrt", try b.add(try b.sum(try b.multiply(old, old), axes: axes, keep: true), b.scalar(1e-12)))
                // Groups of n elements are weighted by √n.
                let size = Float(axes.reduce(1) { $0 * weight.dims[$1] }).squareRoot()
                gradient = try b.add(gradient, try b.multiply(try b.divide(old, norm), by: weight.groupLasso * size))
            }
            if decay > 0, optimizer.kind != .adamw { gradient = try b.add(gradient, try b.multiply(old, by: decay)) }
            var step: String
            switch optimizer.kind {
            case .sgd:
                step = gradient
                if optimizer.momentum > 0 {
                    let velocity = try b.add(try b.multiply(Self.state(old, 0), by: optimizer.momentum), gradient)
                    let name = Self.updated(Self.state(old, 0))
                    try output(velocity, as: name, weight.dims)
                    step = optimizer.nesterov ? try b.add(gradient, try b.multiply(name, by: optimizer.momentum)) : name
                }
                step = try b.multiply(step, rate)
            case .adam, .adamw:
                let (first, second) = (Self.state(old, 0), Self.state(old, 1))
                let mean = try b.add(try b.multiply(first, by: optimizer.beta1), try b.multiply(gradient, by: 1 - optimizer.beta1))
                let square = try b.add(try b.multiply(second, by: optimizer.beta2), try b.multiply(try b.multiply(gradient, gradient), by: 1 - optimizer.beta2))
                let (newMean, newSquare) = (Self.updated(first), Self.updated(second))
                try output(mean, as: newMean, weight.dims)
                try output(square, as: newSquare, weight.dims)
                let root = try b.add(try b.multiply(try b.map("Sqrt", newSquare), Self.correction2), b.scalar(optimizer.epsilon))
                step = try b.multiply(try b.divide(newMean, root), try b.multiply(rate, Self.correction1))
            }
            var base = old
            if decay > 0, optimizer.kind == .adamw {
                base = try b.multiply(old, try b.subtract(b.scalar(1), try b.multiply(rate, by: decay)))
            }
            var new = try b.subtract(base, step)
            if weight.isMasked { new = try b.multiply(new, Self.mask(weight.name)) }
            if let minimum = weight.minimum { new = b.emit("Max", [new, b.scalar(minimum)], shape: weight.dims) }
            try output(new, as: Self.updated(old), weight.dims)
        }
        let graph = Graph(name: "update", nodes: b.nodes, inputs: inputs, outputs: outputs, initializers: Array(b.constants.values))
        model = Model(graph: graph, opset: opset)
    }

    /// 1/(1 − β₁ᵗ) and 1/√(1 − β₂ᵗ) for step t ≥ 1.
    public static func corrections(_ optimizer: Optimizer, step: Int) -> (Float, Float) {
        guard optimizer.kind != .sgd else { return (1, 1) }
        let first = 1 - pow(Double(optimizer.beta1), Double(step)), second = 1 - pow(Double(optimizer.beta2), Double(step))
        return (Float(1 / first), Float(1 / second.squareRoot()))
    }
}
