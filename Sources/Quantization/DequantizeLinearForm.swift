import ModelGraph

/// Which domain's QuantizeLinear and DequantizeLinear to use. The standard operators came in operator set 10, scales per
/// axis in 13, four bits and blocks in 21; com.microsoft has them (but for blocks) at any operator set, and
/// ONNX Runtime fuses both alike.
enum QuantizeDomain {
    static func domain(opset: Int, perAxis: Bool, nibbles: Bool = false) -> String {
        let needed = nibbles ? 21 : perAxis ? 13 : 10
        return opset >= needed ? "" : "com.microsoft"
    }
}

/// A weight as integers with DequantizeLinear in front of its layer.
struct DequantizeLinearForm {
    let weight: QuantizedWeight
    /// Store two codes to a byte, for widths up to 4.
    let nibbles: Bool

    /// Adds initializers and node to the graph at `path`.
    /// - Returns: the name of the float value.
    func emit(_ editor: inout GraphEditor, name: String, at path: GraphPath, opset: Int) -> String {
        var codes = weight.codes
        if nibbles {
            let storage = AdjacentPacking.pack(codes.storage.bytes, rowLength: codes.count, bits: 4, offset: 0)
            let type: ElementType = weight.isSymmetric ? .int4 : .uint4
            codes = (try? Tensor(name: "", elementType: type, dims: codes.dims, storage: storage)) ?? codes
            editor.requireIRVersion(10)
        }
        var attributes: [Attribute] = []
        switch weight.layout.kind {
        case .tensor: break
        case .axis(let axis): attributes = [Attribute("axis", .integer(axis))]
        case .blocks(let axis, let size): attributes = [Attribute("axis", .integer(axis)), Attribute("block_size", .integer(size))]
        }
        let domain = QuantizeDomain.domain(opset: opset, perAxis: weight.layout.kind != .tensor, nibbles: nibbles)
        if !domain.isEmpty { editor.require(domain: domain, version: 1) }
        var inputs = [editor.add(codes, "\(name)_quantized", at: path), editor.add(weight.scales, "\(name)_scale", at: path)]
        if let zeroPoints = weight.zeroPoints {
            var stored = zeroPoints
            if nibbles {
                let storage = AdjacentPacking.pack(zeroPoints.storage.bytes, rowLength: zeroPoints.count, bits: 4, offset: 0)
                stored = (try? Tensor(name: "", elementType: .uint4, dims: zeroPoints.dims, storage: storage)) ?? stored
            }
            inputs.append(editor.add(stored, "\(name)_zero_point", at: path))
        }
        let result = editor.fresh("\(name)_dequantized")
        editor.addFront(.op("DequantizeLinear", inputs, result, domain: domain, attributes), at: path)
        return result
    }
}
