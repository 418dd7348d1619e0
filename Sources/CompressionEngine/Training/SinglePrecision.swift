import ModelGraph

/// A model that computes in single precision what it computed in double or half: what training differentiates. The model that is written keeps
/// its types.
enum SinglePrecision {
    /// The model with doubles and halves of its main graph as floats; itself where it computes in none. Inputs keep their type and are cast.
    static func lowered(_ model: Model) -> Model {
        let graph = model.graph
        let types = [ElementType.float64, .float16, .bfloat16].filter { computes(graph, in: $0) }
        guard !types.isEmpty else { return model }
        var result = model
        for (name, tensor) in graph.initializers where types.contains(tensor.elementType) {
            // Numbers that no float holds become the largest it does.
            let values = (tensor.floats() ?? []).map { $0.isInfinite ? ($0 < 0 ? -Float.greatestFiniteMagnitude : .greatestFiniteMagnitude) : $0 }
            result.graph.initializers[name] = Tensor(name: name, floats: values, dims: tensor.dims)
        }
        let float = AttributeValue.int(Int64(ElementType.float32.rawValue))
        for index in graph.nodes.indices {
            let node = graph.nodes[index]
            for name in ["to", "dtype"] where types.contains(where: { node.int(name) == Int($0.rawValue) }) { result.graph.nodes[index].set(name, float) }
            if let value = node.tensor("value"), types.contains(value.elementType), let floats = value.floats() {
                result.graph.nodes[index].set("value", .tensor(Tensor(name: value.name, floats: floats, dims: value.dims)))
            }
        }
        func single(_ info: ValueInfo) -> ValueInfo {
            var info = info
            if let type = info.elementType, types.contains(type) { info.elementType = .float32 }
            return info
        }
        result.graph.outputs = graph.outputs.map(single)
        for (name, info) in graph.valueInfos { result.graph.valueInfos[name] = single(info) }
        // Inputs are what callers hand over.
        var supply = NameSupply(graph)
        var casts: [Node] = []
        for input in graph.requiredInputs where input.elementType.map(types.contains) ?? false {
            let name = supply.fresh(input.name + ".float32")
            result.graph.replaceReads([input.name: name])
            casts.append(.cast(input.name, name, to: .float32))
        }
        result.graph.nodes.insert(contentsOf: casts, at: 0)
        for position in result.graph.inputs.indices where graph.initializers[result.graph.inputs[position].name] != nil {
            result.graph.inputs[position] = single(result.graph.inputs[position])
        }
        return result
    }

    /// Whether a graph computes in a type, rather than storing weights in it that are cast before use.
    private static func computes(_ graph: Graph, in type: ElementType) -> Bool {
        let stored = Set(graph.initializers.values.lazy.filter { $0.elementType == type }.map(\.name))
        return graph.requiredInputs.contains { $0.elementType == type }
            || graph.nodes.contains { node in
                node.int("to") == Int(type.rawValue) || node.int("dtype") == Int(type.rawValue) || node.tensor("value")?.elementType == type
                    || (!node.isStandard("Cast") && node.inputs.contains(where: stored.contains))
            }
    }
}
