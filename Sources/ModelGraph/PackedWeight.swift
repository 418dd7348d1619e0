/// A floating-point weight computed from small integers (or halves) that stand in the file, by plain operators that
/// runtimes evaluate once while loading: unpacking bit planes, casting, taking zero points away, scaling.
///
/// Any width and any granularity of scales can be stored so, for any kind of layer, without special operators.
public struct PackedWeight: Sendable {
    /// Initializers with the codes: one tensor of 8-bit codes or of float16, or bit planes of 4, 2 and 1 bits, lowest
    /// bits first.
    public var planes: [String]
    /// Shape of the weight.
    public var dims: [Int]
    /// Stored bits of one weight.
    public var bits: Int
    public var scale: String?
    /// Initializer with the code that means 0: one for all, or one for each scale. Half a code where there is no zero (−α and α
    /// in one bit).
    public var zeroPoint: String?
    /// Initializer with the value that each code stands for before scaling, where they are not evenly spaced.
    public var codebook: String?
    /// Initializers with the factors that take bytes apart.
    public var factors: [String] = []
    /// Shape in which codes meet zero points and scales; its count is the number of codes, padding included.
    public var codeDims: [Int]
    /// The value that the codes come to, one to an element in their order, still to be shifted and scaled; `nil` where there is no scale.
    public var codes: String?
}

extension Graph {
    /// Recognizes a value as a weight unpacked from initializers of this graph. `producer` finds the node that makes a value.
    public func packedWeight(_ value: String, producer: (String) -> Int?) -> PackedWeight? {
        var planes: [String] = []
        var seen = Set<String>()
        var dims: [Int]?
        var scale: String?
        var zeroPoint: String?
        var codebook: String?
        var codeDims: [Int]?
        var codeCount: Int?
        var codes: String?
        // Values still to follow, each with the width of a code where a shift on the way tells it.
        var pending: [(name: String, width: Int?)] = [(value, nil)]
        var bits = 0
        var factors: [String] = []
        var steps = 0
        while let (name, width) = pending.popLast() {
            guard seen.insert(name).inserted else { continue }
            if let tensor = initializers[name] {
                // What the chain starts from must be narrower than the floats it makes.
                guard let stored = tensor.elementType.bitWidth, stored <= 16, tensor.elementType.isQuantized || stored == 16 else { return nil }
                planes.append(name)
                bits += width ?? stored
                continue
            }
            steps += 1
            guard steps <= 64, let index = producer(name) else { return nil }
            let node = nodes[index]
            guard node.domain.isEmpty || node.domain == "ai.onnx", let first = node.input(0) else { return nil }
            switch node.opType {
            case "Cast":
                if scale != nil, codes == nil { codes = name }
                pending.append((first, width))
            case "Slice":
                // Below the scale it trims what fills the last byte of a plane; above it, what fills the last block.
                if scale != nil { codeCount = node.input(2).flatMap { initializers[$0] }?.integers()?.first }
                pending.append((first, width))
            case "BitShift":
                // How earlier builds unpacked.
                // The last shift to the right leaves the code alone in the byte: 8 − amount bits.
                var codeWidth = width
                if codeWidth == nil, node.string("direction") == "RIGHT" {
                    let shift = node.input(1).flatMap { initializers[$0] }?.integers()?.first
                    codeWidth = shift.flatMap { (0..<8).contains($0) ? 8 - $0 : nil }
                }
                pending.append((first, codeWidth))
            case "Reshape":
                let shape = node.input(1).flatMap { initializers[$0] }?.integers()
                if dims == nil { dims = shape }
                if scale != nil, codeDims == nil { codeDims = shape }
                pending.append((first, width))
            case "Mul":
                guard let factor = node.input(1), let constant = initializers[factor] else { return nil }
                // The factor of a bit plane is a power of two inside the sum; the scale is the outermost factor.
                if scale == nil, constant.elementType.isFloatingPoint { scale = factor }
                pending.append((first, width))
            case "Sub":
                if let digits = packedDigits(node, producer: producer) {
                    pending.append((digits.bytes, digits.width))
                    factors += digits.factors
                    continue
                }
                guard let offset = node.input(1), zeroPoint == nil else { return nil }
                zeroPoint = offset
                if initializers[offset] == nil {
                    guard let cast = producer(offset), nodes[cast].isStandard("Cast"), let stored = nodes[cast].input(0),
                        initializers[stored] != nil
                    else { return nil }
                    zeroPoint = stored
                }
                pending.append((first, width))
            case "Gather":
                // Looked up below the scale; the indices are the codes.
                guard scale != nil, codebook == nil, node.int("axis") ?? 0 == 0, let values = initializers[first], values.dims.count == 1,
                    values.elementType.isFloatingPoint, values.count <= 256, let indices = node.input(1)
                else { return nil }
                codebook = first
                pending.append((indices, width))
            case "Add":
                if scale != nil, codes == nil { codes = name }
                // Popped last in, first out: the first operand, the lower plane, comes first.
                guard let second = node.input(1) else { return nil }
                pending.append((second, width))
                pending.append((first, width))
            case "Concat":
                for part in node.inputs.reversed() { pending.append((part, width)) }
            default:
                return nil
            }
        }
        guard steps > 0, !planes.isEmpty else { return nil }
        let tensors = planes.compactMap { initializers[$0] }
        if dims == nil, tensors.count == 1 { dims = tensors[0].dims }
        // Shapes come from constants of the file, which may say anything.
        guard let dims, let weights = Tensor.elementCount(dims) else { return nil }
        let stored = tensors.reduce(0) { $0 + $1.storage.byteCount * 8 }
        guard bits > 0, weights <= stored / bits else { return nil }
        if let codeDims, Tensor.elementCount(codeDims).map({ $0 <= stored }) != true { return nil }
        if let codeCount, !(0...stored).contains(codeCount) { return nil }
        let unshaped = tensors.count == 1 && bits >= 8 ? tensors[0].dims : [codeCount ?? tensors[0].count * 8 / min(bits, 4)]
        return PackedWeight(
            planes: planes, dims: dims, bits: bits, scale: scale, zeroPoint: zeroPoint, codebook: codebook, factors: factors, codeDims: codeDims ?? unshaped, codes: codes)
    }

