import CLapack
import EngineSupport
import Foundation
import ModelGraph
import Techniques

/// Scales up the weights that meet large activations before weights are quantized.
public struct AWQ: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "awq", title: "AWQ", family: .quantization,
        summary: "Scales input channels so that the most important weights lose least when rounded. Same function, better low-bit weights.",
        details: """
            Activations show which weights matter: those that multiply large inputs. For each layer input the factors sⱼ = mean|xⱼ|^r are tried for \
            twenty exponents r from 0 to 0.95. The exponent is kept with which the layers' outputs over calibration data change least when their \
            weights are rounded with the given bits, scales and range. The normalization or layer before it takes the division by s into its \
            constants. Weights stay float and the file stays as large: add weight-quantization, with the same bits and scales, after it. Exponent 0 \
            changes nothing, so no layer gets worse on the calibration data.

            It works on the same layers as smoothquant. Memory grows with the square of a layer's inputs.
            """,
        source: "Lin et al., AWQ: Activation-aware Weight Quantization, arXiv:2306.00978, section 3.2",
        parameters: [
            ReconstructingQuantizer.bits, WeightParameters.granularity, WeightParameters.groupSize, WeightParameters.symmetric, WeightParameters.range("minmax"),
            ReconstructingQuantizer.samples,
        ], needsCalibration: true)

    public func refusal(for layer: Layer, in model: Model) -> String? { refusals(for: [layer], in: model, shapes: [:])[0] }

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        zip(layers, CalibratedScaling.refusals(layers, model)).map { layer, reason in reason ?? ReconstructionInputs.refusal(for: layer, in: model) }
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        model = try CalibratedScaling.rewritten(model, targets: targets, gram: true, context: context) { site, inputs, parameters, scaling in
            let activations = inputs[0].perChannel(inputs[0].meanMagnitude, channels: site.channels, +)
            var best = [Float](repeating: 1, count: site.channels)
            var least = Double.infinity
            for step in 0..<20 {
                try context.cancellation.check()
                let factors = Self.factors(activations, exponent: Double(step) / 20)
                var error = 0.0
                for (layer, input) in zip(site.consumers, inputs) { error += try Self.error(layer, input, factors, parameters, scaling) }
                if error < least { (best, least) = (factors, error) }
            }
            return best
        }
    }

    /// mean|x|^exponent, with the largest and the smallest equally far from 1.
    private static func factors(_ activations: [Float], exponent: Double) -> [Float] {
        let powers = activations.map { max(pow(Double($0), exponent), 1e-4) }
        let middle = ((powers.max() ?? 1) * (powers.min() ?? 1)).squareRoot()
        return powers.map { Float($0 / middle) }
    }

    /// tr(E·H·Eᵀ) of a layer for E = Q(W·s)/s − W.
    private static func error(
        _ layer: Layer, _ inputs: LayerInputs, _ factors: [Float], _ parameters: ParameterValues, _ scaling: ChannelScaling
    ) throws -> Double {
        guard let tensor = scaling.weight(layer), let original = tensor.floats() else { return 0 }
        let channel = layer.inputChannel(dims: tensor.dims)
        let scaled = tensor.withFloats(original.enumerated().map { $1 * factors[channel($0)] })
        let view = try WeightView(scaled, of: layer, granularity: WeightParameters.granularity(parameters), groupSize: WeightParameters.groupSize(parameters))
        let rounded = try WeightQuantizer.quantize(view, format: WeightParameters.format(parameters), rounding: .nearest, memo: LayerMemo(capacity: 0))
        var errors = view.cropped(WeightQuantizer.dequantize(rounded))
        for index in errors.indices { errors[index] = errors[index] / factors[channel(index)] - original[index] }
        guard let matrix = WeightMatrix(tensor.withFloats(errors), of: layer) else { return 0 }
        var sum = 0.0
        var (n, rows) = (Int32(matrix.columns), Int32(matrix.rows))
        var (one, zero): (Float, Float) = (1, 0)
        var product = [Float](repeating: 0, count: matrix.rows * matrix.columns)
        for group in 0..<matrix.groups {
            matrix.values.withUnsafeBufferPointer { values in
                inputs.gram.withUnsafeBufferPointer { gram in
                    let from = values.baseAddress! + matrix.offset(group, 0)
                    // Column-major: H (n × n, symmetric) · Eᵀ (n × rows).
                    sgemm_("N", "N", &n, &rows, &n, &one, gram.baseAddress! + group * matrix.columns * matrix.columns, &n, from, &n, &zero, &product, &n)
                    for index in product.indices { sum += Double(product[index]) * Double(from[index]) }
                }
            }
        }
        return sum
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {}
}
