import ModelGraph

/// Finds for values of a rewritten model the values of the model before the recipe that they shall be like.
struct BaselineValues {
    private let baseline: Model
    private let present: Model
    private let baselineIndex: GraphIndex
    private let presentIndex: GraphIndex
    private let made: Set<String>

    init(baseline: Model, present: Model) {
        self.baseline = baseline
        self.present = present
        baselineIndex = GraphIndex(baseline.graph)
        presentIndex = GraphIndex(present.graph)
        made = Set(present.graph.nodes.flatMap(\.outputs))
    }

    /// The baseline's value for the output of a layer, and which of its channels are left; `nil` if there is none.
    /// - Parameter dimension: of the channels, counted from the end.
    func counterpart(of name: String, dimension: Int) -> (name: String, kept: [Int]?)? {
        var wanted = name
        // An output that a quantize–dequantize pair stands behind now, which has its name.
        while baselineIndex.producer[wanted] == nil {
            guard presentIndex.useCount(wanted) == 1, let reader = presentIndex.consumers[wanted]?.first,
                ["QuantizeLinear", "DequantizeLinear", "Cast"].contains(present.graph.nodes[reader].opType), let next = present.graph.nodes[reader].outputs.first
            else { return nil }
            wanted = next
        }
        // A normalization that was folded into the layer is in its output now.
        while baselineIndex.useCount(wanted) == 1, let reader = baselineIndex.consumers[wanted]?.first {
            let node = baseline.graph.nodes[reader]
            guard node.isStandard("BatchNormalization"), node.input(0) == wanted, let output = node.outputs.first, !made.contains(output) else { break }
            wanted = output
        }
        return (wanted, present.keptChannels[name]?[dimension])
    }
}
