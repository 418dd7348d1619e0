import ModelGraph

/// Keeps layers that stay float between integer ones from being rounded by the runtime.
///
/// Where a Conv, ConvTranspose or Gemm reads a DequantizeLinear and a QuantizeLinear reads its result, ONNX Runtime rounds the float
/// weights to int8, with one scale for all of them, although the file says otherwise (its optimizer WeightBiasQuantization). It sees through
/// what it folds into the layer and what it moves the pairs past, and makes a Gemm of MatMul and Add. A Max of a single value
/// changes nothing and stays in between.
enum RequantizationGuard {
    /// Operators that the runtime moves a QuantizeLinear or DequantizeLinear past, or takes out.
    private static let passed: Set<String> = [
        "MaxPool", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Identity", "Dropout", "Gather", "Pad",
    ]
    /// Operators that it folds into the layer before them, or into the QuantizeLinear behind.
    private static let folded: Set<String> = ["BatchNormalization", "Relu", "Clip", "Add", "Mul", "Sub", "Div"]

    /// Puts a Max in front of every float layer that would be rounded.
    static func protect(_ model: inout Model) {
        let nodes = model.graph.nodes
        let index = GraphIndex(model.graph)
        var names = NameSupply(model.graph)
        var guards: [Int: Node] = [:]
        for (position, node) in nodes.enumerated() where isFloatLayer(node, nodes, index) {
            guard let input = node.input(0), comesFromIntegers(input, nodes, index), let output = node.outputs.first,
                becomesIntegers(output, nodes, index)
            else { continue }
            guards[position] = .op("Max", [input], names.fresh("\(input)_kept_float"))
        }
        guard !guards.isEmpty else { return }
        model.graph.nodes = nodes.enumerated().flatMap { position, node -> [Node] in
            guard let guarding = guards[position] else { return [node] }
            var changed = node
            changed.inputs[0] = guarding.outputs[0]
            return [guarding, changed]
        }
    }

    /// Whether a node may become a Conv or Gemm over float weights.
    private static func isFloatLayer(_ node: Node, _ nodes: [Node], _ index: GraphIndex) -> Bool {
        guard let weight = node.input(1) else { return false }
        if let producer = index.producer[weight], nodes[producer].opType == "DequantizeLinear" { return false }
        if node.isStandard("MatMul") {
            return (node.outputs.first.flatMap { index.consumers[$0] } ?? []).contains { nodes[$0].isStandard("Add") }
        }
        return ["Conv", "ConvTranspose", "Gemm"].contains { node.isStandard($0) }
    }

    private static func comesFromIntegers(_ value: String, _ nodes: [Node], _ index: GraphIndex) -> Bool {
        var value = value
        while let producer = index.producer[value] {
            if nodes[producer].opType == "DequantizeLinear" { return true }
            guard passed.contains(nodes[producer].opType), let input = nodes[producer].input(0) else { return false }
            value = input
        }
        return false
    }

    private static func becomesIntegers(_ value: String, _ nodes: [Node], _ index: GraphIndex) -> Bool {
        var seen: Set<String> = [value]
        var open = [value]
        while let next = open.popLast() {
            for reader in index.consumers[next] ?? [] {
                let node = nodes[reader]
                if node.opType == "QuantizeLinear" { return true }
                guard passed.contains(node.opType) || folded.contains(node.opType), let output = node.outputs.first, seen.insert(output).inserted
                else { continue }
                open.append(output)
            }
        }
        return false
    }
}
