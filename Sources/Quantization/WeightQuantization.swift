import ModelGraph
import Techniques

/// Weight-only quantization: weights become integers of 1 to 8 bits, activations stay float.
public struct WeightQuantization: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "weight-quantization", title: "Weight-only quantization", family: .quantization,
        summary: "Weights rounded to 1–8 bits; activations stay float. The file shrinks at once, no data needed.",
        details: """
            Every weight is rounded to the nearest of evenly spaced values (ties to even), or, with rounding stochastic, up or down by chance \
            so that the mean is right. There is one scale for the tensor, for each output channel (for each row of an embedding table), or for \
            each group of weights along an output's inputs. Range minmax covers every weight; range mse lets the outermost saturate \
            where that makes the squared error less, which helps most at 2 to 4 bits. One bit keeps only signs: −α and α with α the mean \
            magnitude. Levels ternary has −α, 0 and α, stored in 2 bits whatever the width says. Biases stay float. Where calibration data is at \
            hand, gptq and adaround round better.

            Storage decides file size and speed. *packed* stores the codes at their true width and unpacks them with plain operators, which \
            ONNX Runtime evaluates once while loading: speed and memory as before, any width, any layer (from operator set 11 on; before, \
            a byte per code). *matmulnbits* uses ONNX Runtime's block kernels for MatMul and Gemm (2, 4 and 8 bits) and GatherBlockQuantized for \
            embeddings: small in memory too, faster where one row meets a large matrix, slower where many rows meet a small one; \
            activations are rounded to int8 on the fly unless float32 is asked for. *dequantize* puts DequantizeLinear before the layer: the most \
            portable form, fused into such a kernel before MatMul by recent ONNX Runtime, run at every inference elsewhere. *auto* is packed, \
            and for embeddings integer rows that are scaled after they are gathered: never slower than float. *simulated* only rounds the \
            values: the file stays as large.
            """,
        source: """
            Krishnamoorthi, arXiv:1806.08342, section 2; Rastegari et al., XNOR-Net, arXiv:1603.05279 (1 bit); Li, Zhang and Liu, Ternary Weight \
            Networks, arXiv:1605.04711; Gupta et al., arXiv:1502.02551 (stochastic); ONNX DequantizeLinear, ONNX Runtime MatMulNBits
            """,
        parameters: [
            ParameterDescriptor(
                "bits", title: "Bits", domain: .integer(1...8, step: 1), default: .integer(8), unit: "bits", help: "Width of a weight."),
            WeightParameters.granularity, WeightParameters.groupSize, WeightParameters.symmetric,
            ParameterDescriptor(
                "levels", title: "Levels",
                domain: .choice([.init("uniform", "2^bits evenly spaced values"), .init("ternary", "−α, 0 and α, in 2 bits")]),
                default: .choice("uniform"), help: "Which values a scale spans."),
            WeightParameters.range("minmax"),
            ParameterDescriptor(
                "rounding", title: "Rounding",
                domain: .choice([.init("nearest", "to the nearest value"), .init("stochastic", "up or down by chance, with the recipe's seed")]),
                default: .choice("nearest"), help: "How a weight finds its value."),
            WeightParameters.storage, WeightParameters.activations,
        ], produces: [.loweredPrecision])

    public func refusal(for layer: Layer, in model: Model) -> String? { QuantizationRefusal.reason(for: layer, weightOnly: true) }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        model = try WeightStorageWriter.rewritten(model, targets: targets, context: context) { target in
            var request = Self.request(target.parameters)
            if target.parameters.choice("rounding") == "stochastic" { request.rounding = .stochastic(seed: context.seed) }
            return request
        }
    }

    static func request(_ parameters: ParameterValues) -> WeightStorageWriter.Request {
        var request = WeightParameters.request(parameters)
        if parameters.choice("levels") == "ternary" {
            request.format = WeightFormat(bits: 2, symmetric: true, levels: .ternary)
        }
        return request
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            QuantizationForecast.apply(Self.request(parameters), to: &states[index], summaries[index])
        }
    }
}
