import ModelGraph

/// Where the bias of a layer is or may be: an input of the node itself, or a constant added right behind.
struct BiasSite {
    enum Place {
        /// Input 2 of the layer's node; `nil` where it has none yet.
        case own(String?)
        /// Input 2 of the layer's node, as 32-bit codes of a step for each channel.
        case codes(String, scale: String)
        /// A constant that an Add behind a MatMul reads as input `input`.
        case add(node: Int, input: Int, name: String)
    }

    var place: Place
    /// Channels of the output.
    var count: Int
    /// Dimension of the channels in the output, counted from the end.
    var dimension: Int
    /// What a bias is multiplied with.
    var scale: Float

    /// Why a layer's bias cannot be changed; the site if it can.
    static func find(_ layer: Layer, in model: Model, index: GraphIndex, constants: Set<String>) -> Result<BiasSite, Refusal> {
        guard layer.path.isMain else { return .failure("in a subgraph: calibration does not reach it") }
        let node = model.graph.nodes[layer.nodeIndex]
        guard layer.weightShape.indices.contains(layer.outputAxis), let output = node.outputs.first else { return .failure("its weight has an unusual shape") }
        var count = layer.weightShape[layer.outputAxis]
        switch (layer.kind, node.opType) {
        case (.conv, "Conv"), (.convTranspose, "ConvTranspose"):
            if layer.kind == .convTranspose { count *= layer.group }
            let dimension = -(layer.weightShape.count - 1)
            return own(node, model, count, dimension, 1)
        case (.gemm, "Gemm"):
            guard let weight = node.input(1), constants.contains(weight) else { return .failure("the weight is the left operand") }
            let beta = node.float("beta") ?? 1
            guard beta != 0 else { return .failure("it multiplies its bias with 0") }
            return own(node, model, count, -1, beta)
        case (.matMul, _):
            if node.isStandard("MatMul"), !(node.input(1).map(constants.contains) ?? false) { return .failure("the weight is the left operand") }
            guard index.useCount(output) == 1, let reader = index.consumers[output]?.first, model.graph.nodes[reader].isStandard("Add") else {
                return .failure("no bias is added after it")
            }
            let add = model.graph.nodes[reader]
            guard add.inputs.count == 2, let place = add.inputs.firstIndex(where: { $0 != output }), let tensor = model.graph.initializers[add.inputs[place]],
                tensor.elementType.isFloatingPoint, tensor.count == count, tensor.dims.last == count
            else { return .failure("no bias is added after it") }
            return .success(BiasSite(place: .add(node: reader, input: place, name: tensor.name), count: count, dimension: -1, scale: 1))
        default:
            return .failure("\(node.opType) has no bias that can be changed")
        }
    }

    struct Refusal: Error, ExpressibleByStringInterpolation {
        var reason: String
        init(stringLiteral value: String) { reason = value }
    }

    private static func own(_ node: Node, _ model: Model, _ count: Int, _ dimension: Int, _ scale: Float) -> Result<BiasSite, Refusal> {
        guard let name = node.input(2) else {
            let isInteger = [0, 1].allSatisfy { place in
                node.input(place).map { input in model.graph.nodes.contains { $0.opType == "DequantizeLinear" && $0.outputs.first == input } } ?? false
            }
            guard !isInteger else { return .failure("it computes on integers and has no bias: one in float would end that") }
            return .success(BiasSite(place: .own(nil), count: count, dimension: dimension, scale: scale))
        }
        guard let tensor = model.graph.initializers[name] else {
            guard let maker = model.graph.nodes.first(where: { $0.outputs.first == name }), maker.opType == "DequantizeLinear",
                let codes = maker.input(0), let stored = model.graph.initializers[codes], stored.elementType == .int32, stored.dims == [count],
                let step = maker.input(1), let steps = model.graph.initializers[step]?.floats(), [1, count].contains(steps.count), steps.allSatisfy({ $0 > 0 }),
                maker.input(2).map({ model.graph.initializers[$0]?.integers()?.allSatisfy { $0 == 0 } ?? false }) ?? true
            else { return .failure("its bias is computed") }
            return .success(BiasSite(place: .codes(codes, scale: step), count: count, dimension: dimension, scale: scale))
        }
        guard tensor.elementType.isFloatingPoint else { return .failure("its bias is quantized") }
        guard tensor.count == 1 || tensor.count == count && (tensor.dims.last ?? 1) == count else { return .failure("its bias has an unusual shape") }
        return .success(BiasSite(place: .own(name), count: count, dimension: dimension, scale: scale))
    }

