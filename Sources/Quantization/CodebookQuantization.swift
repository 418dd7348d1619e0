import ModelGraph
import Techniques

/// Weights as indices into a small fixed set of values that are not evenly spaced.
public struct CodebookQuantization: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "codebook-quantization", title: "Codebook quantization", family: .quantization,
        summary: "Weights become scaled entries of a fixed set of values: NF4, FP4, powers of two. The file shrinks, no data needed.",
        details: """
            Evenly spaced values waste codes where few weights are. *nf4* uses the quantiles of a normal distribution, *fp4* a four-bit float. \
            *power-of-two* has values whose products are shifts in hardware that supports them, dense around zero and coarse for large weights; \
            *additive-power-of-two* sums two such terms and is finer there. The largest weight of each scale maps to 1; with range mse, to more than 1 \
            (it is clipped) where that lowers the squared error. Zero stays zero.

            The file holds packed indices at their true width, the scales, and one codebook per tensor; a Gather looks the values up. ONNX Runtime \
            evaluates that once while loading: speed and memory are as before. Below operator set 11, and for tiny tensors, an index takes a byte. \
            *simulated* only rounds the values: the file stays as large.
            """,
        source: """
            Dettmers et al., QLoRA, arXiv:2305.14314 (NF4); Zhou et al., arXiv:1702.03044 (powers of two); Li, Dong and Wang, arXiv:1909.13144 (additive); OCP \
            Microscaling Formats 1.0 (FP4)
            """,
        parameters: [
            ParameterDescriptor(
                "values", title: "Values",
                domain: .choice([
                    .init("nf4", "quantiles of the normal distribution, 4 bits"), .init("fp4", "E2M1 floats, 4 bits"),
                    .init("power-of-two", "0 and ±2⁻ᵏ"), .init("additive-power-of-two", "sums of two powers of two"),
                ]), default: .choice("nf4"), help: "The set of values."),
            ParameterDescriptor(
                "bits", title: "Bits", domain: .integer(2...6, step: 1), default: .integer(4), unit: "bits",
                help: "Width of an index, for powers of two; nf4 and fp4 have 4."),
            WeightParameters.granularity, WeightParameters.groupSize, WeightParameters.range("minmax"),
            ParameterDescriptor(
                "storage", title: "Storage",
                domain: .choice([
                    .init("packed", "true width in the file, float in memory"), .init("simulated", "rounded floats; the file does not shrink"),
                ]), default: .choice("packed"), help: "How the file stores the indices."),
        ], produces: [.loweredPrecision])

    public func refusal(for layer: Layer, in model: Model) -> String? { QuantizationRefusal.reason(for: layer, weightOnly: true) }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        model = try WeightStorageWriter.rewritten(model, targets: targets, context: context) { target in Self.request(target.parameters) }
    }

    static func request(_ parameters: ParameterValues) -> WeightStorageWriter.Request {
        let bits = parameters.integer("bits")
        let values: ValueSet =
            switch parameters.choice("values") {
            case "fp4": .float4
            case "power-of-two": .powersOfTwo(bits: bits)
            case "additive-power-of-two": .additivePowersOfTwo(bits: bits)
            default: .normalFloat
            }
        var request = WeightStorageWriter.Request(
            format: WeightFormat(bits: values.bits, symmetric: true, range: parameters.choice("range") == "mse" ? .leastSquares : .minmax),
            granularity: WeightParameters.granularity(parameters),
            groupSize: WeightParameters.groupSize(parameters), storage: parameters.choice("storage") == "simulated" ? .simulated : .packed,
            integerActivations: false)
        request.values = values
        return request
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            QuantizationForecast.apply(Self.request(parameters), to: &states[index], summaries[index])
        }
    }
}
