import ModelGraph

/// What a model that gives one number per sample says of the sample's class.
package enum SingleOutput: Sendable, Hashable {
    /// A score of class 1 against class 0: class 1 where it is larger than `above`.
    case score(above: Float)
    /// The number of the class.
    case classNumber

    /// - Parameter output: the output that is scored. Whole numbers are classes; what comes out of a sigmoid is a probability, cut at
    ///   one half, and any other number the logarithm of the odds, cut at 0.
    init(_ output: ValueInfo, of model: Model) {
        if let type = output.elementType, !type.isFloatingPoint {
            self = .classNumber
        } else {
            let isProbability = ["Sigmoid", "HardSigmoid", "QLinearSigmoid"].contains(Self.end(behind: output.name, in: model)?.opType ?? "")
            self = .score(above: isProbability ? 0.5 : 0)
        }
    }

    /// The value that the sigmoid at the end of a model reads; `nil` where there is none. A hard sigmoid that is one half at 0 decides as
    /// the soft one does, so that what it reads may be taught as the logarithm of the odds.
    package static func logit(behind output: String, in model: Model) -> String? {
        guard let node = end(behind: output, in: model) else { return nil }
        let isSigmoid = node.opType == "Sigmoid" || (node.opType == "HardSigmoid" && node.float("beta") ?? 0.5 == 0.5)
        return isSigmoid ? node.inputs.first : nil
    }

    /// The last node that does more than hand numbers on.
    private static func end(behind output: String, in model: Model) -> Node? {
        let index = GraphIndex(model.graph)
        var value = output
        for _ in 0..<16 {
            guard let node = index.producer[value].map({ model.graph.nodes[$0] }) else { return nil }
            guard ["Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "DequantizeLinear", "QuantizeLinear"].contains(node.opType), let source = node.inputs.first
            else { return node }
            value = source
        }
        return nil
    }

    /// Classes that can be told apart; `nil` where the model does not say.
    var classes: Int? { self == .classNumber ? nil : 2 }

    /// The class that a row of scores, or the one number, says; `nan` where a number says none.
    func answer(_ values: UnsafeBufferPointer<Float>) -> Float {
        guard values.count == 1 else { return values.isEmpty ? .nan : Float(OutputComparison.argmax(values)) }
        guard !values[0].isNaN else { return .nan }
        return switch self {
        case .score(let threshold): values[0] > threshold ? 1 : 0
        // Beyond that no class has a number, and a float no whole one.
        case .classNumber: abs(values[0]) < 16_777_216 ? values[0] : .nan
        }
    }

    /// Whether a value names the class `label`. Never so of a value that is not a number.
    func isRight(_ value: Float, label: Int) -> Bool {
        switch self {
        case .score(let threshold): label == 1 ? value > threshold : label == 0 && value <= threshold
        case .classNumber: value == Float(label)
        }
    }
}
