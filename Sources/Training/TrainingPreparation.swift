import ModelGraph

/// A model that was given nodes for training which its file will not have, and what else there is to train for it.
///
/// Tensors keep their names: weights are those of `structure`, and the prepared model reads them through its own nodes.
public struct TrainingPreparation: Sendable {
    /// The model before it was prepared: its layers and nodes tell which tensors are weights, biases, normalizations.
    public var structure: Model
    /// Step sizes to be learned, initializers of the prepared model.
    public var scales: [LearnedScale]

    public init(structure: Model, scales: [LearnedScale]) {
        self.structure = structure
        self.scales = scales
    }
}

/// A trained step size of a quantizer, always positive.
public struct LearnedScale: Sendable, Hashable {
    public var name: String
    /// Factor on its gradient: 1/√(N·Q) for N values on a grid that reaches to Q steps (Esser et al. 2020, section 2.2).
    public var gradientFactor: Float
    /// Factor on the learning rate.
    public var rate: Float
    /// What it never falls below.
    public var minimum: Float

    public init(name: String, gradientFactor: Float, rate: Float, minimum: Float) {
        self.name = name
        self.gradientFactor = gradientFactor
        self.rate = rate
        self.minimum = minimum
    }
}
