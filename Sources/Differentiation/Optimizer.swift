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
    /// Whether some elements are held at zero, by the 0 and 1 of `WeightMemory.mask`.
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
