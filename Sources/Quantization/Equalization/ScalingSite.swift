import ModelGraph
import Techniques

/// A value whose channels can be divided by any positive numbers without changing what the model computes: what makes the
/// value takes the division, every layer that reads it multiplies the weights of that input.
struct ScalingSite: Sendable {
    let value: String
    let channels: Int
    /// Layers that read the value, all of it.
    let consumers: [Layer]
    /// Constants that take the division, from the value upwards.
    let upstream: [ConstantUse]
    /// The layer at the upper end, if it is one that takes the division with its weights.
    let producer: Layer?

    /// A constant with one element, or slice, per channel.
    struct ConstantUse: Hashable, Sendable {
        var node: Int
        var input: Int
        /// Axis of the channels.
        var axis: Int
        /// The constant is a divisor.
        var inverse = false
    }
}

/// Finds scaling sites of a main graph.
struct ScalingSites {
    private let model: Model
    private let graph: Graph
    private let index: GraphIndex
    private let readers: WeightReaders
    private let layers: [Int: Layer]

    init(_ model: Model) {
        self.model = model
        graph = model.graph
        index = GraphIndex(model.graph)
        readers = WeightReaders(model)
        layers = Dictionary(model.layers().filter(\.path.isMain).map { ($0.nodeIndex, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The site in front of a layer, or why there is none, in words for the user.
    func site(before layer: Layer) -> Result<ScalingSite, Refusal> {
        if let reason = consumerRefusal(layer) { return .failure(reason) }
        let value = graph.nodes[layer.nodeIndex].inputs[0]
        guard index.producer[value] != nil else { return .failure("its input is an input of the model") }
        guard !index.outputs.contains(value) else { return .failure("its input is an output of the model") }
        let channels = inputChannels(layer)
        var consumers: [Layer] = []
        for reader in index.consumers[value] ?? [] {
            guard let other = layers[reader], graph.nodes[reader].inputs.filter({ $0 == value }).count == 1,
                graph.nodes[reader].input(0) == value, consumerRefusal(other) == nil, inputChannels(other) == channels
            else { return .failure("its input is read by \(graph.nodes[reader].opType) too, which cannot be scaled") }
            guard Self.channelAxis(other) == Self.channelAxis(layer) else { return .failure("its input is read in two layouts") }
            consumers.append(other)
        }
        var search = Upstream(sites: self, channels: channels, rank: layer.kind == .conv ? layer.weightShape.count : nil)
        switch search.absorb(value) {
        case .failure(let reason): return .failure(reason)
        case .success(let producer):
            return .success(
                ScalingSite(value: value, channels: channels, consumers: consumers, upstream: search.uses, producer: producer))
        }
    }

    struct Refusal: Error, ExpressibleByStringInterpolation {
        let reason: String
        init(stringLiteral value: String) { reason = value }
        init(stringInterpolation: DefaultStringInterpolation) { reason = String(stringInterpolation: stringInterpolation) }
    }

    /// 1 for convolutions, −1 (the last) for products of matrices.
    private static func channelAxis(_ layer: Layer) -> Int { layer.kind == .conv ? 1 : -1 }

    private func inputChannels(_ layer: Layer) -> Int {
        layer.kind == .conv ? layer.weightShape[1] * layer.group : layer.weightShape[layer.inputAxis]
    }

    private func consumerRefusal(_ layer: Layer) -> Refusal? {
        if let reason = QuantizationRefusal.reason(for: layer) { return "\(reason)" }
        guard layer.path.isMain else { return "in a subgraph" }
        if let reason = WeightMatrix.refusal(of: layer) { return "\(reason)" }
        let node = graph.nodes[layer.nodeIndex]
        guard node.domain.isEmpty || node.domain == "ai.onnx" else { return "\(node.domain).\(node.opType) is not a standard operator" }
        if node.input(0) == layer.weight { return "the weight is the left operand" }
        guard node.input(1) == layer.weight else { return "its weight is computed by other operators" }
        guard node.int("transA") ?? 0 == 0 else { return "the input is transposed (transA)" }
        guard isOwn(layer.weight) else { return "its weight is shared with another layer" }
        return nil
    }

    /// Whether one node alone reads a constant.
    private func isOwn(_ name: String) -> Bool { readers.readers[WeightReaders.Place(owner: .main, name: name), default: []].count == 1 }

    /// Follows a value upwards to what can take a division of its channels.
    private struct Upstream {
        let sites: ScalingSites
        let channels: Int
        /// Rank of the values on the way where channels lie along axis 1; `nil` where they lie along the last axis.
        let rank: Int?
        private(set) var uses: [ScalingSite.ConstantUse] = []

        init(sites: ScalingSites, channels: Int, rank: Int?) {
            self.sites = sites
            self.channels = channels
            self.rank = rank
        }

        mutating func absorb(_ start: String) -> Result<Layer?, Refusal> {
            let graph = sites.graph
            var value = start
            for _ in 0..<16 {
                guard let position = sites.index.producer[value] else { return .failure("its input comes from an input of the model") }
                if value != start, sites.index.useCount(value) != 1 { return .failure("a value before it is read elsewhere") }
                let node = graph.nodes[position]
                guard node.domain.isEmpty || node.domain == "ai.onnx" else { return .failure("\(node.opType) before it cannot be scaled") }
                switch node.opType {
                case "Relu", "LeakyRelu", "PRelu", "Identity", "Dropout":
                    // f(x / s) = f(x) / s for s > 0.
                    value = node.inputs[0]
                case "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool":
                    guard rank != nil, node.outputs.dropFirst().allSatisfy(\.isEmpty) else { return .failure("\(node.opType) before it mixes channels") }
                    value = node.inputs[0]
                case "Add", "Sub":
                    guard let (constant, other) = constantOperand(node), node.opType == "Add" || constant == 1,
                        take(position, constant)
                    else { return .failure("\(node.opType) before it has no constant per channel") }
                    value = node.inputs[other]
                case "Mul", "Div":
                    guard let (constant, _) = constantOperand(node), node.opType == "Mul" || constant == 1,
                        take(position, constant, inverse: node.opType == "Div")
                    else { return .failure("\(node.opType) before it has no constant per channel") }
                    return .success(nil)
                case "LayerNormalization":
                    guard rank == nil, node.int("axis") ?? -1 == -1 || vectorCount(node, 1) == channels,
                        vector(position, 1), node.input(2) == nil || vector(position, 2)
                    else { return .failure("the LayerNormalization before it has no constants per channel") }
                    return .success(nil)
                case "RMSNormalization":
                    guard rank == nil, node.int("axis") ?? -1 == -1 || vectorCount(node, 1) == channels, vector(position, 1) else {
                        return .failure("the RMSNormalization before it has no constants per channel")
                    }
                    return .success(nil)
                case "SimplifiedLayerNormalization":
                    guard rank == nil, vector(position, 1) else { return .failure("the \(node.opType) before it has no constants per channel") }
                    return .success(nil)
                case "BatchNormalization", "InstanceNormalization":
                    guard rank != nil || sites.graph.rank(of: node.inputs[0], index: sites.index) == 2, node.int("training_mode") ?? 0 == 0, node.int("spatial") ?? 1 == 1,
                        vector(position, 1), vector(position, 2)
                    else {
                        return .failure("the \(node.opType) before it has no constants per channel")
                    }
                    return .success(nil)
                case "Conv", "Gemm", "MatMul":
                    guard let layer = sites.layers[position], layer.isFloat, layer.weightType == .float32, layer.kind == .conv ? rank != nil : true,
                        layer.kind == .conv || rank == nil, WeightMatrix.shape(of: layer) != nil, node.input(1) == layer.weight,
                        layer.weightShape[layer.outputAxis] == channels
                    else { return .failure("the \(node.opType) before it has no constant weight per channel") }
                    guard sites.isOwn(layer.weight) else { return .failure("the weight of \(layer.id) before it is shared with another layer") }
                    uses.append(.init(node: position, input: 1, axis: layer.outputAxis))
                    if node.input(2) != nil {
                        guard vectorCount(node, 2) == channels, let dims = constant(node, 2)?.dims, dims.last == channels else {
                            return .failure("the bias of \(layer.id) before it is not one per channel")
                        }
                        uses.append(.init(node: position, input: 2, axis: dims.count - 1))
                    }
                    return .success(layer)
                default:
                    return .failure("\(node.opType) before it cannot be scaled")
                }
            }
            return .failure("no layer or normalization before it")
        }

        private func constant(_ node: Node, _ input: Int) -> Tensor? {
            guard let tensor = node.input(input).flatMap({ sites.graph.initializers[$0] }), tensor.elementType == .float32 else { return nil }
            return tensor
        }

        private func vectorCount(_ node: Node, _ input: Int) -> Int? { constant(node, input)?.count }

        private mutating func vector(_ position: Int, _ input: Int) -> Bool {
            guard let tensor = constant(sites.graph.nodes[position], input), tensor.dims == [channels] else { return false }
            uses.append(.init(node: position, input: input, axis: 0))
            return true
        }

        /// Which operand of two is a constant, and which is not.
        private func constantOperand(_ node: Node) -> (constant: Int, other: Int)? {
            guard node.inputs.count == 2 else { return nil }
            if constant(node, 1) != nil, sites.graph.initializers[node.inputs[0]] == nil { return (1, 0) }
            if constant(node, 0) != nil, sites.graph.initializers[node.inputs[1]] == nil { return (0, 1) }
            return nil
        }

        /// A constant that broadcasts along all axes but that of the channels.
        private mutating func take(_ position: Int, _ input: Int, inverse: Bool = false) -> Bool {
            guard let tensor = constant(sites.graph.nodes[position], input), tensor.count == channels else { return false }
            let fromEnd = rank.map { $0 - 2 } ?? 0
            let axis = tensor.dims.count - 1 - fromEnd
            guard axis >= 0, tensor.dims[axis] == channels, rank == nil || tensor.dims.count <= rank ?? 0 else { return false }
            uses.append(.init(node: position, input: input, axis: axis, inverse: inverse))
            return true
        }
    }
}
