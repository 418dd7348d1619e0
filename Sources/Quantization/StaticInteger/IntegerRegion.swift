import ModelGraph

/// Which nodes of a graph compute on 8-bit integers, and which values are therefore quantized.
///
/// Beside the layers chosen, operators between them stay integer where ONNX Runtime has integer kernels (Add, pooling,
/// Concat, …) or needs none (Reshape, Transpose, …): each stretch of float in between would cost a conversion either way.
struct IntegerRegion {
    /// Layer nodes, by node index.
    let layers: Set<Int>
    /// Other nodes that stay integer.
    private(set) var carried: Set<Int> = []
    /// Values that get a quantize–dequantize pair, in graph order.
    private(set) var quantized: [String] = []
    /// Quantized values that are read by integer nodes as they are made by float nodes (or are inputs of the graph).
    private(set) var entering: Set<String> = []
    /// The value whose grid a quantized value must share, because only data is moved in between.
    private(set) var gridSource: [String: String] = [:]

    private let graph: Graph
    private let index: GraphIndex
    private let opset: Int

    /// - Parameters:
    ///   - layers: nodes of layers to compute in integers: Conv, Gemm, MatMul with a constant right operand.
    ///   - carry: whether operators between layers may stay integer.
    init(_ model: Model, layers: Set<Int>, carry: Bool) {
        graph = model.graph
        index = GraphIndex(graph)
        opset = model.opset
        self.layers = layers
        if carry { grow() }
        collect()
    }

    /// Part of a region: only these of its nodes compute in integers.
    init(_ whole: IntegerRegion, nodes: Set<Int>) {
        (graph, index, opset) = (whole.graph, whole.index, whole.opset)
        layers = whole.layers.intersection(nodes)
        carried = whole.carried.intersection(nodes)
        collect()
    }

    /// All nodes that compute in integers.
    var nodes: Set<Int> { layers.union(carried) }

    // MARK: - Operators

    /// How a node may stay integer.
    private enum Carrier {
        /// Only moves data: output and input share a grid.
        case moves
        /// Has an integer kernel with grids of its own.
        case computes
    }

    private func carrier(_ node: Node) -> Carrier? {
        guard node.domain.isEmpty || node.domain == "ai.onnx", node.outputs.count == 1 else { return nil }
        switch node.opType {
        case "MaxPool": return opset >= 12 ? .moves : nil
        case "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "DepthToSpace": return .moves
        case "Resize": return node.string("mode") ?? "nearest" == "nearest" ? .moves : nil
        case "Add", "Mul": return dataInputs(node).count == 2 ? .computes : nil
        case "Concat", "GlobalAveragePool", "AveragePool", "LeakyRelu", "Sigmoid": return .computes
        default: return nil
        }
    }

    /// Values that a node reads as integers if it computes in them.
    func operands(_ position: Int) -> [String] {
        let inputs = dataInputs(graph.nodes[position])
        return layers.contains(position) ? Array(inputs.prefix(1)) : inputs
    }

    /// Every value that some part of the region may quantize, in graph order.
    var quantizable: [String] {
        var seen = Set<String>()
        return graph.nodes.indices.filter(isInteger).flatMap { operands($0) + [quantizationPoint($0)] }.filter { seen.insert($0).inserted }
    }

    /// Float values a node reads that are not constants.
    private func dataInputs(_ node: Node) -> [String] {
        let positions: ArraySlice<String>
        switch node.opType {
        case "Conv", "Gemm", "MatMul", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Resize": positions = node.inputs.prefix(1)
        default: positions = node.inputs[...]
        }
        return positions.filter { !$0.isEmpty && graph.initializers[$0] == nil }
    }

    private func isInteger(_ node: Int) -> Bool { layers.contains(node) || carried.contains(node) }

    // MARK: - Where a node's result is quantized

    /// The value at which a node's output is quantized: the output itself, or what a Relu or Clip makes of it, which the
    /// clamping of codes then does for free.
    func quantizationPoint(_ node: Int) -> String {
        let output = graph.nodes[node].outputs[0]
        // Where only data moves the grid is given, and may reach beyond the clamp.
        if !layers.contains(node), carrier(graph.nodes[node]) == .moves { return output }
        guard let tail = clampingTail(output) else { return output }
        return graph.nodes[tail].outputs[0]
    }

    private func clampingTail(_ value: String) -> Int? {
        guard index.useCount(value) == 1, let consumer = index.consumers[value]?.first else { return nil }
        let node = graph.nodes[consumer]
        if node.isStandard("Relu") { return consumer }
        guard node.isStandard("Clip"), node.inputs[0] == value else { return nil }
        // Codes always cover 0, so a clip that excludes it stays a clip. Bounds must be constants.
        func bound(_ position: Int, _ attribute: String) -> Float?? {
            guard let name = node.input(position) else { return .some(node.float(attribute)) }
            guard let value = graph.initializers[name]?.floats()?.first else { return nil }
            return .some(value)
        }
        guard let low = bound(1, "min"), let high = bound(2, "max"), low ?? 0 <= 0, high ?? 0 >= 0 else { return nil }
        return consumer
    }

    /// Largest value a Clip in front of a quantization point lets through, if there is one.
    func upperBound(_ value: String) -> Float? {
        guard let producer = index.producer[value], graph.nodes[producer].isStandard("Clip") else { return nil }
        let node = graph.nodes[producer]
        if let name = node.input(2) { return graph.initializers[name]?.floats()?.first }
        return node.float("max")
    }

    // MARK: - Growing

    private mutating func grow() {
        for (position, node) in graph.nodes.enumerated() where !layers.contains(position) && carrier(node) != nil && !dataInputs(node).isEmpty {
            carried.insert(position)
        }
        // Drop what turns out to have a float neighbor until nothing changes.
        while true {
            let available = availableValues()
            let before = carried.count
            carried = carried.filter { position in
                dataInputs(graph.nodes[position]).allSatisfy(available.contains) && feedsInteger(quantizationPoint(position))
            }
            if carried.count == before { return }
        }
    }

    /// Values that exist as integers: what layers read, and what integer nodes make.
    private func availableValues() -> Set<String> {
        var values = Set<String>()
        for position in layers { values.formUnion(dataInputs(graph.nodes[position]).prefix(1)) }
        for position in layers.union(carried) {
            let point = quantizationPoint(position)
            if makesIntegers(position, point) { values.insert(point) }
        }
        return values
    }

    /// Convolutions have integer kernels with integer results only; matrix products may give floats.
    private func makesIntegers(_ position: Int, _ point: String) -> Bool {
        graph.nodes[position].opType == "Conv" || carried.contains(position) || feedsInteger(point)
    }

    private func feedsInteger(_ value: String) -> Bool {
        (index.consumers[value] ?? []).contains { isInteger($0) && dataInputs(graph.nodes[$0]).contains(value) }
    }

    // MARK: - Collecting

    private mutating func collect() {
        var seen = Set<String>()
        for position in graph.nodes.indices where isInteger(position) {
            let node = graph.nodes[position]
            for input in operands(position) where seen.insert(input).inserted {
                quantized.append(input)
                entering.insert(input)
            }
            let point = quantizationPoint(position)
            guard makesIntegers(position, point) else { continue }
            entering.remove(point)
            if seen.insert(point).inserted { quantized.append(point) }
            if carried.contains(position), carrier(node) == .moves, let source = dataInputs(node).first {
                gridSource[point] = gridSource[source] ?? source
            }
        }
    }

    /// Whether a node reads a value as integers.
    func readsInteger(_ position: Int, _ value: String) -> Bool {
        isInteger(position) && operands(position).contains(value)
    }
}
