import Measurement
import ModelGraph
import Techniques

/// Finds where a model can be left early.
struct ExitSites {
    /// Sites from front to back, at most one behind each stretch of layers.
    private(set) var all: [ExitSite] = []
    /// Why the model as a whole cannot have exits; `nil` if it can.
    private(set) var refusal: String?
    let output: String
    /// Scores of the output; 0 while unknown.
    private(set) var classes = 0
    private(set) var outputType = ElementType.float32
    /// The output is behind a Softmax already.
    private(set) var givesProbabilities = false
    private(set) var isSingle = false

    /// Behind this share of the network's MACs leaving saves next to nothing.
    private static let latest = 0.95

    /// - Parameter shapes: of values at batch 1; may be empty.
    init(_ model: Model, layers: [Layer], shapes: [String: [Int]]) {
        let graph = model.graph
        output = graph.outputs.first?.name ?? ""
        refusal = Self.refusal(of: model, shapes)
        guard refusal == nil, let info = graph.outputs.first else { return }
        classes = info.shape?.last?.fixedValue ?? shapes[output]?.last ?? 0
        let types = ElementTypeInference(graph)
        outputType = types.types[output] ?? .float32
        let index = GraphIndex(graph)
        givesProbabilities = index.producer[output].map { graph.nodes[$0].isStandard("Softmax") } ?? false
        isSingle = graph.requiredInputs.contains { $0.shape?.first?.fixedValue == 1 }
        let chain = GraphCuts(graph, output: output).values
        let parts = GraphCuts.parts(of: graph, cutAt: chain)
        let work = Self.work(of: model, layers, shapes)
        let total = max(work.reduce(0, +), 1)
        var before = [Double](repeating: 0, count: chain.count + 1)
        for (node, part) in parts.enumerated() { before[part] += work[node] }
        var layer: [Int?] = [Int?](repeating: nil, count: chain.count + 1)
        for (position, entry) in layers.enumerated() where entry.path.isMain && work[entry.nodeIndex] > 0 { layer[parts[entry.nodeIndex]] = position }
        let kinds = Dictionary(layers.filter(\.path.isMain).map { ($0.nodeIndex, $0.kind) }, uniquingKeysWith: { first, _ in first })
        var done = 0.0
        var last: Int?
        for (number, value) in chain.enumerated() {
            done += before[number]
            last = layer[number] ?? last
            guard let last, done > 0, done / total <= Self.latest else { continue }
            guard var site = Self.site(value, graph, index, types, shapes) else { continue }
            (site.fraction, site.layer) = (done / total, last)
            site.channelsLast = Self.hasChannelsLast(value, graph, index, kinds)
            // Of values with the same layers before them the last counts: behind activation and pooling, but before its quantization ends.
            if let previous = all.last, previous.fraction == site.fraction {
                if previous.dequantize == nil { all[all.count - 1] = site }
            } else {
                all.append(site)
            }
        }
        if all.isEmpty { refusal = "no value between its layers carries everything" }
    }

    private static func refusal(of model: Model, _ shapes: [String: [Int]]) -> String? {
        let graph = model.graph
        if model.metadata[ExitDeclaration.metadataKey] != nil { return "it has early exits already" }
        if model.opset < 11 { return "needs operator set 11 (ScatterND); the model has \(model.opset)" }
        guard let output = graph.outputs.first, graph.outputs.count == 1 else { return "the model has more than one output" }
        if let type = output.elementType, !type.isFloatingPoint { return "the model's output is not scores of classes" }
        if let reason = refusal(ofEnd: output.name, graph) { return reason }
        let extents = shapes[output.name]?.map { Optional($0) } ?? output.shape?.map(\.fixedValue)
        guard let extents, extents.count == 2, let classes = extents[1] ?? output.shape?.last?.fixedValue, classes > 1 else {
            return "the model's output is not one score per class"
        }
        for input in graph.requiredInputs {
            if let rows = input.shape?.first?.fixedValue, rows != 1 { return "the model's batch is fixed at \(rows)" }
        }
        return nil
    }

