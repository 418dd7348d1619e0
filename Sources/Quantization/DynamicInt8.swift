import EngineSupport
import ModelGraph
import Techniques

/// Dynamic 8-bit quantization: weights become integers now, activations while the model runs.
public struct DynamicInt8: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "dynamic-int8", title: "Dynamic int8", family: .quantization,
        summary: "8-bit weights; activations are quantized at run time, each call with its own range. No data needed.",
        details: """
            MatMul and Gemm with constant weights become MatMulInteger after DynamicQuantizeLinear, which ONNX Runtime fuses (below operator set 11: \
            DynamicQuantizeMatMul of com.microsoft). LSTM becomes DynamicQuantizeLSTM. Embedding tables become int8 rows that are scaled after the \
            lookup. It is meant for transformers and recurrent networks, whose activation ranges vary from input to input. Activations get one scale \
            per call for the whole tensor, batch included, so the other samples of a batch change a sample's output a little. Convolutions stay float: \
            ConvInteger is slower than float in ONNX Runtime; use static-int8 for them.
            """,
        source: "ONNX Runtime, quantize_dynamic",
        parameters: [
            ParameterDescriptor(
                "weights", title: "Weight scales",
                domain: .choice([.init("channel", "one scale per output channel"), .init("tensor", "one scale per tensor")]), default: .choice("channel"),
                help: "Which weights share a scale."),
            ParameterDescriptor(
                "weight-type", title: "Weight type",
                domain: .choice([.init("int8", "signed, symmetric: the fast kernels on x86"), .init("uint8", "unsigned with zero points")]), default: .choice("int8"),
                help: "Integer type of weights; LSTM and embeddings are always int8."),
            ParameterDescriptor(
                "weight-bits", title: "Weight range",
                domain: .choice([.init("8", "the whole byte"), .init("7", "half of it: the same outputs on x86 without VNNI")]), default: .choice("8"),
                unit: "bits", help: "Range of weight codes; stored in bytes either way."),
        ], produces: [.loweredPrecision])

    public func refusal(for layer: Layer, in model: Model) -> String? {
        if let reason = QuantizationRefusal.reason(for: layer) { return reason }
        guard let node = model.graph[layer.path]?.nodes[layer.nodeIndex] else { return "not found" }
        guard node.domain.isEmpty || node.domain == "ai.onnx" else { return "\(node.domain).\(node.opType) is not a standard operator" }
        switch layer.kind {
        case .conv: return "convolution: use static-int8"
        case .convTranspose, .gru, .rnn: return "no dynamic 8-bit \(layer.opType) in ONNX Runtime; use weight-quantization"
        case .embedding: return nil
        case .gemm:
            return node.input(1) != layer.weight ? "the weight is the left operand" : node.int("transA") ?? 0 != 0 ? "the input is transposed (transA)" : nil
        case .matMul: return node.input(1) == layer.weight ? nil : "the weight is the left operand"
        case .lstm:
            if node.int("layout") ?? 0 != 0 { return "DynamicQuantizeLSTM does not support layout 1" }
            let recurrent = node.input(2).flatMap { model.initializer($0, from: layer.path)?.tensor }
            return recurrent?.elementType == .float32 ? nil : "the recurrent weights are not a float32 constant"
        }
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        var rewriter = DynamicInt8Rewriter(model, targets: targets, context: context)
        for (number, target) in targets.enumerated() {
            try context.cancellation.check()
            context.progress(Double(number) / Double(targets.count), "quantizing \(target.layer.id)")
            try rewriter.rewrite(target)
        }
        model = rewriter.storage.finish()
    }

    static func weightFormat(_ parameters: ParameterValues) -> WeightFormat {
        let seven = parameters.choice("weight-bits") == "7"
        return parameters.choice("weight-type") == "uint8"
            ? WeightFormat(bits: 8, symmetric: false, codes: seven ? 0...127 : nil) : WeightFormat(bits: 8, symmetric: true, codes: seven ? -64...64 : nil)
    }

    /// The grid of tables, which no kernel limits to seven bits.
    static let tableFormat = WeightFormat(bits: 8, symmetric: true)

    static func granularity(_ parameters: ParameterValues) -> Granularity { parameters.choice("weights") == "tensor" ? .tensor : .channel }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            let summary = summaries[index]
            let granularity = Self.granularity(parameters)
            let bits = parameters.choice("weight-bits") == "7" ? 7 : 8
            QuantizationForecast.apply(QuantizationForecast.codes(summary, bits: bits, granularity: granularity, groupSize: 0), to: &states[index])
            states[index].weightBits = 8
            if summary.layer.kind != .embedding { (states[index].operandBits, states[index].form) = (8, .dynamicInt8) }
            let scales = QuantizationForecast.scaleCount(summary.layer, weightCount: states[index].weightCount, granularity: granularity, groupSize: 0)
            let scaleBits = QuantizationForecast.scaleBits(summary.layer, granularity: granularity)
            let zeroBits = parameters.choice("weight-type") == "uint8" ? 8.0 : 0
            let nodes = 5 * QuantizationForecast.nodeBytes + 3 * QuantizationForecast.initializerBytes
            states[index].overheadBits += scales * (scaleBits + zeroBits) + nodes * 8
        }
    }
}

