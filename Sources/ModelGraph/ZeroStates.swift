/// Recurrent operators start from zeros where nothing says otherwise. Exporters write such zeros out all the same, in shapes of their own
/// (PyTorch's: a Slice of an Expand); a state that is written out seems to be given from outside, and fixes how many units there are.

extension Graph {
    /// Leaves out initial states of LSTM, GRU and RNN that are zeros whatever the model reads.
    package mutating func dropZeroStates() {
        func isRecurrent(_ node: Node) -> Bool { ["LSTM", "GRU", "RNN"].contains(where: node.isStandard) }
        guard nodes.contains(where: { isRecurrent($0) && $0.inputs.count > 5 }) else { return }
        let index = GraphIndex(self)
        let listed = Set(inputs.map(\.name))
        for position in nodes.indices where isRecurrent(nodes[position]) {
            for input in [5, 6] where nodes[position].inputs.indices.contains(input) {
                guard isZero(nodes[position].inputs[input], index, listed, depth: 8) else { continue }
                nodes[position].inputs[input] = ""
            }
            while nodes[position].inputs.last == "" { nodes[position].inputs.removeLast() }
        }
    }

    /// Whether a value is nothing but zeros, in whatever shape.
    private func isZero(_ name: String, _ index: GraphIndex, _ listed: Set<String>, depth: Int) -> Bool {
        if let tensor = initializers[name] {
            return !listed.contains(name) && tensor.elementType.isFloatingPoint && tensor.withFloats { $0.allSatisfy { $0 == 0 } } ?? false
        }
        guard depth > 0, let producer = index.producer[name] else { return false }
        let node = nodes[producer]
        guard node.domain.isEmpty || node.domain == "ai.onnx" else { return false }
        switch node.opType {
        case "ConstantOfShape":
            guard case .tensor(let value)? = node.attribute("value") else { return true }
            return value.floats()?.allSatisfy { $0 == 0 } ?? false
        case "Expand", "Slice", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Cast", "Gather", "Tile", "Split":
            return node.input(0).map { isZero($0, index, listed, depth: depth - 1) } ?? false
        case "Concat":
            return node.inputs.allSatisfy { isZero($0, index, listed, depth: depth - 1) }
        default: return false
        }
    }
}
