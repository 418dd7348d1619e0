import ModelGraph

/// Operators that exist only while a graph is differentiated: each stands for several standard ones but has one gradient
/// rule of its own, which is shorter and quicker than the chain of its parts' rules.
public enum Macro {
    /// Domain of these operators; no file ever has it.
    public static let domain = "lathe.training"

    /// Makes standard nodes of macros, in place.
    public static func lower(_ builder: inout GradientBuilder) throws {
        let all = builder.nodes
        guard all.contains(where: { $0.domain == domain }) else { return }
        builder.nodes = []
        for node in all {
            guard node.domain == domain else {
                builder.nodes.append(node)
                continue
            }
            switch node.opType {
            case BatchNormalizationMacro.opType: try BatchNormalizationMacro.lower(node, &builder)
            case FoldedConvolution.opType: try FoldedConvolution.lower(node, &builder)
            case Macro.constant: builder.nodes.append(Node("Identity", name: node.name, inputs: node.inputs, outputs: node.outputs))
            case FoldedPooling.maximum, FoldedPooling.average: try FoldedPooling.lower(node, &builder)
            default: throw DifferentiationError("there is no macro '\(node.opType)'")
            }
        }
    }
}

extension GradientBuilder {
    /// Gives the last emitted node's output a name that others read already.
    mutating func rename(_ value: String, to name: String) throws {
        guard let index = nodes.lastIndex(where: { $0.outputs.contains(value) }), let shape = shapes[value] else {
            throw DifferentiationError("'\(value)' is made by no node")
        }
        for position in nodes[index].outputs.indices where nodes[index].outputs[position] == value { nodes[index].outputs[position] = name }
        shapes[value] = nil
        shapes[name] = shape
    }
}

extension Macro {
    /// Batch normalization by the batch's own statistics: x, scale, bias → y, mean, variance (biased), 1/√(variance + ε).
    public static let batchNormalization = BatchNormalizationMacro.opType
    /// Its operand, through which no gradient goes back.
    public static let constant = "Identity.constant"
}
