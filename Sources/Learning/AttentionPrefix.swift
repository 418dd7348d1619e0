import EngineSupport
import ModelGraph
import Techniques

/// Keys and values in front of an attention's own, the same for every sample.
struct AttentionPrefix {
    let products: AttentionProducts
    /// Names of nodes and tensors begin with this.
    let name: String
    let length: Int
    /// Dimensions: keys … × d × length, values … × length × d, the axes in front 1 but for heads of their own.
    let keyDims: [Int]
    let valueDims: [Int]
    var keys: [Float]
    var values: [Float]

    /// Heads that have prefixes of their own: those of an axis in front of the tokens whose size and width make up what a layer puts out,
    /// once, or for queries, keys and values together. Where heads are joined with samples, as in three dimensions, all share one.
    static func heads(_ attention: AttentionProjections.Attention, keys: [Int], values: [Int], _ layers: [Layer]) -> Int {
        guard keys.count >= 4, values.count == keys.count, keys[keys.count - 3] == values[values.count - 3] else { return 1 }
        let count = values[values.count - 3]
        let makers = layers.filter { $0.path.isMain && attention.values.contains($0.nodeIndex) && $0.weightShape.indices.contains($0.outputAxis) }
        return makers.contains { (1...3).map { $0 * count * values[values.count - 1] }.contains($0.weightShape[$0.outputAxis]) } ? count : 1
    }

    /// Puts prefixes in front of keys and values, and opens masks for them.
    /// - Parameters:
    ///   - shapes: of the model's values, as it now is.
    /// - Returns: names of the tensors to train, by prefix: keys and values.
    /// - Throws: `EngineError` if a mask's dimensions are not known.
    static func insert(_ prefixes: [AttentionPrefix], into model: inout Model, shapes: [String: [Int]]) throws -> [[String]] {
        let types = ElementTypeInference(model.graph)
        var editor = GraphEditor(model)
        var names: [[String]] = []
        var widened: [String: String] = [:]
        func integers(_ values: [Int], _ editor: inout GraphEditor) -> String {
            editor.constant(Tensor(name: "", int64s: values.map(Int64.init), dims: [values.count]), at: .main)
        }
        func put(_ type: String, _ inputs: [String], _ base: String, _ attributes: [Attribute] = [], before node: Int, _ editor: inout GraphEditor) -> String {
            let output = editor.fresh(base)
            editor.add(Node(type, name: output, inputs: inputs, outputs: [output], attributes: attributes), before: node)
            return output
        }
        for prefix in prefixes {
            /// Joins a prefix and a product's second operand along an axis.
            func join(_ suffix: String, _ values: [Float], _ dims: [Int], to value: String, of node: Int, axis: Int, _ editor: inout GraphEditor) -> String {
                let tensor = editor.add(Tensor(floats: values, dims: dims, as: types.types[value] ?? .float32, name: ""), "\(prefix.name)/prefix_\(suffix)", at: .main)
                let rank = dims.count
                var front = tensor
                if rank > 2 {
                    // As often as there are samples.
                    let shape = put("Shape", [value], tensor + "_shape", before: node, &editor)
                    let leading = put("Slice", [shape, integers([0], &editor), integers([rank - 2], &editor)], tensor + "_leading", before: node, &editor)
                    let extents = put("Concat", [leading, integers([1, 1], &editor)], tensor + "_extents", [Attribute("axis", .integer(0))], before: node, &editor)
                    front = put("Expand", [tensor, extents], tensor + "_expanded", before: node, &editor)
                }
                let joined = put("Concat", [front, value], tensor + "_joined", [Attribute("axis", .integer(axis))], before: node, &editor)
                editor.edit(node, at: .main) { $0.inputs[1] = joined }
                return tensor
            }
            let products = prefix.products
            let rank = prefix.keyDims.count
            names.append([
                join("keys", prefix.keys, prefix.keyDims, to: products.keys, of: products.scores, axis: rank - 1, &editor),
                join("values", prefix.values, prefix.valueDims, to: products.values, of: products.mix, axis: prefix.valueDims.count - 2, &editor),
            ])
            for mask in products.masks {
                let key = "\(mask.value) \(prefix.length) \(mask.open)"
                let dims = shapes[mask.value] ?? editor.graph(.main).initializers[mask.value]?.dims ?? []
                guard !dims.isEmpty else { throw EngineError(.technique, "prefix-tuning: the shape of '\(mask.value)' is not known") }
                let wide: String
                if let known = widened[key] {
                    wide = known
                } else {
                    var pads = [Int](repeating: 0, count: 2 * dims.count)
                    pads[dims.count - 1] = prefix.length
                    let base = mask.value + "_prefix"
                    let type = mask.isCondition ? ElementType.bool : types.types[mask.value] ?? .float32
                    if mask.isCondition {
                        // Pad takes truth values from operator set 13 on; as integers they pass everywhere.
                        let number = put("Cast", [mask.value], base + "_number", [Attribute("to", .integer(Int(ElementType.int32.rawValue)))], before: mask.node, &editor)
                        let open = editor.constant(Tensor(name: "", int32s: [Int32(mask.open)], dims: []), at: .main)
                        let padded = put("Pad", [number, integers(pads, &editor), open], base + "_padded", before: mask.node, &editor)
                        wide = put("Cast", [padded], base, [Attribute("to", .integer(Int(type.rawValue)))], before: mask.node, &editor)
                    } else {
                        let open = editor.constant(Tensor(floats: [Float(mask.open)], dims: [], as: type, name: ""), at: .main)
                        wide = put("Pad", [mask.value, integers(pads, &editor), open], base, before: mask.node, &editor)
                    }
                    widened[key] = wide
                }
                editor.edit(mask.node, at: .main) { $0.inputs[mask.input] = wide }
            }
        }
        model = editor.finish()
        return names
    }
}
