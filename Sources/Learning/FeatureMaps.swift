import ModelGraph
import Techniques

/// How an operator's window maps the height and width of a feature map to those of its output.
struct SlidingWindow: Sendable, Hashable {
    var kernel: [Int]
    var strides: [Int]
    var dilations: [Int]
    /// At the beginning of each axis, and at the end.
    var before: [Int]
    var after: [Int]
    var autoPad: String
    var roundsUp: Bool

    /// - Parameter kernel: dimensions of the weights; `nil` where the node has them in `kernel_shape`.
    /// - Returns: `nil` if the window has not two axes.
    init?(_ node: Node, kernel given: [Int]?) {
        guard let kernel = given ?? node.ints("kernel_shape"), kernel.count == 2 else { return nil }
        self.kernel = kernel
        strides = node.ints("strides") ?? [1, 1]
        dilations = node.ints("dilations") ?? [1, 1]
        let pads = node.ints("pads") ?? [0, 0, 0, 0]
        autoPad = node.string("auto_pad") ?? "NOTSET"
        roundsUp = node.int("ceil_mode") == 1
        guard strides.count == 2, dilations.count == 2, pads.count == 4, strides.allSatisfy({ $0 > 0 }) else { return nil }
        (before, after) = (Array(pads[..<2]), Array(pads[2...]))
    }

    /// Height and width of the output (ONNX, Conv and MaxPool); `nil` where a feature map is smaller than the window.
    func outputSize(_ input: [Int]) -> [Int]? {
        var result: [Int] = []
        for axis in 0..<2 {
            let span = (kernel[axis] - 1) * dilations[axis] + 1
            let stride = strides[axis]
            if autoPad.hasPrefix("SAME") {
                result.append((input[axis] + stride - 1) / stride)
                continue
            }
            let isPadded = autoPad != "VALID"
            let room = input[axis] + (isPadded ? before[axis] + after[axis] : 0) - span
            guard room >= 0 else { return nil }
            var count = (roundsUp ? (room + stride - 1) / stride : room / stride) + 1
            // No window begins in the padding after a feature map.
            if roundsUp, (count - 1) * stride >= input[axis] + (isPadded ? before[axis] : 0) { count -= 1 }
            result.append(count)
        }
        return result
    }

    /// Whether one window covers a whole feature map.
    func covers(_ input: [Int]) -> Bool {
        input == kernel && before == [0, 0] && after == [0, 0] && dilations == [1, 1] && outputSize(input) == [1, 1]
    }
}

/// The feature maps of an image network, and the height and width that each has at another resolution.
struct FeatureMaps: ForecastFacet {
    /// The graph's input, or what it becomes with channels first: smaller images go in here.
    let image: String
    /// Height and width of the image; where the graph leaves them open, those of samples.
    let size: [Int]
    /// Convolutions by position among the model's layers, with the feature map each puts out.
    private(set) var convolutions: [Int: String] = [:]
    /// Layers, by position, that read flattened feature maps.
    private(set) var rows: [Int: Rows] = [:]
    /// Poolings whose window is a whole feature map, by node index.
    private(set) var global: Set<Int> = []
    /// Nodes that read feature maps, or flattened ones.
    private(set) var nodes: [Int] = []
    private var steps: [Step] = []

    struct Rows: Sendable {
        /// The feature map that is flattened.
        var map: String
        var channels: Int
        /// The node that flattens it, and the layer's.
        var flattening: Int
        var node: Int
    }

    private struct Step: Sendable {
        var output: String
        var inputs: [String]
        var window: SlidingWindow?
        var padding: [Int] = [0, 0]
    }

    struct Refusal: Error { var reason: String }

    /// Operators of one operand, or with constants besides it, that work on each position by itself.
    private static let same: Set<String> = [
        "Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Elu", "Celu", "Selu", "Softplus", "Softsign", "Gelu", "Mish", "Erf", "Exp", "Neg", "Abs",
        "Sqrt", "Identity",
        "Dropout", "Cast", "BatchNormalization", "InstanceNormalization", "QuantizeLinear", "DequantizeLinear",
    ]
    private static let several: Set<String> = ["Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Pow", "PRelu"]

