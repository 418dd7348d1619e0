import OrderedCollections

/// Weight normalization, standardization, masks, merged adapters, projections stored side by side: exporters leave the arithmetic that
/// makes such weights in the graph, and ONNX Runtime does it once while loading. Done here, what comes of it stands in its layer like
/// any other weight.

extension Graph {
    /// Evaluates arithmetic on floating-point initializers whose results layers read as weights, here and in subgraphs, where the file
    /// does not grow by it: what stores weights in fewer numbers than they are stays as it is.
    ///
    /// Half-precision and quantized weights that are only rearranged stay what they are, in front of their Cast or DequantizeLinear.
    mutating func foldConstantExpressions() {
        var names = NameSupply(self)
        foldConstantExpressions(&names)
    }

    /// - Parameter names: those of the whole model, so that no name hides one outside.
    private mutating func foldConstantExpressions(_ names: inout NameSupply) {
        for index in nodes.indices {
            for position in nodes[index].attributes.indices {
                switch nodes[index].attributes[position].value {
                case .graph(var body):
                    body.foldConstantExpressions(&names)
                    nodes[index].attributes[position].value = .graph(body)
                case .graphs(let bodies):
                    nodes[index].attributes[position].value = .graphs(
                        bodies.map { body in
                            var body = body
                            body.foldConstantExpressions(&names)
                            return body
                        })
                default: break
                }
            }
        }
        let expressions = ConstantExpressions(self).foldable
        if !expressions.isEmpty { fold(expressions, &names) }
    }

    private mutating func fold(_ expressions: [ConstantExpression], _ names: inout NameSupply) {
        let listed = Set(inputs.map(\.name))
        var decoders: [Int: [Node]] = [:]
        var fed: [String] = []
        var dropped = Set<Int>()
        for expression in expressions {
            let first = expression.nodes.min() ?? 0
            let place = expression.leaves.compactMap { initializers.index(forKey: $0) }.min() ?? initializers.count
            for (offset, (name, value)) in expression.results.enumerated() {
                var stored = name
                if value.decoding == .none {
                    valueInfos[name] = nil
                } else {
                    stored = names.fresh("\(name)_stored")
                    decoders[first, default: []].append(decoder(of: value, from: stored, to: name, &names))
                }
                initializers.updateValue(value.tensor.renamed(stored), forKey: stored, insertingAt: min(place + offset, initializers.count))
            }
            dropped.formUnion(expression.nodes)
            for index in expression.nodes {
                fed += nodes[index].inputs
                for output in nodes[index].outputs where expression.results[output] == nil { valueInfos[output] = nil }
            }
        }
        nodes = nodes.indices.flatMap { index in (decoders[index] ?? []) + (dropped.contains(index) ? [] : [nodes[index]]) }
        let left = GraphIndex(self)
        for name in fed where left.useCount(name) == 0 && !listed.contains(name) {
            initializers[name] = nil
            constantNodes[name] = nil
        }
    }
}

extension Graph {
    /// The node that makes of a stored tensor what is read.
    private func decoder(of value: ConstantValue, from stored: String, to name: String, _ names: inout NameSupply) -> Node {
        guard case .dequantized(let number, let axis) = value.decoding else {
            var type = ElementType.float32
            if case .cast(let wider) = value.decoding { type = wider }
            return Node("Cast", name: names.fresh("\(name)_cast"), inputs: [stored], outputs: [name], attributes: [Attribute("to", .integer(Int(type.rawValue)))])
        }
        var node = nodes[number]
        node.inputs[0] = stored
        node.outputs = [name]
        if let axis { node.set("axis", .integer(axis)) }
        return node
    }
}

/// Nodes that compute something from initializers alone, and what comes of them.
struct ConstantExpression {
    var nodes: Set<Int>
    /// Initializers they read.
    var leaves: [String]
    /// Values that others read, in order.
    var results: OrderedDictionary<String, ConstantValue>
}

/// Finds constant expressions behind the weights of a graph.
private struct ConstantExpressions {
    private let graph: Graph
    private let index: GraphIndex
    private let listed: Set<String>

    init(_ graph: Graph) {
        self.graph = graph
        index = GraphIndex(graph)
        listed = Set(graph.inputs.map(\.name))
    }

    var foldable: [ConstantExpression] { groups().compactMap(expression) }

