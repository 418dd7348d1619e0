/// Who makes and who reads each value of a graph, by node index. Made afresh after edits; O(nodes).
public struct GraphIndex: Sendable {
    /// Index of the node that makes a value.
    public private(set) var producer: [String: Int] = [:]
    /// Nodes that read a value, in order, including those whose subgraphs read it from outside.
    public private(set) var consumers: [String: [Int]] = [:]
    /// Names that are outputs of the graph.
    public private(set) var outputs: Set<String>

    public init(_ graph: Graph) {
        outputs = Set(graph.outputs.map(\.name))
        for (index, node) in graph.nodes.enumerated() {
            for output in node.outputs where !output.isEmpty { producer[output] = index }
            var read = Set<String>()
            for input in node.inputs where !input.isEmpty { read.insert(input) }
            for (_, body) in node.subgraphs { read.formUnion(body.capturedNames()) }
            for name in read { consumers[name, default: []].append(index) }
        }
    }

    /// Number of readers of a value, an output of the graph counting as one.
    public func useCount(_ name: String) -> Int { (consumers[name]?.count ?? 0) + (outputs.contains(name) ? 1 : 0) }
}

extension Graph {
    /// Names read in this graph or its subgraphs that are defined outside it.
    public func capturedNames() -> Set<String> {
        var defined = Set(inputs.map(\.name))
        defined.formUnion(initializers.keys)
        defined.formUnion(sparseInitializerNames)
        var captured = Set<String>()
        for node in nodes {
            for input in node.inputs where !input.isEmpty && !defined.contains(input) { captured.insert(input) }
            for (_, body) in node.subgraphs { captured.formUnion(body.capturedNames().subtracting(defined)) }
            defined.formUnion(node.outputs)
        }
        for output in outputs where !defined.contains(output.name) { captured.insert(output.name) }
        return captured
    }

    /// Every value name in use, subgraphs included.
    public func allNames() -> Set<String> {
        var names = Set(inputs.map(\.name))
        names.formUnion(outputs.map(\.name))
        names.formUnion(initializers.keys)
        for node in nodes {
            names.formUnion(node.inputs)
            names.formUnion(node.outputs)
            for (_, body) in node.subgraphs { names.formUnion(body.allNames()) }
        }
        return names
    }

    /// Replaces reads of values, in nodes, captured names of subgraphs and graph outputs alike... except that an
    /// output of the graph keeps its name, since callers know it.
    public mutating func replaceReads(_ replacements: [String: String]) {
        guard !replacements.isEmpty else { return }
        for index in nodes.indices { nodes[index].replaceReads(replacements) }
    }

    /// Removes nodes none of whose outputs are read, then initializers that nothing reads, here and in subgraphs.
    /// Initializers listed as inputs stay: they belong to the model's interface.
    public mutating func removeDeadCode() {
        removeIdleLoopValues()
        for index in nodes.indices where !nodes[index].subgraphs.isEmpty { nodes[index].removeDeadCodeInSubgraphs() }
        var needed = Set(outputs.map(\.name))
        var keep = [Bool](repeating: false, count: nodes.count)
        for index in nodes.indices.reversed() where nodes[index].outputs.contains(where: { needed.contains($0) }) {
            keep[index] = true
            needed.formUnion(nodes[index].inputs)
            for (_, body) in nodes[index].subgraphs { needed.formUnion(body.capturedNames()) }
        }
        if keep.contains(false) { nodes = zip(nodes, keep).filter(\.1).map(\.0) }
        let listed = Set(inputs.map(\.name))
        initializers.removeAll { !needed.contains($0.key) && !listed.contains($0.key) }
    }

    /// Whether every node comes after those it reads.
    var isSorted: Bool {
        let producer = producers()
        return nodes.indices.allSatisfy { index in readNames(index).allSatisfy { producer[$0].map { $0 < index } ?? true } }
    }

    private func producers() -> [String: Int] {
        var producer: [String: Int] = [:]
        for (index, node) in nodes.enumerated() { for output in node.outputs where !output.isEmpty { producer[output] = index } }
        return producer
    }

    /// What a node and its subgraphs read.
    private func readNames(_ index: Int) -> [String] {
        nodes[index].subgraphs.reduce(into: nodes[index].inputs) { $0.append(contentsOf: $1.graph.capturedNames()) }
    }

