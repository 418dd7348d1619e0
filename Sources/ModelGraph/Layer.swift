/// A node that holds weights, the unit that techniques work on and that users select.
public struct Layer: Sendable, Identifiable {
    public enum Kind: String, Sendable, CaseIterable, Codable {
        case conv, convTranspose, gemm, matMul, lstm, gru, rnn, embedding
    }

    /// Unique in the model and stable across recipes that do not rename nodes: the node's name, or its first output.
    public var id: String
    public var kind: Kind
    public var opType: String
    /// Graph that holds the node, and the node's index there. Valid until nodes are added or removed.
    public var path: GraphPath
    public var nodeIndex: Int
    /// Name of the main weight tensor. For quantized layers, of the integer tensor.
    public var weight: String
    public var weightShape: [Int]
    public var weightType: ElementType
    /// Further weight matrices: the recurrent weights of LSTM, GRU and RNN.
    public var otherWeights: [String]
    public var bias: String?
    /// Axis of `weight` along which outputs (filters, neurons) lie. For recurrent layers 1; for embeddings 1.
    public var outputAxis: Int
    /// Axis of `weight` along which inputs lie.
    public var inputAxis: Int
    /// Groups of a convolution; 1 otherwise.
    public var group: Int
    /// Where the weight is stored quantized: names of scale and zero point.
    public var quantization: Quantization?

    public struct Quantization: Sendable {
        public var scale: String?
        public var zeroPoint: String?
        /// Operator that dequantizes or computes on integers: DequantizeLinear, QLinearConv, MatMulInteger, …; Quant or BipolarQuant
        /// where it rounds floats that a network was trained with; Gather
        /// where the weights are indices into a codebook, Cast where plain operators decode them, `Layer.computed` where they
        /// compute them from fewer numbers.
        public var opType: String
        /// Bits of a weight as stored.
        public var bits: Int
    }

    /// Stands for an operator where weights are a `ComputedWeight`.
    public static let computed = "Computed"
    /// Weights in the main tensor.
    public var weightCount: Int { weightShape.reduce(1, *) }
    /// A convolution with one input channel per group.
    public var isDepthwise: Bool { kind == .conv && group > 1 && weightShape.count > 1 && weightShape[1] == 1 }
    /// Weights are floating point, so the layer can be compressed by techniques that change weights.
    public var isFloat: Bool { weightType.isFloatingPoint && quantization == nil }
    /// The type of a weight in the file: the element type, or the width of codes that share bytes.
    public var storedType: String {
        guard weightType.isQuantized, let bits = quantization?.bits, let width = weightType.bitWidth, bits < width else { return weightType.description }
        return "\(bits)-bit"
    }
}

extension Model {
    /// All layers in graph order, those of subgraphs after the node that holds them.
    public func layers() -> [Layer] {
        var layers: [Layer] = []
        var used: [String: Int] = [:]
        for path in graph.graphPaths() {
            guard let graph = graph[path] else { continue }
            let finder = LayerFinder(model: self, graph: graph, path: path)
            for index in graph.nodes.indices {
                guard var layer = finder.layer(at: index) else { continue }
                let count = used[layer.id, default: 0]
                used[layer.id] = count + 1
                if count > 0 { layer.id += "#\(count + 1)" }
                layers.append(layer)
            }
        }
        return layers
    }
}

/// Recognizes weight-bearing nodes of one graph.
private struct LayerFinder {
    let model: Model
    let graph: Graph
    let path: GraphPath
    /// This graph and those around it, innermost first, with the node that makes each value.
    private var scopes: [Scope] = []
    /// Nodes of this graph that compute a weight, and are no layers themselves.
    private let computing: Set<Int>

    private struct Scope {
        var graph: Graph
        var path: GraphPath
        var producer: [String: Int]
    }

