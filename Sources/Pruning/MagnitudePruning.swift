import EngineSupport
import ModelGraph
import Techniques

/// Zeroes the weights smallest in magnitude.
public struct MagnitudePruning: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "magnitude-pruning",
        title: "Magnitude pruning",
        family: .pruning,
        summary: "Sets the weights of smallest magnitude to zero, wherever they are",
        details: """
            Exactly the given fraction of the chosen weights becomes zero, the smallest first; of equal ones the first in the tensor. Weights of \
            convolutions, dense layers, embedding tables and both matrices of recurrent layers count; biases and normalization do not. A tensor that \
            several layers share is pruned once. The scope decides how much each layer loses: the same fraction everywhere (layer), what one threshold \
            over all weights takes (global), by the layers' shapes (Erdős–Rényi kernel), or by LAMP, which compares a weight's square with the sum of \
            squares of those weights of its layer that are not smaller.

            The ONNX file shrinks only with the step sparse-storage behind it, to about a third at 70 % zeros and an eighth at 90 %: without it \
            a zero stands in a dense tensor like any other number. The gzip size and lathe's packed archive, which stores only the other weights, shrink \
            in any case. The model does not run faster: ONNX Runtime multiplies by zeros. For a shorter run time use structured pruning.
            """,
        source: """
            Han, Pool, Tran and Dally, Learning both Weights and Connections for Efficient Neural Networks, NIPS 2015; scopes: Evci et al., Rigging \
            the Lottery, ICML 2020, appendix A, and Lee et al., Layer-adaptive Sparsity for the Magnitude-based Pruning, ICLR 2021, section 3
            """,
        parameters: [
            ParameterDescriptor(
                "sparsity", title: "Sparsity", domain: .real(0...0.99, step: 0.01), default: .real(0.5),
                help: "Fraction of weights that become zero"),
            SparsityScope.parameter(SparsityScope.allCases, default: .global),
        ],
        produces: [.sparseWeights])

    public func refusal(for layer: Layer, in model: Model) -> String? { PrunableWeights.refusal(for: layer) }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let weights = PrunableWeights(targets, in: model)
        let allocation = try SparsityAllocation(weights.entries, requests: { .init(targets[$0].parameters) }, context: context)
        var done: [TensorKey: Tensor] = [:]
        for (target, entries) in SparsityAllocation.grouped(weights.entries, by: { $0.target }) {
            let threshold = try MagnitudeThreshold(removing: allocation.removed[target] ?? 0) { body in
                for entry in entries {
                    try context.cancellation.check()
                    entry.tensor.withFloats(body)
                }
            }
            var ties = threshold.ties
            for entry in entries {
                try context.cancellation.check()
                done[entry.key] = try entry.tensor.clearing { flags in
                    entry.tensor.withFloats { threshold.mark($0, &ties, flags) }
                }
                context.progress(Double(done.count) / Double(weights.entries.count), entry.layer.id)
            }
        }
        PrunableWeights.store(done, in: &model)
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        SparsityForecast.apply(to: &states, targets: targets, summaries: summaries)
    }
}
