import ModelGraph
import Techniques

/// Weight-only quantization that rounds each weight up or down so that layers' outputs change least.
public struct AdaRound: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "adaround", title: "Adaptive rounding", family: .quantization,
        summary: "Weights of 2–8 bits, each rounded up or down so that the layer's outputs on calibration data change least.",
        details: """
            Grids and storage are those of weight-quantization, but which of its two neighboring values a weight takes is decided by the squared error \
            of the layer's output over calibration data, E‖(W − Q)·x‖². The paper relaxes this choice and learns it by gradient descent; here \
            coordinate descent solves the same objective, starting from the nearest values, until no single change lowers the error. No weight moves \
            further than one step, which makes it gentler than gptq where calibration data is scarce. Size and speed are those of weight-quantization.
            """,
        source: "Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization, arXiv:2004.10568, equation 20",
        parameters: [
            ReconstructingQuantizer.bits, WeightParameters.granularity, WeightParameters.groupSize, WeightParameters.symmetric, WeightParameters.range("mse"),
            ReconstructingQuantizer.samples, ReconstructingQuantizer.damping,
            ParameterDescriptor(
                "sweeps", title: "Sweeps", domain: .integer(1...100, step: 1), default: .integer(20), help: "Passes over all weights at most."),
            WeightParameters.storage, WeightParameters.activations,
        ], needsCalibration: true, produces: [.loweredPrecision])

    public func refusal(for layer: Layer, in model: Model) -> String? { ReconstructionInputs.refusal(for: layer, in: model) }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        model = try ReconstructingQuantizer.rewritten(model, targets: targets, context: context) { parameters in
            .upOrDown(sweeps: parameters.integer("sweeps"))
        }
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            QuantizationForecast.apply(WeightParameters.request(parameters), to: &states[index], summaries[index])
        }
    }
}
