import EngineSupport
import ModelGraph
import Techniques

/// Where prompt tokens enter a transformer, how far they go, and which axes they lengthen.
///
/// They enter in front of the value that the first attention and its residual sum read. They go as far as the keys and values of the
/// last attention: behind those no other token reads them, so they are cut off there, before any pooling or head.
struct PromptPlan {
    /// A reason, in words for the user.
    struct Refusal: Error { var reason: String }

    /// The value that tokens are put in front of, its axes and which of them counts tokens.
    let entry: String
    let shape: [Int]
    let tokenAxis: Int
    /// Nodes that compute with the prompt, in order.
    private(set) var region: [Int] = []
    /// Axes that the prompt lengthens, of the values of the region.
    private(set) var axes: [String: [Int]] = [:]
    /// Values that are computed from dimensions of the region's values, and grow with them.
    private(set) var extents = Set<String>()
    /// Nodes outside the region that read the prompt: products of the last attention, with the input that does.
    let ends: [Int: String]
    /// Values between the products of the last attention: only their keys grow.
    let scores: Set<String>
    /// Places of shapes that count tokens and do not grow by themselves: node and place.
    private(set) var fixed: [(node: Int, place: Int)] = []
    /// Masks to widen, and whether their rows are widened too.
    private(set) var masks: [(mask: AttentionProducts.Mask, rows: Bool)] = []

    private static let single: Set<String> = [
        "Cast", "Identity", "Dropout", "Erf", "Tanh", "Relu", "Sigmoid", "Gelu", "Sqrt", "Neg", "Exp", "Clip", "Abs", "Reciprocal", "LeakyRelu", "Elu", "Selu", "Softplus",
        "HardSwish", "HardSigmoid", "Not", "IsNaN", "IsInf", "Log", "Mish", "Sin", "Cos",
    ]
    private static let broadcast: Set<String> = [
        "Add", "Sub", "Mul", "Div", "Pow", "Where", "Min", "Max", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal", "And", "Or",
    ]
    private static let arithmetic: Set<String> = ["Gather", "Unsqueeze", "Squeeze", "Concat", "Slice", "Cast", "Add", "Sub", "Mul", "Div", "Reshape", "Identity", "Where", "Equal"]

    /// - Parameters:
    ///   - shapes: of all values, of more than one sample where the model takes several.
    ///   - integers: values computed from shapes alone, where known; without them fixed shapes are not looked at.
    /// - Throws: `Refusal`.
    init(_ model: Model, attentions: [AttentionProducts], shapes: [String: [Int]], integers: [String: [Int]]?) throws(Refusal) {
        let graph = model.graph
        let index = GraphIndex(graph)
        let ordered = attentions.sorted { $0.mix < $1.mix }
        guard let first = ordered.first, let last = ordered.last else { throw Refusal(reason: "there is no attention") }
        func behind(_ values: [String]) -> Set<Int> {
            var nodes = Set<Int>()
            var open = values
            while let value = open.popLast() {
                for node in index.consumers[value] ?? [] where nodes.insert(node).inserted { open += graph.nodes[node].outputs.filter { !$0.isEmpty } }
            }
            return nodes
        }
        func before(_ values: [String]) -> Set<Int> {
            var nodes = Set<Int>()
            var open = values
            while let value = open.popLast() {
                guard let node = index.producer[value], nodes.insert(node).inserted else { continue }
                open += graph.nodes[node].inputs.filter { !$0.isEmpty }
            }
            return nodes
        }
        let (mixed, makers) = (behind(graph.nodes[first.mix].outputs), before([first.keys]))
        let sum = mixed.sorted().lazy.compactMap { position -> String? in
            let node = graph.nodes[position]
            guard node.isStandard("Add"), node.inputs.count == 2 else { return nil }
            return node.inputs.first { value in
                guard graph.initializers[value] == nil, let producer = index.producer[value] else { return false }
                return makers.contains(producer) && !mixed.contains(producer)
            }
        }.first
        guard let entry = sum else { throw Refusal(reason: "no residual sum shows where its first block begins") }
        guard let shape = shapes[entry], shape.count == 3, let keyShape = shapes[first.keys], let tokens = keyShape.last else {
            throw Refusal(reason: "'\(entry)', which its first block reads, has no axis of tokens")
        }
        (self.entry, self.shape) = (entry, shape)
        guard let axis = [1, 0].first(where: { shape[$0] == tokens }) else { throw Refusal(reason: "'\(entry)' does not match the number of keys") }
        tokenAxis = axis
        ends = [last.scores: last.keys, last.mix: last.values]
        region = behind([entry]).intersection(before([last.keys, last.values])).sorted()
        if region.isEmpty { throw Refusal(reason: "its first block does not read '\(entry)'") }
        let between = behind(graph.nodes[last.scores].outputs).intersection(before([graph.nodes[last.mix].inputs[0]])).union([last.scores])
        scores = Set(between.flatMap { graph.nodes[$0].outputs })
        axes[entry] = [axis]
        let known = Set(attentions.flatMap { $0.masks.map { "\($0.node) \($0.input)" } })
        for position in region { try step(position, graph, index, shapes, integers, known) }
        guard axes[last.keys]?.last == (shapes[last.keys]?.count).map({ $0 - 1 }), axes[last.values]?.last == (shapes[last.values]?.count).map({ $0 - 2 }) else {
            throw Refusal(reason: "tokens do not become keys and values of its last attention")
        }
        let inside = Set(region)
        for attention in ordered where inside.contains(attention.scores) || attention.mix == last.mix {
            for mask in attention.masks {
                guard let dims = shapes[mask.value] ?? graph.initializers[mask.value]?.dims else { throw Refusal(reason: "the shape of '\(mask.value)' is not known") }
                if axes[mask.value] != nil { throw Refusal(reason: "its mask is computed from tokens") }
                masks.append((mask, inside.contains(attention.scores) && dims.count > 1 && dims[dims.count - 2] != 1))
            }
        }
        for output in graph.outputs where output.name != entry && (axes[output.name] != nil || extents.contains(output.name)) {
            throw Refusal(reason: "'\(output.name)', inside its blocks, is an output of the model")
        }
        for node in graph.nodes where !node.subgraphs.isEmpty {
            if node.subgraphs.contains(where: { $0.graph.capturedNames().contains { axes[$0] != nil || extents.contains($0) } }) {
                throw Refusal(reason: "\(node.opType) with graphs of its own reads its tokens")
            }
        }
    }

