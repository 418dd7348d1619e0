import ModelGraph

/// The choice between any weights and n of every m along the inputs, and where the blocks of m lie in a weight matrix.
struct InputPattern: Hashable, Sendable {
    var n: Int
    var m: Int

    /// `nil` for any weights.
    init?(_ parameters: ParameterValues) {
        let name = parameters.choice("pattern")
        guard let found = NMPruning.patterns.first(where: { $0.name == name }) else { return nil }
        (n, m) = (found.n, found.m)
    }

    static let parameter = ParameterDescriptor(
        "pattern", title: "Pattern",
        domain: .choice(
            [.init("unstructured", "any weights, as many as the sparsity says")]
                + NMPruning.patterns.map { .init($0.name, "keeps \($0.n) of \($0.m) along the inputs; sparsity and scope are not looked at") }),
        default: .choice("unstructured"), help: "Which weights may go together")

    /// Columns of a layer's weight matrix in an order in which the inputs of one kernel position follow one another.
    static func order(_ layer: Layer, columns: Int) -> [Int] {
        guard layer.kind == .conv, layer.weightShape.count > 2 else { return Array(0..<columns) }
        let positions = layer.weightShape[2...].reduce(1, *)
        let channels = columns / max(positions, 1)
        return (0..<positions).flatMap { position in (0..<channels).map { $0 * positions + position } }
    }

    /// Blocks of at most m columns in that order, none over two kernel positions.
    func blocks(_ layer: Layer, columns: Int) -> [Range<Int>] {
        let positions = layer.kind == .conv && layer.weightShape.count > 2 ? max(layer.weightShape[2...].reduce(1, *), 1) : 1
        let run = columns / positions
        return (0..<positions).flatMap { position in
            stride(from: 0, to: run, by: m).map { position * run + $0..<position * run + min($0 + m, run) }
        }
    }

    /// Fraction of a layer's weights that is kept.
    func density(_ layer: Layer, inputsKept: Double) -> Double {
        NMPruning.density(inputs: Int((Double(layer.weightShape[layer.inputAxis]) * inputsKept).rounded()), n: n, m: m)
    }
}

/// What methods that look at a layer's inputs ask of it.
enum CalibratedWeights {
    /// Inputs of one output at most: beyond, matrices of inputs × inputs are too large to work on.
    static let mostInputs = 8192

    /// - Parameters:
    ///   - gram: whether the method needs products of inputs with each other.
    ///   - shared: whether a weight that several nodes read may be changed.
    static func refusals(for layers: [Layer], in model: Model, gram: Bool) -> [String?] {
        let readers = WeightReaders(model)
        return layers.map { layer in
            if let reason = PrunableWeights.refusal(for: layer) ?? InputWindows.refusal(for: layer, in: model) { return reason }
            if gram, let shape = WeightMatrix.shape(of: layer), shape.columns > mostInputs { return "more than \(mostInputs) inputs to one output" }
            if let place = model.place(of: layer.weight, readBy: layer), readers.readers[place, default: []].count > 1 {
                return "its weight is shared with another node"
            }
            return nil
        }
    }

    /// The same for one layer.
    static func refusal(for layer: Layer, in model: Model, gram: Bool) -> String? { refusals(for: [layer], in: model, gram: gram)[0] }
}
