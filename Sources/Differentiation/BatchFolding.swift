import ModelGraph

/// Puts the samples of a batch behind the last spatial axis wherever a graph convolves: [N, C, H, W] becomes [1, C, H, W·N].
///
/// In that layout everything a convolution's gradients cut out of an image is a long run of neighboring numbers, and a sum over
/// samples and places is one matrix product; the runtime's own layout, samples first, costs copies of short rows instead. A kernel
/// that steps along W steps over N numbers, which is what a dilation of N says, so that convolutions of stride 1, normalizations
/// and elementwise operators stay what they are; strided windows become macros (`FoldedConvolution`, `FoldedPooling`).
///
/// Results are the same numbers, up to the order of sums.
struct BatchFolding {
    private(set) var graph: Graph
    private(set) var shapes: [String: [Int]]
    private let opset: Int
    private var names: NameSupply
    /// The folded form of a value, where there is one.
    private var folded: [String: String] = [:]
    /// Values that exist in their own layout.
    private var plain: Set<String> = []
    private var nodes: [Node] = []

    /// Fewer samples than these are not worth the turning.
    private static let leastSamples = 8

    /// Operators of one input that do the same to every number.
    private static let elementwise: Set<String> = [
        "Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Elu", "Celu", "Selu", "ThresholdedRelu", "Softplus", "Softsign", "Gelu", "Mish",
        "Identity", "Dropout", "Erf", "Exp", "Neg", "Abs", "Sqrt", "Log", "Reciprocal", "Round", "Floor", "Ceil",
    ]
    private static let binary: Set<String> = ["Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum", "Mean", "PRelu"]

    /// - Parameters:
    ///   - keep: values that are read from outside and must exist as they are.
    /// - Returns: the graph as it is where nothing is to be won.
    static func fold(_ graph: Graph, opset: Int, shapes: [String: [Int]], keep: [String]) -> (graph: Graph, shapes: [String: [Int]]) {
        guard graph.nodes.contains(where: { $0.isStandard("Conv") }) else { return (graph, shapes) }
        var folding = BatchFolding(graph: graph, opset: opset, shapes: shapes, names: NameSupply(graph))
        for tensor in graph.initializers.values { folding.shapes[tensor.name] = tensor.dims }
        for node in graph.nodes {
            if !folding.take(node) { folding.pass(node) }
        }
        for output in graph.outputs { folding.needPlain(output.name) }
        for name in keep { folding.needPlain(name) }
        folding.graph.nodes = folding.nodes
        return (folding.graph, folding.shapes)
    }

    private init(graph: Graph, opset: Int, shapes: [String: [Int]], names: NameSupply) {
        (self.graph, self.opset, self.shapes, self.names) = (graph, opset, shapes, names)
        for input in graph.inputs where self.shapes[input.name] == nil {
            if let dims = input.shape?.compactMap(\.fixedValue), dims.count == input.shape?.count { self.shapes[input.name] = dims }
        }
        plain = Set(graph.inputs.map(\.name)).union(graph.initializers.keys)
    }

    // MARK: Layouts

    /// Whether a value is a batch of feature maps.
    private func isBatch(_ value: String) -> Bool {
        guard let shape = shapes[value], shape.count == 4 else { return false }
        return shape[0] >= Self.leastSamples && shape.allSatisfy { $0 > 0 }
    }

    private static func foldedShape(_ shape: [Int]) -> [Int] { [1, shape[1], shape[2], shape[3] * shape[0]] }

    private mutating func make(_ type: String, _ inputs: [String], _ attributes: [Attribute] = [], shape: [Int], named name: String? = nil) -> String {
        let output = name ?? names.fresh("\(inputs[0]).\(type)")
        nodes.append(Node(type, inputs: inputs, outputs: [output], attributes: attributes))
        shapes[output] = shape
        return output
    }

    private mutating func reshape(_ value: String, _ dims: [Int], named name: String? = nil) -> String {
        let constant = names.fresh("\(value).shape")
        graph.initializers[constant] = Tensor(name: constant, int64s: dims.map(Int64.init), dims: [dims.count])
        shapes[constant] = [dims.count]
        return make("Reshape", [value, constant], shape: dims, named: name)
    }

