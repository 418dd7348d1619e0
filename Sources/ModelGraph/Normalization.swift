import Foundation
import OrderedCollections

// Real files keep weights in Constant nodes, behind Identity, or listed among the graph's inputs. Here they all become
// initializers, so that every technique sees one form.

extension Model {
    /// Brings constants to one form in the main graph and every subgraph: `Constant` nodes become initializers
    /// (restored on writing), and an `Identity` of an initializer gives way to the initializer itself. Matrix products written as Einsum
    /// become MatMul.
    ///
    /// The Shape of an initializer is a constant, and arithmetic on weights in the body of a loop is moved in front of it.
    ///
    /// A weight that only reaches its layer through a Transpose or Reshape, or by having its gates put into another order, is stored as
    /// the layer reads it; one behind QuantizeLinear and DequantizeLinear as its integers; one that arithmetic makes of initializers as its
    /// result, where that is no larger.
    mutating func normalizeConstants() {
        graph.normalizeConstants(outer: [:])
        // Before IR version 4 initializers must be inputs as well, which says nothing of them: they are constants. Later on it means
        // that callers may put others in their place.
        let inputs = graph.inputs
        if irVersion < 4 { graph.inputs = graph.requiredInputs }
        let (before, written) = (Set(graph.initializers.keys), Set(graph.constantNodes.keys))
        graph.foldShapesOfInitializers()
        graph.hoistWeightArithmetic()
        graph.foldQuantizedWeights()
        graph.unfoldEinsums()
        graph.foldWeightLayouts()
        graph.foldGateOrder()
        graph.foldUnitAxes()
        graph.foldConstantExpressions()
        guard irVersion < 4 else { return }
        graph.inputs = inputs.filter { before.contains($0.name) ? graph.initializers[$0.name] != nil : true }
        // What comes of Constant nodes, or of arithmetic, goes back to such nodes.
        let listed = Set(graph.inputs.map(\.name))
        for name in graph.initializers.keys where !listed.contains(name) && graph.constantNodes[name] == nil && (!before.contains(name) || written.contains(name)) {
            graph.constantNodes[name] = Node("Constant", inputs: [], outputs: [name])
        }
    }

    /// The model with the constants that came from `Constant` nodes put back into such nodes.
    func restoringConstants() -> Model {
        var model = self
        model.graph.restoreConstants()
        return model
    }
}

extension Graph {
    mutating func normalizeConstants(outer: [String: String]) {
        let outputNames = Set(outputs.map(\.name))
        // Old name → initializer to read instead, from Identity nodes here and in enclosing graphs.
        var aliases = outer
        var kept: [Node] = []
        kept.reserveCapacity(nodes.count)
        for var node in nodes {
            if node.isStandard("Constant"), node.outputs.count == 1, !outputNames.contains(node.outputs[0]),
                initializers[node.outputs[0]] == nil, let value = node.constantValue
            {
                constantNodes[node.outputs[0]] = node.withoutConstantValue
                initializers[node.outputs[0]] = value
                continue
            }
            node.inputs = node.inputs.map { aliases[$0] ?? $0 }
            if node.isStandard("Identity"), node.inputs.count == 1, node.outputs.count == 1,
                initializers[node.inputs[0]] != nil, !outputNames.contains(node.outputs[0])
            {
                aliases[node.outputs[0]] = node.inputs[0]
                continue
            }
            if node.isStandard("Loop") { separateCarriedNames(&node) }
            let invariants = node.isStandard("Loop") ? loopInvariants(node) : [:]
            for index in node.attributes.indices {
                switch node.attributes[index].value {
                case .graph(var body):
                    body.normalizeConstants(outer: aliases)
                    for position in body.nodes.indices { body.nodes[position].replaceReads(invariants) }
                    node.attributes[index].value = .graph(body)
                case .graphs(let bodies):
                    node.attributes[index].value = .graphs(
                        bodies.map { body in
                            var body = body
                            body.normalizeConstants(outer: aliases)
                            return body
                        })
                default: break
                }
            }
            kept.append(node)
        }
        nodes = kept
    }

