/// Collects edits of a model's graphs and carries them out together, so that node positions stay valid meanwhile.
///
/// Nodes that depend on constants only go to the front of their graph; others are placed before or after a node.
package struct GraphEditor {
    package private(set) var model: Model
    private var names: NameSupply
    private var front: [GraphPath: [Node]] = [:]
    private var before: [GraphPath: [Int: [Node]]] = [:]
    private var after: [GraphPath: [Int: [Node]]] = [:]
    /// Constants by path and content, made once.
    private var constants: [String: String] = [:]
    private var serial = 0

    package init(_ model: Model) {
        self.model = model
        names = NameSupply(model.graph)
    }

    /// A name not yet in use, `base` if free.
    package mutating func fresh(_ base: String) -> String { names.fresh(base) }

    /// A short name for a value nobody will look for.
    package mutating func scratch() -> String {
        serial += 1
        return names.fresh("_q\(serial)")
    }

    /// The graph at a path as it was when the editor was made, with the replacements so far.
    package func graph(_ path: GraphPath) -> Graph { model.graph[path] ?? model.graph }

    /// Adds an initializer under a name made from `base`.
    @discardableResult
    package mutating func add(_ tensor: Tensor, _ base: String, at path: GraphPath) -> String {
        let name = names.fresh(base)
        insert(tensor.renamed(name), at: path)
        return name
    }

    /// A constant that many nodes may share.
    package mutating func constant(_ tensor: Tensor, at path: GraphPath) -> String { share(tensor, nil, at: path) }

    /// Adds an initializer under a name made from `base`, or gives the name of an equal one that is there.
    package mutating func share(_ tensor: Tensor, _ base: String?, at path: GraphPath) -> String {
        let key = "\(path)\(tensor.contentHash)"
        if let known = constants[key] { return known }
        // Codes of a table that another step, or another form of the same layer's weight, has put there.
        if base != nil, let known = model.graph[path]?.initializers.values.first(where: { $0.isEqual(to: tensor) }) {
            return known.name
        }
        if base == nil { serial += 1 }
        let name = add(tensor, base ?? "_q\(serial)", at: path)
        constants[key] = name
        return name
    }

    private mutating func insert(_ tensor: Tensor, at path: GraphPath) {
        guard !path.isMain else {
            model.graph.initializers[tensor.name] = tensor
            return
        }
        guard var graph = model.graph[path] else { return }
        graph.initializers[tensor.name] = tensor
        model.graph[path] = graph
    }

    /// Adds a node that reads constants and earlier front nodes only.
    package mutating func addFront(_ node: Node, at path: GraphPath) { front[path, default: []].append(node) }

    package mutating func add(_ node: Node, before index: Int, at path: GraphPath = .main) { before[path, default: [:]][index, default: []].append(node) }

    package mutating func add(_ node: Node, after index: Int, at path: GraphPath = .main) { after[path, default: [:]][index, default: []].append(node) }

    /// Changes a node in place; its position stays.
    package mutating func edit(_ index: Int, at path: GraphPath, _ change: (inout Node) -> Void) {
        if path.isMain {
            change(&model.graph.nodes[index])
        } else if var graph = model.graph[path] {
            change(&graph.nodes[index])
            model.graph[path] = graph
        }
    }

    package mutating func require(domain: String, version: Int) { model.requireOpset(domain: domain, version: version) }

    package mutating func requireIRVersion(_ version: Int) { model.irVersion = max(model.irVersion, version) }

    /// The model with all edits made.
    package mutating func finish() -> Model {
        // Inner graphs first: inserting nodes into an outer graph moves the nodes that hold them.
        let paths = Set(front.keys).union(before.keys).union(after.keys)
        for path in paths.sorted(by: { $0.steps.count > $1.steps.count }) {
            guard var graph = model.graph[path] else { continue }
            var nodes = front[path] ?? []
            nodes.reserveCapacity(graph.nodes.count + nodes.count)
            for (index, node) in graph.nodes.enumerated() {
                nodes += before[path]?[index] ?? []
                nodes.append(node)
                nodes += after[path]?[index] ?? []
            }
            graph.nodes = nodes
            model.graph[path] = graph
        }
        front = [:]
        before = [:]
        after = [:]
        return model
    }
}

extension Node {
    /// A scratch operator of the standard domain with one output.
    package static func op(
        _ type: String, _ inputs: [String], _ output: String, domain: String = "", _ attributes: [Attribute] = []
    ) -> Node {
        Node(type, domain: domain, inputs: inputs, outputs: [output], attributes: attributes)
    }

    package static func cast(_ input: String, _ output: String, to type: ElementType) -> Node {
        op("Cast", [input], output, [Attribute("to", .integer(Int(type.rawValue)))])
    }
}
