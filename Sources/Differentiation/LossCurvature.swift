import ModelGraph

/// Second derivatives of a loss by the model's outputs, as what stands between outputs and random signs.
///
/// A term of kind `LossTerm.Kind.probe` is linear in the outputs z: z · √H·ε, where H is the Hessian of a divergence between the outputs and those of the
/// same model before a change, at no change, and ε are signs, each 1 or −1 with the same chance. Its gradient by a weight is then Jᵀ·√H·ε, of which the
/// products with a change of weights have the mean square ΔWᵀ·Jᵀ·H·J·ΔW: twice the loss that the change costs, to second order (Gauss and Newton; Hutchinson
/// 1990 for the random signs; Martens 2020, *New Insights and Perspectives on the Natural Gradient Method*, section 9, for its being the Fisher information).
///
/// Signs of several samples are independent, so the square of a sum over samples has the mean of the sum of squares: batches may be summed.
public enum LossCurvature: Sendable, Hashable {
    /// Kullback–Leibler divergence of the softmax at a temperature, times the temperature squared: H = diag(p) − p·pᵀ for each row of class scores.
    /// At higher temperatures samples that the model is sure of count as well. One number is a logit of two classes.
    case softmax(temperature: Float)
    /// The same of the sigmoid of each number: H = p·(1 − p).
    case sigmoid(temperature: Float)
    /// Mean squared difference: H = 2 / numbers of a sample.
    case square

    /// Shape of the signs for a value of a shape: one for each number that the Hessian is over.
    public func signShape(of dims: [Int]) -> [Int] {
        guard case .softmax = self else { return dims }
        let classes = dims.count < 2 ? 1 : dims.last ?? 1
        return [dims.reduce(1, *) / max(classes, 1), max(classes, 2)]
    }

    /// Appends z · √H·ε, summed over the shard, divided by the samples of the batch. √H·ε is a constant to the differentiation.
    /// - Parameters:
    ///   - scores: z as the Hessian is over it: rows of classes, or any numbers.
    ///   - signs: of the same shape.
    ///   - places: decisions, or numbers, of one sample: the loss is their mean.
    func append(_ scores: String, signs: String, places: Float, batch: Int, _ b: inout GradientBuilder) throws -> String {
        let dims = try b.shape(scores)
        let direction: String
        switch self {
        case .softmax(let temperature):
            // With r = √p: diag(p) − p·pᵀ = R·Rᵀ for R = diag(r) − p·rᵀ, since r has length 1.
            let logarithms = try b.map("LogSoftmax", try b.multiply(scores, by: 1 / temperature), [Attribute("axis", .integer(1))])
            let root = try b.map("Exp", try b.multiply(logarithms, by: 0.5))
            let along = try b.sum(try b.multiply(root, signs), axes: [1], keep: true)
            direction = try b.multiply(root, try b.subtract(signs, try b.multiply(root, along)))
        case .sigmoid(let temperature):
            let likely = try b.map("Sigmoid", try b.multiply(scores, by: 1 / temperature))
            let unlikely = try b.subtract(b.scalar(1), likely)
            direction = try b.multiply(signs, try b.map("Sqrt", try b.multiply(likely, unlikely)))
        case .square: direction = try b.multiply(signs, by: Float(2).squareRoot())
        }
        let constant = b.detached(direction)
        let total = try b.sum(try b.multiply(scores, constant), axes: Array(dims.indices), keep: false)
        return try b.multiply(total, by: 1 / (Float(batch) * max(places, 1).squareRoot()))
    }
}

extension GradientBuilder {
    /// A value through which no gradient goes back.
    mutating func detached(_ value: String) -> String {
        let known = fresh("d.constant.of")
        nodes.append(Node(Macro.constant, domain: Macro.domain, inputs: [value], outputs: [known]))
        note(known, shape: shapes[value] ?? [])
        return known
    }
}
