/// Exporters that keep a linear layer's weight as outputs × inputs put a Transpose between it and the MatMul; others a
/// Reshape. ONNX Runtime evaluates such nodes once while loading. Evaluated here, the weight stands in its layer like any
/// other; the file keeps its size, since a weight with other readers is left alone.

extension Graph {
    /// Evaluates Transpose, Reshape, Squeeze, Unsqueeze and Flatten of floating-point initializers that nothing else reads
    /// and whose result a layer reads as its weight, here and in subgraphs. Nodes that do the same to one initializer, as where layers
    /// share weights, are evaluated together.
    mutating func foldWeightLayouts() {
        for index in nodes.indices {
            for position in nodes[index].attributes.indices {
                switch nodes[index].attributes[position].value {
                case .graph(var body):
                    body.foldWeightLayouts()
                    nodes[index].attributes[position].value = .graph(body)
                case .graphs(let bodies):
                    nodes[index].attributes[position].value = .graphs(
                        bodies.map { body in
                            var body = body
                            body.foldWeightLayouts()
                            return body
                        })
                default: break
                }
            }
        }
        guard nodes.contains(where: { WeightLayout.operators.contains($0.opType) && initializers[$0.inputs.first ?? ""] != nil }) else { return }
        let readers = GraphIndex(self)
        let listed = Set(inputs.map(\.name))
        var dropped = Set<Int>()
        var fed: [String] = []
        var twins: [String: String] = [:]
        // Results that stand for several nodes': their readers change with them.
        var merged = Set<String>()
        for (index, node) in nodes.enumerated() where !dropped.contains(index) {
            guard let name = node.input(0), let tensor = initializers[name], tensor.elementType.isFloatingPoint,
                !listed.contains(name), !readers.outputs.contains(name), !merged.contains(name), let output = node.outputs.first, initializers[output] == nil,
                let layout = self.layout(node, of: tensor), let alike = readers.consumers[name],
                alike.allSatisfy({ gives(nodes[$0], layout, of: (name, tensor), readers) }), let folded = layout.applied(to: tensor)
            else { continue }
            let place = initializers.index(forKey: name) ?? initializers.count
            initializers[name] = nil
            constantNodes[name] = nil
            valueInfos[output] = nil
            initializers.updateValue(folded.renamed(output), forKey: output, insertingAt: min(place, initializers.count))
            if sparseForms.removeValue(forKey: name) != nil { sparseForms[output] = .smallest }
            for twin in alike {
                dropped.insert(twin)
                fed += nodes[twin].inputs.dropFirst()
                guard twin != index else { continue }
                twins[nodes[twin].outputs[0]] = output
                merged.insert(output)
            }
        }
        guard !dropped.isEmpty else { return }
        nodes = nodes.indices.filter { !dropped.contains($0) }.map { nodes[$0] }
        for name in twins.keys { valueInfos[name] = nil }
        replaceReads(twins)
        // Shapes and axes that only the folded nodes read.
        let left = GraphIndex(self)
        for name in fed where left.useCount(name) == 0 && !listed.contains(name) {
            initializers[name] = nil
            constantNodes[name] = nil
        }
    }

    private func layout(_ node: Node, of tensor: Tensor) -> WeightLayout? {
        WeightLayout(node, of: tensor, constants: { initializers[$0]?.integers() })
    }

    /// Whether a node does nothing but arrange the initializer so for layers that read it as their weight.
    private func gives(_ node: Node, _ layout: WeightLayout, of weight: (name: String, tensor: Tensor), _ index: GraphIndex) -> Bool {
        guard node.outputs.count == 1, node.inputs.first == weight.name, !node.inputs.dropFirst().contains(weight.name),
            !index.outputs.contains(node.outputs[0])
        else { return false }
        return self.layout(node, of: weight.tensor) == layout && isWeight(node.outputs[0], index)
    }

    /// Whether every reader of a value takes it as the weight of a layer, perhaps in yet another layout.
    private func isWeight(_ value: String, _ index: GraphIndex, depth: Int = 0) -> Bool {
        guard depth < 4, let readers = index.consumers[value], !readers.isEmpty else { return false }
        return readers.allSatisfy { reader in
            let node = nodes[reader]
            switch node.opType {
            case "Conv", "ConvTranspose", "Gemm": return node.input(1) == value
            case "MatMul": return true
            case "LSTM", "GRU", "RNN": return node.input(1) == value || node.input(2) == value
            case _ where WeightLayout.operators.contains(node.opType):
                return node.input(0) == value && node.outputs.count == 1 && isWeight(node.outputs[0], index, depth: depth + 1)
            default: return false
            }
        }
    }
}

