import EngineSupport
import ModelGraph
import Techniques

extension PromptPlan {
    /// Puts a prompt in front of the first block's tokens, opens masks and fixed shapes for it, and cuts it off behind the last keys and values.
    /// - Parameters:
    ///   - prompt: length × width numbers, the same for every sample.
    ///   - shapes: of the model's values, as it now is.
    /// - Returns: the name of the tensor to train.
    func insert(_ prompt: [Float], length: Int, named name: String, into model: inout Model, shapes: [String: [Int]]) -> String {
        let graph = model.graph
        let types = ElementTypeInference(graph)
        let index = GraphIndex(graph)
        var editor = GraphEditor(model)
        func integers(_ values: [Int], _ editor: inout GraphEditor) -> String {
            editor.constant(Tensor(name: "", int64s: values.map(Int64.init), dims: [values.count]), at: .main)
        }
        func put(_ type: String, _ inputs: [String], _ base: String, _ attributes: [Attribute] = [], before node: Int, _ editor: inout GraphEditor) -> String {
            let output = editor.fresh(base)
            editor.add(Node(type, name: output, inputs: inputs, outputs: [output], attributes: attributes), before: node)
            return output
        }
        let inside = Set(region)
        func isEnd(_ node: Int, _ input: Int) -> Bool { input == 1 && ends[node] == graph.nodes[node].inputs[1] }

        // The entry: as many copies of the prompt as there are samples.
        let width = shape[2]
        let tensor = editor.add(
            Tensor(floats: prompt, dims: tokenAxis == 1 ? [1, length, width] : [length, 1, width], as: types.types[entry] ?? .float32, name: ""), name, at: .main)
        let readers = (index.consumers[entry] ?? []).filter { node in inside.contains(node) || graph.nodes[node].inputs.indices.contains { isEnd(node, $0) } }.sorted()
        guard let front = readers.first else { return tensor }
        let extents = put("Shape", [entry], tensor + "_shape", before: front, &editor)
        let batch = put("Slice", [extents, integers([1 - tokenAxis], &editor), integers([2 - tokenAxis], &editor)], tensor + "_batch", before: front, &editor)
        let pieces = tokenAxis == 1 ? [batch, integers([length, width], &editor)] : [integers([length], &editor), batch, integers([width], &editor)]
        let target = put("Concat", pieces, tensor + "_extents", [Attribute("axis", .integer(0))], before: front, &editor)
        let expanded = put("Expand", [tensor, target], tensor + "_expanded", before: front, &editor)
        let joined = put("Concat", [expanded, entry], tensor + "_joined", [Attribute("axis", .integer(tokenAxis))], before: front, &editor)
        for node in readers {
            for input in graph.nodes[node].inputs.indices where graph.nodes[node].inputs[input] == entry && (inside.contains(node) || isEnd(node, input)) {
                editor.edit(node, at: .main) { $0.inputs[input] = joined }
            }
        }

        // Shapes that count tokens.
        for (node, places) in Dictionary(grouping: fixed, by: \.node).sorted(by: { $0.key < $1.key }) {
            let shape = graph.nodes[node].inputs[1]
            let count = shapes[graph.nodes[node].outputs[0]]?.count ?? 0
            let more = (0..<count).map { place in places.contains { $0.place == place } ? length : 0 }
            let longer: String
            if let numbers = graph.initializers[shape]?.integers() {
                longer = integers(zip(numbers, more).map(+), &editor)
            } else {
                longer = put("Add", [shape, integers(more, &editor)], shape + "_prompted", before: node, &editor)
            }
            editor.edit(node, at: .main) { $0.inputs[1] = longer }
        }

        // What reads the region from outside reads its own tokens only.
        var cuts: [String: String] = [:]
        func cut(_ value: String, _ editor: inout GraphEditor) -> String {
            if value == entry || (axes[value] == nil && !self.extents.contains(value)) { return value }
            if let known = cuts[value] { return known }
            guard let maker = index.producer[value] else { return value }
            let result = editor.fresh(value + "_cut")
            cuts[value] = result
            if let over = axes[value] {
                let inputs = [
                    value, integers(over.map { _ in length }, &editor), integers(over.map { _ in Int(Int32.max) }, &editor), integers(over, &editor),
                ]
                editor.add(Node("Slice", name: result, inputs: inputs, outputs: [result]), after: maker)
            } else {
                var copy = graph.nodes[maker]
                copy.inputs = copy.inputs.map { cut($0, &editor) }
                copy.name = result
                copy.outputs = copy.outputs.map { output in
                    if output == value { return result }
                    return output.isEmpty ? "" : editor.fresh(output + "_cut")
                }
                editor.add(copy, after: maker)
            }
            return result
        }
        for (position, node) in graph.nodes.enumerated() where !inside.contains(position) {
            for (input, value) in node.inputs.enumerated() where !isEnd(position, input) && (axes[value] != nil || self.extents.contains(value)) && value != entry {
                let shorter = cut(value, &editor)
                editor.edit(position, at: .main) { $0.inputs[input] = shorter }
            }
        }

        // Masks: everybody may attend to the prompt, and the prompt to what the first token may attend to.
        var widened: [String: String] = [:]
        for (mask, rows) in masks {
            let key = "\(mask.value) \(mask.open) \(rows)"
            if widened[key] == nil {
                let dims = shapes[mask.value] ?? graph.initializers[mask.value]?.dims ?? []
                let base = mask.value + "_prompt"
                var value = mask.value
                if rows {
                    let axis = Attribute("axis", .integer(dims.count - 2))
                    let above = put("Gather", [value, integers([Int](repeating: 0, count: length), &editor)], base + "_rows", [axis], before: mask.node, &editor)
                    value = put("Concat", [above, value], base + "_tall", [axis], before: mask.node, &editor)
                }
                var pads = [Int](repeating: 0, count: 2 * dims.count)
                pads[dims.count - 1] = length
                let type = mask.isCondition ? ElementType.bool : types.types[mask.value] ?? .float32
                if mask.isCondition {
                    // Pad takes truth values from operator set 13 on; as integers they pass everywhere.
                    let number = put("Cast", [value], base + "_number", [Attribute("to", .integer(Int(ElementType.int32.rawValue)))], before: mask.node, &editor)
                    let open = editor.constant(Tensor(name: "", int32s: [Int32(mask.open)], dims: []), at: .main)
                    let padded = put("Pad", [number, integers(pads, &editor), open], base + "_padded", before: mask.node, &editor)
                    widened[key] = put("Cast", [padded], base, [Attribute("to", .integer(Int(type.rawValue)))], before: mask.node, &editor)
                } else {
                    let open = editor.constant(Tensor(floats: [Float(mask.open)], dims: [], as: type, name: ""), at: .main)
                    widened[key] = put("Pad", [value, integers(pads, &editor), open], base, before: mask.node, &editor)
                }
            }
            if let wide = widened[key] { editor.edit(mask.node, at: .main) { $0.inputs[mask.input] = wide } }
        }
        model = editor.finish()
        return tensor
    }
}