    /// Which axes of a node's outputs the prompt lengthens.
    private mutating func step(
        _ position: Int, _ graph: Graph, _ index: GraphIndex, _ shapes: [String: [Int]], _ integers: [String: [Int]]?, _ known: Set<String>
    ) throws(Refusal) {
        let node = graph.nodes[position]
        guard node.isStandard(node.opType), node.subgraphs.isEmpty else { throw Refusal(reason: "\(node.opType) stands between its blocks") }
        let fixedNumber = Refusal(reason: "\(node.opType) '\(node.name)' depends on the number of tokens")
        let marked = node.inputs.map { axes[$0] ?? [] }
        func dims(_ value: String) throws(Refusal) -> [Int] {
            guard let dims = graph.initializers[value]?.dims ?? shapes[value] else { throw Refusal(reason: "the shape of '\(value)' is not known") }
            return dims
        }
        func numbers(_ name: String, _ input: Int) -> [Int]? {
            node.ints(name) ?? (node.input(input).flatMap { graph.initializers[$0]?.integers() ?? integers?[$0] })
        }
        if node.opType == "Shape" {
            extents.insert(node.outputs[0])
            return
        }
        if marked.allSatisfy(\.isEmpty) {
            guard Self.arithmetic.contains(node.opType) else { throw fixedNumber }
            extents.formUnion(node.outputs)
            return
        }
        let rank = try dims(node.inputs[0]).count
        func whole(_ axis: Int, _ rank: Int) -> Int { axis < 0 ? axis + rank : axis }
        let result: [Int]
        switch node.opType {
        case let type where Self.single.contains(type): result = marked[0]
        case "Softmax": result = marked[0]
        case let type where Self.broadcast.contains(type):
            let outRank = try dims(node.outputs[0]).count
            var all = Set<Int>()
            for (input, mine) in zip(node.inputs, marked) where !mine.isEmpty {
                let shift = try outRank - dims(input).count
                all.formUnion(mine.map { $0 + shift })
            }
            for (number, input) in node.inputs.enumerated() where !known.contains("\(position) \(number)") {
                let own = try dims(input)
                for axis in all {
                    let at = axis - (outRank - own.count)
                    if at >= 0, own[at] != 1, !marked[number].contains(at) { throw Refusal(reason: "'\(input)' is for a fixed number of tokens, between its blocks") }
                }
            }
            result = all.sorted()
        case "MatMul":
            let (a, b, out) = (try dims(node.inputs[0]), try dims(node.inputs[1]), try dims(node.outputs[0]))
            guard a.count >= 2, b.count >= 2, marked[0].contains(a.count - 1) == marked[1].contains(b.count - 2) else { throw fixedNumber }
            var all = Set<Int>()
            for axis in marked[0] where axis != a.count - 1 { all.insert(axis + out.count - a.count) }
            for axis in marked[1] where axis != b.count - 2 { all.insert(axis + out.count - b.count) }
            for axis in all where axis < out.count - 2 {
                for (own, mine) in [(a, marked[0]), (b, marked[1])] {
                    let at = axis - (out.count - own.count)
                    if at >= 0, own[at] != 1, !mine.contains(at) { throw fixedNumber }
                }
            }
            result = all.sorted()
        case "LayerNormalization", "RMSNormalization":
            let axis = whole(node.int("axis") ?? -1, rank)
            guard marked[0].allSatisfy({ $0 < axis }), marked.dropFirst().allSatisfy(\.isEmpty) else { throw fixedNumber }
            result = marked[0]
        case "ReduceMean", "ReduceSum", "ReduceMax", "ReduceSumSquare", "ReduceL2":
            guard let over = numbers("axes", 1)?.map({ whole($0, rank) }), Set(over).isDisjoint(with: marked[0]) else { throw fixedNumber }
            result = node.int("keepdims") == 0 ? marked[0].map { axis in axis - over.filter { $0 < axis }.count } : marked[0]
        case "Transpose":
            let order = node.ints("perm") ?? (0..<rank).reversed()
            result = order.indices.filter { marked[0].contains(order[$0]) }
        case "Unsqueeze":
            guard let over = numbers("axes", 1) else { throw fixedNumber }
            let added = Set(over.map { whole($0, rank + over.count) })
            let kept = (0..<rank + over.count).filter { !added.contains($0) }
            result = marked[0].map { kept[$0] }
        case "Squeeze":
            guard let over = numbers("axes", 1)?.map({ whole($0, rank) }) else { throw fixedNumber }
            result = marked[0].map { axis in axis - over.filter { $0 < axis }.count }
        case "Split", "Concat":
            let axis = whole(node.int("axis") ?? 0, rank)
            guard !marked[0].contains(axis), node.opType == "Split" || marked.allSatisfy({ $0 == marked[0] }) else { throw fixedNumber }
            result = marked[0]
        case "Slice":
            guard let over = node.inputs.count > 3 ? numbers("axes", 3)?.map({ whole($0, rank) }) : Array(0..<rank), Set(over).isDisjoint(with: marked[0]) else {
                throw fixedNumber
            }
            result = marked[0]
        case "Gather":
            let axis = whole(node.int("axis") ?? 0, rank)
            guard !marked[0].contains(axis), marked[1].isEmpty else { throw fixedNumber }
            let added = try dims(node.inputs[1]).count - 1
            result = marked[0].map { $0 > axis ? $0 + added : $0 }
        case "Reshape":
            let (old, new) = (try dims(node.inputs[0]), try dims(node.outputs[0]))
            var places: [Int] = []
            for axis in marked[0] {
                let front = old[..<axis].reduce(1, *)
                guard let place = new.indices.first(where: { new[$0] == old[axis] && new[..<$0].reduce(1, *) == front }) else {
                    throw Refusal(reason: "Reshape '\(node.name)' joins tokens with other axes")
                }
                places.append(place)
                if try !grows(node.inputs[1], place, graph, index, integers) { fixed.append((position, place)) }
            }
            result = places.sorted()
        default: throw Refusal(reason: "\(node.opType) '\(node.name)' stands between its blocks")
        }
        for output in node.outputs where !output.isEmpty { axes[output] = result }
    }

    /// Whether a number in a shape is computed from the tokens that there are, or left open.
    private func grows(_ value: String, _ place: Int, _ graph: Graph, _ index: GraphIndex, _ integers: [String: [Int]]?) throws(Refusal) -> Bool {
        if extents.contains(value) {
            guard let maker = index.producer[value], graph.nodes[maker].opType == "Concat", let integers else { return true }
            var at = 0
            for piece in graph.nodes[maker].inputs {
                guard let count = graph.initializers[piece]?.count ?? integers[piece]?.count else { return true }
                if place < at + count { return try grows(piece, place - at, graph, index, integers) }
                at += count
            }
            return true
        }
        guard let numbers = graph.initializers[value]?.integers() ?? integers?[value] else {
            if integers == nil { return true }
            throw Refusal(reason: "the shape '\(value)' is not known")
        }
        return numbers[place] <= 0
    }
}