/// Another arrangement of a tensor's elements: other dimensions, or axes in another order.
enum WeightLayout: Equatable {
    case extents([Int])
    case order([Int])

    static let operators: Set<String> = ["Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"]

    /// What a node does to a constant; `nil` if that is not known for certain.
    init?(_ node: Node, of tensor: Tensor, constants: (String) -> [Int]?) {
        guard node.domain.isEmpty || node.domain == "ai.onnx" else { return nil }
        let dims = tensor.dims
        // Before operator sets 5 and 13 shapes and axes were attributes.
        func values(_ attribute: String) -> [Int]? { node.ints(attribute) ?? node.input(1).flatMap(constants) }
        switch node.opType {
        case "Transpose":
            let order = node.ints("perm") ?? Array(dims.indices.reversed())
            guard order.sorted() == Array(dims.indices) else { return nil }
            self = .order(order)
        case "Reshape":
            guard node.int("allowzero") ?? 0 == 0, let shape = values("shape") else { return nil }
            var extents = shape.enumerated().map { $1 == 0 && dims.indices.contains($0) ? dims[$0] : $1 }
            if let open = extents.firstIndex(of: -1) {
                extents[open] = 1
                guard let known = Tensor.elementCount(extents), tensor.count % known == 0 else { return nil }
                extents[open] = tensor.count / known
            }
            guard Tensor.elementCount(extents) == tensor.count else { return nil }
            self = .extents(extents)
        case "Flatten":
            let axis = node.int("axis") ?? 1
            let place = axis < 0 ? axis + dims.count : axis
            guard (0...dims.count).contains(place) else { return nil }
            self = .extents([dims[..<place].reduce(1, *), dims[place...].reduce(1, *)])
        case "Squeeze":
            guard let axes = values("axes")?.map({ $0 < 0 ? $0 + dims.count : $0 }), axes.allSatisfy({ dims.indices.contains($0) && dims[$0] == 1 }) else { return nil }
            self = .extents(dims.indices.filter { !axes.contains($0) }.map { dims[$0] })
        case "Unsqueeze":
            guard let axes = values("axes"), Set(axes).count == axes.count, axes.count <= 8 else { return nil }
            let rank = dims.count + axes.count
            let places = Set(axes.map { $0 < 0 ? $0 + rank : $0 })
            guard places.count == axes.count, places.allSatisfy({ (0..<rank).contains($0) }) else { return nil }
            var rest = dims[...]
            self = .extents((0..<rank).map { places.contains($0) ? 1 : rest.removeFirst() })
        default:
            return nil
        }
    }

    /// The tensor so arranged; `nil` if it has no elements or a rank below two, which no weight has.
    func applied(to tensor: Tensor) -> Tensor? { arranged(tensor).flatMap { $0.dims.count >= 2 ? $0 : nil } }

    /// The tensor so arranged; `nil` if it has no elements.
    func arranged(_ tensor: Tensor) -> Tensor? {
        switch self {
        case .extents(let extents):
            guard tensor.count > 0 else { return nil }
            return try? tensor.reshaped(extents)
        case .order(let order):
            guard !order.isEmpty, tensor.count > 0, let width = tensor.elementType.bitWidth.map({ $0 / 8 }) else { return nil }
            let dims = order.map { tensor.dims[$0] }
            var strides = [Int](repeating: width, count: tensor.dims.count)
            for axis in tensor.dims.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * tensor.dims[axis + 1] }
            let steps = order.map { strides[$0] }
            let source = tensor.storage.bytes
            let storage = TensorStorage(byteCount: tensor.storage.byteCount) { memory in
                guard let from = source.baseAddress, let to = memory.baseAddress else { return }
                var position = [Int](repeating: 0, count: dims.count)
                var offset = 0
                let (inner, step) = (dims[dims.count - 1], steps[dims.count - 1])
                for start in stride(from: 0, to: memory.count, by: inner * width) {
                    for index in 0..<inner { (to + start + index * width).copyMemory(from: from + offset + index * step, byteCount: width) }
                    // The next row of the result.
                    for axis in dims.indices.dropLast().reversed() {
                        position[axis] += 1
                        offset += steps[axis]
                        if position[axis] < dims[axis] { break }
                        offset -= position[axis] * steps[axis]
                        position[axis] = 0
                    }
                }
            }
            tensor.storage.releasePages()
            return try? tensor.replacing(elementType: tensor.elementType, dims: dims, storage: storage)
        }
    }
}