    /// - Throws: `Refusal` if something in the network depends on the image's size.
    init(_ model: Model, layers: [Layer], shapes: [String: [Int]]) throws(Refusal) {
        let graph = model.graph
        let index = GraphIndex(graph)
        let images = graph.requiredInputs.filter { input in
            (input.shape?.count ?? shapes[input.name]?.count) == 4 && [.float32, .float16, .float64].contains(input.elementType ?? .float32)
        }
        guard let input = images.first, images.count == 1 else { throw Refusal(reason: images.isEmpty ? "the model has no image input" : "the model has several image inputs") }
        let dims: [Int?] = (0..<4).map { axis in input.shape.flatMap { $0[axis].fixedValue } ?? shapes[input.name]?[axis] }
        var (name, axes) = (input.name, [2, 3])
        if let readers = index.consumers[input.name], readers.count == 1, graph.nodes[readers[0]].isStandard("Transpose"), graph.nodes[readers[0]].ints("perm") == [0, 3, 1, 2] {
            (name, axes) = (graph.nodes[readers[0]].outputs[0], [1, 2])
        }
        guard let height = dims[axes[0]], let width = dims[axes[1]], height > 0, width > 0 else { throw Refusal(reason: "the image's height and width are not known") }
        image = name
        size = [height, width]
        var maps: [String: [Int]] = [name: size]
        var flat: [String: (map: String, flattening: Int)] = [:]
        let place = Dictionary(layers.enumerated().filter { $0.element.path.isMain }.map { ($1.nodeIndex, $0) }, uniquingKeysWith: { first, _ in first })
        func put(_ node: Node, _ inputs: [String], window: SlidingWindow? = nil, padding: [Int] = [0, 0], outputs: Int = 1) throws(Refusal) {
            for output in node.outputs.prefix(outputs) where !output.isEmpty {
                let step = Step(output: output, inputs: inputs, window: window, padding: padding)
                guard let made = Self.outputSize(step, maps) else { throw Refusal(reason: "the feature maps that '\(node.name)' combines differ in size") }
                maps[output] = made
                steps.append(step)
            }
        }
        for (position, node) in graph.nodes.enumerated() {
            let read = node.inputs.filter { maps[$0] != nil }
            let rowsRead = node.inputs.filter { flat[$0] != nil }
            if node.subgraphs.contains(where: { $0.graph.capturedNames().contains { maps[$0] != nil || flat[$0] != nil } }) {
                throw Refusal(reason: "\(node.opType) reads feature maps")
            }
            guard !(read.isEmpty && rowsRead.isEmpty) else { continue }
            // Dimensions that are computed in the graph follow by themselves.
            if node.isStandard("Shape") || node.isStandard("Size") { continue }
            guard node.isStandard(node.opType), let first = node.inputs.first else { throw Refusal(reason: "\(node.opType) reads feature maps") }
            nodes.append(position)
            if !rowsRead.isEmpty {
                guard read.isEmpty, let source = flat[first] else { throw Refusal(reason: "\(node.opType) combines feature maps with flattened ones") }
                if let layer = place[position] {
                    try Self.check(layers[layer], node, model, index)
                    let channels = layers[layer].weightShape[layers[layer].inputAxis] / max((maps[source.map] ?? []).reduce(1, *), 1)
                    guard channels > 0, channels * (maps[source.map] ?? []).reduce(1, *) == layers[layer].weightShape[layers[layer].inputAxis] else {
                        throw Refusal(reason: "\(layers[layer].id) does not read whole feature maps")
                    }
                    rows[layer] = Rows(map: source.map, channels: channels, flattening: source.flattening, node: position)
                } else if Self.same.contains(node.opType), !node.opType.hasSuffix("Normalization"), rowsRead == [first], let output = node.outputs.first {
                    flat[output] = source
                } else {
                    throw Refusal(reason: "\(node.opType) reads flattened feature maps")
                }
                continue
            }
            switch node.opType {
            case "Conv":
                guard read == [first], let kernel = node.input(1).flatMap({ graph.initializers[$0]?.dims ?? shapes[$0] }) ?? place[position].map({ layers[$0].weightShape }),
                    let window = SlidingWindow(node, kernel: kernel.count == 4 ? Array(kernel[2...]) : nil)
                else { throw Refusal(reason: "a convolution's kernel size is not known") }
                try put(node, [first], window: window)
                if let layer = place[position] { convolutions[layer] = node.outputs[0] }
            case "MaxPool", "AveragePool", "LpPool":
                guard let window = SlidingWindow(node, kernel: nil) else { throw Refusal(reason: "a pooling's kernel size is not known") }
                if window.covers(maps[first] ?? []), node.opType != "LpPool", node.outputs.dropFirst().allSatisfy(\.isEmpty) {
                    global.insert(position)
                } else {
                    try put(node, [first], window: window)
                }
            case "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool": break
            case "ReduceMean", "ReduceMax":
                let over = node.ints("axes") ?? node.input(1).flatMap { graph.initializers[$0]?.integers() }
                guard let over, over.contains(where: { $0 == 2 || $0 == -2 }), over.contains(where: { $0 == 3 || $0 == -1 }) else {
                    throw Refusal(reason: "\(node.opType) reduces only a part of the positions")
                }
            case "Concat":
                guard [1, -3].contains(node.int("axis") ?? 0), read.count == node.inputs.count else {
                    throw Refusal(reason: "Concat joins feature maps along other axes than channels")
                }
                try put(node, read)
            case "Split":
                guard [1, -3].contains(node.int("axis") ?? 0) else { throw Refusal(reason: "Split divides feature maps along other axes than channels") }
                try put(node, [first], outputs: node.outputs.count)
            case "Pad":
                let pads = node.ints("pads") ?? node.input(1).flatMap { graph.initializers[$0]?.integers() }
                guard let pads, pads.count == 8, read == [first], node.input(3) == nil else { throw Refusal(reason: "Pad has computed sizes") }
                try put(node, [first], padding: [pads[2] + pads[6], pads[3] + pads[7]])
            case "Flatten":
                guard (node.int("axis") ?? 1) == 1 else { throw Refusal(reason: "Flatten keeps a spatial axis") }
                flat[node.outputs[0]] = (first, position)
            case "Reshape":
                // Two dimensions, samples and all else; computed ones follow by themselves.
                let constant = node.input(1).flatMap { graph.initializers[$0]?.integers() }
                guard read == [first], (constant?.count ?? shapes[node.outputs[0]]?.count) == 2 else { throw Refusal(reason: "Reshape depends on the number of positions") }
                flat[node.outputs[0]] = (first, position)
            case let type where Self.same.contains(type):
                guard read == [first] else { throw Refusal(reason: "\(type) has a constant for each position") }
                try put(node, [first])
            case let type where Self.several.contains(type):
                for other in node.inputs where maps[other] == nil {
                    guard let shape = graph.initializers[other]?.dims ?? shapes[other] else { throw Refusal(reason: "\(type) reads '\(other)', whose shape is not known") }
                    guard shape.suffix(2).allSatisfy({ $0 == 1 }) else { throw Refusal(reason: "\(type) has a constant for each position ('\(other)')") }
                }
                try put(node, read)
            default: throw Refusal(reason: "\(node.opType) depends on the image's size")
            }
        }
        for output in graph.outputs where maps[output.name] != nil || flat[output.name] != nil {
            throw Refusal(reason: "output '\(output.name)' has a value for each position of the image")
        }
        guard !convolutions.isEmpty else { throw Refusal(reason: "no convolution reads the image") }
    }

