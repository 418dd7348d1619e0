/// Exporters of loops leave arithmetic on weights in the body, where it would be done again every pass: the Transpose of a recurrent
/// cell's matrix, say. In front of the loop it is an expression of constants like any other.

extension Graph {
    /// Moves nodes out of subgraphs that make a layer's weight of initializers outside.
    mutating func hoistWeightArithmetic() {
        var names = NameSupply(self)
        hoistWeightArithmetic(outer: [], &names)
    }

    /// - Parameters:
    ///   - outer: initializers of the enclosing graphs that are seen here.
    ///   - names: those of the whole model, so that no name hides one outside.
    private mutating func hoistWeightArithmetic(outer: Set<String>, _ names: inout NameSupply) {
        guard nodes.contains(where: { !$0.subgraphs.isEmpty }) else { return }
        let listed = Set(inputs.map(\.name))
        let visible = outer.subtracting(listed).union(initializers.keys.filter { !listed.contains($0) })
        var result: [Node] = []
        var hasMoved = false
        for var node in nodes {
            var moved: [Node] = []
            for position in node.attributes.indices {
                switch node.attributes[position].value {
                case .graph(var body):
                    moved += hoist(from: &body, visible, &names)
                    node.attributes[position].value = .graph(body)
                case .graphs(var bodies):
                    for index in bodies.indices { moved += hoist(from: &bodies[index], visible, &names) }
                    node.attributes[position].value = .graphs(bodies)
                default: break
                }
            }
            hasMoved = hasMoved || !moved.isEmpty
            result += moved + [node]
        }
        guard hasMoved else { return }
        nodes = result
        // A weight that a Loop only handed round for such a node.
        removeIdleLoopValues()
    }

    private mutating func hoist(from body: inout Graph, _ visible: Set<String>, _ names: inout NameSupply) -> [Node] {
        let own = Set(body.inputs.map(\.name) + body.nodes.flatMap(\.outputs)).union(body.initializers.keys)
        body.hoistWeightArithmetic(outer: visible.subtracting(own), &names)
        let index = GraphIndex(body)
        let small = Set(body.initializers.values.filter { $0.count <= 64 }.map(\.name))
        var fixed = Set<String>()
        var candidates: [Int] = []
        for (number, node) in body.nodes.enumerated() where ConstantValue.operators.contains(node.opType) && node.opType != "DequantizeLinear" {
            guard node.domain.isEmpty || node.domain == "ai.onnx", !node.outputs.contains(where: index.outputs.contains) else { continue }
            func isOutside(_ name: String) -> Bool { fixed.contains(name) || visible.contains(name) && !own.contains(name) }
            // Axes, shapes and factors go along.
            func isSmall(_ name: String) -> Bool { small.contains(name) }
            guard node.inputs.allSatisfy({ $0.isEmpty || isOutside($0) || isSmall($0) }), node.inputs.contains(where: isOutside) else { continue }
            fixed.formUnion(node.outputs)
            candidates.append(number)
        }
        // Of these what ends in a weight, and is more than another name or type for it.
        var wanted = Set(candidates.flatMap { body.nodes[$0].outputs }.filter { body.readsAsWeight($0) })
        var chosen = Set<Int>()
        for number in candidates.reversed() where body.nodes[number].outputs.contains(where: wanted.contains) {
            chosen.insert(number)
            wanted.formUnion(body.nodes[number].inputs)
        }
        guard chosen.contains(where: { !["Identity", "Cast"].contains(body.nodes[$0].opType) }) else { return [] }

        var renamed: [String: String] = [:]
        var moved: [Node] = []
        for number in candidates where chosen.contains(number) {
            var node = body.nodes[number]
            node.inputs = node.inputs.map { name in
                if let known = renamed[name] { return known }
                guard let tensor = body.initializers[name] else { return name }
                let fresh = names.fresh(name)
                initializers[fresh] = tensor.renamed(fresh)
                renamed[name] = fresh
                return fresh
            }
            for output in node.outputs where !output.isEmpty {
                renamed[output] = names.fresh(output)
                body.valueInfos[output] = nil
            }
            node.outputs = node.outputs.map { renamed[$0] ?? $0 }
            moved.append(node)
        }
        body.nodes = body.nodes.indices.filter { !chosen.contains($0) }.map { body.nodes[$0] }
        body.replaceReads(renamed.filter { body.initializers[$0.key] == nil })
        return moved
    }

    /// Turns the Shape of an initializer into a constant, here and in subgraphs: what keeps a weight for its dimensions alone keeps it no longer, and
    /// what is computed from them is known.
    /// - Parameter outer: initializers of the enclosing graphs that are seen here.
    mutating func foldShapesOfInitializers(outer: [String: Tensor] = [:]) {
        let (listed, made) = (Set(inputs.map(\.name)), Set(outputs.map(\.name)))
        var visible = outer.filter { !listed.contains($0.key) }
        for (name, tensor) in initializers { visible[name] = listed.contains(name) ? nil : tensor }
        var read: [String] = []
        nodes = nodes.compactMap { node in
            var node = node
            for position in node.attributes.indices {
                switch node.attributes[position].value {
                case .graph(var body):
                    body.foldShapesOfInitializers(outer: visible)
                    node.attributes[position].value = .graph(body)
                case .graphs(var bodies):
                    for index in bodies.indices { bodies[index].foldShapesOfInitializers(outer: visible) }
                    node.attributes[position].value = .graphs(bodies)
                default: break
                }
            }
            guard node.isStandard("Shape"), node.outputs.count == 1, !made.contains(node.outputs[0]), let tensor = node.input(0).flatMap({ visible[$0] }) else { return node }
            let rank = tensor.dims.count
            func bound(_ value: Int) -> Int { min(max(value < 0 ? value + rank : value, 0), rank) }
            let (start, end) = (bound(node.int("start") ?? 0), bound(node.int("end") ?? rank))
            let extents = start < end ? Array(tensor.dims[start..<end]) : []
            initializers[node.outputs[0]] = Tensor(name: node.outputs[0], int64s: extents.map(Int64.init), dims: [extents.count])
            valueInfos[node.outputs[0]] = nil
            read.append(node.inputs[0])
            return nil
        }
        guard !read.isEmpty else { return }
        let index = GraphIndex(self)
        for name in read where initializers[name] != nil && index.useCount(name) == 0 {
            initializers[name] = nil
            constantNodes[name] = nil
        }
    }
}
