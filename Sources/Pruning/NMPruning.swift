import EngineSupport
import ModelGraph
import Techniques

/// Keeps the largest n of every m consecutive weights along the input axis.
public struct NMPruning: Technique {
    public init() {}

    static let patterns: [(name: String, n: Int, m: Int)] = [
        ("3:4", 3, 4), ("1:2", 1, 2), ("2:4", 2, 4), ("4:8", 4, 8), ("1:4", 1, 4), ("2:8", 2, 8), ("1:8", 1, 8), ("4:16", 4, 16), ("2:16", 2, 16),
        ("1:16", 1, 16),
    ]

    public let descriptor = TechniqueDescriptor(
        id: "n-m-pruning",
        title: "N:M pruning",
        family: .pruning,
        summary: "Keeps the largest n of every m consecutive weights along the inputs and zeroes the others",
        details: """
            The weights of each output are taken in blocks of m along the input axis: input channels of a convolution at one kernel position, input \
            features of a dense layer, inputs and hidden units of a recurrent layer. In each block the n weights of largest magnitude stay and the \
            others become zero; of equal ones the first stays. A last block of fewer than m weights keeps its n largest, or all if it has no more than \
            n.

            Sparse matrix units read this regular pattern (2:4 on NVIDIA GPUs since Ampere). ONNX Runtime on CPUs runs no faster: \
            the zeros are multiplied. The ONNX file shrinks only with the step sparse-storage behind it; the gzip size and lathe's packed archive do in any \
            case. Layers with one input per output, \
            such as depthwise convolutions, have no blocks and are refused.
            """,
        source: "Mishra et al., Accelerating Sparse Deep Neural Networks, 2021 (arXiv:2104.08378)",
        parameters: [
            ParameterDescriptor(
                "pattern", title: "Pattern",
                domain: .choice(patterns.map { .init($0.name, "keeps \($0.n) of \($0.m)") }), default: .choice("2:4"),
                help: "Weights kept in each block, and length of a block")
        ],
        produces: [.sparseWeights])

    /// n and m of a pattern's name.
    static func pattern(_ parameters: ParameterValues) -> (n: Int, m: Int) {
        let name = parameters.choice("pattern")
        let found = patterns.first { $0.name == name }
        return (found?.n ?? 2, found?.m ?? 4)
    }

    public func refusal(for layer: Layer, in model: Model) -> String? {
        if let reason = PrunableWeights.refusal(for: layer) { return reason }
        if layer.kind == .embedding { return "embedding tables have no input axis" }
        guard layer.weightShape.indices.contains(layer.inputAxis), layer.weightShape[layer.inputAxis] / Self.split(layer) > 1 else {
            return "one input per output: there are no blocks"
        }
        return nil
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let weights = PrunableWeights(targets, in: model)
        var done: [TensorKey: Tensor] = [:]
        for entry in weights.entries {
            try context.cancellation.check()
            let (n, m) = Self.pattern(targets[entry.target].parameters)
            done[entry.key] = try entry.tensor.clearing { flags in
                entry.tensor.withFloats { Self.mark($0, entry.tensor.dims, axis: entry.inputAxis, split: Self.split(entry.layer), n: n, m: m, flags) }
            }
            context.progress(Double(done.count) / Double(weights.entries.count), entry.layer.id)
        }
        PrunableWeights.store(done, in: &model)
    }

    /// Groups whose inputs lie one after the other along the input axis. (Conv holds the inputs of one group only.)
    private static func split(_ layer: Layer) -> Int { layer.kind == .convTranspose ? layer.group : 1 }

    /// Flags the weights to zero; `split` equal parts of the axis have blocks of their own.
    static func mark(
        _ values: UnsafeBufferPointer<Float>, _ dims: [Int], axis: Int, split: Int = 1, n: Int, m: Int, _ flags: UnsafeMutableBufferPointer<Bool>
    ) {
        let inputs = dims[axis] / split
        let stride = dims[(axis + 1)...].reduce(1, *)
        let outer = dims[..<axis].reduce(1, *) * split
        for block in 0..<outer {
            for start in Swift.stride(from: 0, to: inputs, by: m) {
                let length = min(m, inputs - start)
                guard length > n else { continue }
                for column in 0..<stride {
                    let base = (block * inputs + start) * stride + column
                    // The smallest goes, the last of equals, until n are left: m is small.
                    for _ in 0..<(length - n) {
                        var smallest = -1
                        var magnitude = UInt32.max
                        for place in 0..<length where !flags[base + place * stride] {
                            let key = MagnitudeThreshold.key(values[base + place * stride])
                            if key <= magnitude { (smallest, magnitude) = (place, key) }
                        }
                        flags[base + smallest * stride] = true
                    }
                }
            }
        }
    }

    /// Fraction of weights kept along an axis of `inputs`.
    static func density(inputs: Int, n: Int, m: Int) -> Double {
        guard inputs > 0 else { return 1 }
        return Double(inputs / m * n + min(n, inputs % m)) / Double(inputs)
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            let (n, m) = Self.pattern(parameters)
            let layer = summaries[index].layer
            let inputs = Int((Double(layer.weightShape[layer.inputAxis] / Self.split(layer)) * states[index].inputsKept).rounded())
            var density = Self.density(inputs: inputs, n: n, m: m)
            let recurrent = summaries[index].weightCount - layer.weightCount
            if recurrent > 0 {
                // W has gates·hidden rows and R as many of `hidden` columns.
                let rows = layer.weightCount / max(layer.weightShape[layer.inputAxis], 1)
                let hidden = Int((Double(recurrent / max(rows, 1)) * states[index].outputsKept).rounded())
                let share = Double(recurrent) / Double(summaries[index].weightCount)
                density = density * (1 - share) + Self.density(inputs: hidden, n: n, m: m) * share
            }
            states[index].density = min(states[index].density, density)
        }
    }
}