    /// The bias as it is, one number per channel.
    func values(in model: Model) -> [Float] {
        if case .codes(let codes, let step) = place { return Self.dequantized(codes, step, model) }
        let name: String? =
            switch place {
            case .own(let name): name
            case .add(_, _, let name): name
            case .codes: nil
            }
        guard let values = name.flatMap({ model.graph.initializers[$0]?.floats() }) else { return [Float](repeating: 0, count: count) }
        return values.count == count ? values : [Float](repeating: values.first ?? 0, count: count)
    }

    private static func dequantized(_ codes: String, _ step: String, _ model: Model) -> [Float] {
        let steps = model.graph.initializers[step]?.floats() ?? [1]
        return (model.graph.initializers[codes]?.integers() ?? []).enumerated().map { Float(Double($1) * Double(steps[steps.count == 1 ? 0 : $0])) }
    }

    /// Puts other values in. A constant that others read too, or that a caller may override, is left and a new one made.
    /// - Parameter type: element type of a bias that is new: that of the values the layer computes with.
    func store(_ values: [Float], of layer: Layer, type: ElementType, in model: inout Model, index: GraphIndex, names: inout NameSupply) {
        func put(_ old: String?) -> String {
            let listed = old.map { name in model.graph.inputs.contains { $0.name == name } } ?? false
            let tensor = old.flatMap { model.graph.initializers[$0] }
            if let old, let tensor, !listed, index.useCount(old) == 1, tensor.count == count {
                model.graph.initializers[old] = tensor.withFloats(values)
                return old
            }
            let name = names.fresh((old ?? layer.weight) + (old == nil ? "_bias" : "_repaired"))
            let like = tensor ?? (try? Tensor(name: name, elementType: type, dims: [0], storage: TensorStorage(copying: [UInt8]())))
            model.graph.initializers[name] = (like ?? Tensor(name: name, floats: [], dims: [0])).renamed(name).withFloats(values, dims: [count])
            return name
        }
        switch place {
        case .own(let name):
            let target = put(name)
            while model.graph.nodes[layer.nodeIndex].inputs.count < 3 { model.graph.nodes[layer.nodeIndex].inputs.append("") }
            model.graph.nodes[layer.nodeIndex].inputs[2] = target
        case .add(let node, let input, let name):
            model.graph.nodes[node].inputs[input] = put(name)
        case .codes(let codes, let step):
            let steps = model.graph.initializers[step]?.floats() ?? [1]
            let rounded = values.enumerated().map { index, value in
                let code = (Double(value) / Double(steps[steps.count == 1 ? 0 : index])).rounded(.toNearestOrEven)
                return Int32(max(min(code, Double(Int32.max)), Double(Int32.min)))
            }
            // The node that dequantizes it reads a tensor of its own from here on, where another reads the old one.
            let target = index.useCount(codes) == 1 ? codes : names.fresh(codes + "_repaired")
            model.graph.initializers[target] = Tensor(name: target, int32s: rounded, dims: [count])
            guard target != codes, let bias = model.graph.nodes[layer.nodeIndex].input(2),
                let maker = model.graph.nodes.firstIndex(where: { $0.outputs.first == bias })
            else { return }
            model.graph.nodes[maker].inputs[0] = target
        }
    }

    /// Element type that a layer computes in: that of its weight where the node reads it, after whatever decodes it.
    static func type(of layer: Layer, in model: Model) -> ElementType {
        guard let weight = model.graph.nodes[layer.nodeIndex].input(1) else { return .float32 }
        if let tensor = model.graph.initializers[weight] { return tensor.elementType.isFloatingPoint ? tensor.elementType : .float32 }
        guard let maker = model.graph.nodes.first(where: { $0.outputs.contains(weight) }) else { return .float32 }
        var found: ElementType?
        if maker.isStandard("Cast") { found = maker.int("to").map { ElementType(rawValue: Int32($0)) } }
        if maker.isStandard("DequantizeLinear") { found = maker.input(1).flatMap { model.graph.initializers[$0]?.elementType } }
        return found.map { $0.isFloatingPoint ? $0 : .float32 } ?? .float32
    }
}