    /// Recognizes the digits of bytes to the base 2^width, lowest first: q − B · ⌊q / B⌋ with q = ⌊x · [1, 1/B, 1/B², …]⌋ and x cast from bytes.
    private func packedDigits(_ difference: Node, producer: (String) -> Int?) -> (bytes: String, width: Int, factors: [String])? {
        /// The node of a type that makes a value, seen through casts.
        func maker(_ value: String?, _ type: String) -> Node? {
            var name = value
            for _ in 0..<4 {
                guard let index = name.flatMap(producer) else { return nil }
                if nodes[index].isStandard(type) { return nodes[index] }
                guard nodes[index].isStandard("Cast") else { return nil }
                name = nodes[index].input(0)
            }
            return nil
        }
        func constants(_ name: String?) -> [Float]? {
            guard let tensor = name.flatMap({ initializers[$0] }), tensor.count <= 8 else { return nil }
            return tensor.floats()
        }
        guard let raised = maker(difference.input(1), "Mul"), let base = constants(raised.input(1)), base.count == 1, [2, 4, 16].contains(base[0]),
            let rest = maker(raised.input(0), "Floor"), let above = maker(rest.input(0), "Mul"), constants(above.input(1)) == [1 / base[0]],
            above.input(0) == difference.input(0), let heads = maker(above.input(0), "Floor"), let shifted = maker(heads.input(0), "Mul"),
            let bytes = maker(shifted.input(0), "Cast")?.input(0), initializers[bytes]?.elementType == .uint8,
            let powers = shifted.input(1).flatMap({ initializers[$0] }), powers.dims.count == 2, powers.dims[1] == 1
        else { return nil }
        let width = base[0] == 16 ? 4 : Int(base[0]) / 2
        guard constants(shifted.input(1)) == (0..<(8 / width)).map({ Float(sign: .plus, exponent: -width * $0, significand: 1) }) else { return nil }
        return (bytes, width, [shifted, above, raised].compactMap { $0.input(1) })
    }

    /// Every weight of this graph that a layer reads unpacked.
    public var packedWeights: [PackedWeight] {
        let readers: Set<String> = ["Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "Gather"]
        var producers: [String: Int] = [:]
        for (index, node) in nodes.enumerated() { for output in node.outputs { producers[output] = index } }
        var seen = Set<String>()
        var found: [PackedWeight] = []
        for node in nodes where readers.contains(node.opType) {
            for input in node.inputs where initializers[input] == nil && seen.insert(input).inserted {
                if let weight = packedWeight(input, producer: { producers[$0] }) { found.append(weight) }
            }
        }
        return found
    }
}
