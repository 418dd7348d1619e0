import Measurement
import ModelGraph

/// Why a compressed model may be slower than what it replaces: what users of today's tools run into, read off the graph.
public enum SlowdownCause {
    /// Likely causes, most likely first; empty if none is seen.
    public static func likely(baseline: Model, candidate: Model, figures: LatencyFigures) -> [String] {
        var causes: [String] = []
        let nodes = candidate.graph.nodes
        let index = GraphIndex(candidate.graph)
        func zeroPointType(_ node: Node) -> ElementType? {
            node.input(2).flatMap { candidate.graph.initializers[$0]?.elementType }
        }
        let activationQuantizers = nodes.filter { $0.opType == "QuantizeLinear" }
        if activationQuantizers.contains(where: { zeroPointType($0) == .int8 }) {
            causes.append("activations are signed (int8): x86 has its fast path for unsigned activations × signed weights")
        }
        let before = baseline.graph.nodes.count { $0.opType == "QuantizeLinear" || $0.opType == "DequantizeLinear" }
        let after = nodes.count { $0.opType == "QuantizeLinear" || $0.opType == "DequantizeLinear" }
        if after > before {
            let fused: Set<String> = [
                "Conv", "Gemm", "MatMul", "Add", "Mul", "AveragePool", "GlobalAveragePool", "MaxPool", "Concat", "Relu", "Clip", "Sigmoid",
                "LeakyRelu", "Softmax", "Resize", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Split", "Gather", "ConvTranspose",
            ]
            let gaps = nodes.filter { node in
                node.opType != "QuantizeLinear" && node.opType != "DequantizeLinear" && !fused.contains(node.opType)
                    && node.inputs.contains { index.producer[$0].map { nodes[$0].opType == "DequantizeLinear" } ?? false }
            }
            if let gap = gaps.first {
                causes.append("Q/DQ around \(gaps.count) operators that have no integer kernel (first: \(gap.opType)): values are converted back and forth")
            }
        }
        if let uneven = unevenConvolutions(baseline: baseline, candidate: candidate) { causes.append(uneven) }
        if nodes.contains(where: { $0.opType == "DynamicQuantizeLinear" }) {
            causes.append("dynamic quantization computes the activations' range at every call, which costs small layers more than it saves")
        }
        if candidate.graph.initializers.values.contains(where: { $0.elementType == .float16 }) {
            causes.append("float16 has few kernels on CPUs: the runtime converts to float32 and back")
        }
        if let factors = splitLayers(baseline: baseline, candidate: candidate) {
            causes.append(factors)
        } else if nodes.count > baseline.graph.nodes.count, after == before {
            causes.append("\(nodes.count - baseline.graph.nodes.count) more operators than before: each call costs, and small layers feel it")
        }
        if figures.baselineMedian < 0.2 {
            causes.append("the model is so small that a call's fixed cost outweighs its arithmetic")
        }
        return causes
    }

    /// Layers that a factorization replaced by several, each named after the one it came from.
    private static func splitLayers(baseline: Model, candidate: Model) -> String? {
        let (before, after) = (baseline.layers(), candidate.layers())
        let (known, left) = (Set(before.map(\.id)), Set(after.map(\.id)))
        let parts = Dictionary(grouping: after.filter { !known.contains($0.id) }) { layer in
            layer.id.lastIndex(of: "/").map { String(layer.id[..<$0]) } ?? ""
        }
        let split = before.filter { !left.contains($0.id) && parts[$0.id] != nil }
        guard let first = split.first, let smaller = parts[first.id] else { return nil }
        let total = split.reduce(0) { $0 + (parts[$1.id]?.count ?? 0) }
        return
            "\(split.count) layers became \(total) smaller ones (first: \(first.id) became \(smaller.count), the smallest of \(smaller.map(\.weightCount).min() ?? 0) weights): for layers so small the extra calls and intermediate values cost more than is saved"
    }

    /// Convolutions that had a multiple of 16 filters and no longer have: the runtime's blocked layout (NCHWc) works in
    /// blocks of 16 channels with AVX-512, 8 with AVX2.
    private static func unevenConvolutions(baseline: Model, candidate: Model) -> String? {
        let before = Dictionary(baseline.layers().map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let block = InstructionSet.current.hasPrefix("AVX512") ? 16 : 8
        let uneven = candidate.layers().filter { layer in
            guard layer.kind == .conv, let old = before[layer.id], let filters = layer.weightShape.first, let earlier = old.weightShape.first else { return false }
            return filters % block != 0 && earlier % block == 0
        }
        guard let first = uneven.first else { return nil }
        return
            "\(uneven.count) convolutions no longer have a multiple of \(block) filters (first: \(first.id) with \(first.weightShape[0])), so the runtime leaves its blocked layout; keep-multiple-of=\(block) keeps it"
    }
}