    /// Sorts nodes so that each comes after those it reads, keeping the present order where it is free.
    /// - Throws: `ModelGraphError` if the graph has a cycle.
    public mutating func sortTopologically() throws(ModelGraphError) {
        let producer = producers()
        if let own = nodes.indices.first(where: { index in readNames(index).contains { producer[$0] == index } }) {
            throw ModelGraphError(.graph, "node '\(nodes[own].name)' reads its own output")
        }
        var state = [UInt8](repeating: 0, count: nodes.count)
        var order: [Int] = []
        order.reserveCapacity(nodes.count)
        for root in nodes.indices where state[root] == 0 {
            // Depth first without recursion: graphs can be thousands of nodes deep.
            var stack: [(node: Int, dependencies: [Int])] = [(root, dependencies(root, producer))]
            state[root] = 1
            while let top = stack.indices.last {
                if let next = stack[top].dependencies.popLast() {
                    if state[next] == 0 {
                        state[next] = 1
                        stack.append((next, dependencies(next, producer)))
                    } else if state[next] == 1 {
                        throw ModelGraphError(.graph, "the graph has a cycle through node '\(nodes[next].name)'")
                    }
                } else {
                    state[stack[top].node] = 2
                    order.append(stack[top].node)
                    stack.removeLast()
                }
            }
        }
        nodes = order.map { nodes[$0] }
    }

    private func dependencies(_ index: Int, _ producer: [String: Int]) -> [Int] {
        Set(readNames(index).compactMap { producer[$0] }).filter { $0 != index }.sorted(by: >)
    }
}

extension Node {
    fileprivate mutating func removeDeadCodeInSubgraphs() {
        for index in attributes.indices {
            switch attributes[index].value {
            case .graph(var body):
                body.removeDeadCode()
                attributes[index].value = .graph(body)
            case .graphs(var bodies):
                for position in bodies.indices { bodies[position].removeDeadCode() }
                attributes[index].value = .graphs(bodies)
            default: break
            }
        }
    }

    /// Replaces names this node or its subgraphs read.
    public mutating func replaceReads(_ replacements: [String: String]) {
        for index in inputs.indices {
            if let name = replacements[inputs[index]] { inputs[index] = name }
        }
        for index in attributes.indices {
            switch attributes[index].value {
            case .graph(var body):
                body.replaceCaptured(replacements)
                attributes[index].value = .graph(body)
            case .graphs(let bodies):
                attributes[index].value = .graphs(
                    bodies.map { body in
                        var body = body
                        body.replaceCaptured(replacements)
                        return body
                    })
            default: break
            }
        }
    }
}

extension Graph {
    fileprivate mutating func replaceCaptured(_ replacements: [String: String]) {
        // A name defined inside hides the one outside.
        var hidden = Set(inputs.map(\.name)).union(initializers.keys)
        for node in nodes { hidden.formUnion(node.outputs) }
        replaceReads(replacements.filter { !hidden.contains($0.key) })
    }
}

extension Model {
    /// Brings weights that are listed among the graph's inputs in order after a rewrite.
    ///
    /// A listed weight that `before` read and that nothing reads any more goes, with its input: it was replaced, and would
    /// only fill the file. Before IR version 4 every initializer must be listed; if the rewrite added some that are not, the
    /// model moves to version 4 and lists none, which keeps the old meaning that they are constants.
    public mutating func settleListedWeights(after before: Model) {
        let listed = Set(graph.inputs.map(\.name)).filter { graph.initializers[$0] != nil }
        guard !listed.isEmpty || irVersion < 4 else { return }
        if !listed.isEmpty {
            let (used, usedBefore) = (graph.readNames(), before.graph.readNames())
            let gone = listed.filter { !used.contains($0) && usedBefore.contains($0) }
            if !gone.isEmpty {
                graph.inputs.removeAll { gone.contains($0.name) }
                graph.initializers.removeAll { gone.contains($0.key) }
            }
        }
        let inputs = Set(graph.inputs.map(\.name))
        if irVersion < 4, graph.initializers.keys.contains(where: { !inputs.contains($0) && before.graph.initializers[$0] == nil }) {
            irVersion = 4
            graph.inputs.removeAll { graph.initializers[$0.name] != nil }
        }
    }
}

extension Graph {
    /// Names that nodes, subgraphs or outputs read.
    fileprivate func readNames() -> Set<String> {
        var names = Set(outputs.map(\.name))
        for node in nodes {
            names.formUnion(node.inputs)
            for (_, body) in node.subgraphs { names.formUnion(body.capturedNames()) }
        }
        return names
    }
}

/// Makes names that are not yet in use.
public struct NameSupply: Sendable {
    private var used: Set<String>
    /// The last number given to each base: smaller ones stay taken.
    private var numbers: [String: Int] = [:]

    public init(_ graph: Graph) { used = graph.allNames() }

    /// `base` itself if free, else with the smallest number that makes it so.
    public mutating func fresh(_ base: String) -> String {
        if used.insert(base).inserted { return base }
        var number = numbers[base] ?? 1
        var candidate: String
        repeat {
            number += 1
            candidate = "\(base)_\(number)"
        } while !used.insert(candidate).inserted
        numbers[base] = number
        return candidate
    }
}

extension Node {
    /// Reads another value wherever it read `name`.
    public mutating func replaceInput(_ name: String, by value: String) {
        for index in inputs.indices where inputs[index] == name { inputs[index] = value }
    }
}
