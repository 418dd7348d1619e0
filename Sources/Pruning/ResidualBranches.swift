import ModelGraph
import Techniques

/// A branch of a network whose result is added back to what it started from, so that it can be left out.
struct ResidualBranch: Sendable {
    /// Index of the Add in the main graph.
    var add: Int
    /// The value that goes past the branch, and what it is after the addition.
    var stream: String
    var result: String
    /// Nodes that nothing else needs, in order.
    var nodes: [Int]
    /// Positions, in `model.layers()`, of the layers among them.
    var layers: [Int]

    /// The branches of a model that hold layers, innermost only: of a branch inside another, the inner one.
    /// - Parameter shapes: shapes of intermediate values, where known: where both are known, the stream's and the result's must agree.
    static func all(in model: Model, layers: [Layer], shapes: [String: [Int]]) -> [ResidualBranch] {
        let graph = model.graph
        let index = GraphIndex(graph)
        var position: [Int: Int] = [:]
        for (number, layer) in layers.enumerated() where layer.path.isMain { position[layer.nodeIndex] = number }
        var branches: [ResidualBranch] = []
        for (add, node) in graph.nodes.enumerated() where (node.isStandard("Add") || node.isStandard("Sum")) && node.inputs.count == 2 {
            guard let output = node.outputs.first, let a = node.input(0), let b = node.input(1), a != b else { continue }
            // The stream is the operand that the other one comes from.
            for (stream, end) in [(a, b), (b, a)] {
                guard graph.initializers[stream] == nil, let start = depth(stream, index), isMade(end, from: stream, after: start, graph, index),
                    haveEqualShape(stream, output, model, shapes)
                else { continue }
                let nodes = exclusive(end, but: stream, add, graph, index)
                let held = nodes.compactMap { position[$0] }
                if !held.isEmpty { branches.append(ResidualBranch(add: add, stream: stream, result: output, nodes: nodes, layers: held)) }
                break
            }
        }
        let adds = Set(branches.map(\.add))
        return branches.filter { branch in !branch.nodes.contains { adds.contains($0) } }
    }

    /// Index of the node that makes a value, −1 for an input of the graph.
    private static func depth(_ name: String, _ index: GraphIndex) -> Int? { index.producer[name] ?? -1 }

    /// Whether a value depends on the stream. Nodes before the stream's cannot.
    private static func isMade(_ name: String, from stream: String, after start: Int, _ graph: Graph, _ index: GraphIndex) -> Bool {
        var open = [name]
        var seen = Set<Int>()
        while let next = open.popLast() {
            if next == stream { return true }
            guard let maker = index.producer[next], maker > start, seen.insert(maker).inserted else { continue }
            open += graph.nodes[maker].inputs
            for (_, body) in graph.nodes[maker].subgraphs { open += body.capturedNames() }
        }
        return false
    }

    /// Ranks and dimensions that are known of both agree. Without any knowledge an Add may broadcast: no.
    private static func haveEqualShape(_ a: String, _ b: String, _ model: Model, _ shapes: [String: [Int]]) -> Bool {
        if let one = shapes[a], let two = shapes[b] { return one == two }
        func info(_ name: String) -> [Dimension]? {
            (model.graph.valueInfos[name] ?? model.graph.inputs.first { $0.name == name } ?? model.graph.outputs.first { $0.name == name })?.shape
        }
        guard let one = info(a), let two = info(b) else { return false }
        return one == two && !one.contains(.unknown)
    }

    /// Nodes behind `end` whose values nothing but the branch and its Add reads.
    private static func exclusive(_ end: String, but stream: String, _ add: Int, _ graph: Graph, _ index: GraphIndex) -> [Int] {
        var members = Set<Int>()
        // Later nodes first: a node is decided after all its readers.
        var open = Set([index.producer[end]].compactMap { $0 })
        while let node = open.max() {
            open.remove(node)
            let outputs = graph.nodes[node].outputs.filter { !$0.isEmpty }
            guard !outputs.contains(stream),
                outputs.allSatisfy({ name in
                    !index.outputs.contains(name) && (index.consumers[name] ?? []).allSatisfy { $0 == add || members.contains($0) }
                })
            else { continue }
            members.insert(node)
            for input in graph.nodes[node].inputs where input != stream { if let maker = index.producer[input] { open.insert(maker) } }
        }
        return members.sorted()
    }
}

/// Layers, by position, of each residual branch that can be left out.
struct RemovableBranches: ForecastFacet {
    var layers: [[Int]]

    static func prepare(_ summaries: inout [LayerSummary], of model: PreparedModel) {
        summaries.set(Self(layers: ResidualBranch.all(in: model.model, layers: model.layers, shapes: model.shapes).map(\.layers)))
    }
}