/// Carries out dynamic quantization.
struct DynamicInt8Rewriter {
    var storage: WeightStorageWriter
    private let context: RewriteContext
    private let opset: Int
    /// Values quantized already, by graph and name: layers that read the same value share its integers.
    private var quantized: [String: (codes: String, scale: String, zeroPoint: String)] = [:]
    /// Weights replaced already, by owner, name and format.
    private var weights: [String: [String]] = [:]
    /// Tables that are looked up as integers too.
    private let tables: Set<WeightReaders.Place>

    init(_ model: Model, targets: [LayerTarget], context: RewriteContext) {
        let (lookups, products) = (targets.map(\.layer).filter { $0.kind == .embedding }, targets.map(\.layer).filter { $0.kind != .embedding })
        storage = WeightStorageWriter(model, layers: lookups, integerLayers: products, context: context)
        tables = Set(lookups.compactMap { model.place(of: $0.weight, readBy: $0) })
        self.context = context
        opset = model.opset
    }

    mutating func rewrite(_ target: LayerTarget) throws {
        switch target.layer.kind {
        case .lstm: try rewriteRecurrent(target)
        case .embedding:
            var request = WeightStorageWriter.Request(
                format: DynamicInt8.tableFormat, granularity: DynamicInt8.granularity(target.parameters), groupSize: 0,
                storage: .auto, integerActivations: true)
            request.storage = storage.choice(for: target.layer, request)
            _ = try storage.store(target.layer, request)
        default: try rewriteProduct(target)
        }
    }

    private func tensor(_ name: String, _ layer: Layer) throws -> (tensor: Tensor, owner: GraphPath) {
        guard let found = storage.editor.model.initializer(name, from: layer.path) else {
            throw EngineError(.technique, "layer '\(layer.id)': weight '\(name)' is missing")
        }
        return found
    }

    // MARK: - MatMul and Gemm

    private mutating func rewriteProduct(_ target: LayerTarget) throws {
        let layer = target.layer
        let path = layer.path
        let position = layer.nodeIndex
        let node = storage.editor.graph(path).nodes[position]
        let format = DynamicInt8.weightFormat(target.parameters)
        let (codes, scale, zeroPoint) = try weight(of: target, node: node, format: format)
        var bias = node.input(2)
        if let name = bias, let beta = node.float("beta"), beta != 1 {
            let scaled = storage.editor.scratch()
            let factor = storage.editor.constant(Tensor(name: "", floats: [beta], dims: []), at: path)
            storage.editor.add(.op("Mul", [name, factor], scaled), before: position, at: path)
            bias = scaled
        }
        let product = bias == nil ? node.outputs[0] : storage.editor.scratch()
        if opset < 11 {
            // The standard operators are newer than the model; the fused one has no such limit.
            storage.editor.require(domain: "com.microsoft", version: 1)
            storage.editor.edit(position, at: path) { node in
                node.opType = "DynamicQuantizeMatMul"
                node.domain = "com.microsoft"
                node.inputs = [node.inputs[0], codes, scale] + (zeroPoint.map { [$0] } ?? [])
                node.outputs = [product]
                node.attributes = []
            }
        } else {
            let input = quantize(node.inputs[0], before: position, path)
            let sum = storage.editor.scratch()
            storage.editor.edit(position, at: path) { node in
                node.opType = "MatMulInteger"
                node.inputs = [input.codes, codes, input.zeroPoint] + (zeroPoint.map { [$0] } ?? [])
                node.outputs = [sum]
                node.attributes = []
            }
            let (float, scales) = (storage.editor.scratch(), storage.editor.scratch())
            storage.editor.add(.cast(sum, float, to: .float32), after: position, at: path)
            storage.editor.add(.op("Mul", [input.scale, scale], scales), after: position, at: path)
            storage.editor.add(.op("Mul", [float, scales], product), after: position, at: path)
        }
        if let bias { storage.editor.add(.op("Add", [product, bias], node.outputs[0]), after: position, at: path) }
    }

