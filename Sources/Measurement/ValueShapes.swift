import ModelGraph

/// Shapes and element types of a model's intermediate values at one input size, read by running the model.
public struct ValueShapes: Sendable {
    public struct Value: Sendable {
        public var dims: [Int]
        public var elementType: ElementType

        public init(dims: [Int], elementType: ElementType) {
            self.dims = dims
            self.elementType = elementType
        }

        public var count: Int { dims.reduce(1, *) }
        /// Bytes in memory.
        public var byteCount: Int { elementType.byteCount(of: count) ?? 0 }
    }

    public var values: [String: Value]

    public init(_ values: [String: Value]) { self.values = values }

    public subscript(name: String) -> Value? { values[name] }

    public var dims: [String: [Int]] { values.mapValues(\.dims) }
}

extension Graph {
    /// Adds to a hash all that shapes depend on: nodes, attributes, and types and extents of initializers; small
    /// integer initializers by value, since they may be shapes and axes.
    func combineStructure(into hash: inout ContentHash) {
        for info in inputs {
            hash.combine(info.name)
            hash.combine("\(info.shape ?? [])")
        }
        for node in nodes {
            hash.combine(node.domain + "." + node.opType)
            for name in node.inputs + ["→"] + node.outputs { hash.combine(name) }
            for attribute in node.attributes {
                hash.combine(attribute.name)
                switch attribute.value {
                case .tensor(let tensor): hash.combine(tensor.contentHash)
                case .graph(let body): body.combineStructure(into: &hash)
                case .graphs(let bodies): for body in bodies { body.combineStructure(into: &hash) }
                default: hash.combine("\(attribute.value)")
                }
            }
        }
        for tensor in initializers.values {
            hash.combine(tensor.name)
            hash.combine("\(tensor.elementType) \(tensor.dims)")
            if !tensor.elementType.isFloatingPoint, tensor.count <= 64 { hash.combine(tensor.contentHash) }
        }
        for output in outputs { hash.combine(output.name) }
    }
}

extension Model {
    /// Equal for models whose intermediate shapes are equal.
    public var structureHash: ContentHash {
        var hash = ContentHash()
        hash.combine(opset)
        graph.combineStructure(into: &hash)
        return hash
    }

    /// Hash of everything that decides what the model computes, and of how its file leaves zeros out.
    public var contentHash: ContentHash {
        var hash = structureHash
        forEachInitializer { _, tensor in hash.combine(tensor.contentHash) }
        for path in graph.graphPaths() {
            for (name, form) in (graph[path]?.sparseForms ?? [:]).sorted(by: { $0.key < $1.key }) { hash.combine("\(name) \(form.rawValue)") }
        }
        return hash
    }
}
