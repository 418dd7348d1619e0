import ModelGraph

/// What a model may be made of, by where it is to run.
public enum TargetForm: String, Sendable, Hashable, CaseIterable {
    /// Whatever ONNX Runtime runs.
    case any
    /// Operators of the ONNX standard only, in forms that other runtimes read and compute alike.
    case portable
    /// Standard operators, and every layer with weights computes in integers: its inputs are quantized.
    case integers
    /// Whatever OpenVINO reads too.
    case openvino

    /// The form of a name as it is typed: `onnxruntime` is what that runs, whatever it is.
    public init?(name: String) {
        guard let form = name == "onnxruntime" ? .any : TargetForm(rawValue: name) else { return nil }
        self = form
    }

    /// As it is typed for a model that is written.
    public var name: String { self == .any ? "onnxruntime" : rawValue }

    public var help: String {
        switch self {
        case .any: "whatever ONNX Runtime runs"
        case .portable: "standard operators in forms that runtimes read alike"
        case .integers: "standard operators, and every layer with weights computes in integers"
        case .openvino: "whatever OpenVINO reads too"
        }
    }

    /// Whether a model has the form.
    func holds(_ model: Model) -> Bool { objections(to: model).isEmpty && (self != .integers || Self.isIntegers(model.graph)) }

    /// What of a model the target does not read, or computes otherwise than ONNX Runtime: a line for each form.
    public func objections(to model: Model) -> [String] {
        guard self != .any else { return [] }
        return RuntimeForms.found(in: model).compactMap { form, places in
            guard form.concerns(self) else { return nil }
            let names = places.count <= 4 ? places.joined(separator: ", ") : places.prefix(3).joined(separator: ", ") + " and \(places.count - 3) more"
            return "\(form.title) (\(names)): \(form.consequence)"
        }
    }

    private static func isIntegers(_ graph: Graph) -> Bool {
        let producer = GraphIndex(graph).producer
        func isQuantized(_ value: String?) -> Bool {
            guard let value, let node = producer[value] else { return false }
            return graph.nodes[node].opType == "DequantizeLinear"
        }
        return graph.nodes.allSatisfy { node in
            switch node.opType {
            case "Conv", "ConvTranspose", "Gemm", "MatMul":
                // Products of two activations have no weights.
                let hasWeight = node.inputs.prefix(2).contains { graph.initializers[$0] != nil || isQuantized($0) }
                return !hasWeight || node.inputs.prefix(2).allSatisfy(isQuantized)
            case "LSTM", "GRU", "RNN": return false
            default: return true
            }
        }
    }
}
