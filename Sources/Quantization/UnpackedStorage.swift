import ModelGraph

/// Writes a quantized weight as integers that plain operators turn back into floats. ONNX Runtime evaluates them once, while
/// loading: the file is small, the layer computes exactly as with float weights, and memory holds floats as before.
///
/// 8-bit codes: Cast, [Sub zero point], Mul scale. Narrower ones: the digits of each byte are taken apart first, in float32, where that is
/// exact. (BitShift and integer Div of uint8 would be the plainer operators, but OpenVINO and MNN compute something else there without a
/// word: `Benchmarks/runtimes.py`.) Values that are not evenly spaced: Gather from their codebook in place of Sub. `PackedWeight` in
/// ModelGraph recognizes the result.
package struct UnpackedStorage {
    let weight: QuantizedWeight
    /// Shape of the weight, which may differ from the shape it was quantized in.
    let dims: [Int]
    /// Axis and length to cut the quantized shape back to, where it was padded to whole blocks.
    let crop: (axis: Int, length: Int)?
    /// Operands broadcast from operator set 7 on; before, codes take a byte each.
    let packsBits: Bool

    package init(_ weight: QuantizedWeight, dims: [Int], crop: (axis: Int, length: Int)? = nil, opset: Int) {
        self.weight = weight
        self.dims = dims
        self.crop = crop
        let count = weight.codes.count
        // A tiny tensor would lose more to the unpacking nodes than to whole bytes.
        let saved = count - BitPlanes.byteCount(count, bits: weight.bits)
        packsBits = opset >= Self.oldestOperatorSet && weight.bits < 8 && saved > Self.nodeBytes(bits: weight.bits)
    }

    /// Bits that one code takes in the file.
    var storedBits: Int { packsBits ? weight.bits : 8 }

    static let oldestOperatorSet = 7

    /// Rough size of the nodes that unpack a width.
    static func nodeBytes(bits: Int) -> Int { BitPlanes.planes(bits: bits).reduce(60) { bytes, _ in bytes + 280 } }

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
            var value = digits(of: packed, width: plane.width, &editor, path)
            let length = storage.byteCount * (8 / plane.width)
            // Planes of different widths meet as lists.
            if length != count || weight.bits != plane.width { value = reshape(value, [length], &editor, path) }
            if length != count { value = slice(value, axis: 0, to: count, &editor, path) }
            if plane.shift > 0 { value = operation("Mul", [value, number(Float(1 << plane.shift), &editor, path)], &editor, path) }
            sum = sum.map { operation("Add", [$0, value], &editor, path) } ?? value
        }
        guard let sum, weight.codebook != nil else { return sum ?? "" }
        // Indices into a codebook are integers.
        let indices = editor.scratch()
        editor.addFront(.cast(sum, indices, to: .int32), at: path)
        return indices
    }

    /// The digits of bytes to the base B = 2^width, lowest first, [8 / width, bytes]: the digit k of x is ⌊x / B^k⌋ − B · ⌊⌊x / B^k⌋ / B⌋.
    /// Factors are powers of two and numbers below 256, so that nothing is rounded, in half precision neither.
    private func digits(of packed: String, width: Int, _ editor: inout GraphEditor, _ path: GraphPath) -> String {
        let bytes = editor.scratch()
        editor.addFront(.cast(packed, bytes, to: .float32), at: path)
        let powers = (0..<(8 / width)).map { Float(sign: .plus, exponent: -width * $0, significand: 1) }
        let shifted = operation("Mul", [bytes, editor.constant(Tensor(name: "", floats: powers, dims: [powers.count, 1]), at: path)], &editor, path)
        let heads = operation("Floor", [shifted], &editor, path)
        let above = operation("Mul", [heads, number(powers[1], &editor, path)], &editor, path)
        let rest = operation("Floor", [above], &editor, path)
        let raised = operation("Mul", [rest, number(1 / powers[1], &editor, path)], &editor, path)
        return operation("Sub", [heads, raised], &editor, path)
    }

    private func operation(_ type: String, _ inputs: [String], _ editor: inout GraphEditor, _ path: GraphPath) -> String {
        let output = editor.scratch()
        editor.addFront(.op(type, inputs, output), at: path)
        return output
    }

    private func number(_ value: Float, _ editor: inout GraphEditor, _ path: GraphPath) -> String {
        editor.constant(Tensor(name: "", floats: [value], dims: []), at: path)
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
