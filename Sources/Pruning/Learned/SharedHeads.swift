import EngineSupport
import ModelGraph
import Techniques

/// A projection to keys or values some of whose heads become one.
struct SharedHeads {
    let layer: Layer
    let heads: Int
    /// Heads that are left.
    let kept: Int
    /// By output that is left: the old outputs whose mean it is.
    private let sources: [[Int]]
    /// By old output: the one that takes its place.
    private let places: [Int]

    /// The largest divisor of `count` that is no larger than `limit`.
    static func divisor(of count: Int, upTo limit: Int) -> Int { (1...max(min(limit, count), 1)).last { count % $0 == 0 } ?? 1 }

    /// - Parameter units: head of each output, as `ChannelStructure` numbers them.
    /// - Returns: `nil` if the outputs are no heads of equal size, or no two can share.
    init?(_ layer: Layer, units: [Int32], group: Int) {
        var order: [Int32: Int] = [:]
        var outputs: [[Int]] = []
        for (output, unit) in units.enumerated() {
            guard unit >= 0 else { return nil }
            if let head = order[unit] {
                outputs[head].append(output)
            } else {
                order[unit] = outputs.count
                outputs.append([output])
            }
        }
        guard let width = outputs.first?.count, outputs.allSatisfy({ $0.count == width }) else { return nil }
        let size = Self.divisor(of: outputs.count, upTo: group)
        guard size > 1 else { return nil }
        self.layer = layer
        heads = outputs.count
        kept = outputs.count / size
        var sources: [[Int]] = []
        var places = [Int](repeating: 0, count: units.count)
        for first in stride(from: 0, to: outputs.count, by: size) {
            for position in 0..<width {
                let together = (first..<first + size).map { outputs[$0][position] }
                for output in together { places[output] = sources.count }
                sources.append(together)
            }
        }
        (self.sources, self.places) = (sources, places)
    }

    /// Why layers cannot share their heads; `nil` where they can.
    static func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        let heads = HeadPruning().refusals(for: layers, in: model, shapes: shapes)
        let attention = AttentionProjections(model, layers: layers)
        let (queries, others) = (
            attention.attentions.reduce(into: Set<Int>()) { $0.formUnion($1.queries) }, attention.attentions.reduce(into: Set<Int>()) { $0.formUnion($1.keys.union($1.values)) }
        )
        let readers = WeightReaders(model)
        return layers.enumerated().map { index, layer in
            guard layer.path.isMain, others.contains(layer.nodeIndex) else { return heads[index] ?? "makes queries; only keys and values are shared" }
            if queries.contains(layer.nodeIndex) { return "queries, keys and values come from one layer" }
            if let reason = heads[index] { return reason }
            guard model.opset >= 11 else { return "needs operator set 11 (negative Gather indices); the model has \(model.opset)" }
            let node = model.graph.nodes[layer.nodeIndex]
            guard node.isStandard(layer.opType), ["MatMul", "Gemm"].contains(layer.opType), node.input(1) == layer.weight, layer.weightShape.count == 2 else {
                return "its weight is not a matrix as right operand"
            }
            guard model.place(of: layer.weight, readBy: layer).map({ readers.areAll(of: $0, among: [layer.reader]) }) ?? false else { return "its weights are read elsewhere too" }
            return nil
        }
    }

    /// Makes weights and biases smaller, and puts a Gather behind each projection.
    static func insert(_ all: [SharedHeads], into model: inout Model) throws {
        var supply = NameSupply(model.graph)
        let index = GraphIndex(model.graph)
        var insertions: [(position: Int, node: Node)] = []
        for entry in all {
            let layer = entry.layer
            guard let weight = model.graph.initializers[layer.weight] else { continue }
            try replace(input: 1, of: layer.nodeIndex, by: entry.mean(weight, axis: layer.outputAxis), &model, &supply)
            let node = model.graph.nodes[layer.nodeIndex]
            if let name = node.input(2), let bias = model.graph.initializers[name] {
                if bias.dims.last == entry.places.count { try replace(input: 2, of: layer.nodeIndex, by: entry.mean(bias, axis: bias.dims.count - 1), &model, &supply) }
            }
            // A bias of its own goes with it.
            var (position, value) = (layer.nodeIndex, node.outputs[0])
            if index.useCount(value) == 1, let reader = index.consumers[value]?.first, model.graph.nodes[reader].isStandard("Add"),
                let operand = model.graph.nodes[reader].inputs.firstIndex(where: { model.graph.initializers[$0]?.dims.last == entry.places.count }),
                let bias = model.graph.initializers[model.graph.nodes[reader].inputs[operand]]
            {
                try replace(input: operand, of: reader, by: entry.mean(bias, axis: bias.dims.count - 1), &model, &supply)
                (position, value) = (reader, model.graph.nodes[reader].outputs[0])
            }
            let base = supply.fresh(value + "/shared_heads")
            model.graph.nodes[position].outputs[0] = base
            let places = supply.fresh(layer.id + "/shared_heads")
            model.graph.initializers[places] = Tensor(name: places, int64s: entry.places.map(Int64.init), dims: [entry.places.count])
            let gather = Node("Gather", name: supply.fresh(layer.id + "/heads"), inputs: [base, places], outputs: [value], attributes: [Attribute("axis", .integer(-1))])
            insertions.append((position, gather))
            if value != node.outputs[0] { model.graph.valueInfos[node.outputs[0]] = nil }
        }
        for (position, node) in insertions.sorted(by: { $0.position > $1.position }) { model.graph.nodes.insert(node, at: position + 1) }
    }

    private static func replace(input: Int, of node: Int, by tensor: Tensor?, _ model: inout Model, _ supply: inout NameSupply) throws {
        guard let tensor else { throw EngineError(.technique, "'\(model.graph.nodes[node].inputs[input])' cannot be read as numbers") }
        let name = supply.fresh(tensor.name + "/grouped")
        model.graph.initializers[name] = tensor.renamed(name)
        model.graph.nodes[node].inputs[input] = name
    }

    /// Means along an axis.
    private func mean(_ tensor: Tensor, axis: Int) -> Tensor? {
        guard let values = tensor.floats(), tensor.dims.indices.contains(axis), tensor.dims[axis] == places.count else { return nil }
        let inner = tensor.dims[(axis + 1)...].reduce(1, *)
        let outer = tensor.dims[..<axis].reduce(1, *)
        var result = [Float](repeating: 0, count: outer * sources.count * inner)
        for block in 0..<outer {
            for (output, together) in sources.enumerated() {
                for place in 0..<inner {
                    let sum = together.reduce(0.0) { $0 + Double(values[(block * places.count + $1) * inner + place]) }
                    result[(block * sources.count + output) * inner + place] = Float(sum / Double(together.count))
                }
            }
        }
        var dims = tensor.dims
        dims[axis] = sources.count
        return tensor.withFloats(result, dims: dims)
    }
}
