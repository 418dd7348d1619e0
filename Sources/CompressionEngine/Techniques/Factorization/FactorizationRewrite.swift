import ModelGraph

/// Names of new values and initializers, and the factors already stored: nodes that share a weight share its factors.
struct FactorNames {
    private struct Stored: Hashable {
        var place: WeightReaders.Place
        var rank: Int
        var shapes: [[Int]]
    }

    private var supply: NameSupply
    private var stored: [Stored: (v: String, u: String)] = [:]

    init(_ graph: Graph) { supply = NameSupply(graph) }

    mutating func fresh(_ base: String) -> String { supply.fresh(base) }

    /// Adds both factors beside the weight they replace, or finds them there.
    mutating func store(
        _ first: (values: [Float], dims: [Int]), _ second: (values: [Float], dims: [Int]), rank: Int, of weight: Tensor, owner: GraphPath,
        in model: inout Model
    ) -> (v: String, u: String) {
        let key = Stored(
            place: WeightReaders.Place(owner: owner, name: weight.name), rank: rank, shapes: [first.dims, second.dims])
        if let known = stored[key] { return known }
        let names = (v: fresh(weight.name + "/svd_v"), u: fresh(weight.name + "/svd_u"))
        guard var graph = model.graph[owner] else { return names }
        graph.initializers[names.v] = Tensor(like: weight, name: names.v, floats: first.values, dims: first.dims)
        graph.initializers[names.u] = Tensor(like: weight, name: names.u, floats: second.values, dims: second.dims)
        model.graph[owner] = graph
        stored[key] = names
        return names
    }
}

extension Tensor {
    /// A tensor of another's floating-point type.
    init(like other: Tensor, name: String, floats: [Float], dims: [Int]) {
        let plain = Tensor(name: name, floats: floats, dims: dims)
        if other.elementType == .float32 {
            self = plain
        } else {
            self = other.withFloats(floats, dims: dims).renamed(name)
        }
    }
}

/// Puts two nodes in the place of one. The first is named `<id>/svd_v`, the second `<id>/svd_u`; the second makes the value that
/// the layer made, under the same name.
struct FactorizationRewrite {
    var layer: Layer
    var factors: Factors

    /// Where each factor goes and in what form.
    private struct Plan {
        var first: Node
        var second: Node
        var firstWeight: (values: [Float], dims: [Int])
        var secondWeight: (values: [Float], dims: [Int])
        /// Input of the first node that takes its weight; the other takes the layer's input.
        var weightPosition: Int
    }

    func apply(to model: inout Model, names: inout FactorNames) throws {
        guard var graph = model.graph[layer.path], let (tensor, owner) = model.initializer(layer.weight, from: layer.path) else { return }
        let node = graph.nodes[layer.nodeIndex]
        guard var plan = plan(node, opset: model.opset) else {
            throw EngineError(.technique, "\(layer.id): \(node.opType) of this form cannot be factorised")
        }
        let stored = names.store(plan.firstWeight, plan.secondWeight, rank: factors.rank, of: tensor, owner: owner, in: &model)
        if owner == layer.path, let updated = model.graph[layer.path] { graph = updated }
        let middle = names.fresh(layer.id + "/svd_v_output")
        let position = plan.weightPosition
        plan.first.name = layer.id + "/svd_v"
        plan.first.inputs = position == 0 ? [stored.v, node.inputs[1]] : [node.inputs[0], stored.v]
        plan.first.outputs = [middle]
        plan.second.name = layer.id + "/svd_u"
        plan.second.inputs = (position == 0 && layer.kind != .embedding ? [stored.u, middle] : [middle, stored.u])
        // A bias belongs to the sum, so to the last node.
        if node.opType != "MatMul", layer.kind != .embedding { plan.second.inputs += node.inputs.dropFirst(2) }
        plan.second.outputs = node.outputs
        graph.nodes.replaceSubrange(layer.nodeIndex...layer.nodeIndex, with: [plan.first, plan.second])
        model.graph[layer.path] = graph
    }

    private func plan(_ node: Node, opset: Int) -> Plan? {
        let rank = factors.rank
        let ones = [Int](repeating: 1, count: max(layer.weightShape.count - 2, 0))
        let onLeft = node.input(1) != layer.weight
        switch layer.kind {
        case .conv:
            var pointwise = Node("Conv", inputs: [], outputs: [])
            pointwise.set("kernel_shape", .integers(ones))
            return Plan(
                first: node, second: pointwise, firstWeight: (factors.right, [rank] + layer.weightShape.dropFirst()),
                secondWeight: (factors.left, [factors.rows, rank] + ones), weightPosition: 1)
        case .convTranspose:
            // Channels are reduced first, at the smaller resolution.
            var pointwise = Node("Conv", inputs: [], outputs: [])
            pointwise.set("kernel_shape", .integers(ones))
            return Plan(
                first: pointwise, second: node, firstWeight: (factors.leftTransposed, [rank, factors.rows] + ones),
                secondWeight: (factors.right, [rank] + layer.weightShape.dropFirst()), weightPosition: 1)
        case .embedding:
            return Plan(
                first: node, second: Node("MatMul", inputs: [], outputs: []), firstWeight: (factors.left, [factors.rows, rank]),
                secondWeight: (factors.right, [rank, factors.columns]), weightPosition: 0)
        case .matMul:
            return Plan(
                first: node, second: node, firstWeight: onLeft ? (factors.right, [rank, factors.columns]) : (factors.left, [factors.rows, rank]),
                secondWeight: onLeft ? (factors.left, [factors.rows, rank]) : (factors.right, [rank, factors.columns]),
                weightPosition: onLeft ? 0 : 1)
        case .gemm: return gemm(node, opset: opset, onLeft: onLeft)
        case .lstm, .gru, .rnn: return nil
        }
    }

    /// Gemm takes its weight transposed or not, on either side. Both factors keep the layer's form; before opset 11 Gemm
    /// insists on a bias, so that the first node is a MatMul.
    private func gemm(_ node: Node, opset: Int, onLeft: Bool) -> Plan {
        let rank = factors.rank
        let flag = onLeft ? "transA" : "transB"
        let inputFlag = onLeft ? "transB" : "transA"
        let transposed = node.int(flag) == 1
        let inputTransposed = node.int(inputFlag) == 1
        // On the left the product is W·X, whose right factor meets X first; transposition swaps them.
        let rightFirst = onLeft != transposed
        let left = (factors.left, [factors.rows, rank])
        let right = (factors.right, [rank, factors.columns])
        var first = Node("Gemm", inputs: [], outputs: [])
        var firstWeight = rightFirst ? right : left
        if opset >= 11 {
            if transposed { first.set(flag, .int(1)) }
            if inputTransposed { first.set(inputFlag, .int(1)) }
        } else {
            first = Node("MatMul", inputs: [], outputs: [])
            if transposed {
                firstWeight = rightFirst ? (factors.rightTransposed, [factors.columns, rank]) : (factors.leftTransposed, [rank, factors.rows])
            }
        }
        var second = node
        second.set(inputFlag, nil)
        return Plan(
            first: first, second: second, firstWeight: firstWeight, secondWeight: rightFirst ? left : right, weightPosition: onLeft ? 0 : 1)
    }
}
