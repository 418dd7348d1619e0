import ModelGraph
import Techniques

/// The choice between any weights and n of every m along the inputs, and where the blocks of m lie in a weight matrix.
package struct InputPattern: Hashable, Sendable {
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
                + NMPruning.patterns.map { .init($0.name, "keeps \($0.n) of \($0.m) along the inputs; sparsity and scope are ignored") }),
        default: .choice("unstructured"), help: "Which weights may become zero")

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