    private mutating func weight(
        of target: LayerTarget, node: Node, format: WeightFormat
    ) throws -> (codes: String, scale: String, zeroPoint: String?) {
        let layer = target.layer
        var (tensor, owner) = try tensor(layer.weight, layer)
        let alpha = layer.kind == .gemm ? node.float("alpha") ?? 1 : 1
        let transposed = layer.kind == .gemm && node.int("transB") == 1
        // Scales per column only fit a matrix.
        let perChannel = DynamicInt8.granularity(target.parameters) == .channel && tensor.dims.count == 2
        let key = "\(owner) \(layer.weight) \(format) \(perChannel) \(alpha) \(transposed)"
        if let known = weights[key] { return (known[0], known[1], known.count > 2 ? known[2] : nil) }
        // A table's rows are the head's columns: their codes stand in the file once, and are transposed while loading.
        let isTable = transposed && alpha == 1 && tables.contains(WeightReaders.Place(owner: owner, name: layer.weight))
        if isTable, format == DynamicInt8.tableFormat {
            let layout = ScaleLayout(perChannel ? .axis(0) : .tensor, dims: tensor.dims)
            let made = try WeightQuantizer.quantize(tensor, layout: layout, format: format, memo: context.memo)
            let codes = storage.editor.share(made.codes, "\(layer.weight)_quantized", at: owner)
            let turned = storage.editor.scratch()
            storage.editor.addFront(.op("Transpose", [codes], turned, [Attribute("perm", .integers([1, 0]))]), at: owner)
            weights[key] = [turned, storage.editor.add(made.scales, "\(layer.weight)_scale", at: owner)]
            return (turned, weights[key]?[1] ?? "", nil)
        }
        if transposed { tensor = try tensor.transposedMatrix() }
        if alpha != 1, let values = tensor.floats() { tensor = tensor.withFloats(values.map { $0 * alpha }) }
        let layout = ScaleLayout(perChannel ? .axis(1) : .tensor, dims: tensor.dims)
        let made = try WeightQuantizer.quantize(tensor, layout: layout, format: format, memo: context.memo)
        var names = [
            storage.editor.add(made.codes, "\(layer.weight)_quantized", at: owner), storage.editor.add(made.scales, "\(layer.weight)_scale", at: owner),
        ]
        if let zeroPoints = made.zeroPoints { names.append(storage.editor.add(zeroPoints, "\(layer.weight)_zero_point", at: owner)) }
        weights[key] = names
        return (names[0], names[1], names.count > 2 ? names[2] : nil)
    }

    private mutating func quantize(_ value: String, before position: Int, _ path: GraphPath) -> (codes: String, scale: String, zeroPoint: String) {
        let key = "\(path) \(value)"
        if let known = quantized[key] { return known }
        let made = (storage.editor.fresh("\(value)_quantized"), storage.editor.fresh("\(value)_scale"), storage.editor.fresh("\(value)_zero_point"))
        storage.editor.add(
            Node("DynamicQuantizeLinear", inputs: [value], outputs: [made.0, made.1, made.2]), before: position, at: path)
        quantized[key] = (made.0, made.1, made.2)
        return (made.0, made.1, made.2)
    }

    // MARK: - LSTM

    private mutating func rewriteRecurrent(_ target: LayerTarget) throws {
        let layer = target.layer
        let node = storage.editor.graph(layer.path).nodes[layer.nodeIndex]
        guard let recurrentName = node.input(2) else { return }
        let seven = target.parameters.choice("weight-bits") == "7"
        let format = WeightFormat(bits: 8, symmetric: true, codes: seven ? -64...64 : nil)
        let perChannel = DynamicInt8.granularity(target.parameters) == .channel
        var names: [[String]] = []
        for name in [layer.weight, recurrentName] {
            let (tensor, owner) = try tensor(name, layer)
            let (directions, gates, inputs) = (tensor.dims[0], tensor.dims[1], tensor.dims[2])
            let layout = ScaleLayout(.axis(0), dims: perChannel ? [directions * gates, inputs] : [directions, gates * inputs])
            let made = try WeightQuantizer.quantize(try tensor.reshaped(layout.dims), layout: layout, format: format, memo: context.memo)
            // The operator wants inputs before gates.
            let codes = try transposed(made.codes, directions, gates, inputs)
            let scaleDims = perChannel ? [directions, gates] : [directions]
            let zeros = Tensor(name: "", int8s: [Int8](repeating: 0, count: made.scales.count), dims: scaleDims)
            names.append([
                storage.editor.add(codes, "\(name)_quantized", at: owner), storage.editor.add(try made.scales.reshaped(scaleDims), "\(name)_scale", at: owner),
                storage.editor.constant(zeros, at: owner),
            ])
        }
        storage.editor.require(domain: "com.microsoft", version: 1)
        storage.editor.edit(layer.nodeIndex, at: layer.path) { node in
            node.opType = "DynamicQuantizeLSTM"
            node.domain = "com.microsoft"
            let rest = (3..<8).map { node.input($0) ?? "" }
            node.inputs = [node.inputs[0], names[0][0], names[1][0]] + rest + [names[0][1], names[0][2], names[1][1], names[1][2]]
            node.set("layout", nil)
        }
    }

    /// Codes [directions, gates, inputs] as [directions, inputs, gates].
    private func transposed(_ codes: Tensor, _ directions: Int, _ gates: Int, _ inputs: Int) throws -> Tensor {
        let source = codes.storage.bytes
        let storage = TensorStorage(byteCount: source.count) { memory in
            for direction in 0..<directions {
                let base = direction * gates * inputs
                for gate in 0..<gates {
                    for input in 0..<inputs { memory[base + input * gates + gate] = source[base + gate * inputs + input] }
                }
            }
        }
        return try Tensor(name: "", elementType: .int8, dims: [directions, inputs, gates], storage: storage)
    }
}
