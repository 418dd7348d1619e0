import EngineSupport
import ModelGraph
import Techniques

/// In which form a layer's quantized weight stands in the file.
package enum WeightStorage: String, CaseIterable, Sendable {
    case auto, packed, dequantize, matmulnbits, simulated
}

/// Puts quantized weights into the graph in the form chosen for each layer.
package struct WeightStorageWriter {
    var editor: GraphEditor
    let context: RewriteContext
    private let opset: Int
    /// Float values already made, by weight and format: layers that share a weight share what replaces it.
    private var values: [String: String] = [:]
    private var otherReaders: OtherReaders
    /// The nodes of the layers whose weights the step replaces; those of them that read integers.
    private let nodes, integerNodes: Set<WeightReaders.Reader>

    /// - Parameters:
    ///   - layers: all layers whose weights the step replaces here.
    ///   - integerLayers: further ones, that compute on the integers of their weights.
    init(_ model: Model, layers: [Layer], integerLayers: [Layer] = [], context: RewriteContext) {
        editor = GraphEditor(model)
        self.context = context
        opset = model.opset
        otherReaders = OtherReaders(model)
        nodes = Set((layers + integerLayers).map(\.reader))
        integerNodes = Set((layers.filter { $0.kind == .embedding } + integerLayers).map(\.reader))
    }

    /// The model with all edits made.
    mutating func finish() -> Model {
        let others = otherReaders.redirect(&editor)
        if !others.isEmpty { context.notes.add("rounded too, because they read the same weights: \(RewriteContext.Notes.list(others))") }
        return editor.finish()
    }

    /// The model with the weights of all targets replaced. Notes say which form each got.
    /// - Parameter request: what a target's weights are to become.
    static func rewritten(
        _ model: Model, targets: [LayerTarget], context: RewriteContext, request: (LayerTarget) throws -> Request
    ) throws -> Model {
        var writer = WeightStorageWriter(model, layers: targets.map(\.layer), context: context)
        var forms: [String: [String]] = [:]
        var order: [String] = []
        for (number, target) in targets.enumerated() {
            try context.cancellation.check()
            context.progress(Double(number) / Double(targets.count), "quantizing \(target.layer.id)")
            var request = try request(target)
            request.storage = writer.choice(for: target.layer, request)
            let form = try writer.store(target.layer, request)
            if forms[form] == nil { order.append(form) }
            forms[form, default: []].append(target.layer.id)
        }
        for form in order { context.notes.add("\(form): \(RewriteContext.Notes.list(forms[form] ?? []))") }
        return writer.finish()
    }

    /// Everything a layer's weights are to become.
    package struct Request {
        package var format: WeightFormat
        package var granularity: Granularity
        package var groupSize: Int
        package var storage: WeightStorage
        /// Whether MatMulNBits may round activations to int8 (accuracy level 4) or computes in float.
        package var integerActivations: Bool
        var rounding = CodeRounding.nearest
        /// Values that are not evenly spaced, for `packed` and `simulated`.
        var values: ValueSet?

        package init(format: WeightFormat, granularity: Granularity, groupSize: Int, storage: WeightStorage, integerActivations: Bool) {
            self.format = format
            self.granularity = granularity
            self.groupSize = groupSize
            self.storage = storage
            self.integerActivations = integerActivations
        }

        /// The codes in words.
        fileprivate var codes: String { values.map { "\($0.bits)-bit indices into \($0.title)" } ?? "\(format.bits)-bit codes" }

        /// What distinguishes the values of one weight under different requests.
        fileprivate var key: String { "\(format) \(granularity) \(groupSize) \(rounding.key) \(values.map { "\($0)" } ?? "")" }
    }

    /// Replaces the weights of a layer.
    /// - Returns: the form used, in words.
    mutating func store(_ layer: Layer, _ request: Request) throws -> String {
        switch request.storage {
        case .matmulnbits where !isReadElsewhere(layer) && MatMulNBitsStorage.holds(layer, in: editor.graph(layer.path), bits: request.format.bits):
            return try storeInBlocks(layer, request)
        case .dequantize where canDequantize(layer, request):
            return try storeForDequantizeLinear(layer, request)
        case .simulated:
            return try storeSimulated(layer, request)
        case .auto, .packed, .dequantize, .matmulnbits:
            return try storePacked(layer, request)
        }
    }

    /// The form that is never slower than float: unpacked while loading, or, for embeddings, gathered as integers. The
    /// runtime's kernels on integers win only for single vectors times large matrices (3 × at 2048 × 2048 and one row with
    /// ONNX Runtime 1.31) and lose up to 1.8 × for many rows times small ones, so they are the user's choice.
    func choice(for layer: Layer, _ request: Request) -> WeightStorage {
        guard request.storage == .auto else { return request.storage }
        guard layer.kind == .embedding else { return .packed }
        if isReadElsewhere(layer) { return .packed }
        if request.format.bits == 8, request.granularity != .group { return .dequantize }
        return MatMulNBitsStorage.holds(layer, in: editor.graph(layer.path), bits: request.format.bits) ? .matmulnbits : .packed
    }

    /// Whether someone else reads a layer's weight and needs it as a float value.
    private func isReadElsewhere(_ layer: Layer) -> Bool {
        let alike = layer.kind == .embedding ? integerNodes : nodes
        return editor.model.place(of: layer.weight, readBy: layer).map { otherReaders.read($0, besides: alike) } ?? false
    }

    /// What distinguishes the values that may stand for one weight. Layers that share it read the same, in whatever kind of layer it serves.
    private func key(_ form: String, _ name: String, _ owner: GraphPath, _ request: Request, _ layout: ScaleLayout) -> String {
        let isShared = otherReaders.areSeveral(WeightReaders.Place(owner: owner, name: name))
        return "\(form) \(owner) \(name) \(request.key) \(isShared ? "" : "\(layout)")"
    }

    private func tensor(_ name: String, _ layer: Layer) throws -> (tensor: Tensor, owner: GraphPath) {
        guard let found = editor.model.initializer(name, from: layer.path) else {
            throw EngineError(.technique, "layer '\(layer.id)': weight '\(name)' is missing")
        }
        return found
    }

    private func quantized(_ view: WeightView, _ request: Request) throws -> QuantizedWeight {
        if let values = request.values { return try values.quantize(view, range: request.format.range, memo: context.memo) }
        return try WeightQuantizer.quantize(view, format: request.format, rounding: request.rounding, memo: context.memo)
    }

    /// A float32 value in the type its layer computes in.
    private mutating func cast(_ value: String, to type: ElementType, _ name: String, at path: GraphPath) -> String {
        guard type != .float32 else { return value }
        let result = editor.fresh("\(name)_cast")
        editor.addFront(.cast(value, result, to: type), at: path)
        return result
    }

    // MARK: - Forms

    private mutating func storePacked(_ layer: Layer, _ request: Request) throws -> String {
        var storedBits = request.format.bits
        for name in [layer.weight] + layer.otherWeights {
            let (weight, owner) = try tensor(name, layer)
            let view = try WeightView(weight, of: layer, granularity: request.granularity, groupSize: request.groupSize)
            let key = key("packed", name, owner, request, view.layout)
            let storage = UnpackedStorage(try quantized(view, request), dims: weight.dims, crop: view.crop, opset: opset)
            storedBits = storage.storedBits
            let value: String
            if let known = values[key] {
                value = known
            } else {
                value = cast(storage.emit(&editor, name: name, at: owner), to: weight.elementType, name, at: owner)
                values[key] = value
            }
            editor.edit(layer.nodeIndex, at: layer.path) { $0.replaceInput(name, by: value) }
            otherReaders.replace(WeightReaders.Place(owner: owner, name: name), readBy: layer, with: value)
        }
        if storedBits != request.format.bits {
            let why = opset < UnpackedStorage.oldestOperatorSet ? "operator set \(opset) cannot unpack them" : "too few weights to be worth unpacking"
            return "\(request.codes) in whole bytes (\(why)), unpacked while loading"
        }
        return "\(request.codes), unpacked to float while loading"
    }

    private mutating func storeSimulated(_ layer: Layer, _ request: Request) throws -> String {
        for name in [layer.weight] + layer.otherWeights {
            let (weight, owner) = try tensor(name, layer)
            let view = try WeightView(weight, of: layer, granularity: request.granularity, groupSize: request.groupSize)
            let key = key("simulated", name, owner, request, view.layout)
            let value: String
            if let known = values[key] {
                value = known
            } else {
                let rounded = view.cropped(WeightQuantizer.dequantize(try quantized(view, request)))
                value = editor.add(weight.withFloats(rounded), "\(name)_rounded", at: owner)
                values[key] = value
            }
            editor.edit(layer.nodeIndex, at: layer.path) { $0.replaceInput(name, by: value) }
            otherReaders.replace(WeightReaders.Place(owner: owner, name: name), readBy: layer, with: value)
        }
        return "values on the \(request.format.bits)-bit grid: the file does not shrink"
    }

    /// MatMul and Gemm whose weight is a plain matrix on the right get DequantizeLinear in front; embeddings gather
    /// integer rows and scale them afterwards.
    private func canDequantize(_ layer: Layer, _ request: Request) -> Bool {
        guard layer.kind != .embedding else { return request.granularity != .group }
        // Scales per channel of recurrent and batched weights are blocks, which DequantizeLinear has from operator set 21 on.
        if request.granularity == .channel { return [.conv, .convTranspose].contains(layer.kind) || layer.weightShape.count == 2 }
        guard request.granularity == .group else { return true }
        return opset >= 21 && (layer.kind == .gemm || layer.kind == .matMul) && layer.weightShape[layer.inputAxis] % request.groupSize == 0
    }

    private mutating func storeForDequantizeLinear(_ layer: Layer, _ request: Request) throws -> String {
        if layer.kind == .embedding, !isReadElsewhere(layer) { return try storeForGather(layer, request) }
        var nibbles = false
        for name in [layer.weight] + layer.otherWeights {
            var (weight, owner) = try tensor(name, layer)
            let type = weight.elementType
            var oriented = layer
            let node = editor.graph(layer.path).nodes[layer.nodeIndex]
            // ONNX Runtime computes on the integers only where the weight is [inputs, outputs].
            let isAlone = !otherReaders.areSeveral(WeightReaders.Place(owner: owner, name: name))
            let transposes = layer.kind == .gemm && node.int("transB") == 1 && node.input(1) == name && isAlone
            if transposes {
                weight = try weight.transposedMatrix()
                (oriented.outputAxis, oriented.inputAxis) = (1, 0)
                oriented.weightShape = weight.dims
            }
            let view = try WeightView(weight, of: oriented, granularity: request.granularity, groupSize: request.groupSize)
            let quantized = try quantized(view, request)
            let key = key("dequantize", name, owner, request, view.layout)
            nibbles = request.format.bits <= 4
            let value: String
            if let known = values[key] {
                value = known
            } else {
                let float = DequantizeLinearForm(weight: quantized, nibbles: nibbles).emit(&editor, name: name, at: owner, opset: opset)
                value = cast(float, to: type, name, at: owner)
                values[key] = value
            }
            editor.edit(layer.nodeIndex, at: layer.path) { node in
                node.replaceInput(name, by: value)
                if transposes { node.set("transB", nil) }
            }
            otherReaders.replace(WeightReaders.Place(owner: owner, name: name), readBy: layer, with: value)
        }
        let width = nibbles ? 4 : 8
        let container = request.format.bits == width ? "int\(width)" : "\(request.format.bits)-bit codes in int\(width)"
        return layer.kind == .matMul
            ? "\(container) with DequantizeLinear, which recent versions of ONNX Runtime fuse into a kernel on integers"
            : "\(container) with DequantizeLinear, which may run at every inference"
    }

    private mutating func storeForGather(_ layer: Layer, _ request: Request) throws -> String {
        let (weight, owner) = try tensor(layer.weight, layer)
        let view = try WeightView(weight, of: layer, granularity: request.granularity, groupSize: request.groupSize)
        let quantized = try quantized(view, request)
        let name = layer.weight
        let codes = editor.share(quantized.codes, "\(name)_quantized", at: owner)
        // Rows keep an axis of 1 for their scale, so that what is gathered broadcasts over the row.
        let perRow = quantized.layout.scaleCount > 1
        let scaleDims = perRow ? [quantized.layout.scaleCount, 1] : []
        let scales = try quantized.scales.reshaped(scaleDims)
        // A table has many rows of few numbers each, so that its scales count: half as many bytes for them.
        let halves = perRow ? Self.halves(scales) : nil
        let scale = editor.share(halves ?? scales, "\(name)_scale", at: owner)
        let zero = try quantized.zeroPoints.map { editor.share(try $0.reshaped(scaleDims), "\(name)_zero_point", at: owner) }
        let node = editor.graph(layer.path).nodes[layer.nodeIndex]
        guard let indices = node.input(1), let result = node.outputs.first else { return "" }
        func gather(_ table: String, _ editor: inout GraphEditor) -> String {
            guard perRow else { return table }
            let output = editor.scratch()
            editor.add(.op("Gather", [table, indices], output), after: layer.nodeIndex, at: layer.path)
            return output
        }
        func after(_ node: Node) { editor.add(node, after: layer.nodeIndex, at: layer.path) }
        let rows = editor.scratch()
        editor.edit(layer.nodeIndex, at: layer.path) { node in
            node.inputs[0] = codes
            node.outputs[0] = rows
        }
        var value = editor.scratch()
        after(.cast(rows, value, to: .float32))
        if let zero {
            let (float, shifted) = (editor.scratch(), editor.scratch())
            after(.cast(gather(zero, &editor), float, to: .float32))
            after(.op("Sub", [value, float], shifted))
            value = shifted
        }
        var factor = gather(scale, &editor)
        if halves != nil {
            let float = editor.scratch()
            after(.cast(factor, float, to: .float32))
            factor = float
        }
        if weight.elementType == .float32 {
            after(.op("Mul", [value, factor], result))
        } else {
            let scaled = editor.scratch()
            after(.op("Mul", [value, factor], scaled))
            after(.cast(scaled, result, to: weight.elementType))
        }
        return request.format.bits == 8
            ? "int8 rows, scaled after the lookup" : "\(request.format.bits)-bit codes in int8 rows, scaled after the lookup"
    }

    /// Scales as float16, where they lose no more than half a unit in the eleventh bit by it: a small part of a step even for the largest code.
    /// `nil` where some scale is beyond the normal float16.
    static func halves(_ scales: Tensor) -> Tensor? {
        guard let values = scales.floats() else { return nil }
        let normal = Float(Float16.leastNormalMagnitude)...Float(Float16.greatestFiniteMagnitude)
        guard values.allSatisfy(normal.contains) else { return nil }
        return Tensor(name: scales.name, float16s: values.map { Float16($0) }, dims: scales.dims)
    }

    private mutating func storeInBlocks(_ layer: Layer, _ request: Request) throws -> String {
        let (weight, owner) = try tensor(layer.weight, layer)
        let storage = try MatMulNBitsStorage(layer, weight: weight, node: editor.graph(layer.path).nodes[layer.nodeIndex], request: request, memo: context.memo)
        editor.require(domain: "com.microsoft", version: 1)
        return storage.emit(&editor, layer: layer, owner: owner, integerActivations: request.integerActivations)
    }
}
