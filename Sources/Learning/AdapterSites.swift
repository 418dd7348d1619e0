import ModelGraph

/// Where bottleneck adapters can stand: values behind layers, with the layer's channels.
struct AdapterSites {
    /// A place for an adapter.
    struct Site: Sendable {
        /// Values that are changed alike: of recurrent layers the sequence and the last state, of others one.
        var values: [String]
        var channels: Int
        /// Axes behind the channels, which stand second; `nil` where channels stand last.
        var spatialAxes: Int?
        /// In what the layer computes.
        var type: ElementType
    }

    /// By layer.
    private(set) var sites: [Site?]
    /// Why a layer has none; `nil` where it has one.
    private(set) var refusals: [String?]

    private let graph: Graph
    private let index: GraphIndex
    private let types: ElementTypeInference
    private let opset: Int

    init(_ model: Model, layers: [Layer]) {
        graph = model.graph
        index = GraphIndex(model.graph)
        types = ElementTypeInference(model.graph)
        opset = model.opset
        sites = layers.map { _ in nil }
        refusals = layers.map { _ in nil }
        let leading = Self.leadingToLayers(graph, index, Set(layers.filter(\.path.isMain).map(\.nodeIndex)))
        for (position, layer) in layers.enumerated() {
            if let reason = refusal(of: layer) {
                refusals[position] = reason
                continue
            }
            let site = site(behind: layer)
            if let reason = refusal(of: site, leading) { refusals[position] = reason } else { sites[position] = site }
        }
        // Where dense layers end residual branches, as in transformers, adapters stand there and nowhere inside.
        let dense = layers.indices.filter { [.gemm, .matMul].contains(layers[$0].kind) && sites[$0] != nil }
        let ends = Set(dense.filter { sites[$0]?.values.first.map { reachesSum($0) } ?? false })
        guard !ends.isEmpty else { return }
        for position in dense where !ends.contains(position) {
            sites[position] = nil
            refusals[position] = "inside a block: adapters follow attention and feed-forward layers"
        }
    }

    private func refusal(of layer: Layer) -> String? {
        guard layer.path.isMain else { return "in a subgraph (If, Loop, Scan)" }
        guard opset >= 9 else { return "needs operator set 9 (Erf); the model has \(opset)" }
        let node = graph.nodes[layer.nodeIndex]
        guard node.isStandard(node.opType), ["Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN"].contains(node.opType) else {
            return layer.kind == .embedding ? "embedding: adapters follow layers that compute" : "\(node.opType) has no adapters"
        }
        switch layer.kind {
        case .embedding: return "embedding: adapters follow layers that compute"
        case .conv, .convTranspose: if layer.group > 1 { return layer.isDepthwise ? "depthwise: an adapter would mix its channels" : "grouped convolution" }
        case .matMul, .gemm:
            if layer.weightShape.count > 2 { return "a batched constant is not one matrix" }
            if layer.quantization == nil, node.input(1) != layer.weight { return "its weight is the left operand, so channels are not the last axis" }
        case .lstm, .gru, .rnn: break
        }
        return nil
    }

    private func refusal(of site: Site, _ leading: Set<String>) -> String? {
        guard [.float32, .float16, .float64].contains(site.type) else { return "its outputs are not floating point" }
        guard site.channels > 1 else { return "it has one output" }
        guard !site.values.isEmpty else { return "nothing reads its outputs" }
        for value in site.values where index.consumers[value]?.contains(where: { graph.nodes[$0].opType == "QuantizeLinear" }) ?? false {
            return "its outputs are quantized: put adapters before quantization"
        }
        guard site.values.contains(where: { leading.contains($0) }) else { return "the last layer ('also' trains it)" }
        return nil
    }

    /// The value behind a layer, its bias and its normalization.
    private func site(behind layer: Layer) -> Site {
        let node = graph.nodes[layer.nodeIndex]
        var channels = layer.weightShape.indices.contains(layer.outputAxis) ? layer.weightShape[layer.outputAxis] : 0
        var values = [node.outputs.first ?? ""]
        var spatial: Int?
        switch layer.kind {
        case .conv, .convTranspose: spatial = layer.weightShape.count - 2
        case .lstm, .gru, .rnn:
            channels = node.int("hidden_size") ?? layer.otherWeights.first.flatMap { graph.initializers[$0]?.dims.last } ?? 0
            values = Array(node.outputs.prefix(2)).filter { !$0.isEmpty && index.useCount($0) > 0 }
        default: break
        }
        let type = values.first.flatMap { types.types[$0] } ?? (layer.isFloat ? layer.weightType : .float32)
        if ![.lstm, .gru, .rnn].contains(layer.kind), let value = values.first { values = [end(of: value)] }
        return Site(values: values, channels: channels, spatialAxes: spatial, type: type)
    }

    /// Follows a value through the bias and the BatchNormalization that belong to its layer.
    private func end(of value: String) -> String {
        var value = value
        for _ in 0..<2 {
            guard index.useCount(value) == 1, let reader = index.consumers[value]?.first else { break }
            let node = graph.nodes[reader]
            let isBias = node.isStandard("Add") && node.inputs.contains { graph.initializers[$0].map { $0.dims.filter { $0 > 1 }.count <= 1 } ?? false }
            guard isBias || node.isStandard("BatchNormalization") && node.input(0) == value, let output = node.outputs.first else { break }
            value = output
        }
        return value
    }

    /// Whether a value, perhaps scaled or reshaped, is added to another computed value.
    private func reachesSum(_ value: String) -> Bool {
        var value = value
        for _ in 0..<4 {
            guard let reader = index.consumers[value]?.first, index.useCount(value) == 1 else { return false }
            let node = graph.nodes[reader]
            let others = node.inputs.filter { !$0.isEmpty && $0 != value }
            let isPlain = others.allSatisfy { graph.initializers[$0] != nil }
            if node.isStandard("Add"), !isPlain { return true }
            guard isPlain, ["Mul", "Div", "Add", "Dropout", "Identity", "Cast", "Reshape"].contains(node.opType), let output = node.outputs.first else { return false }
            value = output
        }
        return false
    }

    /// Values from which a layer is reached.
    private static func leadingToLayers(_ graph: Graph, _ index: GraphIndex, _ layers: Set<Int>) -> Set<String> {
        var leading = Set<String>()
        for (position, node) in graph.nodes.enumerated().reversed() {
            let isOnTheWay = layers.contains(position) || node.outputs.contains { leading.contains($0) }
            if isOnTheWay { leading.formUnion(node.reads) }
        }
        return leading
    }
}
