import ModelGraph

/// Zeroes the weights smallest in magnitude.
public struct MagnitudePruning: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "magnitude-pruning",
        title: "Magnitude pruning",
        family: .pruning,
        summary: "Sets the weights smallest in magnitude to zero, wherever they are",
        details: """
            Exactly the given fraction of the chosen weights becomes zero, the smallest first, equal ones in order of position; weights of \
            convolutions, dense layers, tables and both matrices of recurrent layers count, biases and normalisation do not. \
            A tensor that several layers share is pruned once.

            The ONNX file does not shrink and the model does not run faster: ONNX stores the zeros of a dense tensor like any other number, and \
            ONNX Runtime multiplies by them. What shrinks is the compressed transfer (gzip) and lathe's packed archive, which stores only the \
            other weights with relative indices. To make the file and the run time smaller use structured pruning.
            """,
        source: "Han, Pool, Tran and Dally, Learning both Weights and Connections for Efficient Neural Networks, NIPS 2015",
        parameters: [
            ParameterDescriptor(
                "sparsity", title: "Sparsity", domain: .real(0...0.99, step: 0.01), default: .real(0.5),
                help: "Fraction of weights that become zero"),
            ParameterDescriptor(
                "scope", title: "Scope",
                domain: .choice([
                    .init("global", "one threshold over all chosen layers: layers of small weights lose more"),
                    .init("layer", "a threshold per layer: every layer loses the same fraction"),
                ]), default: .choice("global"), help: "Over which weights the threshold is taken"),
        ],
        produces: [.sparseWeights])

    public func refusal(for layer: Layer, in model: Model) -> String? { PrunableWeights.refusal(for: layer) }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let weights = PrunableWeights(targets, in: model)
        var done: [TensorKey: Tensor] = [:]
        let pools = Self.pools(weights.entries) { entry in
            let parameters = targets[entry.target].parameters
            return PoolKey(sparsity: parameters.real("sparsity"), target: parameters.choice("scope") == "global" ? nil : entry.target)
        }
        for (key, entries) in pools {
            let total = entries.reduce(0) { $0 + $1.tensor.count }
            let threshold = try MagnitudeThreshold(removing: Int((key.sparsity * Double(total)).rounded())) { body in
                for entry in entries {
                    try context.cancellation.check()
                    entry.tensor.withFloats(body)
                }
            }
            var ties = threshold.ties
            for entry in entries {
                try context.cancellation.check()
                done[entry.key] = try entry.tensor.clearing { flags in
                    entry.tensor.withFloats { values in
                        for (index, value) in values.enumerated() {
                            let magnitude = MagnitudeThreshold.key(value)
                            if magnitude < threshold.pattern {
                                flags[index] = true
                            } else if magnitude == threshold.pattern, ties > 0 {
                                flags[index] = true
                                ties -= 1
                            }
                        }
                    }
                }
                context.progress(Double(done.count) / Double(weights.entries.count), entry.layer.id)
            }
        }
        PrunableWeights.store(done, in: &model)
    }

    private struct PoolKey: Hashable {
        var sparsity: Double
        /// The layer, where each has its own threshold.
        var target: Int?
    }

    /// Entries that share a threshold, in order of their first.
    private static func pools<Key: Hashable, Entry>(_ entries: [Entry], by key: (Entry) -> Key) -> [(Key, [Entry])] {
        var places: [Key: Int] = [:]
        var pools: [(Key, [Entry])] = []
        for entry in entries {
            let key = key(entry)
            if let place = places[key] {
                pools[place].1.append(entry)
            } else {
                places[key] = pools.count
                pools.append((key, [entry]))
            }
        }
        return pools
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        // Tied weights are pruned once, with the parameters of the first layer that reads them.
        var owner: [String: Int] = [:]
        for index in targets.keys.sorted() {
            let layer = summaries[index].layer
            owner["\(layer.path.hashValue)/\(layer.weight)"] = owner["\(layer.path.hashValue)/\(layer.weight)"] ?? index
        }
        let pools = Self.pools(owner.values.sorted()) { index -> PoolKey in
            let parameters = targets[index] ?? ParameterValues()
            return PoolKey(sparsity: parameters.real("sparsity"), target: parameters.choice("scope") == "global" ? nil : index)
        }
        var density: [Int: Double] = [:]
        for (key, members) in pools {
            guard key.target == nil, members.count > 1 else {
                for index in members { density[index] = 1 - key.sparsity }
                continue
            }
            let weights = members.map { states[$0].weightCount }
            let threshold = Self.threshold(key.sparsity * weights.reduce(0, +), members.map { summaries[$0] }, weights)
            for index in members { density[index] = 1 - summaries[index].fraction(below: threshold) }
        }
        for index in targets.keys {
            let layer = summaries[index].layer
            guard let first = owner["\(layer.path.hashValue)/\(layer.weight)"], let density = density[first] else { continue }
            // Zeros that are there already are the first to be counted.
            states[index].density = min(states[index].density, density)
        }
    }

    /// The magnitude below which `count` of the weights lie, by bisection over bit patterns, which are spaced like
    /// logarithms.
    private static func threshold(_ count: Double, _ summaries: [LayerSummary], _ weights: [Double]) -> Float {
        var low: UInt32 = 0
        var high = summaries.map(\.maximumMagnitude).max()?.bitPattern ?? 0
        while low < high {
            let middle = low + (high - low) / 2
            let below = zip(summaries, weights).reduce(0) { $0 + $1.0.fraction(below: Float(bitPattern: middle)) * $1.1 }
            if below < count { low = middle + 1 } else { high = middle }
        }
        return Float(bitPattern: low)
    }
}
