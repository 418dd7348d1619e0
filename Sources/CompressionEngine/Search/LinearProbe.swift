import EngineSupport
import Measurement
import ModelGraph
import OnnxRuntime

/// Reads weights that a graph does not have as tensors: decoded by other nodes, or spread over a chain of linear nodes. One run of a small graph reads all.
struct LinearProbe {
    struct Readings {
        var constants: [String: (floats: [Float], dims: [Int])] = [:]
        /// What a chain amounts to, by the layer's id: its weight in the order of the stored tensor, and what it gives for an input of zeros.
        var layers: [String: (weight: [Float], bias: [Float])] = [:]
    }

    /// A chain between what a layer read and what it gave.
    private struct Chain {
        var layer: Layer
        var nodes: [Int]
        /// Value that the chain reads, and the input of the small graph that stands for it.
        var value: String
        var input: String
        var output: String
        var dims: [Int]
        var impulses: [Float]
        /// Place of the output position that is read, along the spatial axes.
        var place: [Int]
        var scale: Float
    }

    /// Operators that a value may go through on its way: sums of products of it, and what moves it.
    private static let linear: Set<String> = ["Conv", "MatMul", "Gemm", "Add", "Reshape", "Transpose", "Identity", "Squeeze", "Unsqueeze", "Flatten"]
    /// Bytes of impulses sent through one chain at most.
    private static let budget = 256 << 20

    private let candidate: Model
    private let producer: [String: Int]
    private let constants: Set<String>
    private var values: [String] = []
    private var chains: [Chain] = []

    init(_ candidate: Model, producer: [String: Int], constants: Set<String>) {
        (self.candidate, self.producer, self.constants) = (candidate, producer, constants)
    }

    /// A constant that nodes compute.
    mutating func add(constant name: String) { values.append(name) }

    /// What stands in the place of a layer.
    /// - Parameters:
    ///   - node: the layer's own, in the model before.
    ///   - rank: of what it reads.
    /// - Returns: why it cannot be read, in words for the user; `nil` if it can.
    mutating func add(_ layer: Layer, _ node: Node, rank: Int?) -> String? {
        guard [.conv, .gemm, .matMul].contains(layer.kind), node.input(1) == layer.weight, let value = node.input(0), let output = node.outputs.first else {
            return "other nodes stand for \(layer.id), and what they amount to cannot be read off"
        }
        var nodes = Set<Int>()
        var open = [output]
        var isReached = false
        while let name = open.popLast() {
            if name == value {
                isReached = true
                continue
            }
            guard let place = producer[name] else {
                if candidate.graph.initializers[name] != nil { continue }
                return "\(layer.id) reads other values afterwards"
            }
            guard nodes.insert(place).inserted else { continue }
            let made = candidate.graph.nodes[place]
            guard constants.contains(name) || Self.linear.contains(made.opType), nodes.count < 256 else {
                return "\(layer.id) changes its inputs as well (\(made.opType)): the change of weights does not tell the loss"
            }
            open += made.inputs.filter { !$0.isEmpty }
        }
        guard isReached else { return "what stands for \(layer.id) does not read what it read" }
        var chain = Chain(
            layer: layer, nodes: nodes.sorted(), value: value, input: "lathe.impulses.\(chains.count)", output: output, dims: [], impulses: [], place: [], scale: 1)
        if let reason = layer.kind == .conv ? Self.images(&chain, node) : Self.rows(&chain, node, rank: rank ?? 2) { return reason }
        chains.append(chain)
        return nil
    }

    /// One row for every input of the layer, and one of zeros.
    private static func rows(_ chain: inout Chain, _ node: Node, rank: Int) -> String? {
        let layer = chain.layer
        guard layer.weightShape.count == 2, (node.int("transA") ?? 0) == 0 else { return "\(layer.id) is not a plain product of matrices" }
        let count = layer.weightShape[layer.inputAxis]
        guard (count + 1) * count * 4 <= budget else { return "\(layer.id) is too wide to send impulses through" }
        chain.dims = [count + 1] + [Int](repeating: 1, count: max(rank - 2, 0)) + [count]
        chain.impulses = [Float](repeating: 0, count: (count + 1) * count)
        for row in 0..<count { chain.impulses[row * count + row] = 1 }
        chain.scale = node.float("alpha") ?? 1
        return nil
    }

