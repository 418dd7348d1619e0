import ModelGraph
import Techniques

/// Static 8-bit quantization: weights and activations become integers, ranges are calibrated beforehand.
public struct StaticInt8: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "static-int8", title: "Static int8", family: .quantization,
        summary: "Weights and activations in 8 bits with ranges measured on calibration data: a quarter of the size, integer arithmetic.",
        details: """
            QuantizeLinear and DequantizeLinear are put around Conv, Gemm and MatMul with constant weights (QDQ form), and ONNX Runtime fuses them \
            into integer kernels. Add, Mul, Concat, pooling, Sigmoid, LeakyRelu, Reshape and similar operators stay integer between such layers. A \
            Relu or Clip after a layer becomes part of the clamping of its codes. BatchNormalization after a convolution is folded into it first, and \
            so is zero padding before it; biases become int32. A matrix product that only float operators read gives floats directly.

            Integers are not always faster: small and depthwise layers often are not, and every change between float and integers takes time. With target \
            *fastest* the model is timed here, operator by operator, on one thread and one sample; layers that are faster in float stay so, with their \
            weights in 8 bits, and a note names them. The choice is kept for this machine and runtime. On another machine it may differ: take target \
            *integer* for a device that computes in integers only, or for the same model everywhere.

            Activation ranges come from histograms over calibration data: *minmax* (every value fits), *percentile*, *entropy* (least Kullback–Leibler \
            divergence) or *mse* (least squared error). On x86 unsigned activations with signed weights are fast; signed activations are slow. \
            Processors without VNNI saturate products of 8-bit weights: choose 7-bit weights if the model must give the same outputs everywhere. One \
            weight scale per tensor hurts depthwise convolutions most. Embedding tables become int8 rows that are scaled after the lookup. Recurrent \
            layers stay float (see dynamic-int8), and so do layers in subgraphs (see weight-quantization).
            """,
        source: "Jacob et al., arXiv:1712.05877; Migacz, 8-bit Inference with TensorRT, GTC 2017 (entropy); ONNX Runtime QDQ format",
        parameters: [
            ParameterDescriptor(
                "weights", title: "Weight scales",
                domain: .choice([.init("channel", "one scale per output channel"), .init("tensor", "one scale per tensor")]), default: .choice("channel"),
                help: "Which weights share a scale."),
            ParameterDescriptor(
                "calibration", title: "Calibration",
                domain: .choice([
                    .init("minmax", "smallest to largest value seen"), .init("percentile", "all but the outermost values"),
                    .init("entropy", "least divergence from the true distribution"), .init("mse", "least squared error"),
                ]), default: .choice("minmax"), help: "How activation ranges are chosen from calibration data."),
            ParameterDescriptor(
                "percentile", title: "Percentile", domain: .real(99...100, step: 0.01), default: .real(99.99), unit: "%",
                help: "Share of values that must fit, for calibration percentile."),
            ParameterDescriptor(
                "samples", title: "Samples", domain: .integer(1...4096, step: 32), default: .integer(256),
                help: "Calibration samples at most."),
            ParameterDescriptor(
                "activations", title: "Activations",
                domain: .choice([.init("uint8", "unsigned: fast on x86"), .init("int8", "signed: slow on x86, for other devices")]),
                default: .choice("uint8"), help: "Integer type of activations, for the whole model."),
            ParameterDescriptor(
                "weight-bits", title: "Weight range",
                domain: .choice([.init("8", "−127…127"), .init("7", "−64…64: the same outputs on x86 without VNNI")]), default: .choice("8"), unit: "bits",
                help: "Range of weight codes; stored as int8 either way."),
            ParameterDescriptor(
                "target", title: "Compute",
                domain: .choice([
                    .init("fastest", "in integers where that is faster on this machine, else in float with 8-bit weights"),
                    .init("integer", "everything in integers, for devices that must"),
                ]), default: .choice("fastest"),
                help: "Which layers compute in integers: decided by timing them here, for the whole model."),
            ParameterDescriptor(
                "carry", title: "Carry integers", domain: .flag, default: .flag(true),
                help: "Add, pooling, Concat and similar operators between quantized layers work on integers too; off: they work on floats."),
        ], needsCalibration: true, produces: [.loweredPrecision])

    public func refusal(for layer: Layer, in model: Model) -> String? {
        if let reason = QuantizationRefusal.reason(for: layer) { return reason }
        switch layer.kind {
        case .conv, .gemm, .matMul: break
        case .convTranspose: return "no 8-bit ConvTranspose in ONNX Runtime; use weight-quantization"
        case .lstm: return "recurrent: use dynamic-int8"
        case .gru, .rnn: return "no 8-bit \(layer.opType) in ONNX Runtime; use weight-quantization"
        case .embedding: return nil
        }
        guard layer.path.isMain else { return "in a subgraph: calibration does not reach it" }
        let graph = model.graph
        let node = graph.nodes[layer.nodeIndex]
        guard node.domain.isEmpty || node.domain == "ai.onnx" else { return "\(node.domain).\(node.opType) is not a standard operator" }
        guard node.input(1) == layer.weight else { return "the weight is the left operand" }
        guard let input = node.input(0), graph.initializers[input] == nil else { return "the input is a constant" }
        if let bias = node.input(2) {
            guard let tensor = graph.initializers[bias], tensor.elementType == .float32 else { return "the bias is not a float32 constant" }
            let outputs = layer.weightShape[layer.outputAxis]
            guard tensor.count == 1 || (tensor.count == outputs && tensor.dims.last == outputs) else { return "the bias is a matrix" }
            guard tensor.floats()?.allSatisfy(\.isFinite) ?? false else { return "the bias has numbers that are not finite" }
        }
        return nil
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        // A table has no activations to calibrate: its rows are fetched as integers and scaled.
        let products = targets.filter { $0.layer.kind != .embedding }
        var stored = targets.filter { $0.layer.kind == .embedding }
        if !products.isEmpty {
            var rewriter = try StaticInt8Rewriter(model, targets: products, context: context)
            model = try rewriter.rewritten()
            // Layers that compute in float keep their weights in 8 bits.
            stored += rewriter.floatLayers
        }
        guard !stored.isEmpty else { return }
        let present = Dictionary(model.layers().map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        stored = stored.compactMap { target in present[target.layer.id].map { LayerTarget(layer: $0, parameters: target.parameters) } }
        var writer = WeightStorageWriter(model, layers: stored.map(\.layer), context: context)
        for target in stored {
            var request = WeightStorageWriter.Request(
                format: Self.weightFormat(target.parameters), granularity: Self.granularity(target.parameters), groupSize: 0, storage: .auto,
                integerActivations: false)
            request.storage = writer.choice(for: target.layer, request)
            _ = try writer.store(target.layer, request)
        }
        model = writer.finish()
    }

    static func granularity(_ parameters: ParameterValues) -> Granularity { parameters.choice("weights") == "tensor" ? .tensor : .channel }

    /// Matrices that are stacked have one scale: ONNX Runtime's products of integers refuse one for each column of them.
    static func granularity(_ parameters: ParameterValues, _ layer: Layer) -> Granularity {
        layer.kind == .matMul && layer.weightShape.count > 2 ? .tensor : granularity(parameters)
    }

    /// The grid of weights: symmetric int8. Seven bits use ±64, as `onnxruntime.quantization` does with `reduce_range`: then two
    /// products of a weight and an unsigned byte fit 16 bits.
    static func weightFormat(_ parameters: ParameterValues) -> WeightFormat {
        WeightFormat(bits: 8, symmetric: true, codes: parameters.choice("weight-bits") == "7" ? -64...64 : nil)
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            let summary = summaries[index]
            let granularity = Self.granularity(parameters, summary.layer)
            let codes = QuantizationForecast.codes(
                summary, bits: parameters.choice("weight-bits") == "7" ? 7 : 8, granularity: granularity, groupSize: 0)
            QuantizationForecast.apply(codes, to: &states[index])
            states[index].weightBits = 8
            if summary.layer.kind != .embedding {
                (states[index].operandBits, states[index].form) = (8, .staticInt8)
                states[index].staysFloatIfFaster = parameters.choice("target") == "fastest"
            }
            let scales = QuantizationForecast.scaleCount(summary.layer, weightCount: states[index].weightCount, granularity: granularity, groupSize: 0)
            QuantizationForecast.foldNormalization(into: &states[index], summary)
            let biasScales = states[index].biasCount > 0 ? scales * 32 : 0
            // Weight and bias dequantized, activation quantized and dequantized; scale and zero point of each.
            let nodes = 4 * QuantizationForecast.nodeBytes + 7 * QuantizationForecast.initializerBytes
            let scaleBits = 8 + QuantizationForecast.scaleBits(summary.layer, granularity: granularity)
            states[index].overheadBits += scales * scaleBits + biasScales + nodes * 8
        }
    }
}
