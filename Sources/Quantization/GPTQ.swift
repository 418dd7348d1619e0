import ModelGraph
import Techniques

/// Weight-only quantization that makes up for each weight's rounding error in the weights not yet rounded.
public struct GPTQ: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "gptq", title: "GPTQ", family: .quantization,
        summary: "Weights of 2–8 bits, rounded so that each layer's outputs on calibration data change least. No training.",
        details: """
            Grids and storage are those of weight-quantization, but weights are not rounded one by one. With H = E[x·xᵀ] of the layer's inputs over \
            calibration data, an output's weights are rounded input by input, and the weights that follow change to make up for each rounding error. \
            Afterwards sweeps over all codes move each one to the value with the least squared error of the output, given the others. Size and speed \
            are those of weight-quantization; accuracy at 2 to 4 bits is much better. Each layer is fitted on its own, to the inputs that the model \
            before this step gives it. It needs a few hundred calibration samples, no labels, and memory for the square of a layer's inputs. Biases \
            stay float, and zero weights stay zero.

            It works on Conv (grouped and depthwise too), Gemm and MatMul with the weight as right operand. For other layers use weight-quantization.
            """,
        source: "Frantar, Ashkboos, Hoefler and Alistarh, GPTQ, arXiv:2210.17323; Frantar and Alistarh, Optimal Brain Compression, arXiv:2208.11580",
        parameters: [
            ReconstructingQuantizer.bits, WeightParameters.granularity, WeightParameters.groupSize, WeightParameters.symmetric, WeightParameters.range("mse"),
            ReconstructingQuantizer.samples, ReconstructingQuantizer.damping,
            ParameterDescriptor(
                "order", title: "Order",
                domain: .choice([.init("activation", "inputs of the largest mean square first"), .init("natural", "the tensor's order")]),
                default: .choice("activation"), help: "Order in which weights are rounded; later ones make up for earlier ones."),
            ParameterDescriptor(
                "sweeps", title: "Sweeps", domain: .integer(0...20, step: 1), default: .integer(4),
                help: "Passes, at most, that improve single codes afterwards; 0 is plain GPTQ."),
            WeightParameters.storage, WeightParameters.activations,
        ], needsCalibration: true, produces: [.loweredPrecision])

    public func refusal(for layer: Layer, in model: Model) -> String? { ReconstructionInputs.refusal(for: layer, in: model) }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        model = try ReconstructingQuantizer.rewritten(model, targets: targets, context: context) { parameters in
            .errorFeedback(byActivation: parameters.choice("order") == "activation", sweeps: parameters.integer("sweeps"))
        }
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            QuantizationForecast.apply(WeightParameters.request(parameters), to: &states[index], summaries[index])
        }
    }
}
