import ModelGraph

/// The values of a graph that every path from its inputs to its output passes through, in order: where it can be cut into two parts
/// that have nothing but that value in common. (The chain of dominators of the output; articulation points of the graph of values.)
struct GraphCuts {
    /// From the first behind the inputs to the last before the output.
    private(set) var values: [String] = []

    /// - Parameter graph: without dead code, in topological order.
    init(_ graph: Graph, output: String) {
        // Of each value that depends on an input: the nearest value that all paths to it pass through; none for the inputs themselves.
        var parent: [String: String?] = [:]
        var depth: [String: Int] = [:]
        for input in graph.requiredInputs {
            parent.updateValue(nil, forKey: input.name)
            depth[input.name] = 1
        }
        func common(_ first: String?, _ second: String?) -> String? {
            guard var one = first, var other = second else { return nil }
            while one != other {
                // The deeper one climbs.
                if depth[one, default: 0] >= depth[other, default: 0] {
                    guard let up = parent[one] ?? nil else { return nil }
                    one = up
                } else {
                    guard let up = parent[other] ?? nil else { return nil }
                    other = up
                }
            }
            return one
        }
        for node in graph.nodes {
            let reads = node.reads.filter { depth[$0] != nil }
            guard let first = reads.first else { continue }
            let nearest = reads.dropFirst().reduce(Optional(first)) { common($0, $1) }
            for name in node.outputs where !name.isEmpty {
                parent.updateValue(nearest, forKey: name)
                depth[name] = (nearest.flatMap { depth[$0] } ?? 0) + 1
            }
        }
        let inputs = Set(graph.requiredInputs.map(\.name))
        var value = parent[output] ?? nil
        while let name = value {
            if !inputs.contains(name) { values.append(name) }
            value = parent[name] ?? nil
        }
        values.reverse()
    }

    /// Which part each node belongs to when a graph is cut at values of the chain, in their order: 0 before the first cut. What is computed from
    /// constants alone goes to the first part that reads it.
    static func parts(of graph: Graph, cutAt cuts: [String]) -> [Int] {
        let position = Dictionary(cuts.enumerated().map { ($1, $0 + 1) }, uniquingKeysWith: { first, _ in first })
        var level: [String: Int] = [:]
        for input in graph.requiredInputs { level[input.name] = 0 }
        var parts = [Int](repeating: -1, count: graph.nodes.count)
        for (index, node) in graph.nodes.enumerated() {
            guard let part = node.reads.compactMap({ level[$0] }).max() else { continue }
            parts[index] = part
            for name in node.outputs where !name.isEmpty { level[name] = position[name] ?? part }
        }
        var firstReader: [String: Int] = [:]
        for index in graph.nodes.indices.reversed() {
            if parts[index] < 0 { parts[index] = graph.nodes[index].outputs.compactMap { firstReader[$0] }.min() ?? 0 }
            for name in graph.nodes[index].reads { firstReader[name] = min(firstReader[name] ?? .max, parts[index]) }
        }
        return parts
    }
}

extension Node {
    /// Values that the node or its subgraphs read.
    var reads: Set<String> {
        var names = Set(inputs.filter { !$0.isEmpty })
        for (_, body) in subgraphs { names.formUnion(body.capturedNames()) }
        return names
    }
}