    init(model: Model, graph: Graph, path: GraphPath) {
        self.model = model
        self.graph = graph
        self.path = path
        computing = graph.computedWeights.reduce(into: []) { $0.formUnion($1.nodes) }
        var path = path
        while let scope = model.graph[path] {
            var producer: [String: Int] = [:]
            for (index, node) in scope.nodes.enumerated() { for output in node.outputs { producer[output] = index } }
            scopes.append(Scope(graph: scope, path: path, producer: producer))
            guard !path.isMain else { break }
            path.steps.removeLast()
        }
    }

    /// A weight found behind an input: the stored tensor, its shape as a weight, and how it is dequantized on the way.
    private struct Source {
        var tensor: Tensor
        var dims: [Int]
        var quantization: Layer.Quantization?
    }

    private func source(_ name: String?) -> Source? {
        guard let name else { return nil }
        if let found = model.initializer(name, from: path) { return Source(tensor: found.tensor, dims: found.tensor.dims, quantization: nil) }
        guard let scope = scopes.first(where: { $0.producer[name] != nil }), let index = scope.producer[name] else { return nil }
        let node = scope.graph.nodes[index]
        if let shared = scope.graph.codebookWeight(name, producer: { scope.producer[$0] }), let indices = scope.graph.initializers[shared.indices] {
            let quantization = Layer.Quantization(scale: nil, zeroPoint: nil, opType: "Gather", bits: 8)
            return Source(tensor: indices, dims: indices.dims, quantization: quantization)
        }
        // A layer that computes in float16 or float64 has a Cast in between.
        var dequantizing = node
        if node.isStandard("Cast"), let maker = node.input(0).flatMap({ scope.producer[$0] }) { dequantizing = scope.graph.nodes[maker] }
        if dequantizing.opType == "DequantizeLinear", let stored = dequantizing.input(0), let found = model.initializer(stored, from: scope.path) {
            let quantization = Layer.Quantization(
                scale: dequantizing.input(1), zeroPoint: dequantizing.input(2), opType: "DequantizeLinear", bits: found.tensor.elementType.bitWidth ?? 8)
            return Source(tensor: found.tensor, dims: found.tensor.dims, quantization: quantization)
        }
        if let packed = scope.graph.packedWeight(name, producer: { scope.producer[$0] }), let plane = scope.graph.initializers[packed.planes[0]] {
            let quantization = Layer.Quantization(scale: packed.scale, zeroPoint: packed.zeroPoint, opType: "Cast", bits: packed.bits)
            return Source(tensor: plane, dims: packed.dims, quantization: quantization)
        }
        if let computed = scope.graph.computedWeight(name, producer: { scope.producer[$0] }), let tensor = scope.graph.initializers[computed.main] {
            let quantization = Layer.Quantization(
                scale: computed.codebook ?? computed.stored.first { $0 != computed.main }, zeroPoint: nil, opType: Layer.computed,
                bits: max(Int(computed.bits.rounded()), 1))
            return Source(tensor: tensor, dims: computed.dims, quantization: quantization)
        }
        if let quantized = trained(node, scope) { return quantized }
        return decoded(node, scope, depth: 0) ?? foreign(node, scope)
    }

    /// Weights behind an operator of someone else's (AMD Quark's quantizers and the like), by which they are known: what it makes of them is not.
    private func foreign(_ node: Node, _ scope: Scope) -> Source? {
        // Those whose width stands in the file are told by it or not at all.
        guard !["", "ai.onnx", "com.microsoft"].contains(node.domain), !Self.trainingDomains.contains(node.domain), node.outputs.count == 1, var stored = node.input(0) else {
            return nil
        }
        func isConstant(_ name: String) -> Bool { name.isEmpty || model.initializer(name, from: scope.path) != nil }
        // Quantized and dequantized by a pair of them.
        if !isConstant(stored), let index = scope.producer[stored], scope.graph.nodes[index].domain == node.domain,
            scope.graph.nodes[index].inputs.allSatisfy(isConstant), let first = scope.graph.nodes[index].input(0)
        {
            stored = first
        }
        guard node.inputs.dropFirst().allSatisfy(isConstant), let found = model.initializer(stored, from: scope.path), found.tensor.dims.count >= 2,
            found.tensor.elementType.isFloatingPoint || found.tensor.elementType.isQuantized
        else { return nil }
        // The type of the zero point is that of the codes.
        let zero = node.input(2).flatMap { model.initializer($0, from: scope.path) }?.tensor.elementType
        let bits = (zero?.isQuantized == true ? zero : found.tensor.elementType)?.bitWidth ?? 8
        return Source(
            tensor: found.tensor, dims: found.tensor.dims,
            quantization: Layer.Quantization(scale: node.input(1), zeroPoint: node.input(2), opType: node.opType, bits: bits))
    }

