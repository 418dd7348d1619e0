import ModelGraph

/// Forms in a file that ONNX Runtime computes, and other runtimes refuse or compute otherwise, as `Benchmarks/runtimes.py` sees them.
struct RuntimeForm: Hashable {
    /// What stands in the file.
    var title: String
    /// Runtimes that stop over it, and those that compute something else without a word.
    var refusedBy: [String] = []
    var differsIn: [String] = []
    /// It is no operator of the standard.
    var isForeign = false

    /// What becomes of it, in words.
    var consequence: String {
        let parts = [
            differsIn.isEmpty ? nil : "\(Self.list(differsIn)) \(differsIn.count == 1 ? "computes" : "compute") something else",
            refusedBy.isEmpty ? nil : "\(Self.list(refusedBy)) \(refusedBy.count == 1 ? "does" : "do") not read it",
        ]
        return parts.compactMap { $0 }.joined(separator: "; ")
    }

    /// Whether a target does without it.
    func concerns(_ target: TargetForm) -> Bool {
        switch target {
        case .any: false
        case .openvino: (refusedBy + differsIn).contains("OpenVINO")
        case .integers: isForeign
        // What MNN's converter alone refuses does not count: it says so.
        case .portable: isForeign || !differsIn.isEmpty || refusedBy.contains { $0 != "MNN" && $0 != "onnx.reference" }
        }
    }

    private static func list(_ names: [String]) -> String {
        names.count < 2 ? names.joined() : names.dropLast().joined(separator: ", ") + " and " + (names.last ?? "")
    }
}

enum RuntimeForms {
    /// The forms in a model, subgraphs included, with the nodes that have them.
    static func found(in model: Model) -> [(form: RuntimeForm, places: [String])] {
        var order: [RuntimeForm] = []
        var places: [RuntimeForm: [String]] = [:]
        for path in model.graph.graphPaths() {
            guard let graph = model.graph[path] else { continue }
            for node in graph.nodes {
                for form in forms(of: node, graph) {
                    if places[form] == nil { order.append(form) }
                    places[form, default: []].append(node.name.isEmpty ? node.outputs.first ?? "" : node.name)
                }
            }
        }
        return order.map { ($0, places[$0] ?? []) }
    }

    private static func forms(of node: Node, _ graph: Graph) -> [RuntimeForm] {
        let isStandard = node.domain.isEmpty || node.domain == "ai.onnx"
        func type(_ input: Int) -> ElementType? { node.input(input).flatMap { graph.initializers[$0]?.elementType } }
        if node.opType == "DequantizeLinear", [.int4, .uint4].contains(type(0)), isStandard || node.domain == "com.microsoft" {
            let title = (isStandard ? "" : "com.microsoft.") + "DequantizeLinear of 4 bits"
            return [RuntimeForm(title: title, refusedBy: isStandard ? ["tract"] : ["tract", "onnx.reference"], differsIn: ["MNN"], isForeign: !isStandard)]
        }
        guard isStandard else { return [foreign(node)] }
        switch node.opType {
        case "BitShift":
            return [RuntimeForm(title: "BitShift, which unpacked codes in files of earlier builds", differsIn: ["OpenVINO", "MNN"])]
        case "Div" where type(0) == .uint8 || type(1) == .uint8:
            return [RuntimeForm(title: "Div of uint8", differsIn: ["OpenVINO", "MNN"])]
        case "Mod" where isLarge(node.input(1), graph):
            return [RuntimeForm(title: "whole numbers of 2²⁴ and more, as hashed weights of earlier builds have them", differsIn: ["MNN"])]
        case "Cast" where type(0) == .bfloat16: return [RuntimeForm(title: "weights in bfloat16", refusedBy: ["tract"])]
        case "Compress": return [RuntimeForm(title: "Compress", refusedBy: ["tract"])]
        default: return []
        }
    }

    /// Who else reads operators of ONNX Runtime's own.
    private static let microsoft: [String: Set<String>] = [
        "MatMulNBits": ["OpenVINO", "tract"], "QuantizeLinear": ["OpenVINO"], "DequantizeLinear": ["OpenVINO"], "DynamicQuantizeLSTM": ["OpenVINO"],
    ]

    private static func foreign(_ node: Node) -> RuntimeForm {
        let readers = node.domain == "com.microsoft" ? microsoft[node.opType] ?? [] : []
        let others = ["OpenVINO", "tract", "MNN", "onnx.reference"].filter { !readers.contains($0) }
        return RuntimeForm(title: "\(node.domain).\(node.opType), no operator of the standard", refusedBy: others, isForeign: true)
    }

    private static func isLarge(_ name: String?, _ graph: Graph) -> Bool {
        guard let tensor = name.flatMap({ graph.initializers[$0] }), tensor.count <= 8, [.int32, .int64].contains(tensor.elementType) else { return false }
        return tensor.integers()?.contains { abs($0) >= 1 << 24 } ?? false
    }
}