    /// The folded form of a value, made if need be.
    private mutating func fold(_ value: String) -> String? {
        if let known = folded[value] { return known }
        guard isBatch(value), let shape = shapes[value] else { return nil }
        let turned = make("Transpose", [value], [Attribute("perm", .integers([1, 2, 3, 0]))], shape: Array(shape[1...]) + [shape[0]])
        let result = reshape(turned, Self.foldedShape(shape))
        folded[value] = result
        return result
    }

    /// Sees to it that a value exists in its own layout.
    private mutating func needPlain(_ value: String) {
        guard !plain.contains(value), let source = folded[value], let shape = shapes[value] else { return }
        plain.insert(value)
        let turned = reshape(source, Array(shape[1...]) + [shape[0]])
        _ = make("Transpose", [turned], [Attribute("perm", .integers([3, 0, 1, 2]))], shape: shape, named: value)
    }

    /// A node that stays as it is.
    private mutating func pass(_ node: Node) {
        for input in node.inputs where !input.isEmpty { needPlain(input) }
        for (_, body) in node.subgraphs { for name in body.capturedNames() { needPlain(name) } }
        nodes.append(node)
        plain.formUnion(node.outputs)
    }

    /// Appends a node that makes the folded form of its first output.
    private mutating func append(_ node: Node, output: String) {
        guard let shape = shapes[output] else { return }
        var node = node
        let name = names.fresh("\(output).folded")
        node.outputs[0] = name
        shapes[name] = Self.foldedShape(shape)
        folded[output] = name
        nodes.append(node)
        plain.formUnion(node.outputs.dropFirst())
    }

    // MARK: Operators

    /// Whether the node now works on folded values.
    private mutating func take(_ node: Node) -> Bool {
        guard node.domain.isEmpty || node.domain == "ai.onnx" || node.domain == Macro.domain, let first = node.input(0), let output = node.outputs.first, isBatch(output) else {
            return false
        }
        let isFolded = folded[first] != nil
        switch node.opType {
        case "Conv": return isBatch(first) && convolution(node)
        case "BatchNormalization":
            guard isFolded, node.outputs.dropFirst().allSatisfy(\.isEmpty) else { return false }
            return same(node)
        case BatchNormalizationMacro.opType: return isFolded && same(node)
        case "QuantizeLinear", "DequantizeLinear":
            guard isFolded, let scale = node.input(1).flatMap({ shapes[$0] }) else { return false }
            return (scale.reduce(1, *) == 1 || (node.int("axis") ?? 1) == 1 && node.int("block_size") ?? 0 == 0) && same(node)
        case "MaxPool", "AveragePool": return isFolded && pooling(node)
        case "GlobalAveragePool": return isFolded && globalMean(node)
        case "ReduceMean":
            guard isFolded, (node.int("keepdims") ?? 1) == 1, let axes = axes(of: node), Set(axes) == [2, 3] || Set(axes) == [-1, -2] else { return false }
            return globalMean(node)
        case "Concat":
            guard [1, -3].contains(node.int("axis") ?? 0), node.inputs.contains(where: { folded[$0] != nil }), node.inputs.allSatisfy(isBatch) else { return false }
            var made = node
            made.inputs = node.inputs.compactMap { fold($0) }
            append(made, output: output)
            return true
        case let type where Self.elementwise.contains(type):
            // A mask would be a second output in the other layout.
            return isFolded && node.outputs.dropFirst().allSatisfy(\.isEmpty) && node.inputs.dropFirst().allSatisfy { (shapes[$0] ?? []).reduce(1, *) == 1 } && same(node)
        case let type where Self.binary.contains(type): return node.inputs.contains { folded[$0] != nil } && several(node)
        default: return false
        }
    }

    private func axes(of node: Node) -> [Int]? { node.ints("axes") ?? node.input(1).flatMap { graph.initializers[$0]?.integers() } }

