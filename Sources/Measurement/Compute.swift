import ModelGraph

/// Multiply-accumulates by node. Conv: N·Cout·Ho·Wo·(Cin/groups)·kh·kw; Gemm and MatMul: M·N·K; recurrent layers: steps ×
/// gates·hidden·(inputs + hidden); attention in one node: queries × keys × width, twice. Bias, activation, normalization and pooling are not MACs (as fvcore, thop and
/// ptflops count; FLOPs = 2·MACs).
public enum Compute {
    /// MACs of every node of the main graph that has any, by node index, for the shapes given.
    public static func macs(of graph: Graph, shapes: ValueShapes) -> [Int: Double] {
        var result: [Int: Double] = [:]
        // What is computed from constants alone is computed once, while loading.
        let constants = graph.constantNames()
        for (index, node) in graph.nodes.enumerated() where !node.outputs.allSatisfy(constants.contains) {
            if let macs = macs(of: node, in: graph, shapes: shapes) { result[index] = macs }
        }
        return result
    }

    /// The matrices a node multiplies, by name: those of a recurrent layer's input and state beside its input.
    static func operands(of node: Node) -> [String] {
        let positions: [Int]
        switch node.opType {
        case "Conv", "FusedConv", "ConvInteger", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "MatMulInteger",
            "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulNBits", "MatMulBnb4":
            positions = [0, 1]
        case "Attention", "QAttention": positions = node.domain == "com.microsoft" ? [0, 1] : []
        case "QLinearConv", "QLinearMatMul", "QGemm": positions = [0, 3]
        case "LSTM", "GRU", "RNN", "DynamicQuantizeLSTM": positions = [0, 1, 2]
        default: positions = []
        }
        return positions.compactMap { node.input($0) }
    }

    private static func macs(of node: Node, in graph: Graph, shapes: ValueShapes) -> Double? {
        func dims(_ name: String?) -> [Int]? {
            guard let name else { return nil }
            return graph.initializers[name]?.dims ?? shapes[name]?.dims
        }
        func product(_ dims: some Sequence<Int>) -> Double { dims.reduce(1.0) { $0 * Double($1) } }
        let output = node.outputs.first
        switch node.opType {
        case "Conv", "FusedConv", "NhwcFusedConv", "ConvInteger", "DeformConv":
            guard let out = dims(output), let weight = dims(node.input(1)) else { return nil }
            return product(out) * product(weight.dropFirst())
        case "QLinearConv":
            guard let out = dims(output), let weight = dims(node.input(3)) else { return nil }
            return product(out) * product(weight.dropFirst())
        case "ConvTranspose":
            guard let input = dims(node.input(0)), let weight = dims(node.input(1)) else { return nil }
            return product(input) * product(weight.dropFirst())
        case "Gemm", "FusedGemm", "QGemm":
            guard let out = dims(output), let a = dims(node.input(0)), a.count == 2 else { return nil }
            return product(out) * Double(node.int("transA") == 1 ? a[0] : a[1])
        case "MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulNBits", "MatMulBnb4":
            guard let out = dims(output), let a = dims(node.input(0)), !a.isEmpty else { return nil }
            let inner = node.int("transA") == 1 && a.count > 1 ? a[a.count - 2] : a[a.count - 1]
            return product(out) * Double(inner)
        case "Attention" where node.domain == "com.microsoft", "QAttention":
            // Queries, keys and values in one product, then scores and their weighted sum.
            guard let input = dims(node.input(0)), input.count == 3, let weight = dims(node.input(1)), weight.count == 2, let out = dims(output) else { return nil }
            // The past is [2, batch, heads, length, width].
            let past = dims(node.input(node.opType == "Attention" ? 4 : 8)).flatMap { $0.count == 5 ? $0[3] : nil } ?? 0
            return Double(input[0] * input[1]) * (product(weight) + 2 * Double(input[1] + past) * Double(out.last ?? 0))
        case "Attention", "MultiHeadAttention", "GroupQueryAttention":
            return AttentionCompute.macs(of: node, dims: dims)
        case "Einsum":
            let operands = node.inputs.compactMap(dims)
            guard operands.count == node.inputs.count, let equation = node.string("equation") else { return nil }
            return AttentionCompute.macs(ofEinsum: equation, dims: operands)
        case "LSTM", "GRU", "RNN", "DynamicQuantizeLSTM":
            guard let input = dims(node.input(0)), input.count == 3, let recurrent = dims(node.input(2)), recurrent.count == 3,
                let weight = dims(node.input(1)), weight.count == 3
            else { return nil }
            // Steps × batch, either layout; W is [directions, gates·hidden, inputs] (transposed in the quantized operator).
            return Double(input[0] * input[1]) * (product(weight) + product(recurrent))
        default:
            return nil
        }
    }
}

/// Modeled energy of one inference in picojoules, 45 nm (Horowitz, "Computing's Energy Problem", ISSCC 2014).
///
/// Each MAC costs a multiplication and an addition at its operands' width; each weight bit is read once from DRAM;
/// each activation is written to and read from SRAM once. Zero weights save nothing unless they are gone from the file.
public enum EnergyModel {
    /// Picojoules of one MAC with operands of `bits` bits.
    public static func macPicojoules(bits: Double) -> Double {
        if bits <= 8 { return 0.2 + 0.03 }
        if bits <= 16 { return 1.1 + 0.4 }
        return 3.7 + 0.9
    }

    public static let dramPicojoulesPer32Bits = 640.0
    public static let sramPicojoulesPer32Bits = 5.0

    public static func picojoules(macs: [(count: Double, bits: Double)], weightBits: Double, activationBits: Double) -> Double {
        macs.reduce(0) { $0 + $1.count * macPicojoules(bits: $1.bits) }
            + weightBits / 32 * dramPicojoulesPer32Bits + 2 * activationBits / 32 * sramPicojoulesPer32Bits
    }
}
