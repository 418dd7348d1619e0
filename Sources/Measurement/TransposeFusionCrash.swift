import ModelGraph
import OnnxRuntime

/// A fault of ONNX Runtime (1.31.1, CPU): it merges a Transpose that moves the first axis last, or last but one, into the MatMul that reads it,
/// through the Casts that it adds around half-precision operators itself, and crashes over it while loading.
package enum TransposeFusionCrash {
    /// Such Transposes of a graph, and the products that read them.
    package static func nodes(of graph: Graph) -> Set<Int> {
        let index = GraphIndex(graph)
        var nodes: Set<Int> = []
        for (position, node) in graph.nodes.enumerated() where node.isStandard("MatMul") {
            for input in node.inputs {
                guard let producer = index.producer[input], graph.nodes[producer].isStandard("Transpose"),
                    let order = graph.nodes[producer].ints("perm"), order.count >= 3, let first = order.firstIndex(of: 0),
                    first >= order.count - 2, order.filter({ $0 != 0 }) == Array(1..<order.count)
                else { continue }
                nodes.formUnion([position, producer])
            }
        }
        return nodes
    }

    /// Whether loading a model would end the process: it has such a product in float16.
    package static func threatens(_ model: Model) -> Bool {
        let nodes = nodes(of: model.graph)
        guard !nodes.isEmpty else { return false }
        let types = ElementTypeInference(model.graph).types
        return nodes.contains { model.graph.nodes[$0].outputs.contains { types[$0] == .float16 } }
    }

    /// Leaves out the fusion. The rest of the runtime's work on the graph is as ever.
    static func avoid(in options: inout SessionOptions) {
        options.configuration["optimization.disable_specified_optimizers"] = "MatmulTransposeFusion"
    }
}
