import Measurement
import ModelGraph

/// The part of a rewritten model that differs from the model before: all that lies behind a change. What lies before it
/// need not run again, where its values are at hand.
struct ChangedPart {
    /// The changed nodes with what they lead to; its inputs are `reused` and the inputs of the model that are still read.
    var model: Model
    /// Values of the unchanged part that the changed part reads.
    var reused: [String]
    /// Inputs of the model that the changed part reads.
    var inputs: [String]

    /// - Parameters:
    ///   - output: the value that is wanted.
    ///   - isReusable: whether the value of that name in `baseline` can be had; else the nodes that make it are run again.
    /// - Returns: `nil` if nothing that leads to `output` differs.
    init?(of candidate: Model, from baseline: Model, output: String, isReusable: (String) -> Bool) {
        let graph = candidate.graph
        let unchanged = Self.unchangedNodes(candidate, baseline)
        let constants = graph.constantNames()
        let index = GraphIndex(graph)
        let given = Set(graph.requiredInputs.map(\.name))
        if let producer = index.producer[output], unchanged.contains(producer) { return nil }
        var kept = Set<Int>()
        var reused = Set<String>()
        var inputs = Set<String>()
        var open = [output]
        var seen = Set<String>()
        while let value = open.popLast() {
            guard seen.insert(value).inserted else { continue }
            guard let producer = index.producer[value] else {
                if given.contains(value) { inputs.insert(value) }
                continue
            }
            if unchanged.contains(producer), !constants.contains(value), isReusable(value) {
                reused.insert(value)
                continue
            }
            guard kept.insert(producer).inserted else { continue }
            let node = graph.nodes[producer]
            open += node.inputs.filter { !$0.isEmpty }
            for (_, body) in node.subgraphs { open += body.capturedNames() }
        }
        var part = candidate
        part.graph.nodes = graph.nodes.indices.filter(kept.contains).map { graph.nodes[$0] }
        part.graph.outputs = graph.outputs.filter { $0.name == output }
        // Weights listed as inputs stay listed.
        part.graph.inputs = graph.inputs.filter { inputs.contains($0.name) || !given.contains($0.name) }
        self.reused = reused.sorted()
        for name in self.reused {
            part.graph.inputs.append(
                ValueInfo(
                    name: name, elementType: .float32,
                    shape: graph.valueInfos[name]?.shape.map { shape in
                        // A batch extent noted when the model was exported need not be the one it runs with.
                        shape.enumerated().map { axis, extent in axis == 0 ? .unknown : extent }
                    }))
            part.graph.valueInfos[name] = nil
        }
        self.inputs = inputs.sorted()
        part.graph.removeDeadCode()
        model = part
    }

    /// Nodes of the candidate's main graph that compute what a node of the baseline does, from the same values.
    private static func unchangedNodes(_ candidate: Model, _ baseline: Model) -> Set<Int> {
        guard candidate.opset == baseline.opset else { return [] }
        let before = GraphIndex(baseline.graph)
        var same = Set(candidate.graph.requiredInputs.map(\.name)).intersection(baseline.graph.requiredInputs.map(\.name))
        for (name, tensor) in candidate.graph.initializers {
            guard let old = baseline.graph.initializers[name], old.elementType == tensor.elementType, old.dims == tensor.dims else { continue }
            if old.storage === tensor.storage || (tensor.elementType != .string && old.storage.contentHash == tensor.storage.contentHash) { same.insert(name) }
        }
        var unchanged = Set<Int>()
        for (position, node) in candidate.graph.nodes.enumerated() {
            guard node.subgraphs.isEmpty, let output = node.outputs.first(where: { !$0.isEmpty }), let producer = before.producer[output],
                node.inputs.allSatisfy({ $0.isEmpty || same.contains($0) })
            else { continue }
            let old = baseline.graph.nodes[producer]
            guard old.opType == node.opType, old.domain == node.domain, old.inputs == node.inputs, old.outputs == node.outputs,
                old.attributeHash == node.attributeHash
            else { continue }
            unchanged.insert(position)
            same.formUnion(node.outputs)
        }
        return unchanged
    }
}

extension Node {
    /// Equal for nodes with equal attributes; nodes with subgraphs are not looked into.
    fileprivate var attributeHash: ContentHash {
        var hash = ContentHash()
        for attribute in attributes.sorted(by: { $0.name < $1.name }) {
            hash.combine(attribute.name)
            if case .tensor(let tensor) = attribute.value { hash.combine(tensor.contentHash) } else { hash.combine("\(attribute.value)") }
        }
        return hash
    }
}
