extension Graph {
    /// The graph with a prefix before every name of a node, value or initializer, subgraphs included, so that it can stand beside itself.
    /// - Parameter keeping: names that stay, such as inputs that both are to read.
    public func prefixed(_ prefix: String, keeping: Set<String>) -> Graph {
        func name(_ old: String) -> String { old.isEmpty || keeping.contains(old) ? old : prefix + old }
        func info(_ old: ValueInfo) -> ValueInfo {
            var info = old
            info.name = name(old.name)
            return info
        }
        var result = self
        result.inputs = inputs.map(info)
        result.outputs = outputs.map(info)
        result.initializers = [:]
        for (old, tensor) in initializers { result.initializers[name(old)] = tensor.renamed(name(old)) }
        result.valueInfos = [:]
        for (old, value) in valueInfos { result.valueInfos[name(old)] = info(value) }
        result.sparseForms = Dictionary(sparseForms.map { (name($0), $1) }, uniquingKeysWith: { first, _ in first })
        result.sparseSources = [:]
        result.constantNodes = Dictionary(constantNodes.map { (name($0), $1) }, uniquingKeysWith: { first, _ in first })
        for index in result.preserved.sparseInitializer.indices {
            let old = result.preserved.sparseInitializer[index].values.name
            result.preserved.sparseInitializer[index].values.name = name(old)
        }
        for index in result.nodes.indices {
            let node = nodes[index]
            result.nodes[index].name = node.name.isEmpty ? "" : prefix + node.name
            result.nodes[index].inputs = node.inputs.map(name)
            result.nodes[index].outputs = node.outputs.map(name)
            for place in node.attributes.indices {
                switch node.attributes[place].value {
                case .graph(let body): result.nodes[index].attributes[place].value = .graph(body.prefixed(prefix, keeping: keeping))
                case .graphs(let bodies): result.nodes[index].attributes[place].value = .graphs(bodies.map { $0.prefixed(prefix, keeping: keeping) })
                default: break
                }
            }
        }
        return result
    }
}
