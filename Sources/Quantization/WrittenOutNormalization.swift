import ModelGraph

/// Layer normalization that a graph writes out: mean, deviation, variance, quotient, scale and bias.
///
/// ONNX Runtime makes one operator of it, and from operator set 17 on takes a Cast before it along (1.31.1), so that the operator has two
/// types and the file is refused. In float16 its squares leave the range of the type besides. The operator has neither trouble.
enum WrittenOutNormalization {
    /// The first operator set with LayerNormalization.
    static let opset = 17

    /// The model with each in the main graph as one operator; itself below operator set 17.
    /// - Parameter shapes: extents of values, by name.
    static func fused(_ model: Model, shapes: [String: [Int]]) -> Model {
        guard model.opset >= opset else { return model }
        var result = model
        let finder = Finder(graph: model.graph, index: GraphIndex(model.graph), shapes: shapes)
        for position in model.graph.nodes.indices {
            if let made = finder.normalization(endingAt: position) { result.graph.nodes[position] = made }
        }
        result.graph.removeDeadCode()
        return result
    }

    private struct Finder {
        let graph: Graph
        let index: GraphIndex
        let shapes: [String: [Int]]

        /// The operator for the Add that ends a normalization; `nil` if the node is none.
        func normalization(endingAt position: Int) -> Node? {
            let end = graph.nodes[position]
            guard end.isStandard("Add"), let (bias, scaled) = vector(end), let scaling = maker(of: scaled, "Mul"), let (scale, quotient) = vector(scaling),
                graph.initializers[bias]?.dims == graph.initializers[scale]?.dims, let division = maker(of: quotient, "Div"), division.inputs.count == 2,
                let root = maker(of: division.inputs[1], "Sqrt"), let sum = maker(of: root.inputs[0], "Add"), let (epsilon, variance) = number(sum),
                let mean = maker(of: variance, "ReduceMean"), let square = maker(of: mean.inputs[0], "Pow", "Mul"), let deviation = squared(square)
            else { return nil }
            // Exporters write the deviation once, or once for each of its readers.
            guard let value = centered(deviation), centered(division.inputs[0]) == value, isOverLastAxis(mean, of: value) else { return nil }
            return Node(
                "LayerNormalization", name: end.name, inputs: [value, scale, bias], outputs: end.outputs,
                attributes: [Attribute("axis", .int(-1)), Attribute("epsilon", .float(epsilon))])
        }

        /// The node that makes a value which only one node reads.
        private func maker(of value: String, _ types: String...) -> Node? {
            guard index.useCount(value) == 1, let position = index.producer[value] else { return nil }
            return types.contains(where: graph.nodes[position].isStandard) ? graph.nodes[position] : nil
        }

        private func constant(_ node: Node, _ fits: (Tensor) -> Bool) -> (constant: String, other: String)? {
            guard node.inputs.count == 2, let place = node.inputs.firstIndex(where: { graph.initializers[$0].map(fits) ?? false }) else { return nil }
            return (node.inputs[place], node.inputs[1 - place])
        }

        private func vector(_ node: Node) -> (constant: String, other: String)? { constant(node) { $0.dims.count == 1 && $0.elementType == .float32 } }

        private func number(_ node: Node) -> (constant: Float, other: String)? {
            guard let (name, other) = constant(node, { $0.count == 1 && $0.elementType == .float32 }), let value = graph.initializers[name]?.floats()?.first
            else { return nil }
            return (value, other)
        }

        /// What a node squares.
        private func squared(_ node: Node) -> String? {
            guard node.inputs.count == 2 else { return nil }
            if node.opType == "Mul" { return node.inputs[0] == node.inputs[1] ? node.inputs[0] : nil }
            return graph.initializers[node.inputs[1]]?.floats() == [2] ? node.inputs[0] : nil
        }

        /// What a value is the deviation of from its mean over the last axis.
        private func centered(_ deviation: String) -> String? {
            guard let position = index.producer[deviation], graph.nodes[position].isStandard("Sub"), !index.outputs.contains(deviation) else { return nil }
            let difference = graph.nodes[position]
            guard let mean = index.producer[difference.inputs[1]].map({ graph.nodes[$0] }), mean.isStandard("ReduceMean"),
                mean.inputs[0] == difference.inputs[0], isOverLastAxis(mean, of: difference.inputs[0])
            else { return nil }
            return difference.inputs[0]
        }

        private func isOverLastAxis(_ mean: Node, of value: String) -> Bool {
            guard mean.int("keepdims") ?? 1 == 1, let axes = mean.ints("axes") ?? mean.input(1).flatMap({ graph.initializers[$0]?.integers() }), axes.count == 1
            else { return false }
            return axes[0] == -1 || shapes[value].map { axes[0] == $0.count - 1 } ?? false
        }
    }
}
