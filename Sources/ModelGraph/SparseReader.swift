import Foundation

extension OnnxReader {
    /// Makes initializers of sparse ones. What cannot be read, or would be out of all proportion to the file, stays as it is and is written back.
    mutating func takeInSparseInitializers(_ graph: inout Graph) throws(ModelGraphError) {
        var left: [OnnxSparseTensorProto] = []
        for var proto in graph.preserved.sparseInitializer {
            let name = proto.values.name
            // With its bytes in it, so that it can be written back as it was.
            try restorePayload(&proto.values)
            try restorePayload(&proto.indices)
            guard !name.isEmpty, graph.initializers[name] == nil, let tensor = dense(proto) else {
                left.append(proto)
                continue
            }
            graph.initializers[name] = tensor
            graph.sparseForms[name] = .indices
            graph.sparseSources[name] = (proto, tensor.storage)
        }
        graph.preserved.sparseInitializer = left
    }

    /// The tensor with its zeros; `nil` where its parts do not fit each other.
    private mutating func dense(_ proto: OnnxSparseTensorProto) -> Tensor? {
        let dims = proto.dims.map(Int.init)
        guard let total = Tensor.elementCount(dims), let values = try? tensor(proto.values), let indices = try? tensor(proto.indices), values.dims.count == 1,
            let width = values.elementType.bitWidth.map({ $0 / 8 }), width >= 1, values.elementType != .bool, let places = indices.integers(),
            indices.elementType == .int64, places.count == values.count || indices.dims == [values.count, dims.count],
            total <= SparseChains.limit(values.storage.byteCount + indices.storage.byteCount) / width
        else { return nil }
        let rank = places.count == values.count ? 1 : dims.count
        let extents = rank == 1 ? [total] : dims
        var positions: [Int] = []
        positions.reserveCapacity(values.count)
        for entry in 0..<values.count {
            var position = 0
            for axis in 0..<rank {
                let place = places[entry * rank + axis]
                guard place >= 0, place < extents[axis] else { return nil }
                position = position * extents[axis] + place
            }
            positions.append(position)
        }
        let source = values.storage.bytes
        let storage = TensorStorage(byteCount: total * width) { memory in
            for (entry, position) in positions.enumerated() {
                for byte in 0..<width { memory[position * width + byte] = source[entry * width + byte] }
            }
        }
        var tensor = try? Tensor(name: proto.values.name, elementType: values.elementType, dims: dims, storage: storage)
        tensor?.preserved = values.preserved
        return tensor
    }
}

extension Graph {
    /// Makes initializers of what ScatterElements or ScatterND puts into a constant, where positions and values come from initializers alone, here and in
    /// subgraphs.
    mutating func foldSparseChains() {
        for index in nodes.indices {
            for position in nodes[index].attributes.indices {
                switch nodes[index].attributes[position].value {
                case .graph(var body):
                    body.foldSparseChains()
                    nodes[index].attributes[position].value = .graph(body)
                case .graphs(var bodies):
                    for body in bodies.indices { bodies[body].foldSparseChains() }
                    nodes[index].attributes[position].value = .graphs(bodies)
                default: break
                }
            }
        }
        guard nodes.contains(where: SparseChains.isScatter) else { return }
        var chains = SparseChains(self)
        let found = chains.evaluate()
        guard !found.tensors.isEmpty else { return }
        for tensor in found.tensors {
            initializers[tensor.name] = tensor
            sparseForms[tensor.name] = .smallest
            valueInfos[tensor.name] = nil
        }
        // What decoded them goes, as far as nothing else reads it.
        let made = Set(found.tensors.map(\.name))
        for index in nodes.indices { nodes[index].outputs = nodes[index].outputs.map { made.contains($0) ? "" : $0 } }
        var useful = Set(outputs.map(\.name)).union(inputs.map(\.name))
        var kept = [Bool](repeating: true, count: nodes.count)
        for (index, node) in nodes.enumerated().reversed() {
            kept[index] = !found.nodes.contains(index) || node.outputs.contains { !$0.isEmpty && useful.contains($0) }
            guard kept[index] else { continue }
            useful.formUnion(node.inputs)
            for (_, body) in node.subgraphs { useful.formUnion(body.capturedNames()) }
        }
        for index in nodes.indices where !kept[index] { for output in nodes[index].outputs { valueInfos[output] = nil } }
        nodes = nodes.indices.filter { kept[$0] }.map { nodes[$0] }
        for name in found.leaves where !useful.contains(name) {
            initializers[name] = nil
            constantNodes[name] = nil
        }
    }
}
