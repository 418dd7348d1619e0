/// Which values of a graph are float32, from operators and declared types, without running anything.
///
/// Conservative: a value of unknown operators counts as not float unless the graph declares it.
package struct ElementTypeInference {
    package private(set) var types: [String: ElementType] = [:]

    /// - Parameter outer: types of values around a subgraph.
    package init(_ graph: Graph, outer: [String: ElementType] = [:]) {
        types = outer
        for info in graph.inputs + graph.outputs + graph.valueInfos.values { if let type = info.elementType { types[info.name] = type } }
        for tensor in graph.initializers.values { types[tensor.name] = tensor.elementType }
        for node in graph.nodes {
            for (position, output) in node.outputs.enumerated() where !output.isEmpty && types[output] == nil {
                if let type = output0Type(node, position) { types[output] = type }
            }
            if let type = sequenceType(node) { for output in node.outputs where !output.isEmpty { sequences[output] = type } }
        }
    }

    /// Element types of sequences and optionals, by value.
    private var sequences: [String: ElementType] = [:]

    private func sequenceType(_ node: Node) -> ElementType? {
        guard node.domain.isEmpty || node.domain == "ai.onnx" else { return nil }
        switch node.opType {
        case "SplitToSequence", "SequenceConstruct", "Optional": return type(node, 0) ?? node.input(0).flatMap { sequences[$0] }
        case "SequenceEmpty": return node.int("dtype").map { ElementType(rawValue: Int32($0)) } ?? .float32
        case "SequenceInsert", "SequenceErase", "Identity", "OptionalGetElement": return node.input(0).flatMap { sequences[$0] }
        default: return nil
        }
    }

    /// Operators all of whose inputs have the output's type.
    private static let uniform: Set<String> = [
        "Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Concat", "MatMul", "Gemm", "Conv", "ConvTranspose", "PRelu", "Clip", "Einsum",
        "BatchNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization",
    ]

    package func isFloat32(_ name: String) -> Bool { types[name] == .float32 }

    private func type(_ node: Node, _ position: Int) -> ElementType? { node.input(position).flatMap { types[$0] } }

    private func output0Type(_ node: Node, _ position: Int) -> ElementType? {
        if node.domain == "com.microsoft" { return microsoftType(node, position) }
        guard node.domain.isEmpty || node.domain == "ai.onnx" else { return nil }
        switch node.opType {
        case "Shape", "Size", "NonZero", "ArgMax", "ArgMin", "NonMaxSuppression", "StringSplit": return .int64
        case "Cast", "RandomNormal", "RandomUniform", "Bernoulli", "Multinomial":
            return node.int(node.opType == "Cast" ? "to" : "dtype").map { ElementType(rawValue: Int32($0)) }
                ?? (node.opType == "Multinomial" ? .int32 : type(node, 0) ?? .float32)
        case "RandomNormalLike", "RandomUniformLike", "EyeLike":
            return node.int("dtype").map { ElementType(rawValue: Int32($0)) } ?? type(node, 0)
        case "CastLike": return type(node, 1)
        case "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not", "IsNaN", "IsInf": return .bool
        case "ConstantOfShape": return node.tensor("value")?.elementType ?? .float32
        case "Where": return type(node, 1) ?? type(node, 2)
        case "OneHot": return type(node, 2)
        case "TopK", "Unique": return position == 0 ? type(node, 0) : .int64
        case "MaxPool": return position == 0 ? type(node, 0) : .int64
        case "Dropout": return position == 0 ? type(node, 0) : .bool
        case "QuantizeLinear": return type(node, 2) ?? .uint8
        case "DequantizeLinear": return type(node, 1)
        case "DynamicQuantizeLinear": return position == 1 ? .float32 : .uint8
        case "MatMulInteger", "ConvInteger": return .int32
        case "QLinearConv", "QLinearMatMul": return type(node, 7)
        case "LayerNormalization": return position == 0 ? type(node, 0) : .float32
        case "If", "Loop", "Scan":
            // The bodies' declared outputs, behind a Loop's condition.
            guard let body = node.subgraphs.first?.graph else { return nil }
            let offset = node.opType == "Loop" ? 1 : 0
            guard body.outputs.indices.contains(position + offset) else { return nil }
            let output = body.outputs[position + offset]
            return output.elementType ?? ElementTypeInference(body, outer: types).types[output.name]
        case "SequenceAt", "ConcatFromSequence": return node.input(0).flatMap { sequences[$0] }
        // Of a sequence or a tensor: which is not known here.
        case "OptionalGetElement": return type(node, 0)
        case "OptionalHasElement": return .bool
        case "SequenceLength": return .int64
        case "SequenceConstruct", "SequenceEmpty", "SplitToSequence", "SequenceInsert", "SequenceErase", "SequenceMap", "Optional", "StringNormalizer", "TfIdfVectorizer":
            return nil
        default:
            if let type = type(node, 0) { return type }
            guard Self.uniform.contains(node.opType) else { return nil }
            return node.inputs.indices.dropFirst().lazy.compactMap { self.type(node, $0) }.first
        }
    }

    private func microsoftType(_ node: Node, _ position: Int) -> ElementType? {
        switch node.opType {
        case "QuantizeLinear": return type(node, 2) ?? .uint8
        case "DequantizeLinear": return type(node, 1)
        case "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "DynamicQuantizeLSTM", "MatMulNBits", "GatherBlockQuantized": return .float32
        case "FusedConv", "FusedGemm", "FusedMatMul", "Gelu", "FastGelu", "BiasGelu", "QuickGelu": return type(node, 0)
        default: return nil
        }
    }
}
