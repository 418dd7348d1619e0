import ModelGraph
import Techniques

/// com.microsoft MatMulNBits and, for embeddings, GatherBlockQuantized: 2, 4 or 8 bits, scales per block of 2ⁿ ≥ 16 weights along
/// the inputs, packed so in memory too.
struct MatMulNBitsStorage {
    /// Rows are outputs (or table rows), padded to whole blocks.
    private let weight: QuantizedWeight
    private let rows: Int
    /// Inputs, before padding.
    private let columns: Int
    private let blockSize: Int
    private let bits: Int

    /// Whether the operators can stand for a layer.
    static func holds(_ layer: Layer, in graph: Graph, bits: Int) -> Bool {
        guard [2, 4, 8].contains(bits), layer.weightShape.count == 2, layer.weightType == .float32 else { return false }
        let node = graph.nodes[layer.nodeIndex]
        switch layer.kind {
        case .embedding: return true
        case .matMul: return node.opType == "MatMul" && node.input(1) == layer.weight
        case .gemm:
            return node.opType == "Gemm" && node.input(1) == layer.weight && node.int("transA") ?? 0 == 0 && node.float("alpha") ?? 1 == 1
                && node.float("beta") ?? 1 == 1
        default: return false
        }
    }

    init(_ layer: Layer, weight: Tensor, node: Node, request: WeightStorageWriter.Request, memo: LayerMemo) throws {
        let outputsFirst = layer.kind == .embedding || node.int("transB") == 1
        let matrix = outputsFirst ? weight : try weight.transposedMatrix()
        rows = matrix.dims[0]
        columns = matrix.dims[1]
        bits = request.format.bits
        // Zero points of unsigned codes; symmetric codes are raised to the operators' default zero point.
        switch request.granularity {
        case .group:
            blockSize = max(request.groupSize, 16)
            let view = try WeightView(rows: matrix, groupSize: blockSize)
            self.weight = try WeightQuantizer.quantize(view, format: request.format, rounding: request.rounding, memo: memo)
        case .channel, .tensor:
            // A scale per row (or one for all), repeated for each block: the largest up to 128 that pads least.
            blockSize = layer.kind == .embedding ? max(16, columns.roundedUpToPowerOfTwo) : Self.blockSize(columns)
            let view = try WeightView(rows: matrix, groupSize: blockSize)
            let kind: ScaleLayout.Kind = request.granularity == .tensor ? .tensor : .axis(0)
            let coarse = try WeightQuantizer.quantize(
                view, layout: ScaleLayout(kind, dims: view.layout.dims), format: request.format, rounding: request.rounding, memo: memo)
            self.weight = coarse.repeated(in: view.layout)
        }
    }

    private static func blockSize(_ columns: Int) -> Int {
        let sizes = [128, 64, 32, 16]
        let padding = { (size: Int) in (size - columns % size) % size }
        let least = sizes.map(padding).min() ?? 0
        return sizes.first { padding($0) == least } ?? 128
    }

