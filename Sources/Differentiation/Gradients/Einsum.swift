import ModelGraph

/// Sums of products by index notation.
enum EinsumGradients {
    static let rules: [String: GradientRule] = [
        "Einsum": { node, g, b in
            guard let dy = g[0] else { return [] }
            let (terms, output) = try parse(node.string("equation") ?? "")
            guard terms.count == node.inputs.count else { throw DifferentiationError("an equation of \(terms.count) terms for \(node.inputs.count) inputs") }
            return try node.inputs.indices.map { index -> String? in
                guard b.needs(node.inputs[index]) else { return nil }
                // The sum of the output's gradient and all other factors over what this input does not have.
                let others = node.inputs.indices.filter { $0 != index }
                let known = Set(output + others.flatMap { terms[$0] })
                let own = terms[index]
                let dims = try b.shape(node.inputs[index])
                let kept = own.filter { known.contains($0) }
                let equation = ([output] + others.map { terms[$0] }).map { String($0) }.joined(separator: ",") + "->" + String(kept)
                let made = b.emit(
                    "Einsum", [dy] + others.map { node.inputs[$0] }, [Attribute("equation", .text(equation))],
                    shape: zip(own, dims).filter { known.contains($0.0) }.map(\.1))
                // An index that this input alone has was summed by itself: all along it get the same.
                let wide = try b.reshape(made, zip(own, dims).map { known.contains($0) ? $1 : 1 })
                return try b.expand(wide, to: dims)
            }
        }
    ]

    private static func parse(_ equation: String) throws -> (terms: [[Character]], output: [Character]) {
        let plain = equation.filter { $0 != " " }
        guard !plain.contains(".") else { throw DifferentiationError("an equation with an ellipsis") }
        let sides = plain.split(separator: ">", maxSplits: 1, omittingEmptySubsequences: false)
        let inputs = sides[0].hasSuffix("-") ? sides[0].dropLast() : sides[0]
        let terms = inputs.split(separator: ",", omittingEmptySubsequences: false).map { Array($0) }
        guard terms.allSatisfy({ Set($0).count == $0.count }) else { throw DifferentiationError("an equation that takes a diagonal") }
        if sides.count == 2 { return (terms, Array(sides[1])) }
        // Without an output, what appears once is kept, in alphabetical order.
        let all = terms.flatMap { $0 }
        return (terms, Set(all).filter { letter in all.count { $0 == letter } == 1 }.sorted())
    }
}
