import EngineSupport
import ModelGraph
import Techniques
import Training

/// Two thin layers beside one: its outputs plus scale · second(first(x)).
struct LowRankAdapter {
    let layer: Layer
    let scale: Float
    /// Whether the change is to be added to the weight.
    let merges: Bool
    private let links: [FactorLink]
    /// Whether the first of the two is the right factor of the stored weight.
    private let rightFirst: Bool
    private let rows: Int
    private let columns: Int
    private let rank: Int
    /// Weights of the first and the second.
    private(set) var a: [Float]
    private(set) var b: [Float]

    /// Why a layer can have no adapter; `nil` if it can.
    static func refusal(for layer: Layer, in model: Model) -> String? {
        guard layer.path.isMain else { return "in a subgraph (If, Loop, Scan)" }
        let node = model.graph.nodes[layer.nodeIndex]
        switch layer.kind {
        case .lstm, .gru, .rnn: return "recurrent operators take whole matrices, not sums"
        case .embedding: return "embedding: rows are looked up, not multiplied"
        case .convTranspose: return "transposed convolutions have no adapters"
        case .conv: if layer.group > 1 { return layer.isDepthwise ? "depthwise: each filter is already rank 1 across channels" : "grouped convolution" }
        case .gemm: if model.opset < 11 { return "Gemm without a bias needs opset 11" }
        case .matMul: if layer.weightShape.count > 2 { return "a batched constant is not one matrix" }
        }
        guard node.isStandard(layer.opType), !layer.opType.hasPrefix("Fused") else { return "a fused \(layer.opType) has no adapters" }
        guard layer.isFloat || layer.quantization?.opType == "DequantizeLinear" && prototype(of: layer, in: model) != nil else {
            return "its weights are stored in a form that has no adapters"
        }
        guard let (rows, columns) = SingularValues.matrixShape(of: layer) else { return "its weight is not a matrix" }
        return rows * columns > rows + columns ? nil : "too small: an adapter of rank 1 holds as many weights"
    }

    /// A tensor of the type in which a layer computes.
    private static func prototype(of layer: Layer, in model: Model) -> Tensor? {
        if layer.isFloat { return model.graph.initializers[layer.weight] }
        guard let scale = layer.quantization?.scale, let tensor = model.graph.initializers[scale], tensor.elementType == .float32 else { return nil }
        return tensor
    }

    /// An adapter that changes nothing yet: the first uniform in ±1/√inputs, the second zero (Hu et al. 2021, section 4.1, as in their code).
    init(_ target: LayerTarget, in model: Model, seed: UInt64) throws {
        layer = target.layer
        let node = model.graph.nodes[layer.nodeIndex]
        guard let (rows, columns) = SingularValues.matrixShape(of: layer) else { throw EngineError(.technique, "\(layer.id): its weight is not a matrix") }
        (self.rows, self.columns) = (rows, columns)
        rank = min(target.parameters.integer("rank"), rows, columns)
        scale = Float(target.parameters.real("alpha")) / Float(target.parameters.integer("rank"))
        merges = target.parameters.choice("adapters") == "merge"
        let zeros = Factors(rows: rows, columns: columns, rank: rank, left: [Float](repeating: 0, count: rows * rank), right: [Float](repeating: 0, count: rank * columns))
        // Behind a quantizer the operand is no initializer; which side it stands on is what the links hang on.
        var plain = node
        let position = node.input(1).map { $0 == target.layer.weight || Self.isDequantized($0, of: target.layer, in: model) } ?? false ? 1 : 0
        plain.inputs[position] = layer.weight
        let onLeft = position == 0
        links = try MatrixLinks.links(layer, plain, zeros, opset: model.opset)
        rightFirst =
            switch layer.kind {
            case .conv: true
            case .gemm: onLeft != (node.int(onLeft ? "transA" : "transB") == 1)
            default: onLeft
            }
        let inputs = rightFirst ? columns : rows
        var generator = SeededGenerator(seed: seed)
        for byte in layer.id.utf8 { generator = SeededGenerator(seed: generator.next() &+ UInt64(byte)) }
        let bound = 1 / Float(inputs).squareRoot()
        a = (0..<rank * inputs).map { _ in (2 * generator.unit() - 1) * bound }
        b = [Float](repeating: 0, count: rank * (rightFirst ? rows : columns))
    }