    /// Of Brevitas and QONNX.
    private static let trainingDomains: Set = ["onnx.brevitas", "qonnx.custom_op.general", "finn.custom_op.general"]

    /// Weights that a network was trained to have rounded, by Brevitas' or QONNX's operators: kept as floats, of as many bits as
    /// the operator says (QONNX, "Quant" and "BipolarQuant").
    private func trained(_ node: Node, _ scope: Scope) -> Source? {
        guard Self.trainingDomains.contains(node.domain),
            let stored = node.input(0), let found = model.initializer(stored, from: scope.path), found.tensor.elementType.isFloatingPoint
        else { return nil }
        let bits: Int
        switch node.opType {
        case "BipolarQuant": bits = 1
        case "Quant":
            guard let width = node.input(3).flatMap({ model.initializer($0, from: scope.path) })?.tensor.floats(), width.count == 1, (1...32).contains(width[0])
            else { return nil }
            bits = Int(width[0].rounded(.up))
        default: return nil
        }
        let quantization = Layer.Quantization(
            scale: node.input(1), zeroPoint: node.opType == "Quant" ? node.input(2) : nil, opType: node.opType, bits: bits)
        return Source(tensor: found.tensor, dims: found.tensor.dims, quantization: quantization)
    }

    /// Weights that a file decodes by hand from integers: a chain of Cast, Sub, Add, Mul, Div, Reshape and Transpose
    /// over one integer initializer and constants.
    private func decoded(_ node: Node, _ scope: Scope, depth: Int) -> Source? {
        guard depth < 6, ["Cast", "Sub", "Add", "Mul", "Div", "Reshape", "Transpose"].contains(node.opType) else { return nil }
        for (position, input) in node.inputs.enumerated() {
            let others = node.inputs.enumerated().filter { $0.offset != position }.map(\.element)
            guard others.allSatisfy({ model.initializer($0, from: scope.path) != nil }) else { continue }
            if let found = model.initializer(input, from: scope.path), node.opType == "Cast" {
                guard found.tensor.elementType.isQuantized else { return nil }
                let quantization = Layer.Quantization(
                    scale: nil, zeroPoint: nil, opType: "Cast", bits: found.tensor.elementType.bitWidth ?? 8)
                return Source(tensor: found.tensor, dims: found.tensor.dims, quantization: quantization)
            }
            if let index = scope.producer[input], var source = decoded(scope.graph.nodes[index], scope, depth: depth + 1) {
                if source.quantization?.scale == nil, node.opType == "Mul" { source.quantization?.scale = others.first }
                return source
            }
        }
        return nil
    }