    /// Whether a dense layer's weight can be made smaller along its inputs.
    private static func check(_ layer: Layer, _ node: Node, _ model: Model, _ index: GraphIndex) throws(Refusal) {
        guard ["Gemm", "MatMul"].contains(node.opType), node.input(1) == layer.weight, layer.weightShape.count == 2, node.int("transA") != 1 else {
            throw Refusal(reason: "\(layer.id) reads feature maps in a form that cannot be made smaller")
        }
        guard layer.isFloat, index.consumers[layer.weight]?.count == 1 else {
            throw Refusal(reason: "\(layer.id) reads feature maps with weights that are \(layer.isFloat ? "shared" : "not floats")")
        }
    }

    private static func outputSize(_ step: Step, _ maps: [String: [Int]]) -> [Int]? {
        guard let first = step.inputs.first.flatMap({ maps[$0] }) else { return nil }
        // Feature maps of one position are broadcast over larger ones.
        var all = first
        for other in step.inputs.dropFirst() {
            guard let dims = maps[other] else { return nil }
            for axis in 0..<2 {
                guard dims[axis] == all[axis] || dims[axis] == 1 || all[axis] == 1 else { return nil }
                all[axis] = max(all[axis], dims[axis])
            }
        }
        let padded = zip(all, step.padding).map { $0 + $1 }
        guard padded.allSatisfy({ $0 > 0 }) else { return nil }
        return step.window.map { $0.outputSize(padded) } ?? padded
    }

    /// Height and width of all feature maps for an image of another size; the name of the first that has none, where the image is too small.
    func maps(at image: [Int]) -> (maps: [String: [Int]], failure: String?) {
        var maps = [self.image: image]
        for step in steps {
            guard let made = Self.outputSize(step, maps) else { return (maps, step.output) }
            maps[step.output] = made
        }
        return (maps, nil)
    }

    /// Height and width at a share of the resolution.
    func image(at share: Double) -> [Int] { size.map { max(Int((Double($0) * share).rounded()), 1) } }
}

extension FeatureMaps {
    /// None where something depends on the image's size.
    static func prepare(_ summaries: inout [LayerSummary], of model: PreparedModel) {
        if let maps = try? FeatureMaps(model.model, layers: model.layers, shapes: model.shapes) { summaries.set(maps) }
    }
}