    /// One image for every input channel and place of the kernel, and one of zeros. Of each, the output position is read whose window lies inside.
    private static func images(_ chain: inout Chain, _ node: Node) -> String? {
        let layer = chain.layer
        let kernel = Array(layer.weightShape.dropFirst(2))
        let ones = kernel.map { _ in 1 }
        let (strides, dilations) = (node.ints("strides") ?? ones, node.ints("dilations") ?? ones)
        let pads = node.ints("pads") ?? kernel.flatMap { _ in [0, 0] }
        guard ["NOTSET", "VALID"].contains(node.string("auto_pad") ?? "NOTSET"), pads.count == 2 * kernel.count else { return "\(layer.id) chooses its own padding" }
        chain.place = kernel.indices.map { (pads[$0] + strides[$0] - 1) / strides[$0] }
        let start = kernel.indices.map { chain.place[$0] * strides[$0] - pads[$0] }
        let extent = kernel.indices.map { start[$0] + (kernel[$0] - 1) * dilations[$0] + 1 }
        let (perGroup, places, plane) = (layer.weightShape[1], kernel.reduce(1, *), extent.reduce(1, *))
        let channels = perGroup * layer.group
        let images = perGroup * places + 1
        guard images * channels * plane * 4 <= budget else { return "\(layer.id) is too wide to send impulses through" }
        chain.dims = [images, channels] + extent
        chain.impulses = [Float](repeating: 0, count: images * channels * plane)
        for channel in 0..<perGroup {
            for place in 0..<places {
                var (rest, offset, width) = (place, 0, 1)
                for axis in kernel.indices.reversed() {
                    offset += (start[axis] + rest % kernel[axis] * dilations[axis]) * width
                    rest /= kernel[axis]
                    width *= extent[axis]
                }
                // The same channel of every group at once: each output sees its own group's.
                for group in 0..<layer.group { chain.impulses[((channel * places + place) * channels + group * perGroup + channel) * plane + offset] = 1 }
            }
        }
        return nil
    }

    /// - Throws: `EngineError` if the runtime refuses the graph.
    func run(_ library: RuntimeLibrary, _ cancellation: Cancellation) throws -> Readings {
        var nodes: [Int: Node] = [:]
        var open = values.filter { candidate.graph.initializers[$0] == nil }
        for chain in chains {
            for place in chain.nodes {
                var node = candidate.graph.nodes[place]
                for slot in node.inputs.indices where node.inputs[slot] == chain.value { node.inputs[slot] = chain.input }
                nodes[place] = node
            }
        }
        while let name = open.popLast() {
            guard let place = producer[name], nodes[place] == nil else { continue }
            nodes[place] = candidate.graph.nodes[place]
            open += candidate.graph.nodes[place].inputs
        }
        var result = Readings()
        for name in values { if let tensor = candidate.graph.initializers[name], let floats = tensor.floats() { result.constants[name] = (floats, tensor.dims) } }
        let wanted = values.filter { candidate.graph.initializers[$0] == nil }
        let outputs = Array(Set(wanted + chains.map(\.output))).sorted()
        guard !outputs.isEmpty else { return result }
        var model = candidate
        model.graph.nodes = nodes.sorted { $0.key < $1.key }.map(\.value)
        model.graph.inputs = chains.map { ValueInfo(name: $0.input, elementType: .float32, shape: $0.dims.map { .fixed($0) }) }
        model.graph.outputs = outputs.map { ValueInfo(name: $0, elementType: nil, shape: nil) }
        model.graph.valueInfos = [:]
        model.graph.removeDeadCode()
        var options = SessionOptions()
        options.graphOptimizationLevel = .disable
        let runner = try ModelRunner(model, library: library, threads: 1, options: options, label: "part that holds weights")
        let feeds = try chains.map { ($0.input, try Value($0.impulses, shape: $0.dims, library: library)) }
        let values = Dictionary(uniqueKeysWithValues: zip(outputs, try runner.run(feeds, outputs: outputs, cancellation: cancellation)))
        for name in wanted {
            if let value = values[name], let shape = value.shape, let floats = try? value.floats() { result.constants[name] = (floats, shape) }
        }
        for chain in chains {
            guard let value = values[chain.output], let shape = value.shape, let floats = try? value.floats() else { continue }
            result.layers[chain.layer.id] = Self.read(chain, floats, shape)
        }
        return result
    }

    private static func read(_ chain: Chain, _ floats: [Float], _ shape: [Int]) -> (weight: [Float], bias: [Float])? {
        let (layer, count) = (chain.layer, chain.dims[0] - 1)
        let isConv = layer.kind == .conv
        let outputs = isConv ? layer.weightShape[0] : layer.weightShape[layer.outputAxis]
        guard shape.first == count + 1, floats.count == shape.reduce(1, *) else { return nil }
        var (offset, plane) = (0, 1)
        if isConv {
            guard shape.count == chain.place.count + 2, shape[1] == outputs, zip(shape.dropFirst(2), chain.place).allSatisfy({ $0 > $1 }) else { return nil }
            for (axis, place) in chain.place.enumerated() { offset = offset * shape[axis + 2] + place }
            plane = shape.dropFirst(2).reduce(1, *)
        } else if shape.dropFirst().reduce(1, *) != outputs {
            return nil
        }
        func value(_ row: Int, _ output: Int) -> Float { floats[(row * outputs + output) * plane + offset] }
        let bias = (0..<outputs).map { value(count, $0) }
        var weight = [Float](repeating: 0, count: count * outputs)
        let isLast = !isConv && layer.outputAxis == 1
        for row in 0..<count {
            for output in 0..<outputs { weight[isLast ? row * outputs + output : output * count + row] = (value(row, output) - bias[output]) / chain.scale }
        }
        return (weight, bias)
    }
}
