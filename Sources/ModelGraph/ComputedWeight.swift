/// A floating-point weight that standard operators compute from fewer numbers in the file, which runtimes do once while loading: values
/// looked up by a hash of the position, rows of a codebook, coefficients times a dictionary, one tensor times a scale.
public struct ComputedWeight: Sendable {
    /// Initializers that it is computed from, without single numbers, shapes and positions (32 and 64-bit integers).
    public var stored: [String]
    /// The one that stands for the weight: codes if there are any, else the largest.
    public var main: String
    /// Initializer with the vectors that codes stand for, one to a row.
    public var codebook: String?
    /// Shape of the weight.
    public var dims: [Int]
    /// Bits stored per weight.
    public var bits: Double
    /// Nodes that compute it.
    public var nodes: Set<Int>
}

extension Graph {
    private static let arithmetic: Set<String> = [
        "Reshape", "Transpose", "Gather", "Slice", "Concat", "Cast", "Range", "MatMul", "Mul", "Add", "Sub", "Div", "Mod", "Exp",
    ]

    /// Recognizes a value as a weight computed from initializers of this graph. `producer` finds the node that makes a value.
    public func computedWeight(_ value: String, producer: (String) -> Int?) -> ComputedWeight? {
        guard let last = producer(value), nodes[last].domain.isEmpty || nodes[last].domain == "ai.onnx" else { return nil }
        if nodes[last].opType == "Mul" { return scaledWeight(last) }
        guard nodes[last].opType == "Reshape", let dims = nodes[last].input(1).flatMap({ initializers[$0]?.integers() }), dims.count >= 2,
            let count = Tensor.elementCount(dims), count <= 1 << 40
        else { return nil }
        var made = Set<Int>()
        var leaves: [String] = []
        var seen: Set<String> = []
        var pending = [value]
        while let name = pending.popLast() {
            guard !name.isEmpty, seen.insert(name).inserted else { continue }
            if initializers[name] != nil {
                leaves.append(name)
                continue
            }
            guard made.count < 1024, let index = producer(name), Self.arithmetic.contains(nodes[index].opType),
                nodes[index].domain.isEmpty || nodes[index].domain == "ai.onnx"
            else { return nil }
            made.insert(index)
            pending += nodes[index].inputs.reversed()
        }
        // A weight in another layout is no such weight.
        guard made.contains(where: { ["Gather", "MatMul"].contains(nodes[$0].opType) }) else { return nil }
        let stored = leaves.filter { name in
            guard let tensor = initializers[name], tensor.count > 1 else { return false }
            return tensor.elementType.isFloatingPoint || tensor.elementType.isQuantized
        }
        let codes = stored.first { initializers[$0]?.elementType.isQuantized == true }
        let floats = stored.filter { initializers[$0]?.elementType.isFloatingPoint == true }
        let largest = floats.max { (initializers[$0]?.count ?? 0, $1) < (initializers[$1]?.count ?? 0, $0) }
        guard let largest else { return nil }
        let bytes = stored.reduce(0) { $0 + (initializers[$1]?.storage.byteCount ?? 0) }
        return ComputedWeight(
            stored: stored, main: codes ?? largest, codebook: codes == nil ? nil : largest, dims: dims, bits: Double(bytes) * 8 / Double(count),
            nodes: made)
    }

    /// A tensor that may serve several layers, times one number for each.
    private func scaledWeight(_ index: Int) -> ComputedWeight? {
        let node = nodes[index]
        guard let name = node.input(0), let tensor = initializers[name], tensor.dims.count >= 2, tensor.elementType.isFloatingPoint,
            let scale = node.input(1), initializers[scale]?.count == 1, let bits = tensor.elementType.bitWidth
        else { return nil }
        return ComputedWeight(stored: [name], main: name, codebook: nil, dims: tensor.dims, bits: Double(bits), nodes: [index])
    }

    /// Every weight of this graph that a layer reads computed.
    public var computedWeights: [ComputedWeight] {
        let readers: Set<String> = ["Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "Gather"]
        var candidates: [String] = []
        var seen = Set<String>()
        for node in nodes where readers.contains(node.opType) {
            for input in node.inputs.prefix(3) where !input.isEmpty && initializers[input] == nil && seen.insert(input).inserted { candidates.append(input) }
        }
        // Weights that subgraphs read are computed in the graph that holds them.
        for node in nodes {
            for (_, body) in node.subgraphs { for name in body.capturedNames() where initializers[name] == nil && seen.insert(name).inserted { candidates.append(name) } }
        }
        guard !candidates.isEmpty else { return [] }
        var producers: [String: Int] = [:]
        for (index, node) in nodes.enumerated() { for output in node.outputs { producers[output] = index } }
        return candidates.compactMap { computedWeight($0) { producers[$0] } }
    }
}

extension Model {
    /// Computed weights of all graphs, each with the graph that holds it.
    public var computedWeights: [(path: GraphPath, weight: ComputedWeight)] {
        graph.graphPaths().flatMap { path in (graph[path]?.computedWeights ?? []).map { (path, $0) } }
    }
}
