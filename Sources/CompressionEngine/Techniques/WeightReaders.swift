import ModelGraph

/// Which nodes read which constants, over a model's graphs and subgraphs: a tied weight may only be rewritten in place
/// if all its readers are rewritten alike.
struct WeightReaders {
    /// An initializer by its graph and name.
    struct Place: Hashable, Sendable {
        var owner: GraphPath
        var name: String
    }

    struct Reader: Hashable, Sendable {
        var path: GraphPath
        /// Index of the node; −1 for an output of the graph.
        var node: Int
    }

    private(set) var readers: [Place: [Reader]] = [:]

    init(_ model: Model) {
        for path in model.graph.graphPaths() {
            guard let graph = model.graph[path] else { continue }
            for (index, node) in graph.nodes.enumerated() {
                for name in Set(node.inputs) where !name.isEmpty { add(name, Reader(path: path, node: index), model, graph) }
            }
            for output in graph.outputs { add(output.name, Reader(path: path, node: -1), model, graph) }
        }
    }

    private mutating func add(_ name: String, _ reader: Reader, _ model: Model, _ graph: Graph) {
        if graph.initializers[name] != nil {
            readers[Place(owner: reader.path, name: name), default: []].append(reader)
        } else if !reader.path.isMain, let found = model.initializer(name, from: reader.path) {
            readers[Place(owner: found.owner, name: name), default: []].append(reader)
        }
    }

    /// Whether every reader of a constant is among `nodes`.
    func areAll(of place: Place, among nodes: Set<Reader>) -> Bool { readers[place, default: []].allSatisfy(nodes.contains) }
}

extension Layer {
    var reader: WeightReaders.Reader { WeightReaders.Reader(path: path, node: nodeIndex) }

    /// Main and further weight matrices, by name.
    var weightNames: [String] { [weight] + otherWeights }
}

extension Model {
    /// Where a constant that a layer reads is kept.
    func place(of name: String, readBy layer: Layer) -> WeightReaders.Place? {
        initializer(name, from: layer.path).map { WeightReaders.Place(owner: $0.owner, name: name) }
    }
}