    /// A node that does not care how samples lie.
    private mutating func same(_ node: Node) -> Bool {
        guard let value = folded[node.inputs[0]] else { return false }
        var made = node
        made.inputs[0] = value
        append(made, output: node.outputs[0])
        return true
    }

    /// An operator of several inputs with broadcasting.
    private mutating func several(_ node: Node) -> Bool {
        guard let shape = shapes[node.outputs[0]] else { return false }
        var isPlanar = true
        for input in node.inputs {
            guard let dims = shapes[input], dims.count <= 4 else { return false }
            let whole = Array(repeating: 1, count: 4 - dims.count) + dims
            if isBatch(input) {
                // Planes of one number each against whole planes.
                if dims != shape { isPlanar = false }
            } else if whole[0] != 1 || whole[3] != 1 {
                return false
            }
        }
        var made = node
        let (samples, fresh) = (shape[0], node.outputs[0])
        for (place, input) in node.inputs.enumerated() {
            guard isBatch(input), let value = fold(input), let dims = shapes[input] else {
                if !isPlanar, let dims = shapes[input] { made.inputs[place] = reshape(input, dims + [1]) }
                continue
            }
            made.inputs[place] = isPlanar ? value : reshape(value, [1, dims[1], dims[2], dims[3], samples])
        }
        if isPlanar {
            append(made, output: fresh)
        } else {
            let wide = make(made.opType, made.inputs, made.attributes, shape: [1, shape[1], shape[2], shape[3], samples])
            folded[fresh] = reshape(wide, Self.foldedShape(shape))
        }
        return true
    }

    private mutating func convolution(_ node: Node) -> Bool {
        guard let dims = shapes[node.inputs[0]], let shape = shapes[node.outputs[0]], let kernel = shapes[node.inputs[1]], kernel.count == 4,
            let geometry = try? WindowGeometry(node, kernel: Array(kernel.dropFirst(2)), input: dims, output: shape), let value = fold(node.inputs[0])
        else { return false }
        var made = node
        made.inputs[0] = value
        if geometry.strides == [1, 1] {
            made.set("auto_pad", nil)
            made.set("pads", .integers(geometry.before.foldedPads(dims[0]) + geometry.after.foldedPads(dims[0])))
            made.set("dilations", .integers([geometry.dilations[0], geometry.dilations[1] * dims[0]]))
        } else {
            made = FoldedConvolution.node(made, geometry, samples: dims[0])
        }
        append(made, output: node.outputs[0])
        return true
    }

    private mutating func pooling(_ node: Node) -> Bool {
        guard let dims = shapes[node.inputs[0]], let shape = shapes[node.outputs[0]], let value = folded[node.inputs[0]], node.outputs.dropFirst().allSatisfy(\.isEmpty),
            let geometry = try? WindowGeometry(node, kernel: node.ints("kernel_shape") ?? [], input: dims, output: shape), FoldedPooling.isTiled(geometry)
        else { return false }
        append(FoldedPooling.node(node, value, geometry, samples: dims[0]), output: node.outputs[0])
        return true
    }

    private mutating func globalMean(_ node: Node) -> Bool {
        guard let dims = shapes[node.inputs[0]], let value = folded[node.inputs[0]] else { return false }
        let planes = reshape(value, [1, dims[1], dims[2] * dims[3], dims[0]])
        let axis = names.fresh("\(value).axis")
        var inputs = [planes]
        var attributes = [Attribute("keepdims", .integer(1))]
        if opset >= 18 {
            graph.initializers[axis] = Tensor(name: axis, int64s: [2], dims: [1])
            shapes[axis] = [1]
            inputs.append(axis)
        } else {
            attributes.append(Attribute("axes", .integers([2])))
        }
        folded[node.outputs[0]] = make("ReduceMean", inputs, attributes, shape: [1, dims[1], 1, dims[0]])
        return true
    }
}

extension [Int] {
    /// Pads of height and width where each step along the width is one of `samples` numbers.
    fileprivate func foldedPads(_ samples: Int) -> [Int] { [self[0], self[1] * samples] }
}
