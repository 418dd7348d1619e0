/// Where a graph sits inside a model: a chain of nodes and their attributes from the main graph down.
public struct GraphPath: Hashable, Sendable {
    public struct Step: Hashable, Sendable {
        public var node: Int
        public var attribute: Int
        /// Position inside a `graphs` attribute; 0 for a single graph.
        public var position: Int
    }

    public var steps: [Step]

    public static let main = GraphPath(steps: [])
    public var isMain: Bool { steps.isEmpty }
}

extension Graph {
    /// Paths of this graph and all graphs inside it, outermost first.
    public func graphPaths(from base: GraphPath = .main) -> [GraphPath] {
        var paths = [base]
        for (nodeIndex, node) in nodes.enumerated() {
            for (attributeIndex, attribute) in node.attributes.enumerated() {
                let bodies: [Graph]
                switch attribute.value {
                case .graph(let body): bodies = [body]
                case .graphs(let several): bodies = several
                default: continue
                }
                for (position, body) in bodies.enumerated() {
                    let step = GraphPath.Step(node: nodeIndex, attribute: attributeIndex, position: position)
                    paths += body.graphPaths(from: GraphPath(steps: base.steps + [step]))
                }
            }
        }
        return paths
    }

    /// The graph at a path, or `nil` if the path leads nowhere.
    public subscript(path: GraphPath) -> Graph? {
        get { self[path.steps[...]] }
        set { if let newValue { replace(path.steps[...], newValue) } }
    }

    private subscript(steps: ArraySlice<GraphPath.Step>) -> Graph? {
        guard let step = steps.first else { return self }
        return body(step)?[steps.dropFirst()]
    }

    private func body(_ step: GraphPath.Step) -> Graph? {
        guard nodes.indices.contains(step.node), nodes[step.node].attributes.indices.contains(step.attribute) else { return nil }
        switch nodes[step.node].attributes[step.attribute].value {
        case .graph(let body): return body
        case .graphs(let bodies): return bodies.indices.contains(step.position) ? bodies[step.position] : nil
        default: return nil
        }
    }

    private mutating func replace(_ steps: ArraySlice<GraphPath.Step>, _ graph: Graph) {
        guard let step = steps.first else {
            self = graph
            return
        }
        guard var body = body(step) else { return }
        body.replace(steps.dropFirst(), graph)
        switch nodes[step.node].attributes[step.attribute].value {
        case .graphs(var bodies):
            bodies[step.position] = body
            nodes[step.node].attributes[step.attribute].value = .graphs(bodies)
        default:
            nodes[step.node].attributes[step.attribute].value = .graph(body)
        }
    }
}

extension Model {
    /// The initializer a name means inside the graph at `path`, looked up outwards, with the path of its owner.
    public func initializer(_ name: String, from path: GraphPath) -> (tensor: Tensor, owner: GraphPath)? {
        var path = path
        while true {
            if let graph = graph[path] {
                if let tensor = graph.initializers[name] { return (tensor, path) }
                // What a body is handed hides what is called the same outside.
                if !path.isMain, graph.inputs.contains(where: { $0.name == name }) { return nil }
            }
            guard !path.steps.isEmpty else { return nil }
            path.steps.removeLast()
        }
    }

    /// Every initializer of the model with the path of its graph, main graph first.
    public func forEachInitializer(_ body: (GraphPath, Tensor) throws -> Void) rethrows {
        for path in graph.graphPaths() {
            guard let graph = graph[path] else { continue }
            for tensor in graph.initializers.values { try body(path, tensor) }
        }
    }
}
