import ModelGraph

/// Which nodes read which constants, over a model's graphs and subgraphs: a tied weight may only be rewritten in place
/// if all its readers are rewritten alike.
package struct WeightReaders {
    /// An initializer by its graph and name.
    package struct Place: Hashable, Sendable {
        package var owner: GraphPath
        package var name: String

        package init(owner: GraphPath, name: String) {
            self.owner = owner
            self.name = name
        }
    }

    package struct Reader: Hashable, Sendable {
        package let path: GraphPath
        /// Index of the node; −1 for an output of the graph.
        package let node: Int
    }

    package private(set) var readers: [Place: [Reader]] = [:]

    package init(_ model: Model) {
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
    package func areAll(of place: Place, among nodes: Set<Reader>) -> Bool { readers[place, default: []].allSatisfy(nodes.contains) }
}

extension Layer {
    package var reader: WeightReaders.Reader { WeightReaders.Reader(path: path, node: nodeIndex) }

    /// Main and further weight matrices, by name.
    package var weightNames: [String] { [weight] + otherWeights }
}

extension Model {
    /// Where a constant that a layer reads is kept.
    package func place(of name: String, readBy layer: Layer) -> WeightReaders.Place? {
        initializer(name, from: layer.path).map { WeightReaders.Place(owner: $0.owner, name: name) }
    }
}