    /// Nodes that read nothing but initializers and one another, in groups that share values.
    private func groups() -> [[Int]] {
        var known: [String: Int?] = [:]
        for (name, tensor) in graph.initializers where !listed.contains(name) && tensor.elementType != .string { known[name] = .some(nil) }
        var owner: [Int: Int] = [:]
        func root(_ node: Int) -> Int {
            var node = node
            while let above = owner[node], above != node { node = above }
            return node
        }
        var firstReader: [String: Int] = [:]
        for (number, node) in graph.nodes.enumerated() {
            guard ConstantValue.operators.contains(node.opType), node.domain.isEmpty || node.domain == "ai.onnx", !node.inputs.isEmpty,
                node.inputs.allSatisfy({ $0.isEmpty || known[$0] != nil }), !node.outputs.contains(where: index.outputs.contains)
            else { continue }
            owner[number] = number
            func join(_ other: Int) {
                let (a, b) = (root(other), root(number))
                owner[max(a, b)] = min(a, b)
            }
            for name in node.inputs where !name.isEmpty {
                if let maker = known[name] ?? nil {
                    join(maker)
                } else if let tensor = graph.initializers[name], tensor.count > 1, tensor.elementType.isFloatingPoint {
                    if let other = firstReader[name] { join(other) } else { firstReader[name] = number }
                }
            }
            for output in node.outputs where !output.isEmpty { known[output] = .some(number) }
        }
        return Dictionary(grouping: owner.keys, by: root).values.map { $0.sorted() }.sorted { $0[0] < $1[0] }
    }

    /// Makes numbers of fewer bits, which is how they are best stored.
    private func isDecoding(_ node: Node) -> Bool {
        node.opType == "Identity" || node.opType == "DequantizeLinear" || (node.opType == "Cast" && node.input(0).flatMap { graph.initializers[$0] }?.elementType != .float64)
    }

    /// What a group computes; `nil` where that is no weight, is not known for certain, or is larger than what the file holds.
    private func expression(_ group: [Int]) -> ConstantExpression? {
        let own = Set(group)
        let made = group.flatMap { graph.nodes[$0].outputs }.filter { name in (index.consumers[name] ?? []).contains { !own.contains($0) } }
        guard made.contains(where: { graph.readsAsWeight($0) }), group.contains(where: { !isDecoding(graph.nodes[$0]) }),
            !made.contains(where: { graph.computedWeight($0, producer: { index.producer[$0] }).map { $0.bits < 16 } ?? false })
        else { return nil }
        let leaves = Set(group.flatMap { graph.nodes[$0].inputs }).filter { graph.initializers[$0] != nil }
        let freed = leaves.filter { (index.consumers[$0] ?? []).allSatisfy(own.contains) && !index.outputs.contains($0) }
        var limit = 1 << 16
        for name in leaves { limit += min(graph.initializers[name]?.count ?? 0, 1 << 40) }
        var values: [String: ConstantValue] = [:]
        for number in group {
            let node = graph.nodes[number]
            let operands = node.inputs.map { name -> ConstantValue? in values[name] ?? graph.initializers[name].map { ConstantValue(tensor: $0) } }
            guard let results = ConstantValue.evaluate(node, number: number, operands, limit: limit), results.count == node.outputs.count else { return nil }
            for (name, result) in zip(node.outputs, results) { values[name] = result }
        }
        var results: OrderedDictionary<String, ConstantValue> = [:]
        for name in made {
            guard let value = values[name], value.tensor.count > 0 else { return nil }
            results[name] = value
        }
        // Dimensions are no weights, and weigh nothing.
        func isExtent(_ tensor: Tensor) -> Bool { [.int64, .int32].contains(tensor.elementType) && tensor.count <= 64 }
        guard results.contains(where: { !isExtent($1.tensor) && graph.readsAsWeight($0) }) else { return nil }
        let before = freed.reduce(0) { $0 + (graph.initializers[$1]?.storage.byteCount ?? 0) }
        guard results.values.reduce(0, { $0 + (isExtent($1.tensor) ? 0 : $1.tensor.storage.byteCount) }) <= before else { return nil }
        return ConstantExpression(nodes: own, leaves: leaves.sorted(), results: results)
    }
}

extension Graph {
    /// Whether a layer of this graph or of one inside reads a value as its weight.
    func readsAsWeight(_ value: String) -> Bool {
        nodes.contains { node in
            switch node.opType {
            case "Conv", "ConvTranspose", "Gemm": node.input(1) == value
            case "MatMul": node.inputs.contains(value)
            case "LSTM", "GRU", "RNN": node.input(1) == value || node.input(2) == value
            case "Gather": node.input(0) == value
            default: node.subgraphs.contains { $0.graph.readsAsWeight(value) }
            }
        }
    }
}
