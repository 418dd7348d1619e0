import ModelGraph

/// Layers in parts, for methods that go through a model and look at its values anew after each part.
package enum LayerStages {
    /// Layers of equal depth together, from the inputs on: no layer of a stage reads, over whatever nodes, what another of the
    /// same or a later stage makes. Layers of subgraphs are left out.
    package static func byDepth(_ layers: [Layer], in model: Model) -> [[Layer]] {
        let depth = depths(of: Set(layers.filter(\.path.isMain).map(\.nodeIndex)), in: model.graph)
        return group(layers.filter(\.path.isMain)) { depth[$0.nodeIndex] }
    }

    /// How many of the chosen nodes lie before each node on the longest way to it.
    package static func depths(of chosen: Set<Int>, in graph: Graph) -> [Int] {
        var ofValue: [String: Int] = [:]
        var result = [Int](repeating: 0, count: graph.nodes.count)
        for (index, node) in graph.nodes.enumerated() {
            var deepest = 0
            for name in node.inputs { deepest = max(deepest, ofValue[name] ?? 0) }
            for (_, body) in node.subgraphs { for name in body.capturedNames() { deepest = max(deepest, ofValue[name] ?? 0) } }
            result[index] = deepest
            for output in node.outputs where !output.isEmpty { ofValue[output] = deepest + (chosen.contains(index) ? 1 : 0) }
        }
        return result
    }

    /// Layers whose Gram matrices together take at most `budget` bytes, in order.
    package static func byMemory(_ layers: [Layer], budget: Int = InputStatistics.gramBudget / 2) -> [[Layer]] {
        var stages: [[Layer]] = []
        var bytes = 0
        for layer in layers {
            let need = WeightMatrix.shape(of: layer).map { $0.groups * $0.columns * $0.columns * 4 } ?? 0
            if stages.isEmpty || bytes + need > budget {
                stages.append([])
                bytes = 0
            }
            stages[stages.count - 1].append(layer)
            bytes += need
        }
        return stages
    }

    private static func group(_ layers: [Layer], by key: (Layer) -> Int) -> [[Layer]] {
        Dictionary(grouping: layers, by: key).sorted { $0.key < $1.key }.map(\.value)
    }
}

extension Model {
    /// The part of the model that makes the named values of the main graph, which become its outputs. Inputs stay.
    package func truncated(to values: some Collection<String>) -> Model {
        let made = Set(graph.nodes.flatMap(\.outputs))
        let wanted = values.filter { made.contains($0) }
        // A graph without outputs is no graph.
        guard !wanted.isEmpty else { return self }
        var part = self
        var seen = Set<String>()
        part.graph.outputs = wanted.filter { seen.insert($0).inserted }.map { name in
            graph.outputs.first { $0.name == name } ?? graph.valueInfos[name] ?? ValueInfo(name: name, elementType: nil, shape: nil)
        }
        part.graph.removeDeadCode()
        return part
    }
}
