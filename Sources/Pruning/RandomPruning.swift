import EngineSupport
import ModelGraph
import Techniques

/// Zeroes weights drawn at random: what any other criterion must beat.
public struct RandomPruning: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "random-pruning",
        title: "Random pruning",
        family: .pruning,
        summary: "Zeroes weights drawn at random: the control for every other criterion",
        details: """
            Exactly the given fraction of each layer's weights becomes zero. They are drawn from the recipe's seed, whatever their values; weights \
            that are zero already count. A criterion that does no better than this at the same sparsity is worth nothing. MACs and run time stay the \
            same; the ONNX file shrinks with the step sparse-storage behind it, the gzip size and lathe's packed archive in any case.
            """,
        source: "Control; compare Liu et al., The Unreasonable Effectiveness of Random Pruning, ICLR 2022",
        parameters: [
            ParameterDescriptor(
                "sparsity", title: "Sparsity", domain: .real(0...0.99, step: 0.01), default: .real(0.5),
                help: "Fraction of weights that become zero"),
            SparsityScope.parameter([.layer, .erdosRenyiKernel], default: .layer),
        ],
        produces: [.sparseWeights])

    public func refusal(for layer: Layer, in model: Model) -> String? { PrunableWeights.refusal(for: layer) }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let weights = PrunableWeights(targets, in: model)
        let allocation = try SparsityAllocation(weights.entries, requests: { .init(targets[$0].parameters) }, context: context)
        var done: [TensorKey: Tensor] = [:]
        for (target, entries) in SparsityAllocation.grouped(weights.entries, by: { $0.target }) {
            var open = entries.reduce(0) { sum, entry in sum + (entry.tensor.withFloats { $0.count { $0 != 0 } } ?? 0) }
            let zeros = (allocation.total[target] ?? 0) - open
            var wanted = max((allocation.removed[target] ?? 0) - zeros, 0)
            var generator = SeededGenerator(seed: context.seed ^ ContentHash(of: "random-pruning \(targets[target].layer.id)").low)
            for entry in entries {
                try context.cancellation.check()
                done[entry.key] = try entry.tensor.clearing { flags in
                    entry.tensor.withFloats { values in
                        // Knuth's selection sampling: each open weight goes with the chance that is left for it.
                        for (index, value) in values.enumerated() where value != 0 {
                            if wanted > 0, generator.below(open) < wanted {
                                flags[index] = true
                                wanted -= 1
                            }
                            open -= 1
                        }
                    }
                }
            }
        }
        PrunableWeights.store(done, in: &model)
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        SparsityForecast.apply(to: &states, targets: targets, summaries: summaries)
    }
}
