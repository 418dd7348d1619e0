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
        summary: "Sets the weights smallest in magnitude to zero, wherever they are",
        details: """
            Exactly the given fraction of the chosen weights becomes zero, the smallest first, equal ones in order of position; weights of \
            convolutions, dense layers, tables and both matrices of recurrent layers count, biases and normalization do not. \
            A tensor that several layers share is pruned once. How much each layer loses is the scope: the same of all, whatever one \
            threshold over all weights takes, by the layers' shapes (Erdős–Rényi kernel), or by LAMP, whose threshold is on a \
            weight's square relative to those of its layer that are not smaller.

            The ONNX file does not shrink and the model does not run faster: ONNX stores the zeros of a dense tensor like any other number, and \
            ONNX Runtime multiplies by them. What shrinks is the compressed transfer (gzip) and lathe's packed archive, which stores only the \
            other weights with relative indices. To make the file and the run time smaller use structured pruning.
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
