import EngineSupport
import ModelGraph
import Techniques
import Training

/// A residual bottleneck behind a layer: x + up(activation(down(x))), with as many channels out as in.
struct BottleneckAdapter {
    enum Activation: String, Sendable { case relu, gelu, none }

    let layer: Layer
    let site: AdapterSites.Site
    /// Channels between the two layers.
    let width: Int
    let activation: Activation
    /// Weights of `down`, inputs × width or width × inputs as the form stores them, and of the others, which are zero.
    private let down: [Float]

    /// Elements of an adapter's weights and biases.
    static func count(channels: Int, width: Int) -> Int { 2 * channels * width + channels + width }

    /// An adapter that changes nothing yet: `down` uniform in ±1/√inputs, all else zero.
    ///
    /// Houlsby et al. draw both from a narrow normal distribution; with `up` at zero the start is the model itself to the bit.
    init(behind layer: Layer, _ site: AdapterSites.Site, width: Int, activation: Activation, seed: UInt64) {
        self.layer = layer
        self.site = site
        self.width = min(width, site.channels)
        self.activation = activation
        var generator = SeededGenerator(seed: seed)
        for byte in layer.id.utf8 { generator = SeededGenerator(seed: generator.next() &+ UInt64(byte)) }
        let bound = 1 / Float(site.channels).squareRoot()
        down = (0..<site.channels * self.width).map { _ in (2 * generator.unit() - 1) * bound }
    }

    var count: Int { Self.count(channels: site.channels, width: width) }

    /// Puts adapters behind their layers; values keep their names, so that all readers take the adapted ones.
    /// - Returns: names of all trained tensors, by adapter.
    static func insert(_ adapters: [BottleneckAdapter], into model: inout Model) -> [[String]] {
        var supply = NameSupply(model.graph)
        var names = [[String]](repeating: [], count: adapters.count)
        var behind: [(value: String, adapter: Int, turn: Int)] = []
        for (number, adapter) in adapters.enumerated() {
            names[number] = adapter.addWeights(to: &model, &supply)
            for (turn, value) in adapter.site.values.enumerated() { behind.append((value, number, turn)) }
        }
        let producer = GraphIndex(model.graph).producer
        // From the last node to the first: indices stay valid.
        let ordered = behind.compactMap { entry in producer[entry.value].map { (position: $0, entry: entry) } }
            .sorted { ($0.position, $0.entry.turn) > ($1.position, $1.entry.turn) }
        for (position, entry) in ordered {
            let base = supply.fresh(entry.value + "/adapter_base")
            model.graph.nodes[position].outputs = model.graph.nodes[position].outputs.map { $0 == entry.value ? base : $0 }
            let adapter = adapters[entry.adapter]
            let nodes = adapter.nodes(from: base, to: entry.value, weights: names[entry.adapter], turn: entry.turn, opset: model.opset, &model, &supply)
            model.graph.nodes.insert(contentsOf: nodes, at: position + 1)
        }
        return names
    }

    private func addWeights(to model: inout Model, _ supply: inout NameSupply) -> [String] {
        let (n, m) = (site.channels, width)
        let ones = [Int](repeating: 1, count: site.spatialAxes ?? 0)
        let isConvolution = site.spatialAxes != nil
        func add(_ suffix: String, _ values: [Float], _ dims: [Int]) -> String {
            let name = supply.fresh("\(layer.id)/adapter_\(suffix)")
            model.graph.initializers[name] = Tensor(floats: values, dims: dims, as: site.type, name: name)
            return name
        }
        func zeros(_ count: Int) -> [Float] { [Float](repeating: 0, count: count) }
        return [
            add("down.weight", down, isConvolution ? [m, n] + ones : [n, m]), add("down.bias", zeros(m), [m]),
            add("up.weight", zeros(n * m), isConvolution ? [n, m] + ones : [m, n]), add("up.bias", zeros(n), [n]),
        ]
    }

    private func nodes(
        from base: String, to output: String, weights: [String], turn: Int, opset: Int, _ model: inout Model, _ supply: inout NameSupply
    ) -> [Node] {
        var nodes: [Node] = []
        let prefix = "\(layer.id)/adapter" + (turn == 0 ? "" : "_\(turn + 1)")
        var value = base
        func append(_ node: Node, _ suffix: String, _ inputs: [String], to name: String? = nil) {
            var next = node
            next.name = supply.fresh("\(prefix)_\(suffix)")
            next.inputs = inputs
            value = name ?? supply.fresh(next.name + "_output")
            next.outputs = [value]
            nodes.append(next)
        }
        func plain(_ type: String) -> Node { Node(type, inputs: [], outputs: []) }
        func scalar(_ number: Float) -> String {
            let name = supply.fresh("\(prefix)_constant")
            model.graph.initializers[name] = Tensor(floats: [number], dims: [], as: site.type, name: name)
            return name
        }
        func linear(_ suffix: String, _ weight: String, _ bias: String) {
            if let axes = site.spatialAxes { return append(ConvolutionForm.pointwise(axes: axes), suffix, [value, weight, bias]) }
            append(plain("MatMul"), suffix, [value, weight])
            append(plain("Add"), suffix + "_bias", [value, bias])
        }
        linear("down", weights[0], weights[1])
        switch activation {
        case .none: break
        case .relu: append(plain("Relu"), "relu", [value])
        case .gelu:
            // x · (1 + erf(x/√2)) / 2
            let narrow = value
            append(plain("Mul"), "gelu_scaled", [narrow, scalar(Float(0.5).squareRoot())])
            append(plain("Erf"), "gelu_erf", [value])
            append(plain("Add"), "gelu_shifted", [value, scalar(1)])
            append(plain("Mul"), "gelu_product", [value, narrow])
            append(plain("Mul"), "gelu", [value, scalar(0.5)])
        }
        linear("up", weights[2], weights[3])
        append(plain("Add"), "sum", [base, value], to: output)
        return nodes
    }
}

extension Tensor {
    /// A tensor of floats of a given floating-point type.
    init(floats: [Float], dims: [Int], as type: ElementType, name: String) {
        let plain = Tensor(name: name, floats: floats, dims: dims)
        let width = type.byteCount(of: plain.count) ?? 0
        guard type != .float32, let empty = try? Tensor(name: name, elementType: type, dims: dims, storage: TensorStorage(byteCount: width) { _ in }) else {
            self = plain
            return
        }
        self = empty.withFloats(floats)
    }
}
