import ModelGraph
import Techniques

/// Weight-only quantization: weights become integers of 1 to 8 bits, activations stay float.
public struct WeightQuantization: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "weight-quantization", title: "Weight-only quantization", family: .quantization,
        summary: "Weights rounded to 1–8 bits; activations stay float. The file shrinks at once, no data needed.",
        details: """
            Every weight is rounded to the nearest of evenly spaced values (ties to even); with rounding stochastic, up or down at random so that the \
            mean is right. Weights share a scale per tensor, per output channel (per row of an embedding table), or per group of weights along an \
            output's inputs. Range minmax covers every weight. Range mse clips the outermost weights where that lowers the squared error, which helps \
            most at 2 to 4 bits. One bit keeps only signs: −α and α, with α the mean magnitude. Levels ternary has −α, 0 and α, stored in 2 bits \
            whatever `bits` says. Biases stay float. With calibration data, gptq and adaround round better.

            Storage decides file size and speed. *packed* stores the codes at their true width and unpacks them with standard operators, which ONNX \
            Runtime evaluates once while loading: speed and memory as before, any width, any layer (below operator set 11, one byte per code). \
            *matmulnbits* uses ONNX Runtime's block kernels for MatMul and Gemm (2, 4 and 8 bits) and GatherBlockQuantized for embeddings. It is small \
            in memory too; it is faster where one row meets a large matrix, and slower where many rows meet a small one. Activations are rounded to \
            int8 at run time unless float32 is chosen. *dequantize* puts DequantizeLinear before the layer: the most portable form. Recent versions of \
            ONNX Runtime fuse it into a kernel before MatMul; elsewhere it runs at every inference. *auto* is packed, and for embeddings integer rows \
            that are scaled after the lookup: never slower than float. *simulated* only rounds the values: the file stays as large.
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
                default: .choice("uniform"), help: "Which values weights can take."),
            WeightParameters.range("minmax"),
            ParameterDescriptor(
                "rounding", title: "Rounding",
                domain: .choice([.init("nearest", "to the nearest value"), .init("stochastic", "up or down at random, from the recipe's seed")]),
                default: .choice("nearest"), help: "How a weight is rounded."),
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