    func layer(at index: Int) -> Layer? {
        let node = graph.nodes[index]
        let microsoft = node.domain == "com.microsoft"
        guard !computing.contains(index) else { return nil }
        guard node.domain.isEmpty || node.domain == "ai.onnx" || microsoft else { return nil }
        switch node.opType {
        case "Conv", "FusedConv", "NhwcFusedConv":
            return make(index, node, .conv, weight: 1, bias: 2, outputAxis: 0, inputAxis: 1)
        case "ConvTranspose":
            return make(index, node, .convTranspose, weight: 1, bias: 2, outputAxis: 1, inputAxis: 0)
        case "Gemm", "FusedGemm":
            if source(node.input(1)) == nil, source(node.input(0)) != nil {
                let transposed = node.int("transA") == 1
                return make(index, node, .gemm, weight: 0, bias: 2, outputAxis: transposed ? 1 : 0, inputAxis: transposed ? 0 : 1)
            }
            let transposed = node.int("transB") == 1
            return make(index, node, .gemm, weight: 1, bias: 2, outputAxis: transposed ? 0 : 1, inputAxis: transposed ? 1 : 0)
        case "MatMul", "FusedMatMul":
            if let layer = make(index, node, .matMul, weight: 1, bias: nil, outputAxis: -1, inputAxis: -2) { return layer }
            return make(index, node, .matMul, weight: 0, bias: nil, outputAxis: -2, inputAxis: -1)
        case "LSTM", "GRU", "RNN":
            let kind: Layer.Kind = node.opType == "LSTM" ? .lstm : node.opType == "GRU" ? .gru : .rnn
            guard var layer = make(index, node, kind, weight: 1, bias: 3, outputAxis: 1, inputAxis: 2) else { return nil }
            guard let recurrent = recurrent(node, beside: layer) else { return source(node.input(2)) == nil ? layer : nil }
            layer.otherWeights = [recurrent.tensor.name]
            return layer
        case "Gather":
            guard let table = source(node.input(0)), table.dims.count == 2, [0, -2].contains(node.int("axis") ?? 0),
                table.tensor.elementType.isFloatingPoint || table.tensor.elementType.isQuantized, table.dims[1] > 1
            else { return nil }
            guard var layer = make(index, node, .embedding, weight: 0, bias: nil, outputAxis: 1, inputAxis: 0) else { return nil }
            // Rows gathered as integers and dequantized afterwards.
            if layer.quantization == nil, table.tensor.elementType.isQuantized {
                layer.quantization = Layer.Quantization(
                    scale: nil, zeroPoint: nil, opType: "Gather", bits: table.tensor.elementType.bitWidth ?? 8)
            }
            return layer
        case "GatherBlockQuantized":
            guard var layer = make(index, node, .embedding, weight: 0, bias: nil, outputAxis: 1, inputAxis: 0) else { return nil }
            let bits = layer.weightType.bitWidth == 4 ? 4 : node.int("bits") ?? 4
            guard [2, 4, 8].contains(bits) else { return nil }
            layer.quantization = Layer.Quantization(scale: node.input(2), zeroPoint: node.input(3), opType: node.opType, bits: bits)
            if layer.weightType == .uint8, bits < 8 { layer.weightShape[1] *= 8 / bits }
            return layer
        case "MatMulInteger", "ConvInteger":
            let zeroPoint = node.input(3)
            return integer(index, node, node.opType == "ConvInteger" ? .conv : .matMul, weight: 1, scale: nil, zeroPoint: zeroPoint)
        case "Attention" where microsoft:
            return make(index, node, .matMul, weight: 1, bias: 2, outputAxis: -1, inputAxis: -2)
        case "QAttention":
            return integer(index, node, .matMul, weight: 1, scale: node.input(4), zeroPoint: node.input(7))
        case "MatMulBnb4":
            guard let codes = source(node.input(1)), codes.tensor.elementType == .uint8, let rows = node.int("N"), let columns = node.int("K"),
                let count = Tensor.elementCount([rows, columns]), count / 2 <= codes.tensor.count
            else { return nil }
            let quantization = Layer.Quantization(scale: node.input(2), zeroPoint: nil, opType: node.opType, bits: 4)
            return Layer(
                id: node.name.isEmpty ? (node.outputs.first ?? "") : node.name, kind: .matMul, opType: node.opType, path: path, nodeIndex: index,
                weight: codes.tensor.name, weightShape: [columns, rows], weightType: codes.tensor.elementType, otherWeights: [], bias: nil, outputAxis: 1,
                inputAxis: 0, group: 1, quantization: quantization)
        case "QLinearConv":
            return integer(index, node, .conv, weight: 3, scale: node.input(4), zeroPoint: node.input(5), bias: 8)
        case "QLinearMatMul", "QGemm":
            return integer(index, node, .matMul, weight: 3, scale: node.input(4), zeroPoint: node.input(5), bias: node.opType == "QGemm" ? 6 : nil)
        case "DynamicQuantizeMatMul", "MatMulIntegerToFloat":
            return integer(index, node, .matMul, weight: 1, scale: node.input(2), zeroPoint: node.input(3))
        case "DynamicQuantizeLSTM":
            guard var layer = integer(index, node, .lstm, weight: 1, scale: node.input(8), zeroPoint: node.input(9)) else { return nil }
            if let recurrent = source(node.input(2)) { layer.otherWeights = [recurrent.tensor.name] }
            return layer
        case "MatMulNBits":
            guard var layer = integer(index, node, .matMul, weight: 1, scale: node.input(2), zeroPoint: node.input(3)) else { return nil }
            let bits = node.int("bits") ?? 4
            guard (1...8).contains(bits) else { return nil }
            layer.quantization?.bits = bits
            if let rows = node.int("N"), let columns = node.int("K") {
                // Attributes may claim more than the file holds.
                guard let count = Tensor.elementCount([rows, columns]), count <= layer.weightCount * 8 / bits else { return nil }
                layer.weightShape = [columns, rows]
                layer.outputAxis = 1
                layer.inputAxis = 0
            }
            return layer
        default:
            return nil
        }
    }

