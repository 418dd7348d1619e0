import ModelGraph
import Techniques

/// One node of the chain that takes a layer's place.
package struct FactorLink: Sendable {
    package enum Operand: Sendable {
        /// A factor, stored in the floating-point type of the layer's weight.
        case weight([Float], dims: [Int])
        /// The shape that a Reshape reads.
        case shape([Int])
        /// A constant of the layer's own, by name: a bias that an Add takes over.
        case named(String)
        case none
    }

    /// Behind the layer's id in the node's name, and behind the weight's in the operand's.
    package var suffix: String
    /// Operator and attributes; the names are filled in.
    package var node: Node
    package var operand: Operand
    /// Whether the operand comes before the value that flows through the chain.
    package var operandFirst = false

    package init(suffix: String, node: Node, operand: Operand, operandFirst: Bool = false) {
        self.suffix = suffix
        self.node = node
        self.operand = operand
        self.operandFirst = operandFirst
    }
}

/// Names of new values and initializers, and the factors already stored: nodes that share a weight share its factors.
struct FactorNames {
    private struct Stored: Hashable {
        var place: WeightReaders.Place
        var factors: [String]
    }

    private var supply: NameSupply
    private var stored: [Stored: [String?]] = [:]

    init(_ graph: Graph) { supply = NameSupply(graph) }

    mutating func fresh(_ base: String) -> String { supply.fresh(base) }

    /// Adds the operands of a chain beside the weight it replaces, or finds them there.
    /// - Returns: for each link the name of its operand, `nil` for none.
    mutating func store(_ links: [FactorLink], of weight: Tensor, owner: GraphPath, in model: inout Model) -> [String?] {
        let key = Stored(place: .init(owner: owner, name: weight.name), factors: links.map { "\($0.suffix) \($0.form)" })
        if let known = stored[key] { return known }
        guard var graph = model.graph[owner] else { return links.map { _ in nil } }
        let names = links.map { link -> String? in
            let name: String
            switch link.operand {
            case .none: return nil
            case .named(let known): return known
            case .weight(let values, let dims):
                name = supply.fresh(weight.name + "/" + link.suffix)
                graph.initializers[name] = Tensor(like: weight, name: name, floats: values, dims: dims)
            case .shape(let extents):
                name = supply.fresh(weight.name + "/" + link.suffix)
                graph.initializers[name] = Tensor(name: name, int64s: extents.map(Int64.init), dims: [extents.count])
            }
            return name
        }
        model.graph[owner] = graph
        stored[key] = names
        return names
    }
}

extension FactorLink {
    /// Tells the operands of two chains of one weight apart.
    fileprivate var form: String {
        switch operand {
        case .weight(_, let dims): "\(dims)"
        case .shape(let extents): "shape \(extents)"
        case .named(let name): name
        case .none: ""
        }
    }
}

extension Tensor {
    /// A tensor of another's floating-point type.
    package init(like other: Tensor, name: String, floats: [Float], dims: [Int]) {
        let plain = Tensor(name: name, floats: floats, dims: dims)
        if other.elementType == .float32 {
            self = plain
        } else {
            self = other.withFloats(floats, dims: dims).renamed(name)
        }
    }
}

/// Puts a chain of nodes in the place of one. They are named `<id>/<suffix>`; the last makes the value that the layer made,
/// under the same name.
struct FactorChain {
    var layer: Layer
    var links: [FactorLink]

    func insert(into model: inout Model, names: inout FactorNames) throws {
        guard !links.isEmpty, model.graph[layer.path] != nil, let (tensor, owner) = model.initializer(layer.weight, from: layer.path) else { return }
        let operands = names.store(links, of: tensor, owner: owner, in: &model)
        guard var graph = model.graph[layer.path] else { return }
        let node = graph.nodes[layer.nodeIndex]
        var value = node.inputs[node.input(1) == layer.weight ? 0 : 1]
        var chain: [Node] = []
        for (index, link) in links.enumerated() {
            var next = link.node
            next.name = layer.id + "/" + link.suffix
            next.inputs = [value]
            if let operand = operands[index] { next.inputs.insert(operand, at: link.operandFirst ? 0 : 1) }
            if index == links.count - 1 {
                // A bias belongs to the sum, so to the last node.
                if [node.opType, "Conv", "ConvTranspose", "Gemm"].contains(next.opType) { next.inputs += node.inputs.dropFirst(2) }
                next.outputs = node.outputs
            } else {
                value = names.fresh(next.name + "_output")
                next.outputs = [value]
            }
            chain.append(next)
        }
        graph.nodes.replaceSubrange(layer.nodeIndex...layer.nodeIndex, with: chain)
        model.graph[layer.path] = graph
    }
}