    /// Replaces the layer's node.
    /// - Returns: the form in words.
    func emit(_ editor: inout GraphEditor, layer: Layer, owner: GraphPath, integerActivations: Bool) -> String {
        let name = layer.weight
        let symmetricOffset = weight.isSymmetric ? 1 << (bits - 1) : 0
        let rowCodes = weight.layout.dims[1]
        let blocks = rowCodes / blockSize
        let embedding = layer.kind == .embedding
        // MatMulNBits wants whole blocks, GatherBlockQuantized exactly the row's length.
        let codes = embedding ? rowsCut(weight.codes.storage, from: rowCodes, to: columns) : weight.codes.storage
        let packed = AdjacentPacking.pack(codes.bytes, rowLength: embedding ? columns : rowCodes, bits: bits, offset: symmetricOffset)
        let dims = embedding ? [rows, packed.byteCount / max(rows, 1)] : [rows, blocks, blockSize * bits / 8]
        let blob = (try? Tensor(name: "", elementType: .uint8, dims: dims, storage: packed)) ?? weight.codes
        let scales = (try? weight.scales.reshaped(embedding ? [rows, blocks] : [rows * blocks])) ?? weight.scales
        var extra = [editor.share(blob, "\(name)_quantized", at: owner), editor.share(scales, "\(name)_scale", at: owner)]
        if let zeroPoints = weight.zeroPoints {
            let storage = AdjacentPacking.pack(zeroPoints.storage.bytes, rowLength: blocks, bits: bits, offset: 0)
            let dims = embedding ? [rows, storage.byteCount / max(rows, 1)] : [storage.byteCount]
            let tensor = (try? Tensor(name: "", elementType: .uint8, dims: dims, storage: storage)) ?? zeroPoints
            extra.append(editor.share(tensor, "\(name)_zero_point", at: owner))
        }
        let original = editor.graph(layer.path).nodes[layer.nodeIndex]
        if embedding {
            let axis = original.int("axis") ?? 0
            editor.edit(layer.nodeIndex, at: layer.path) { node in
                node.opType = "GatherBlockQuantized"
                node.domain = "com.microsoft"
                node.inputs = [extra[0], original.inputs[1]] + extra.dropFirst()
                node.attributes = [
                    Attribute("gather_axis", .integer(axis)), Attribute("quantize_axis", .int(1)), Attribute("block_size", .integer(blockSize)),
                    Attribute("bits", .integer(bits)),
                ]
            }
            return "\(bits)-bit GatherBlockQuantized, blocks of \(blockSize)"
        }
        let product = original.input(2) == nil ? original.outputs[0] : editor.scratch()
        editor.edit(layer.nodeIndex, at: layer.path) { node in
            node.opType = "MatMulNBits"
            node.domain = "com.microsoft"
            node.inputs = [original.inputs[0]] + extra
            node.outputs = [product]
            node.attributes = [
                Attribute("K", .integer(columns)), Attribute("N", .integer(rows)), Attribute("bits", .integer(bits)),
                Attribute("block_size", .integer(blockSize)), Attribute("accuracy_level", .integer(integerActivations ? 4 : 0)),
            ]
        }
        if let bias = original.input(2) {
            editor.add(.op("Add", [product, bias], original.outputs[0]), after: layer.nodeIndex, at: layer.path)
        }
        return "\(bits)-bit MatMulNBits, blocks of \(blockSize)" + (integerActivations ? ", activations rounded to int8 as it runs" : "")
    }

    private func rowsCut(_ storage: TensorStorage, from: Int, to: Int) -> TensorStorage {
        guard from != to else { return storage }
        return TensorStorage(byteCount: rows * to) { memory in
            for row in 0..<rows {
                UnsafeMutableRawBufferPointer(rebasing: memory[(row * to)...])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: storage.bytes[(row * from)..<(row * from + to)]))
            }
        }
    }
}

extension QuantizedWeight {
    /// The same codes under a finer layout, each scale repeated where it holds.
    fileprivate func repeated(in layout: ScaleLayout) -> QuantizedWeight {
        let perRow = layout.blockCount
        func spread<Element>(_ values: [Element]) -> [Element] {
            (0..<layout.outer).flatMap { row in [Element](repeating: values.count == 1 ? values[0] : values[row], count: perRow) }
        }
        var result = self
        result.layout = layout
        result.scales = Tensor(name: "", floats: spread(scales.floats() ?? []), dims: layout.scaleDims)
        result.zeroPoints = zeroPoints.map { zero in
            Tensor(name: "", uint8s: spread((zero.integers() ?? []).map { UInt8(truncatingIfNeeded: $0) }), dims: layout.scaleDims)
        }
        return result
    }
}

extension Int {
    fileprivate var roundedUpToPowerOfTwo: Int {
        var power = 1
        while power < self { power *= 2 }
        return power
    }
}
