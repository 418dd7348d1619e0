import EngineSupport
import ModelGraph
import Techniques

/// The two products of an attention, softmax(Q·Kᵀ)·V, and everything that stands between them.
struct AttentionProducts {
    /// Node indices of Q·Kᵀ, of the Softmax and of the product of its weights with the values.
    let scores: Int
    let softmax: Int
    let mix: Int
    /// Values that the products read: queries … × N × d, keys turned over … × d × n, values … × n × d.
    let queries: String
    let keys: String
    let values: String
    /// What is read between the products beside the scores and differs from key to key.
    let masks: [Mask]

    struct Mask: Sendable, Hashable {
        var node: Int
        var input: Int
        var value: String
        /// What stands for a key that everybody may attend to.
        var open: Double
        /// For the first input of a Where: it chooses, and is no number.
        var isCondition: Bool
    }

    /// Whether a value is computed from single numbers alone, such as a square root in a scale.
    private static func isNumber(_ value: String, _ graph: Graph, _ index: GraphIndex, depth: Int) -> Bool {
        if let tensor = graph.initializers[value] { return tensor.count == 1 }
        guard depth > 0, let maker = index.producer[value] else { return false }
        let node = graph.nodes[maker]
        guard ["Mul", "Div", "Add", "Sub", "Pow", "Sqrt", "Reciprocal", "Neg", "Cast", "Identity"].contains(node.opType) else { return false }
        return node.inputs.allSatisfy { isNumber($0, graph, index, depth: depth - 1) }
    }

    /// A reason, in words for the user.
    struct Refusal: Error { var reason: String }

    /// Operators of one operand that leave each score in its place.
    private static let single: Set<String> = ["Cast", "Identity", "Dropout", "IsNaN", "IsInf", "Not", "Clip"]

    /// - Parameter shapes: of intermediate values, where known. A value of unknown dimensions counts as one that differs from key to key.
    /// - Throws: `Refusal` if something between the products depends on the number of keys or on their places.
    init(_ attention: AttentionProjections.Attention, in model: Model, index: GraphIndex, shapes: [String: [Int]]) throws(Refusal) {
        let graph = model.graph
        guard attention.rowsAreQueries else { throw Refusal(reason: "its attention multiplies keys by queries, not queries by keys") }
        let (first, last) = (graph.nodes[attention.scores], graph.nodes[attention.mix])
        guard first.isStandard("MatMul"), last.isStandard("MatMul") else { throw Refusal(reason: "its attention does not use plain MatMul") }
        guard AttentionProjections.isMaskable(attention, model, shapes) else { throw Refusal(reason: "its Softmax does not run over the keys") }
        (scores, softmax, mix) = (attention.scores, attention.softmax, attention.mix)
        (queries, keys, values) = (first.inputs[0], first.inputs[1], last.inputs[1])
        var wide = Set(first.outputs)
        var open = Set(index.consumers[first.outputs[0]] ?? [])
        var masks: [Mask] = []
        let keyCount = shapes[keys]?.last
        func isPlain(_ value: String) throws(Refusal) -> Bool {
            if let tensor = graph.initializers[value] { return (tensor.dims.last ?? 1) == 1 }
            guard let shape = shapes[value] else { return Self.isNumber(value, graph, index, depth: 6) }
            guard let extent = shape.last, extent != 1 || keyCount == 1 else { return true }
            guard keyCount == nil || extent == keyCount else { throw Refusal(reason: "'\(value)' does not match the number of keys") }
            return false
        }
        if index.outputs.contains(first.outputs[0]) { throw Refusal(reason: "its scores are an output of the model") }
        while let position = open.min() {
            open.remove(position)
            let node = graph.nodes[position]
            if position == mix {
                guard wide.contains(node.inputs[0]), !wide.contains(node.inputs[1]) else { throw Refusal(reason: "its scores are the right operand of a product") }
                continue
            }
            let isWide = node.inputs.map { wide.contains($0) }
            func mask(_ input: Int, open: Double, isCondition: Bool = false) throws(Refusal) {
                guard !isWide[input], try !isPlain(node.inputs[input]) else { return }
                masks.append(Mask(node: position, input: input, value: node.inputs[input], open: open, isCondition: isCondition))
            }
            guard node.isStandard(node.opType) else { throw Refusal(reason: "\(node.opType) reads its scores") }
            switch node.opType {
            case "Softmax":
                guard position == softmax else { throw Refusal(reason: "a second Softmax reads its scores") }
            case "Add", "Sub": for input in node.inputs.indices { try mask(input, open: 0) }
            case "Mul": for input in node.inputs.indices { try mask(input, open: 1) }
            case "Div":
                guard isWide[0] else { throw Refusal(reason: "something is divided by its scores") }
                try mask(1, open: 1)
            case "Where":
                guard node.inputs.count == 3 else { throw Refusal(reason: "Where reads its scores") }
                try mask(0, open: isWide[1] ? 1 : 0, isCondition: true)
                for input in 1...2 { try mask(input, open: 0) }
            case let type where Self.single.contains(type): break
            default: throw Refusal(reason: "\(node.opType) reads its scores, so their number is fixed")
            }
            for output in node.outputs where !output.isEmpty {
                if index.outputs.contains(output) { throw Refusal(reason: "its scores are an output of the model") }
                wide.insert(output)
                open.formUnion(index.consumers[output] ?? [])
            }
        }
        self.masks = masks
    }
}

