extension Graph {
    /// The graph with a weight's bit planes replaced by codes of a byte that are stored without the commonest one, where that takes less room.
    ///
    /// Planes pack codes of several places into each byte, so that zeros cannot be left out of them.
    /// - Parameters:
    ///   - name: of the weight's first plane.
    ///   - opset: version of the standard operator set.
    /// - Returns: the new graph, bytes of the planes and bytes of what replaces them; `nil` where there are no planes or nothing is gained.
    package func withPlainCodes(ofPlane name: String, form: SparseForm, opset: Int) -> (graph: Graph, before: Int, after: Int)? {
        guard let weight = packedWeights.first(where: { $0.planes.first == name }), weight.bits < 8, let value = weight.codes,
            let codes = weight.unpackedCodes(in: self), let producer = nodes.firstIndex(where: { $0.outputs.contains(value) }), nodes[producer].outputs.count == 1
        else { return nil }
        let index = GraphIndex(self)
        // Planes that something else reads would stay beside the codes.
        guard weight.planes.allSatisfy({ plane in (index.consumers[plane] ?? []).allSatisfy { leads($0, to: producer, index) } }), !index.outputs.contains(value)
        else { return nil }
        var names = NameSupply(self)
        var graph = self
        let made = names.fresh(name + "_codes")
        let type = weight.codebook == nil ? ElementType.float32 : .int32
        graph.initializers[made] = Tensor(name: made, uint8s: codes, dims: [codes.count])
        graph.sparseForms[made] = form
        graph.nodes[producer] = .cast(made, value, to: type)
        graph.removeDeadCode()
        let before = weight.planes.reduce(0) { $0 + (initializers[$1]?.storage.byteCount ?? 0) }
        guard let after = graph.sparseByteCounts(opset: opset)[made], after < before else { return nil }
        return (graph, before, after)
    }

    /// Whether whatever comes of a node is read on the way to another one only.
    private func leads(_ node: Int, to end: Int, _ index: GraphIndex, depth: Int = 0) -> Bool {
        guard node != end else { return true }
        guard depth < 64 else { return false }
        return nodes[node].outputs.allSatisfy { output in
            let readers = index.consumers[output] ?? []
            return !readers.isEmpty && !index.outputs.contains(output) && readers.allSatisfy { leads($0, to: end, index, depth: depth + 1) }
        }
    }
}
