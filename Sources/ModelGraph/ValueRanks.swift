/// How many axes values have, as far as a graph itself tells.
struct ValueRanks {
    private let graph: Graph
    private let index: GraphIndex
    private let declared: [String: Int]

    init(_ graph: Graph, index: GraphIndex) {
        self.graph = graph
        self.index = index
        declared = Dictionary(
            (graph.inputs + graph.valueInfos.values + graph.outputs).compactMap { info in info.shape.map { (info.name, $0.count) } },
            uniquingKeysWith: { first, _ in first })
    }

    /// Operators whose result has the axes of their first input.
    private static let keeping: Set<String> = [
        "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "FastGelu", "BiasGelu", "Sigmoid", "HardSigmoid", "HardSwish", "Mish", "Tanh", "Erf", "Exp", "Log", "Sqrt",
        "Reciprocal", "Neg", "Abs", "Clip", "Identity", "Dropout", "Cast", "Softmax", "LogSoftmax", "BatchNormalization", "InstanceNormalization", "LayerNormalization",
        "SimplifiedLayerNormalization", "SkipLayerNormalization", "RMSNormalization", "GroupNormalization", "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool",
        "GlobalMaxPool", "Pad", "Slice", "Concat", "Split", "Resize", "Tile", "DequantizeLinear", "QuantizeLinear", "Softplus", "Softsign", "Floor", "Ceil", "Round",
    ]
    private static let broadcasting: Set<String> = ["Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Where", "MatMul"]

    /// Number of axes; `nil` where the graph does not say.
    func rank(of value: String, depth: Int = 0) -> Int? {
        if let known = declared[value] ?? graph.initializers[value]?.dims.count { return known }
        guard depth < 64, let position = index.producer[value] else { return nil }
        let node = graph.nodes[position]
        func first() -> Int? { node.input(0).flatMap { rank(of: $0, depth: depth + 1) } }
        func count(_ attribute: String, input: Int) -> Int? {
            node.ints(attribute)?.count ?? node.input(input).flatMap { graph.initializers[$0] }.map { $0.dims.first ?? 1 }
        }
        switch node.opType {
        case "Gemm", "Flatten": return 2
        case "Reshape": return count("shape", input: 1)
        case "Transpose": return node.ints("perm")?.count ?? first()
        case "Unsqueeze": return first().flatMap { rank in count("axes", input: 1).map { rank + $0 } }
        case "Squeeze": return first().flatMap { rank in count("axes", input: 1).map { rank - $0 } }
        case "Gather":
            guard let data = first(), let indices = node.input(1).flatMap({ rank(of: $0, depth: depth + 1) }) else { return nil }
            return data + indices - 1
        case "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2":
            return node.int("keepdims") ?? 1 == 1 ? first() : first().flatMap { rank in count("axes", input: 1).map { rank - $0 } }
        case _ where Self.keeping.contains(node.opType): return first()
        case _ where Self.broadcasting.contains(node.opType):
            let ranks = node.inputs.map { rank(of: $0, depth: depth + 1) }
            return ranks.contains(nil) ? nil : ranks.compactMap(\.self).max()
        default: return nil
        }
    }
}

extension Graph {
    /// Number of axes of a value, as far as the graph tells; `nil` where it does not.
    package func rank(of value: String, index: GraphIndex) -> Int? { ValueRanks(self, index: index).rank(of: value) }

    /// Drops axes of one element in front of the matrix that a MatMul multiplies by, which change nothing where the other side has as many axes.
    mutating func foldUnitAxes() {
        func isStacked(_ tensor: Tensor) -> Bool { tensor.elementType.isFloatingPoint && tensor.dims.count > 2 && tensor.dims.dropLast(2).allSatisfy { $0 == 1 } }
        guard initializers.values.contains(where: isStacked) else { return }
        let listed = Set(inputs.map(\.name))
        let index = GraphIndex(self)
        let ranks = ValueRanks(self, index: index)
        for (name, tensor) in initializers where isStacked(tensor) && !listed.contains(name) && !index.outputs.contains(name) {
            let readers = index.consumers[name] ?? []
            let fits =
                !readers.isEmpty
                && readers.allSatisfy { position in
                    let node = nodes[position]
                    return node.isStandard("MatMul") && node.input(1) == name && node.input(0) != name
                        && (node.input(0).flatMap { ranks.rank(of: $0) } ?? 0) >= tensor.dims.count
                }
            if fits, let matrix = try? tensor.reshaped(Array(tensor.dims.suffix(2))) { initializers[name] = matrix }
        }
    }
}