/// All attentions of a model with what techniques that rebuild them must know.
struct AttentionTargets {
    struct Entry {
        var attention: AttentionProjections.Attention
        var products: AttentionProducts?
        var reason: String?
    }

    let entries: [Entry]
    /// Why there are none, where there are none.
    private let absence: String

    /// - Parameter masks: whether attention may have masks.
    init(_ model: Model, layers: [Layer], shapes: [String: [Int]], masks: Bool) {
        absence = AttentionProjections.refusal(model)
        let index = GraphIndex(model.graph)
        let types = ElementTypeInference(model.graph)
        entries = AttentionProjections(model, layers: layers).attentions.map { attention in
            do throws(AttentionProducts.Refusal) {
                let products = try AttentionProducts(attention, in: model, index: index, shapes: shapes)
                if !masks, let mask = products.masks.first {
                    throw .init(reason: "it has a mask ('\(mask.value)')")
                }
                for value in [products.keys, products.values] {
                    guard [.float32, .float16, .float64].contains(types.types[value] ?? .float32) else { throw .init(reason: "its keys and values are not floats") }
                }
                return Entry(attention: attention, products: products, reason: nil)
            } catch {
                return Entry(attention: attention, products: nil, reason: error.reason)
            }
        }
    }

    /// Why layers are not part of an attention that can be rebuilt; `nil` where they are.
    func refusals(for layers: [Layer]) -> [String?] {
        guard !entries.isEmpty else { return layers.map { _ in absence } }
        return layers.map { layer in
            let mine = layer.path.isMain ? entries.filter { $0.attention.layers.contains(layer.nodeIndex) } : []
            guard let first = mine.first else { return "not an attention projection" }
            return mine.contains { $0.products != nil } ? nil : first.reason
        }
    }

    /// Layers, by position, that make queries, keys and values of one attention; each stands in one group.
    func coupled(_ layers: [Layer]) -> [[Int]] {
        var seen = Set<Int>()
        return entries.filter { $0.products != nil }.map { entry in
            layers.indices.filter { layers[$0].path.isMain && entry.attention.layers.contains(layers[$0].nodeIndex) && seen.insert($0).inserted }
        }.filter { !$0.isEmpty }
    }

    /// The attentions that targets stand for, with their parameters: those of the first of their layers.
    /// - Throws: `EngineError` where there is none.
    func chosen(_ targets: [LayerTarget], for technique: String) throws(EngineError) -> [(
        products: AttentionProducts, attention: AttentionProjections.Attention, parameters: ParameterValues, layer: Layer
    )] {
        let byNode = Dictionary(targets.filter(\.layer.path.isMain).map { ($0.layer.nodeIndex, $0) }, uniquingKeysWith: { first, _ in first })
        let found = entries.compactMap { entry -> (products: AttentionProducts, attention: AttentionProjections.Attention, parameters: ParameterValues, layer: Layer)? in
            guard let products = entry.products, let target = entry.attention.layers.sorted().lazy.compactMap({ byNode[$0] }).first else { return nil }
            return (products, entry.attention, target.parameters, target.layer)
        }
        guard !found.isEmpty else { throw EngineError(.technique, "\(technique): \(entries.lazy.compactMap(\.reason).first ?? "no chosen layer belongs to an attention")") }
        return found
    }
}
