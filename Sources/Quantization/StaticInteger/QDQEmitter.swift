import ModelGraph

/// Writes a graph with quantize–dequantize pairs around its integer region.
///
/// Every quantized value has one pair, behind the node that makes it. Integer nodes read the dequantized value. If an
/// integer node makes the value, everything reads it dequantized, since the float value does not exist once the runtime has
/// fused the node; a value made by a float node stays exact for float readers.
struct QDQEmitter {
    private var editor: GraphEditor
    private let region: IntegerRegion
    private let grids: [String: AffineGrid]
    private let activationType: ElementType
    /// Domain of QuantizeLinear and DequantizeLinear, the same throughout so that the runtime sees pairs.
    private let domain: String
    private let index: GraphIndex
    /// Weights in the file by content: layers that share a weight (an unrolled recurrence) go on sharing it.
    private var stored: [String: String] = [:]

    init(_ model: Model, region: IntegerRegion, grids: [String: AffineGrid], activationType: ElementType, perAxis: Bool) {
        editor = GraphEditor(model)
        self.region = region
        self.grids = grids
        self.activationType = activationType
        domain = QuantizeDomain.domain(opset: model.opset, perAxis: perAxis)
        index = GraphIndex(model.graph)
        if !domain.isEmpty { editor.require(domain: domain, version: 1) }
    }

    mutating func edit(_ position: Int, _ change: (inout Node) -> Void) { editor.edit(position, at: .main, change) }

    mutating func setWeight(_ position: Int, _ weight: QuantizedWeight, name: String) {
        let codes = shared(weight.codes, "\(name)_quantized")
        let scales = shared(weight.scales, "\(name)_scale")
        // Symmetric, so zero; ONNX Runtime's fusion wants to see it.
        let zeros = Tensor(name: "", int8s: [Int8](repeating: 0, count: weight.scales.count), dims: weight.scales.dims)
        let zeroPoint = editor.constant(zeros, at: .main)
        dequantize(position, input: 1, codes: codes, scales, zeroPoint, weight.layout, name)
    }

    /// The initializer with this very content, made from `base` if there is none yet.
    private mutating func shared(_ tensor: Tensor, _ base: String) -> String {
        let key = "\(base)\(tensor.contentHash)"
        if let known = stored[key] { return known }
        let name = editor.add(tensor, base, at: .main)
        stored[key] = name
        return name
    }

    /// The bias in 32 bits with the step that products of input and weight codes have.
    mutating func setBias(_ position: Int, _ bias: [Float], weight: QuantizedWeight, inputScale: Float, name: String) {
        let weightScales = weight.scales.floats() ?? [1]
        let scales = weightScales.map { inputScale * $0 }
        let codes = bias.enumerated().map { index, value -> Int32 in
            let code = (Double(value) / Double(scales[scales.count == 1 ? 0 : index])).rounded(.toNearestOrEven)
            // Nothing over nothing, where weights and inputs were all 0.
            return code.isNaN ? 0 : Int32(max(min(code, Double(Int32.max)), Double(Int32.min)))
        }
        let codesName = shared(Tensor(name: "", int32s: codes, dims: [codes.count]), "\(name)_quantized")
        let scaleName = shared(Tensor(name: "", floats: scales, dims: weight.scales.dims), "\(name)_bias_scale")
        let zeros = Tensor(name: "", int32s: [Int32](repeating: 0, count: scales.count), dims: weight.scales.dims)
        let zeroPoint = editor.constant(zeros, at: .main)
        dequantize(position, input: 2, codes: codesName, scaleName, zeroPoint, ScaleLayout(scales.count == 1 ? .tensor : .axis(0), dims: [codes.count]), name)
    }

    private mutating func dequantize(
        _ position: Int, input: Int, codes: String, _ scale: String, _ zeroPoint: String, _ layout: ScaleLayout, _ name: String
    ) {
        var attributes: [Attribute] = []
        if case .axis(let axis) = layout.kind { attributes = [Attribute("axis", .integer(axis))] }
        let value = editor.fresh("\(name)_dequantized")
        editor.addFront(.op("DequantizeLinear", [codes, scale, zeroPoint], value, domain: domain, attributes), at: .main)
        editor.edit(position, at: .main) { node in node.inputs[input] = value }
    }

    /// Puts the pairs in and returns the model.
    mutating func finish() -> Model {
        let graph = editor.graph(.main)
        var dequantized: [String: String] = [:]
        for value in region.quantized {
            guard let grid = grids[value] else { continue }
            dequantized[value] = pair(value, grid, producer: index.producer[value])
        }
        // Nodes read the dequantized value where they compute on integers, or where the float value is no more.
        for (position, node) in graph.nodes.enumerated() {
            var replacements: [String: String] = [:]
            var read = Set(node.inputs)
            for (_, body) in node.subgraphs { read.formUnion(body.capturedNames()) }
            for value in read {
                guard let replacement = dequantized[value], replacement != value else { continue }
                if region.readsInteger(position, value) || !region.entering.contains(value) { replacements[value] = replacement }
            }
            if !replacements.isEmpty { editor.edit(position, at: .main) { $0.replaceReads(replacements) } }
        }
        return editor.finish()
    }

    /// Adds the pair of one value.
    /// - Returns: the name of the dequantized value.
    private mutating func pair(_ value: String, _ grid: AffineGrid, producer: Int?) -> String {
        var source = value
        var result = value
        if index.outputs.contains(value), !region.entering.contains(value), let producer {
            // The output keeps its name and is what the last DequantizeLinear gives.
            source = editor.fresh("\(value)_float")
            editor.edit(producer, at: .main) { node in
                // A layer without a name is known by its output.
                if node.name.isEmpty { node.name = value }
                for index in node.outputs.indices where node.outputs[index] == value { node.outputs[index] = source }
            }
        } else {
            result = editor.fresh("\(value)_dequantized")
        }
        let codes = editor.fresh("\(value)_quantized")
        let scale = editor.constant(Tensor(name: "", floats: [grid.scale], dims: []), at: .main)
        let zero =
            activationType == .int8
            ? Tensor(name: "", int8s: [Int8(truncatingIfNeeded: grid.zeroPoint)], dims: [])
            : Tensor(name: "", uint8s: [UInt8(truncatingIfNeeded: grid.zeroPoint)], dims: [])
        let zeroPoint = editor.constant(zero, at: .main)
        let quantize = Node.op("QuantizeLinear", [source, scale, zeroPoint], codes, domain: domain)
        let dequantize = Node.op("DequantizeLinear", [codes, scale, zeroPoint], result, domain: domain)
        if let producer {
            editor.add(quantize, after: producer, at: .main)
            editor.add(dequantize, after: producer, at: .main)
        } else {
            editor.addFront(quantize, at: .main)
            editor.addFront(dequantize, at: .main)
        }
        return result
    }
}