    /// Whether a value is a layer's dequantized weight.
    private static func isDequantized(_ value: String, of layer: Layer, in model: Model) -> Bool {
        model.graph.nodes.contains { $0.outputs.first == value && $0.isStandard("DequantizeLinear") && $0.input(0) == layer.weight }
    }

    mutating func take(a: Tensor?, b: Tensor?) {
        if let values = a?.floats(), values.count == self.a.count { self.a = values }
        if let values = b?.floats(), values.count == self.b.count { self.b = values }
    }

    /// A weight with the change added; `nil` if it cannot be read as floats.
    func merged(with tensor: Tensor) -> Tensor? {
        guard var values = tensor.floats(), values.count == rows * columns else { return nil }
        let (left, right) = rightFirst ? (b, a) : (a, b)
        for row in 0..<rows {
            for index in 0..<rank {
                let factor = scale * left[row * rank + index]
                guard factor != 0 else { continue }
                for column in 0..<columns { values[row * columns + column] += factor * right[index * columns + column] }
            }
        }
        return tensor.withFloats(values)
    }

    /// Puts adapters beside their layers.
    /// - Parameter scaled: whether the scale is a node of its own, as for training, or part of the second layer's weights.
    /// - Returns: names of both weights, by adapter.
    static func insert(_ adapters: [LowRankAdapter], into model: inout Model, scaled: Bool) throws -> [(a: String, b: String)] {
        var supply = NameSupply(model.graph)
        var names = [(a: String, b: String)](repeating: ("", ""), count: adapters.count)
        // From the last node to the first: indices stay valid.
        for (index, adapter) in adapters.enumerated().sorted(by: { $0.element.layer.nodeIndex > $1.element.layer.nodeIndex }) {
            let layer = adapter.layer
            guard let type = prototype(of: layer, in: model) else { continue }
            let base = model.graph.nodes[layer.nodeIndex]
            let (input, output) = (base.inputs[adapter.links[0].operandFirst ? 1 : 0], base.outputs[0])
            func add(_ suffix: String, _ values: [Float], _ dims: [Int]) -> String {
                let name = supply.fresh(layer.weight + "/" + suffix)
                model.graph.initializers[name] = Tensor(like: type, name: name, floats: values, dims: dims)
                return name
            }
            var value = input
            var nodes: [Node] = []
            func append(_ node: Node, _ suffix: String, _ inputs: [String], last: Bool = false) {
                var next = node
                next.name = layer.id + "/" + suffix
                next.inputs = inputs
                value = last ? output : supply.fresh(next.name + "_output")
                next.outputs = [value]
                nodes.append(next)
            }
            let second = scaled ? adapter.b : adapter.b.map { $0 * adapter.scale }
            var weights: [String] = []
            for (link, (suffix, values)) in zip(adapter.links, [("lora_a", adapter.a), ("lora_b", second)]) {
                guard case .weight(_, let dims) = link.operand else { continue }
                let weight = add(suffix, values, dims)
                weights.append(weight)
                append(link.node, suffix, link.operandFirst ? [weight, value] : [value, weight])
            }
            if scaled { append(Node("Mul", inputs: [], outputs: []), "lora_scale", [value, add("lora_scale", [adapter.scale], [])]) }
            let plain = supply.fresh(layer.id + "/lora_base")
            model.graph.nodes[layer.nodeIndex].outputs[0] = plain
            append(Node("Add", inputs: [], outputs: []), "lora_sum", [plain, value], last: true)
            model.graph.nodes.insert(contentsOf: nodes, at: layer.nodeIndex + 1)
            if weights.count == 2 { names[index] = (weights[0], weights[1]) }
        }
        return names
    }
}
