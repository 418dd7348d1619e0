import ModelGraph

/// A model that computes in single precision what it computed in double: what training differentiates. The model that is written keeps its doubles.
enum SinglePrecision {
    /// The model with doubles of its main graph as floats; itself where it has none. Inputs keep their type and are cast.
    static func lowered(_ model: Model) -> Model {
        let graph = model.graph
        let isDouble = graph.initializers.values.contains { $0.elementType == .float64 } || graph.inputs.contains { $0.elementType == .float64 }
            || graph.nodes.contains { $0.int("to") == 11 || $0.int("dtype") == 11 || $0.tensor("value")?.elementType == .float64 }
        guard isDouble else { return model }
        var result = model
        for (name, tensor) in graph.initializers where tensor.elementType == .float64 {
            // Numbers that no float holds become the largest it does.
            let values = (tensor.floats() ?? []).map { $0.isInfinite ? ($0 < 0 ? -Float.greatestFiniteMagnitude : .greatestFiniteMagnitude) : $0 }
            result.graph.initializers[name] = Tensor(name: name, floats: values, dims: tensor.dims)
        }
        let float = AttributeValue.int(Int64(ElementType.float32.rawValue))
        for index in graph.nodes.indices {
            let node = graph.nodes[index]
            for name in ["to", "dtype"] where node.int(name) == Int(ElementType.float64.rawValue) { result.graph.nodes[index].set(name, float) }
            if let value = node.tensor("value"), value.elementType == .float64, let floats = value.floats() {
                result.graph.nodes[index].set("value", .tensor(Tensor(name: value.name, floats: floats, dims: value.dims)))
            }
        }
        func single(_ info: ValueInfo) -> ValueInfo {
            var info = info
            if info.elementType == .float64 { info.elementType = .float32 }
            return info
        }
        result.graph.outputs = graph.outputs.map(single)
        for (name, info) in graph.valueInfos { result.graph.valueInfos[name] = single(info) }
        // Inputs are what callers hand over.
        var supply = NameSupply(graph)
        var casts: [Node] = []
        for input in graph.requiredInputs where input.elementType == .float64 {
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
}
