import ModelGraph

/// A model that computes in single precision what it computed in double or half, subgraphs included.
package enum SinglePrecisionGraph {
    /// Types that become float32.
    static let others: Set<ElementType> = [.float16, .bfloat16, .float64]

    /// The model as training differentiates it: what it computes in is float32, its outputs too; itself where it computes in nothing else.
    /// Weights that are only stored in 16 bits stay behind their Cast. Inputs keep their type and are cast.
    package static func lowered(_ model: Model) -> Model {
        computesInOthers(model.graph) ? converted(model, outputs: false) : model
    }

    /// The model with all float64 and float16 as floats, stored ones too. Inputs and outputs keep their types, by a Cast where that is needed.
    package static func converted(_ model: Model) -> Model { converted(model, outputs: true) }

    /// Whether a layer's weights are, or are stored in, another type.
    package static func widens(_ layer: Layer) -> Bool {
        others.contains(layer.weightType) && (layer.quantization == nil || (layer.quantization?.opType == "Cast" && layer.quantization?.bits == 16))
    }

    /// Whether a model has sequences or optional values, whose element types are declared where this program does not look.
    package static func declaresSequences(_ model: Model) -> Bool {
        model.graph.graphPaths().compactMap { model.graph[$0] }.contains { graph in
            (graph.inputs + graph.outputs + graph.valueInfos.values).contains { !$0.isTensor } || graph.nodes.contains { $0.isStandard("SequenceEmpty") }
        }
    }

    private static func converted(_ model: Model, outputs: Bool) -> Model {
        var result = model
        let types = ElementTypeInference(model.graph).types
        result.graph = single(model.graph, types: types, isMain: true, dropsCasts: outputs)
        var supply = NameSupply(result.graph)
        var casts: [Node] = []
        // What callers hand over has the type it had.
        for input in model.graph.requiredInputs where input.elementType.map(others.contains) ?? false {
            let name = supply.fresh(input.name + ".float32")
            result.graph.replaceReads([input.name: name])
            casts.append(.cast(input.name, name, to: .float32))
        }
        result.graph.nodes.insert(contentsOf: casts, at: 0)
        for (position, output) in model.graph.outputs.enumerated() {
            guard let type = types[output.name] ?? output.elementType, others.contains(type) else { continue }
            guard outputs else {
                result.graph.outputs[position].elementType = .float32
                continue
            }
            let name = supply.fresh(output.name + ".float32")
            result.graph.replaceReads([output.name: name])
            for index in result.graph.nodes.indices {
                for place in result.graph.nodes[index].outputs.indices where result.graph.nodes[index].outputs[place] == output.name {
                    result.graph.nodes[index].outputs[place] = name
                }
            }
            if let constant = result.graph.initializers.removeValue(forKey: output.name) { result.graph.initializers[name] = constant.renamed(name) }
            result.graph.valueInfos[output.name] = nil
            result.graph.nodes.append(.cast(name, output.name, to: type))
        }
        return result
    }

    /// A graph with everything inside it in float32; inputs and outputs of the main one are left to `converted`.
    /// - Parameter dropsCasts: whether Casts go that change nothing any more. They name values that others may look for.
    private static func single(_ graph: Graph, types: [String: ElementType], isMain: Bool, dropsCasts: Bool) -> Graph {
        func float(_ tensor: Tensor) -> Tensor {
            // Numbers that no float holds become the largest it does.
            let values = (tensor.floats() ?? []).map { value in
                tensor.elementType == .float64 && value.isInfinite ? (value < 0 ? -Float.greatestFiniteMagnitude : .greatestFiniteMagnitude) : value
            }
            return Tensor(name: tensor.name, floats: values, dims: tensor.dims)
        }
        func float(_ info: ValueInfo) -> ValueInfo {
            var info = info
            if let type = info.elementType, others.contains(type) { info.elementType = .float32 }
            return info
        }
        func isFloat(_ type: ElementType?) -> Bool { type == .float32 || type.map(others.contains) ?? false }
        var result = graph
        for (name, tensor) in graph.initializers where others.contains(tensor.elementType) { result.initializers[name] = float(tensor) }
        for (name, info) in graph.valueInfos { result.valueInfos[name] = float(info) }
        for position in graph.inputs.indices where !isMain || graph.initializers[graph.inputs[position].name] != nil {
            result.inputs[position] = float(graph.inputs[position])
        }
        if !isMain { result.outputs = graph.outputs.map(float) }
        let kept = Set(graph.outputs.map(\.name))
        var replacements: [String: String] = [:]
        var dropped = Set<Int>()
        for (index, node) in graph.nodes.enumerated() {
            for place in node.attributes.indices {
                func body(_ body: Graph) -> Graph { single(body, types: ElementTypeInference(body, outer: types).types, isMain: false, dropsCasts: dropsCasts) }
                switch node.attributes[place].value {
                case .int(let value) where ["to", "dtype", "output_dtype", "output_datatype", "stash_type", "softmax_precision"].contains(node.attributes[place].name):
                    guard let raw = Int32(exactly: value), others.contains(ElementType(rawValue: raw)) else { continue }
                    result.nodes[index].attributes[place].value = .int(Int64(ElementType.float32.rawValue))
                case .tensor(let tensor) where others.contains(tensor.elementType):
                    result.nodes[index].attributes[place].value = .tensor(float(tensor))
                case .graph(let graph): result.nodes[index].attributes[place].value = .graph(body(graph))
                case .graphs(let graphs): result.nodes[index].attributes[place].value = .graphs(graphs.map(body))
                default: continue
                }
            }
            // Casts between types that are one now.
            guard dropsCasts, node.isStandard("Cast"), let input = node.input(0), let output = node.outputs.first, isFloat(types[input]), !kept.contains(output),
                isFloat(node.int("to").map { ElementType(rawValue: Int32(truncatingIfNeeded: $0)) })
            else { continue }
            replacements[output] = replacements[input] ?? input
            result.valueInfos[output] = nil
            dropped.insert(index)
        }
        result.nodes = result.nodes.indices.filter { !dropped.contains($0) }.map { result.nodes[$0] }
        result.replaceReads(replacements)
        return result
    }

    /// Whether a graph, or one inside it, computes in another type, rather than storing weights in it that are cast before use.
    private static func computesInOthers(_ graph: Graph) -> Bool {
        let stored = Set(graph.initializers.values.lazy.filter { others.contains($0.elementType) }.map(\.name))
        func isOther(_ value: Int?) -> Bool { value.map { others.contains(ElementType(rawValue: Int32(truncatingIfNeeded: $0))) } ?? false }
        return graph.requiredInputs.contains { $0.elementType.map(others.contains) ?? false }
            || graph.nodes.contains { node in
                isOther(node.int("to")) || isOther(node.int("dtype")) || node.tensor("value").map { others.contains($0.elementType) } ?? false
                    || (!node.isStandard("Cast") && node.inputs.contains(where: stored.contains))
                    || node.subgraphs.contains { computesInOthers($0.graph) }
            }
    }
}
