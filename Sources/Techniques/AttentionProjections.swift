import ModelGraph

/// Finds the layers that make the queries, keys and values of attention: products of two computed values with a Softmax
/// between them.
package struct AttentionProjections {
    /// Node indices, in the main graph, of the layers that make queries, keys or values.
    package private(set) var nodes: Set<Int> = []
    /// Node indices of the layers that make the values that are attended to.
    package private(set) var values: Set<Int> = []
    /// Node indices of the layers that make keys.
    package private(set) var keys: Set<Int> = []

    /// The attentions found, in graph order.
    package private(set) var attentions: [Attention] = []

    package struct Attention {
        /// Node index of the Softmax.
        package var softmax: Int
        /// Of the product of queries and keys, and of that of the Softmax's weights and the values.
        package var scores: Int
        package var mix: Int
        /// Weights stand left of what is attended to, so that a row of scores belongs to a query.
        package var rowsAreQueries: Bool
        /// Node indices of the layers that make its queries, keys and values.
        package var layers: Set<Int>
        /// Of these, the ones that make queries, keys and values; the same one for all three where they are made together.
        package var queries: Set<Int>
        package var keys: Set<Int>
        package var values: Set<Int>
    }

    /// Why techniques on attention find none in a model.
    package static func refusal(_ model: Model) -> String {
        let fused = model.graph.nodes.first { node in
            node.isStandard("Attention") || (node.domain == "com.microsoft" && ["Attention", "MultiHeadAttention", "GroupQueryAttention", "QAttention"].contains(node.opType))
        }
        guard let fused else { return "no attention recognized in the main graph" }
        return "its attention is one operator (\(fused.opType)), which is not taken apart: export it written out"
    }

    private let graph: Graph
    private let index: GraphIndex
    private let layers: Set<Int>

    /// - Parameter layers: `model.layers()`.
    package init(_ model: Model, layers: [Layer]) {
        graph = model.graph
        index = GraphIndex(graph)
        self.layers = Set(layers.filter { $0.path.isMain && ($0.kind == .matMul || $0.kind == .gemm) }.map(\.nodeIndex))
        for (position, node) in graph.nodes.enumerated() where node.isStandard("Softmax") {
            guard let scores = node.input(0).flatMap({ product(behind: $0, depth: 8) }) else { continue }
            guard let output = node.outputs.first, let (mix, side) = reader(of: output, depth: 6), mix != position else { continue }
            let attended = projections(graph.nodes[mix].inputs[1 - side])
            values.formUnion(attended)
            let operands = graph.nodes[scores].inputs.map(projections)
            let all = operands.reduce(attended) { $0.union($1) }
            nodes.formUnion(all)
            let (queries, keys) = side == 0 ? (operands[0], operands[1]) : (operands[1], operands[0])
            self.keys.formUnion(keys)
            attentions.append(Attention(softmax: position, scores: scores, mix: mix, rowsAreQueries: side == 0, layers: all, queries: queries, keys: keys, values: attended))
        }
    }

    /// Operators between the scores' product and Softmax, and between Softmax and the values' product.
    private static let scaling: Set<String> = ["Mul", "Div", "Add", "Sub", "Where", "Cast", "Identity", "Reshape", "Dropout", "Clip", "Unsqueeze", "Squeeze"]
    /// Operators between a projection and its product: they move channels and change them one by one.
    private static let moving: Set<String> = [
        "Reshape", "Transpose", "Add", "Sub", "Mul", "Div", "Split", "Slice", "Gather", "Squeeze", "Unsqueeze", "Concat", "Expand", "Cast", "Identity",
        "Neg", "Where", "LayerNormalization", "SimplifiedLayerNormalization", "RotaryEmbedding", "Pow", "Sqrt", "ReduceMean",
    ]

    private func isProduct(_ position: Int) -> Bool {
        ["MatMul", "FusedMatMul", "Einsum"].contains(graph.nodes[position].opType) && !layers.contains(position)
            && graph.nodes[position].inputs.count == 2 && graph.nodes[position].inputs.allSatisfy { graph.initializers[$0] == nil }
    }

    /// The product of two computed values that a Softmax's input comes from.
    private func product(behind name: String, depth: Int) -> Int? {
        guard depth > 0, let maker = index.producer[name] else { return nil }
        if isProduct(maker) { return maker }
        guard Self.scaling.contains(graph.nodes[maker].opType) else { return nil }
        for input in graph.nodes[maker].inputs { if let found = product(behind: input, depth: depth - 1) { return found } }
        return nil
    }

    /// The product that reads attention weights, and as which operand.
    private func reader(of name: String, depth: Int) -> (node: Int, operand: Int)? {
        guard depth > 0 else { return nil }
        for consumer in index.consumers[name] ?? [] {
            let node = graph.nodes[consumer]
            if isProduct(consumer), let side = node.inputs.firstIndex(of: name) { return (consumer, side) }
            if Self.scaling.contains(node.opType), let output = node.outputs.first, let found = reader(of: output, depth: depth - 1) { return found }
        }
        return nil
    }

    /// The nearest layers that a value comes from.
    private func projections(_ name: String) -> Set<Int> {
        var found = Set<Int>()
        var seen = Set<Int>()
        var open = [name]
        while let next = open.popLast() {
            guard let maker = index.producer[next], seen.insert(maker).inserted, seen.count < 64 else { continue }
            if layers.contains(maker) {
                found.insert(maker)
            } else if Self.moving.contains(graph.nodes[maker].opType) {
                open += graph.nodes[maker].inputs
            }
        }
        return found
    }
}

extension AttentionProjections {
    /// Whether a mask can be put in front: the Softmax runs over the last axis.
    package static func isMaskable(_ attention: Attention, _ model: Model, _ shapes: [String: [Int]]) -> Bool {
        guard attention.rowsAreQueries else { return false }
        let node = model.graph.nodes[attention.softmax]
        let axis = node.int("axis") ?? (model.opset >= 13 ? -1 : 1)
        guard axis != -1 else { return true }
        return node.input(0).flatMap { shapes[$0] }.map { axis == $0.count - 1 } ?? (axis >= 2)
    }
}
