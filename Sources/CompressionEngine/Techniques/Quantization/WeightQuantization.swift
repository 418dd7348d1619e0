import Dispatch
import ModelGraph

/// Weight-only quantisation: weights become integers of 2 to 8 bits, activations stay float.
public struct WeightQuantization: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "weight-quantization", title: "Weight-only quantisation", family: .quantization,
        summary: "Weights rounded to 2–8 bits; activations stay float. The file shrinks at once, no data needed.",
        details: """
            Every weight is rounded to the nearest of evenly spaced values (ties to even), with one scale for the tensor, for each output \
            channel (for each row of an embedding table), or for each group of weights along an output's inputs. Biases stay float.

            Storage decides file size and speed. *packed* stores the codes at their true width and unpacks them with plain operators, which \
            ONNX Runtime evaluates once while loading: speed and memory as before, any width, any layer (from operator set 11 on; before, \
            a byte per code). *matmulnbits* uses ONNX Runtime's block kernels for MatMul and Gemm (2, 4 and 8 bits) and GatherBlockQuantized for \
            embeddings: small in memory too, faster where one row meets a large matrix, slower where many rows meet a small one; \
            activations are rounded to int8 on the fly unless float32 is asked for. *dequantize* puts DequantizeLinear before the layer: the most \
            portable form, fused into such a kernel before MatMul by recent ONNX Runtime, run at every inference elsewhere. *auto* is packed, \
            and for embeddings integer rows that are scaled after they are gathered: never slower than float. *simulated* only rounds the \
            values: the file stays as large.
            """,
        source: "ONNX DequantizeLinear and ONNX Runtime MatMulNBits; granularity as in Krishnamoorthi, arXiv:1806.08342, section 2",
        parameters: [
            ParameterDescriptor(
                "bits", title: "Bits", domain: .integer(2...8, step: 1), default: .integer(8), unit: "bits", help: "Width of a weight."),
            ParameterDescriptor(
                "granularity", title: "Scales", domain: .choice(GranularityChoice.all), default: .choice("channel"),
                help: "Which weights share a scale."),
            ParameterDescriptor(
                "group-size", title: "Group", domain: .choice(["16", "32", "64", "128"].map { .init($0, "\($0) weights share a scale") }),
                default: .choice("32"), unit: "weights", help: "Weights to a group, for granularity group."),
            ParameterDescriptor(
                "symmetric", title: "Symmetric", domain: .flag, default: .flag(true),
                help: "Ranges [−m, m] without zero points; off: each range as it is, with zero points."),
            ParameterDescriptor(
                "storage", title: "Storage",
                domain: .choice([
                    .init("auto", "packed; embeddings as integer rows"), .init("packed", "true width in the file, float in memory"),
                    .init("dequantize", "int8 or int4 with DequantizeLinear"), .init("matmulnbits", "ONNX Runtime's block kernels"),
                    .init("simulated", "rounded floats; the file does not shrink"),
                ]), default: .choice("auto"), help: "How the integers stand in the file."),
            ParameterDescriptor(
                "activations", title: "Activations",
                domain: .choice([
                    .init("int8", "MatMulNBits may round them to int8 as it runs: fast"), .init("float32", "MatMulNBits computes in float: slow for 2 and 8 bits"),
                ]), default: .choice("int8"), help: "What MatMulNBits does with activations."),
        ], produces: [.loweredPrecision])

    public func refusal(for layer: Layer, in model: Model) -> String? { QuantizationRefusal.reason(for: layer) }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        var writer = WeightStorageWriter(model, context: context)
        var forms: [String: [String]] = [:]
        var order: [String] = []
        for (number, target) in targets.enumerated() {
            try context.cancellation.check()
            context.progress(Double(number) / Double(targets.count), "quantising \(target.layer.id)")
            var request = Self.request(target.parameters)
            request.storage = writer.choice(for: target.layer, request)
            let form = try writer.store(target.layer, request)
            if forms[form] == nil { order.append(form) }
            forms[form, default: []].append(target.layer.id)
        }
        model = writer.editor.finish()
        for form in order { context.notes.add("\(form): \(Self.list(forms[form] ?? []))") }
    }

    static func request(_ parameters: ParameterValues) -> WeightStorageWriter.Request {
        WeightStorageWriter.Request(
            format: WeightFormat(bits: parameters.integer("bits"), symmetric: parameters.flag("symmetric")),
            granularity: Granularity(rawValue: parameters.choice("granularity")) ?? .channel,
            groupSize: Int(parameters.choice("group-size")) ?? 32, storage: WeightStorage(rawValue: parameters.choice("storage")) ?? .auto,
            integerActivations: parameters.choice("activations") == "int8")
    }

    /// A few names and how many more.
    static func list(_ names: [String]) -> String {
        names.count <= 4 ? names.joined(separator: ", ") : names.prefix(3).joined(separator: ", ") + " and \(names.count - 3) more"
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            let summary = summaries[index]
            let request = Self.request(parameters)
            let codes = QuantizationForecast.codes(
                summary, bits: request.format.bits, granularity: request.granularity, groupSize: request.groupSize)
            QuantizationForecast.apply(codes, to: &states[index])
            guard request.storage != .simulated else { continue }
            let count = states[index].weightCount
            states[index].weightBits = Self.storedBits(summary.layer, request, count: count)
            let scales = QuantizationForecast.scaleCount(
                summary.layer, weightCount: count, granularity: request.granularity, groupSize: request.groupSize)
            let zeroBits = request.format.symmetric ? 0 : 8.0
            let nodes = states[index].weightBits < 8 && !Self.usesKernel(summary.layer, request)
                ? Double(UnpackedStorage.nodeBytes(bits: request.format.bits)) : 2 * QuantizationForecast.nodeBytes
            states[index].overheadBits += scales * (32 + zeroBits) + (nodes + 2 * QuantizationForecast.initializerBytes) * 8
        }
    }

    private static func usesKernel(_ layer: Layer, _ request: WeightStorageWriter.Request) -> Bool {
        guard request.storage == .matmulnbits || layer.kind == .embedding, request.storage != .packed, [2, 4, 8].contains(request.format.bits), layer.weightShape.count == 2 else { return false }
        return layer.kind == .matMul || layer.kind == .gemm || layer.kind == .embedding
    }

    /// Bits of a weight in the file, as `WeightStorageWriter` will choose.
    private static func storedBits(_ layer: Layer, _ request: WeightStorageWriter.Request, count: Double) -> Double {
        let bits = request.format.bits
        if request.storage == .dequantize { return layer.kind == .embedding || bits > 4 ? 8 : 4 }
        if usesKernel(layer, request) || bits == 8 { return Double(bits) }
        let saved = count - Double(BitPlanes.byteCount(Int(count), bits: bits))
        return saved > Double(UnpackedStorage.nodeBytes(bits: bits)) ? Double(bits) : 8
    }
}

enum GranularityChoice {
    static let all: [ParameterDescriptor.Choice] = [
        .init("tensor", "one scale for the whole tensor"), .init("channel", "one scale per output channel or table row"),
        .init("group", "one scale per group of weights along the inputs"),
    ]
}
