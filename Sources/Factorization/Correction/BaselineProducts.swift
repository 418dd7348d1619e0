import ModelGraph

/// The model before the recipe with further values at its end: what layers that add an activation or a matrix multiplied without it.
struct BaselineProducts {
    private(set) var baseline: Model
    private var names: NameSupply
    private var known: [String: String] = [:]

    init(_ baseline: Model) {
        self.baseline = baseline
        names = NameSupply(baseline.graph)
    }

    /// - Returns: the name of the product behind a value; `nil` if no Conv or Gemm made the value.
    mutating func product(of value: String) -> String? {
        if let name = known[value] { return name }
        guard var node = baseline.graph.nodes.first(where: { $0.outputs.first == value }), ["Conv", "Gemm"].contains(node.opType), node.domain.isEmpty
        else { return nil }
        let name = names.fresh("\(value)/product")
        node.name = name
        node.inputs = Array(node.inputs.prefix(2))
        node.outputs = [name]
        baseline.graph.nodes.append(node)
        known[value] = name
        return name
    }
}
