import ModelGraph

/// Writes a quantized weight as integers that plain operators turn back into floats. ONNX Runtime evaluates them once, while
/// loading: the file is small, the layer computes exactly as with float weights, and memory holds floats as before.
///
/// 8-bit codes: Cast, [Sub zero point], Mul scale. Narrower ones: BitShift unpacks bit planes first. Values that are not evenly
/// spaced: Gather from their codebook in place of Sub. `PackedWeight` in ModelGraph recognizes the result.
package struct UnpackedStorage {
    let weight: QuantizedWeight
    /// Shape of the weight, which may differ from the shape it was quantized in.
    let dims: [Int]
    /// Axis and length to cut the quantized shape back to, where it was padded to whole blocks.
    let crop: (axis: Int, length: Int)?
    /// BitShift exists from operator set 11 on; before, codes take a byte each.
    let packsBits: Bool

    package init(_ weight: QuantizedWeight, dims: [Int], crop: (axis: Int, length: Int)? = nil, opset: Int) {
        self.weight = weight
        self.dims = dims
        self.crop = crop
        let count = weight.codes.count
        // A tiny tensor would lose more to the unpacking nodes than to whole bytes.
        let saved = count - BitPlanes.byteCount(count, bits: weight.bits)
        packsBits = opset >= 11 && weight.bits < 8 && saved > Self.nodeBytes(bits: weight.bits)
    }

    /// Bits that one code takes in the file.
    var storedBits: Int { packsBits ? weight.bits : 8 }

    /// Rough size of the nodes that unpack a width.
    static func nodeBytes(bits: Int) -> Int { BitPlanes.planes(bits: bits).reduce(60) { $0 + 50 * (2 * 8 / $1.width + 1) } }

    /// Adds initializers and nodes to the graph at `path`.
    /// - Returns: the name of the float value.
    package func emit(_ editor: inout GraphEditor, name: String, at path: GraphPath) -> String {
        var value = packsBits ? emitPlanes(&editor, name: name, path) : emitBytes(&editor, name: name, path)
        let view = scaleView
        if view.codes != (packsBits ? [weight.codes.count] : weight.layout.dims) {
            value = reshape(value, view.codes, &editor, path)
        }
        if let codebook = weight.codebook {
            let entries = editor.add(Tensor(name: "", floats: codebook, dims: [codebook.count]), "\(name)_codebook", at: path)
            let values = editor.scratch()
            editor.addFront(.op("Gather", [entries, value], values), at: path)
            value = values
        } else if let zeroPoint = zeroPointName(view.scales, &editor, name: name, path) {
            let shifted = editor.scratch()
            editor.addFront(.op("Sub", [value, zeroPoint], shifted), at: path)
            value = shifted
        }
        let scale = editor.add(reshaped(storedScales, view.scales), "\(name)_scale", at: path)
        let result = editor.fresh("\(name)_dequantized")
        let isLast = view.codes == dims && crop == nil
        let scaled = isLast ? result : editor.scratch()
        editor.addFront(.op("Mul", [value, scale], scaled), at: path)
        guard !isLast else { return result }
        value = scaled
        if let crop {
            if view.codes != weight.layout.dims { value = reshape(value, weight.layout.dims, &editor, path) }
            value = slice(value, axis: crop.axis, to: crop.length, &editor, path)
        }
        let shape = editor.constant(Tensor(name: "", int64s: dims.map(Int64.init), dims: [dims.count]), at: path)
        editor.addFront(.op("Reshape", [value, shape], result), at: path)
        return result
    }

    private func emitBytes(_ editor: inout GraphEditor, name: String, _ path: GraphPath) -> String {
        let codes = editor.add(weight.codes, "\(name)_quantized", at: path)
        let value = editor.scratch()
        editor.addFront(.cast(codes, value, to: codeType), at: path)
        return value
    }

    private func emitPlanes(_ editor: inout GraphEditor, name: String, _ path: GraphPath) -> String {
        let count = weight.codes.count
        var sum: String?
        for plane in BitPlanes.planes(bits: weight.bits) {
            // Codes −1 and 1 raised by 1 differ in their second bit.
            let from = isBinary ? BitPlanes.Plane(width: 1, shift: 1) : plane
            let storage = BitPlanes.pack(weight.codes.storage.bytes, plane: from, offset: signOffset)
            // One byte per element by construction.
            guard let tensor = try? Tensor(name: "", elementType: .uint8, dims: [storage.byteCount], storage: storage) else { continue }
            let packed = editor.add(tensor, "\(name)_bits\(plane.shift)", at: path)
            func shift(_ input: String, _ amount: Int, _ direction: String) -> String {
                let by = editor.constant(Tensor(name: "", uint8s: [UInt8(amount)], dims: []), at: path)
                let output = editor.scratch()
                editor.addFront(.op("BitShift", [input, by], output, [Attribute("direction", .text(direction))]), at: path)
                return output
            }
            let parts = 8 / plane.width
            let pieces = (0..<parts).map { part in
                let up = 8 - plane.width * (part + 1)
                return shift(up > 0 ? shift(packed, up, "LEFT") : packed, 8 - plane.width, "RIGHT")
            }
            var value = editor.scratch()
            editor.addFront(.op("Concat", pieces, value, [Attribute("axis", .int(0))]), at: path)
            if storage.byteCount * parts != count { value = slice(value, axis: 0, to: count, &editor, path) }
            let cast = editor.scratch()
            editor.addFront(.cast(value, cast, to: codeType), at: path)
            value = cast
            if plane.shift > 0 {
                let scaled = editor.scratch()
                let factor = editor.constant(
                    weight.codebook == nil
                        ? Tensor(name: "", floats: [Float(1 << plane.shift)], dims: []) : Tensor(name: "", int32s: [Int32(1 << plane.shift)], dims: []),
                    at: path)
                editor.addFront(.op("Mul", [value, factor], scaled), at: path)
                value = scaled
            }
            if let lower = sum {
                let total = editor.scratch()
                editor.addFront(.op("Add", [lower, value], total), at: path)
                value = total
            }
            sum = value
        }
        return sum ?? ""
    }

    /// What makes signed codes unsigned in bit planes.
    private var signOffset: Int { weight.isSymmetric ? 1 << (weight.bits - 1) : 0 }

    /// One bit tells −1 from 1: value = (bit − ½) · 2α.
    private var isBinary: Bool { packsBits && weight.bits == 1 && weight.isSymmetric }

    private var storedScales: Tensor {
        guard isBinary, let scales = weight.scales.floats() else { return weight.scales }
        return weight.scales.withFloats(scales.map { 2 * $0 })
    }

    /// Type of unpacked codes: indices into a codebook are integers.
    private var codeType: ElementType { weight.codebook == nil ? .float32 : .int32 }

    private func zeroPointName(_ dims: [Int], _ editor: inout GraphEditor, name: String, _ path: GraphPath) -> String? {
        if let zeroPoints = weight.zeroPoints {
            let stored = editor.add(reshaped(zeroPoints, dims), "\(name)_zero_point", at: path)
            let value = editor.scratch()
            editor.addFront(.cast(stored, value, to: .float32), at: path)
            return value
        }
        guard packsBits, weight.isSymmetric else { return nil }
        return editor.constant(Tensor(name: "", floats: [isBinary ? 0.5 : Float(signOffset)], dims: []), at: path)
    }

    /// The first `length` positions of an axis. Operator sets before 10 have Slice with attributes instead of inputs.
    private func slice(_ value: String, axis: Int, to length: Int, _ editor: inout GraphEditor, _ path: GraphPath) -> String {
        let output = editor.scratch()
        if editor.model.opset >= 10 {
            func list(_ value: Int) -> Tensor { Tensor(name: "", int64s: [Int64(value)], dims: [1]) }
            let inputs = [value, editor.constant(list(0), at: path), editor.constant(list(length), at: path), editor.constant(list(axis), at: path)]
            editor.addFront(.op("Slice", inputs, output), at: path)
        } else {
            let attributes = [("starts", 0), ("ends", length), ("axes", axis)].map { Attribute($0.0, .integers([$0.1])) }
            editor.addFront(.op("Slice", [value], output, attributes), at: path)
        }
        return output
    }

    private func reshape(_ value: String, _ dims: [Int], _ editor: inout GraphEditor, _ path: GraphPath) -> String {
        let shape = editor.constant(Tensor(name: "", int64s: dims.map(Int64.init), dims: [dims.count]), at: path)
        let output = editor.scratch()
        editor.addFront(.op("Reshape", [value, shape], output), at: path)
        return output
    }

    private func reshaped(_ tensor: Tensor, _ dims: [Int]) -> Tensor { (try? tensor.reshaped(dims)) ?? tensor }

    /// Shapes in which codes and scales broadcast against each other.
    private var scaleView: (codes: [Int], scales: [Int]) {
        let layout = weight.layout
        switch layout.kind {
        case .tensor:
            return (dims, [])
        case .axis(let axis):
            var scales = [Int](repeating: 1, count: layout.dims.count)
            scales[axis] = layout.length
            return (layout.dims, scales)
        case .blocks(let axis, _):
            guard layout.blockCount > 1 else {
                var scales = layout.dims
                scales[axis] = 1
                return (layout.dims, scales)
            }
            return ([layout.outer, layout.blockCount, layout.blockSize, layout.inner], [layout.outer, layout.blockCount, 1, layout.inner])
        }
    }
}
