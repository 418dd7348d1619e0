import ModelGraph

/// Time of one operator node from the runtime's profiler, milliseconds, median over runs.
public struct OperatorTime: Sendable {
    public var node: String
    public var opType: String
    public var milliseconds: Double
    /// Id of the layer that the node computes, alone or fused with what follows it; `nil` for other nodes.
    public var layer: String?

    public init(node: String, opType: String, milliseconds: Double, layer: String? = nil) {
        self.node = node
        self.opType = opType
        self.milliseconds = milliseconds
        self.layer = layer
    }
}

extension [OperatorTime] {
    /// Milliseconds by layer. Layers that no node's name leads to are missing.
    package var byLayer: [String: Double] {
        Dictionary(compactMap { entry in entry.layer.map { ($0, entry.milliseconds) } }, uniquingKeysWith: +)
    }

    /// The same with the layer of each node.
    func assigned(to layers: [Layer], of model: Model) -> [OperatorTime] {
        let names = LayerNames(layers, model)
        return map { entry in
            var entry = entry
            entry.layer = names.layer(of: entry)
            return entry
        }
    }
}

/// Which layer a node of the runtime's graph came from, by its name.
private struct LayerNames {
    private var layerOf: [String: Layer] = [:]

    /// Operators that the runtime fuses into the one before them, of which the fused one then takes the name.
    private static let fused: Set<String> = [
        "BatchNormalization", "Add", "Sub", "Mul", "Div", "Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu", "Gelu", "Softplus",
        "QuantizeLinear", "DequantizeLinear", "Cast",
    ]

    init(_ layers: [Layer], _ model: Model) {
        let index = GraphIndex(model.graph)
        for layer in layers where layer.path.isMain {
            var node = model.graph.nodes[layer.nodeIndex]
            add(layer.id, layer)
            // The layer itself, and what follows it and nothing else reads before.
            for _ in 0..<8 {
                add(node.name, layer)
                for output in node.outputs { add(output, layer) }
                guard let output = node.outputs.first, index.useCount(output) == 1, let reader = index.consumers[output]?.first else { break }
                node = model.graph.nodes[reader]
                guard Self.fused.contains(node.opType) else { break }
            }
        }
    }

    /// The first layer on the way to a name has it.
    private mutating func add(_ name: String, _ layer: Layer) { if !name.isEmpty, layerOf[name] == nil { layerOf[name] = layer } }

    func layer(of entry: OperatorTime) -> String? {
        // What the runtime rewrote is named after a node or a value, with words before or behind: fused /fc/Gemm, conv1_nchwc, conv1_quant.
        var name = entry.node
        for word in ["fused ", "InsertedPrecisionFreeCast_"] where name.hasPrefix(word) { name = String(name.dropFirst(word.count)) }
        while layerOf[name] == nil, let cut = name.lastIndex(where: { $0 == "_" || $0 == "/" }) { name = String(name[..<cut]) }
        guard let layer = layerOf[name] else { return nil }
        let words =
            switch layer.kind {
            case .conv, .convTranspose: ["Conv"]
            case .gemm, .matMul: ["Gemm", "MatMul"]
            case .lstm: ["LSTM"]
            case .gru: ["GRU"]
            case .rnn: ["RNN"]
            case .embedding: ["Gather"]
            }
        return words.contains { entry.opType.contains($0) } ? layer.id : nil
    }
}