    /// Gives values that a Loop carries under the name of an initializer outside another name, so that each name means one thing.
    private func separateCarriedNames(_ node: inout Node) {
        guard let place = node.attributes.firstIndex(where: { $0.name == "body" }), case .graph(var body) = node.attributes[place].value,
            body.inputs.contains(where: { initializers[$0.name] != nil })
        else { return }
        var names = NameSupply(self)
        var renamed: [String: String] = [:]
        for position in body.inputs.indices where initializers[body.inputs[position].name] != nil {
            let name = body.inputs[position].name
            renamed[name] = names.fresh("\(name)_carried")
            body.inputs[position].name = renamed[name] ?? name
        }
        for position in body.outputs.indices { body.outputs[position].name = renamed[body.outputs[position].name] ?? body.outputs[position].name }
        body.replaceReads(renamed)
        node.attributes[place].value = .graph(body)
    }

    /// Weights that a Loop hands round unchanged: name inside the body → initializer outside. The loop keeps carrying
    /// them; only readers inside look past it, so that the weights are seen as what they are.
    private func loopInvariants(_ node: Node) -> [String: String] {
        guard case .graph(let body)? = node.attribute("body"), body.outputs.count >= node.inputs.count - 1 else { return [:] }
        let inside = body.allNames()
        var producers: [String: Node] = [:]
        for inner in body.nodes { for output in inner.outputs { producers[output] = inner } }
        var invariants: [String: String] = [:]
        // Inputs: trip count, condition, carried values; body inputs: iteration, condition, carried values; body
        // outputs: condition, carried values, scanned values.
        for position in node.inputs.indices.dropFirst(2) where body.inputs.indices.contains(position) {
            let outer = node.inputs[position]
            guard initializers[outer] != nil, !inside.contains(outer) else { continue }
            let name = body.inputs[position].name
            let handed = body.outputs[position - 1].name
            let unchanged = handed == name || producers[handed].map { $0.isStandard("Identity") && $0.inputs == [name] } ?? false
            if unchanged { invariants[name] = outer }
        }
        return invariants
    }

    mutating func restoreConstants() {
        var restored: [Node] = []
        // Sorted into file order by the initializers' own order, so that the same graph gives the same bytes.
        for (name, tensor) in initializers {
            guard var node = constantNodes[name] else { continue }
            node.set("value", .tensor(tensor.renamed(tensor.preserved.name)))
            node.outputs = [name]
            restored.append(node)
        }
        for node in restored { initializers[node.outputs[0]] = nil }
        nodes = restored + nodes
        constantNodes = [:]
        for index in nodes.indices {
            for position in nodes[index].attributes.indices {
                switch nodes[index].attributes[position].value {
                case .graph(var body):
                    body.restoreConstants()
                    nodes[index].attributes[position].value = .graph(body)
                case .graphs(let bodies):
                    nodes[index].attributes[position].value = .graphs(
                        bodies.map { body in
                            var body = body
                            body.restoreConstants()
                            return body
                        })
                default: break
                }
            }
        }
    }
}

extension Node {
    /// The tensor a `Constant` node makes, or `nil` for the forms that are left alone (sparse, strings).
    fileprivate var constantValue: Tensor? {
        let name = outputs[0]
        for attribute in attributes {
            switch (attribute.name, attribute.value) {
            case ("value", .tensor(let tensor)): return tensor.renamed(name)
            case ("value_float", .float(let value)): return Tensor(name: name, floats: [value], dims: [])
            case ("value_floats", .floats(let values)): return Tensor(name: name, floats: values, dims: [values.count])
            case ("value_int", .int(let value)): return Tensor(name: name, int64s: [value], dims: [])
            case ("value_ints", .ints(let values)): return Tensor(name: name, int64s: values, dims: [values.count])
            default: continue
            }
        }
        return nil
    }

    /// The node kept for writing: its name and documentation without the weights.
    fileprivate var withoutConstantValue: Node {
        var node = self
        node.attributes = node.attributes.filter { !$0.name.hasPrefix("value") }
        return node
    }
}