    private func integer(
        _ index: Int, _ node: Node, _ kind: Layer.Kind, weight: Int, scale: String?, zeroPoint: String?, bias: Int? = nil
    ) -> Layer? {
        let convolution = kind == .conv
        guard
            var layer = make(
                index, node, kind, weight: weight, bias: bias, outputAxis: convolution ? 0 : -1, inputAxis: convolution ? 1 : -2)
        else { return nil }
        layer.quantization = Layer.Quantization(
            scale: scale, zeroPoint: zeroPoint, opType: node.opType, bits: layer.weightType.bitWidth ?? 8)
        return layer
    }

    /// How many axes the weights of a layer have in models that run.
    private static func ranks(of kind: Layer.Kind) -> PartialRangeFrom<Int> {
        switch kind {
        case .conv, .convTranspose, .lstm, .gru, .rnn: 3...
        case .gemm, .matMul, .embedding: 2...
        }
    }

    /// Recurrent weights, whose three axes belong to those of the others; `nil` where they do not.
    private func recurrent(_ node: Node, beside layer: Layer) -> Source? {
        guard let found = source(node.input(2)), found.dims.count == 3, layer.weightShape.count == 3, found.dims[0] == layer.weightShape[0] else { return nil }
        return found
    }

    /// A layer whose weight is input number `weight`; negative axes count from the end.
    private func make(
        _ index: Int, _ node: Node, _ kind: Layer.Kind, weight: Int, bias: Int?, outputAxis: Int, inputAxis: Int
    ) -> Layer? {
        guard let source = source(node.input(weight)), source.tensor.count > 0 else { return nil }
        let rank = source.dims.count
        guard Self.ranks(of: kind).contains(rank) else { return nil }
        let biasName = bias.flatMap { node.input($0) }.flatMap { self.source($0)?.tensor.name }
        return Layer(
            id: node.name.isEmpty ? (node.outputs.first ?? "") : node.name, kind: kind, opType: node.opType, path: path, nodeIndex: index,
            weight: source.tensor.name, weightShape: source.dims, weightType: source.tensor.elementType, otherWeights: [],
            bias: biasName, outputAxis: outputAxis < 0 ? rank + outputAxis : outputAxis,
            inputAxis: inputAxis < 0 ? rank + inputAxis : inputAxis, group: max(node.int("group") ?? 1, 1),
            quantization: source.quantization)
    }
}