    /// What the network's end says against scores of which one is right: embeddings are normalized there, labels that may hold together squashed
    /// one by one.
    private static func refusal(ofEnd output: String, _ graph: Graph) -> String? {
        let index = GraphIndex(graph)
        func source(_ value: String?) -> Node? {
            var value = value
            for _ in 0..<16 {
                guard let producer = value.flatMap({ index.producer[$0] }) else { return nil }
                let node = graph.nodes[producer]
                guard ["Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "Expand", "Clip", "Max", "Add"].contains(node.opType) else { return node }
                // Of a norm that is kept from zero the constant is not the way.
                value = node.inputs.first { index.producer[$0] != nil }
            }
            return nil
        }
        guard let end = index.producer[output].map({ graph.nodes[$0] }) else { return nil }
        let last = ["Identity", "Cast", "Reshape", "Flatten", "Squeeze"].contains(end.opType) ? source(end.inputs.first) : end
        guard let last else { return nil }
        switch last.opType {
        case "LpNormalization", "BatchNormalization", "InstanceNormalization", "LayerNormalization", "MeanVarianceNormalization":
            return "the model's output is normalized: an embedding, not one score per class"
        case "Div", "Mul":
            let norm = source(last.input(1))
            let isRoot = norm.map {
                ["Sqrt", "Pow", "Reciprocal"].contains($0.opType) && ["ReduceSum", "ReduceSumSquare", "ReduceL2"].contains(source($0.inputs.first)?.opType ?? "")
            }
            if norm?.opType == "ReduceL2" || isRoot == true { return "the model's output is divided by its length: an embedding, not one score per class" }
            return nil
        case "Sigmoid", "HardSigmoid", "Tanh":
            return "the model's outputs go through \(last.opType) one by one: they are not scores of exclusive classes"
        default: return nil
        }
    }

    /// Where a technique's targets let so many exits stand, in the model without its dead code.
    static func chosen(_ count: Int, _ model: inout Model, targets: [LayerTarget], context: RewriteContext) -> (sites: ExitSites, layers: [Layer], places: [ExitSite]) {
        model.graph.removeDeadCode()
        let layers = model.layers()
        let sites = ExitSites(model, layers: layers, shapes: context.shapes)
        let chosen = Set(targets.map(\.layer.id))
        return (sites, layers, sites.spread(count, among: sites.all.filter { chosen.contains(layers[$0.layer].id) }))
    }

    /// MACs by node; of layers whose shapes are not known, weights.
    private static func work(of model: Model, _ layers: [Layer], _ shapes: [String: [Int]]) -> [Double] {
        var work = [Double](repeating: 0, count: model.graph.nodes.count)
        let values = ValueShapes(shapes.mapValues { ValueShapes.Value(dims: $0, elementType: .float32) })
        for (node, macs) in Compute.macs(of: model.graph, shapes: values) { work[node] = macs }
        // Where weights are decoded on the way, nodes do not show their dimensions: then weights times output positions, which is the same number.
        for layer in layers where layer.path.isMain && layer.kind != .embedding && work[layer.nodeIndex] == 0 {
            let outputs = layer.weightShape.indices.contains(layer.outputAxis) ? layer.weightShape[layer.outputAxis] : 1
            let extents = model.graph.nodes[layer.nodeIndex].outputs.first.flatMap { shapes[$0] } ?? [outputs]
            work[layer.nodeIndex] = Double(layer.weightCount) * max(Double(extents.reduce(1, *)) / Double(max(outputs, 1)), 1)
        }
        return work
    }

    private static func site(_ value: String, _ graph: Graph, _ index: GraphIndex, _ types: ElementTypeInference, _ shapes: [String: [Int]]) -> ExitSite? {
        if let shape = shapes[value] { guard shape.count >= 2, shape[0] == 1 else { return nil } }
        guard let producer = index.producer[value], !index.outputs.contains(value) else { return nil }
        let site = ExitSite(cut: value, dequantize: nil, fraction: 0, layer: 0, channelsLast: false)
        if graph.nodes[producer].opType == "QuantizeLinear" {
            guard let reader = index.consumers[value]?.first.map({ graph.nodes[$0] }), reader.opType == "DequantizeLinear",
                reader.inputs.dropFirst().allSatisfy({ $0.isEmpty || graph.initializers[$0] != nil })
            else { return nil }
            var quantized = site
            quantized.dequantize = reader
            return quantized
        }
        // Cut behind it, a dequantized value would part from its quantization.
        if graph.nodes[producer].opType == "DequantizeLinear" { return nil }
        guard let type = types.types[value] else { return site }
        return type == .float32 || type == .float16 || type == .float64 ? site : nil
    }

    /// Whether channels stand last: not so where a convolution is the nearest layer before.
    private static func hasChannelsLast(_ value: String, _ graph: Graph, _ index: GraphIndex, _ kinds: [Int: Layer.Kind]) -> Bool {
        var open = [value]
        var seen = Set<Int>()
        while !open.isEmpty, seen.count < 256 {
            var next: [String] = []
            for name in open {
                guard let producer = index.producer[name], seen.insert(producer).inserted else { continue }
                if let kind = kinds[producer] { return kind != .conv && kind != .convTranspose }
                if ["QLinearConv", "ConvInteger", "Conv"].contains(graph.nodes[producer].opType) { return false }
                next += graph.nodes[producer].inputs
            }
            open = next
        }
        return false
    }

    /// The sites nearest to even shares of MACs, one for each exit, in order: the choice with the smallest sum of distances.
    func spread(_ count: Int, among allowed: [ExitSite]) -> [ExitSite] {
        let count = min(count, allowed.count)
        guard count > 0 else { return [] }
        // best[k][i]: smallest sum for the first k exits, the k-th at site i.
        var best = [[Double]](repeating: [Double](repeating: .infinity, count: allowed.count), count: count + 1)
        var from = [[Int]](repeating: [Int](repeating: -1, count: allowed.count), count: count + 1)
        for number in 1...count {
            let wanted = Double(number) / Double(count + 1)
            for site in allowed.indices {
                let distance = abs(allowed[site].fraction - wanted)
                if number == 1 {
                    best[1][site] = distance
                    continue
                }
                for earlier in 0..<site where best[number - 1][earlier] + distance < best[number][site] {
                    best[number][site] = best[number - 1][earlier] + distance
                    from[number][site] = earlier
                }
            }
        }
        guard var site = best[count].indices.min(by: { best[count][$0] < best[count][$1] }) else { return [] }
        var chosen: [ExitSite] = []
        for number in stride(from: count, through: 1, by: -1) {
            chosen.append(allowed[site])
            site = from[number][site]
            if site < 0 { break }
        }
        return chosen.reversed()
    }
}
