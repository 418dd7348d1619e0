import EngineSupport
import ModelGraph
import OrderedCollections

/// Raises a model of operator set 7, 8 or 9 to 10, the first in which ONNX Runtime fuses quantized operators.
///
/// Operators whose meaning did not change stay as they are; Slice, TopK and Upsample, whose attributes became inputs,
/// are rewritten; anything else that changed is refused. (Change log: onnx/docs/Changelog.md.)
enum OperatorSetLift {
    static let target = 10

    /// - Returns: whether anything was done.
    /// - Throws: `EngineError` naming the operator that cannot be carried over.
    static func lift(_ model: inout Model) throws -> Bool {
        let from = model.opset
        guard from < target else { return false }
        guard from >= 7 else {
            throw EngineError(.technique, "operator set \(from) is older than 7, the oldest that can be carried over to \(target)")
        }
        // Inner graphs first: their paths hold positions in outer ones, which do not move here either way.
        for path in model.graph.graphPaths().reversed() {
            guard var graph = model.graph[path] else { continue }
            var names = NameSupply(model.graph)
            for index in graph.nodes.indices {
                try lift(&graph.nodes[index], in: &graph.initializers, names: &names, from: from)
            }
            model.graph[path] = graph
        }
        for domain in ["", "ai.onnx"] where model.opsets[domain] != nil { model.opsets[domain] = target }
        return true
    }

    private static func lift(
        _ node: inout Node, in initializers: inout OrderedDictionary<String, Tensor>, names: inout NameSupply, from: Int
    ) throws {
        guard node.domain.isEmpty || node.domain == "ai.onnx" else { return }
        func constant(_ tensor: Tensor, _ base: String) -> String {
            let name = names.fresh(base)
            initializers[name] = tensor.renamed(name)
            return name
        }
        func list(_ values: [Int]) -> Tensor { Tensor(name: "", int64s: values.map(Int64.init), dims: [values.count]) }
        switch node.opType {
        case "Slice":
            guard let starts = node.ints("starts"), let ends = node.ints("ends") else { return }
            node.inputs = [node.inputs[0], constant(list(starts), "slice_starts"), constant(list(ends), "slice_ends")]
            if let axes = node.ints("axes") { node.inputs.append(constant(list(axes), "slice_axes")) }
            for name in ["starts", "ends", "axes"] { node.set(name, nil) }
        case "TopK":
            guard let count = node.int("k") else { return }
            node.inputs = [node.inputs[0], constant(list([count]), "topk_k")]
            node.set("k", nil)
        case "Upsample":
            if case .floats(let scales)? = node.attribute("scales") {
                node.inputs = [node.inputs[0], constant(Tensor(name: "", floats: scales, dims: [scales.count]), "upsample_scales")]
                node.set("scales", nil)
            }
            node.opType = "Resize"
        case "BatchNormalization":
            guard node.int("spatial") ?? 1 == 1 else { throw refusal(node, from) }
            node.set("spatial", nil)
        case "Dropout":
            // The mask, if anything reads it, changed its type.
            guard node.outputs.count < 2 || node.outputs[1].isEmpty else { throw refusal(node, from) }
        case "Scan" where from < 9:
            throw refusal(node, from)
        default:
            break
        }
    }

    private static func refusal(_ node: Node, _ from: Int) -> EngineError {
        EngineError(.technique, "\(node.opType) of operator set \(from) cannot be carried over to \(target), which int8 needs")
    }
}
