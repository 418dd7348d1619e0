import ModelGraph

/// Parameters and non-zeros of weights that are stored as integers: a code is a parameter whatever it is packed in, and
/// it is zero where it equals its zero point.
struct QuantizedCounting {
    struct Count {
        var parameters: Int
        var nonZeros: Int
    }

    /// Initializers whose own elements do not tell the count.
    private(set) var counts: [String: Count] = [:]
    /// Further bit planes of a weight, by its first.
    private(set) var companions: [String: [String]] = [:]
    /// Scales and zero points, which are no parameters.
    private(set) var constants: Set<String> = []
    /// 32-bit biases in front of a DequantizeLinear, which are.
    private(set) var biases: Set<String> = []

    init(_ graph: Graph) {
        for weight in graph.packedWeights {
            constants.formUnion([weight.scale, weight.zeroPoint, weight.codebook].compactMap { $0 })
            constants.formUnion(weight.factors)
            guard weight.bits <= 8, let count = Self.count(weight, graph) else { continue }
            counts[weight.planes[0]] = count
            companions[weight.planes[0]] = Array(weight.planes.dropFirst())
            for plane in weight.planes.dropFirst() { counts[plane] = Count(parameters: 0, nonZeros: 0) }
        }
        for weight in graph.computedWeights {
            guard let name = weight.codebook, let codes = graph.initializers[weight.main], let codebook = graph.initializers[name] else { continue }
            constants.insert(name)
            counts[weight.main] = Self.count(codes, codebook, weight.dims.reduce(1, *))
        }
        for node in graph.nodes {
            switch node.opType {
            case "MatMulNBits":
                guard let rows = node.int("N"), let columns = node.int("K"), let size = node.int("block_size") else { continue }
                countBlocks(node, graph, weight: 1, rows: rows, columns: columns, blockSize: size, bits: node.int("bits") ?? 4)
            case "MatMulBnb4":
                // Codes of a table, two to a byte; 7 of NF4 and 0 of FP4 stand for zero.
                guard let name = node.input(1), let codes = graph.initializers[name], let rows = node.int("N"), let columns = node.int("K"), rows > 0, columns > 0,
                    rows <= 1 << 30, columns <= 1 << 30, rows * columns <= codes.storage.byteCount * 2
                else { continue }
                let zero: UInt8 = node.int("quant_type") == 1 ? 7 : 0
                let zeros = codes.storage.bytes.reduce(0) { $0 + ($1 >> 4 == zero ? 1 : 0) + ($1 & 15 == zero ? 1 : 0) }
                counts[name] = Count(parameters: rows * columns, nonZeros: max(rows * columns - zeros, 0))
                if let scale = node.input(2) { constants.insert(scale) }
            case "GatherBlockQuantized":
                guard let name = node.input(0), let table = graph.initializers[name], table.dims.count == 2, table.elementType == .uint8,
                    let size = node.int("block_size")
                else { continue }
                let bits = node.int("bits") ?? 4
                countBlocks(
                    node, graph, weight: 0, rows: table.dims[0], columns: table.dims[1] * 8 / max(bits, 1), blockSize: size, bits: bits)
                constants.formUnion([node.input(2), node.input(3)].compactMap { $0 })
            case "DequantizeLinear":
                guard let name = node.input(0), let codes = graph.initializers[name] else { continue }
                if codes.elementType == .int32 { biases.insert(name) }
                guard let zero = node.input(2).flatMap({ graph.initializers[$0] }), let zeros = zero.codes, zeros.contains(where: { $0 != 0 }),
                    let values = codes.codes
                else { continue }
                let layout = Self.layout(codes.dims, scaleDims: zero.dims, node)
                counts[name] = Count(parameters: codes.count, nonZeros: Self.different(values, zeros, layout))
            case "QLinearConv": countIntegers(node, graph, weight: 3, zeroPoint: 5, axis: 0, bias: 8)
            case "QLinearMatMul": countIntegers(node, graph, weight: 3, zeroPoint: 5, axis: -1)
            case "QGemm": countIntegers(node, graph, weight: 3, zeroPoint: 5, axis: node.int("transB") == 1 ? 0 : -1, bias: 6)
            case "ConvInteger": countIntegers(node, graph, weight: 1, zeroPoint: 3, axis: 0)
            case "MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat": countIntegers(node, graph, weight: 1, zeroPoint: 3, axis: -1)
            case "QAttention": countIntegers(node, graph, weight: 1, zeroPoint: 7, axis: -1)
            default: continue
            }
        }
    }

    /// Weights of operators that compute on integers; their biases are 32-bit integers.
    /// - Parameter axis: which one zero points belong to where there are several; negative ones count from the end.
    private mutating func countIntegers(_ node: Node, _ graph: Graph, weight: Int, zeroPoint: Int, axis: Int, bias: Int? = nil) {
        if let name = bias.flatMap({ node.input($0) }), graph.initializers[name]?.elementType == .int32 { biases.insert(name) }
        guard let name = node.input(weight), let tensor = graph.initializers[name], let zero = node.input(zeroPoint).flatMap({ graph.initializers[$0] }),
            let zeros = zero.codes, zeros.contains(where: { $0 != 0 }), let codes = tensor.codes
        else { return }
        let place = axis < 0 ? tensor.dims.count + axis : axis
        let layout = zeros.count == 1 ? ScaleLayout(.tensor, dims: tensor.dims) : ScaleLayout(.axis(place), dims: tensor.dims)
        guard zeros.count == 1 || (tensor.dims.indices.contains(place) && tensor.dims[place] == zeros.count) else { return }
        counts[name] = Count(parameters: codes.count, nonZeros: Self.different(codes, zeros, layout))
    }

    /// Weights that stand for rows of a codebook. Where codes do not count rows from the first, all count as non-zero.
    private static func count(_ codes: Tensor, _ codebook: Tensor, _ weights: Int) -> Count {
        let width = codebook.dims.dropFirst().reduce(1, *)
        guard let rows = codes.floats()?.map({ Int($0) }), let values = codebook.floats(), width > 0 else { return Count(parameters: weights, nonZeros: weights) }
        let nonZeros = (0..<(values.count / width)).map { row in values[(row * width)..<((row + 1) * width)].count { $0 != 0 } }
        let total = min(weights, codes.count * width)
        guard rows.allSatisfy(nonZeros.indices.contains) else { return Count(parameters: total, nonZeros: total) }
        return Count(parameters: total, nonZeros: min(rows.reduce(0) { $0 + nonZeros[$1] }, total))
    }

    private static func layout(_ dims: [Int], scaleDims: [Int], _ node: Node) -> ScaleLayout {
        guard !scaleDims.isEmpty, scaleDims.reduce(1, *) > 1 else { return ScaleLayout(.tensor, dims: dims) }
        let axis = node.int("axis") ?? 1
        let position = min(max(axis < 0 ? axis + dims.count : axis, 0), dims.count - 1)
        guard let size = node.int("block_size"), size > 0 else { return ScaleLayout(.axis(position), dims: dims) }
        return ScaleLayout(.blocks(axis: position, size: size), dims: dims)
    }

    /// Codes that differ from their zero point.
    private static func different(_ codes: [UInt8], _ zeros: [UInt8], _ layout: ScaleLayout) -> Int {
        var result = 0
        layout.forEachRun { run in
            for index in 0..<run.count {
                let scale = run.scalePerElement ? run.scale + index : run.scale
                if scale < zeros.count, codes[run.offset + index] != zeros[scale] { result += 1 }
            }
        }
        return result
    }

    private mutating func countBlocks(_ node: Node, _ graph: Graph, weight: Int, rows: Int, columns: Int, blockSize: Int, bits: Int) {
        guard let name = node.input(weight), let packed = graph.initializers[name], [2, 4, 8].contains(bits), rows > 0, columns > 0,
            blockSize > 0
        else { return }
        let bytes = packed.storage.bytes
        let rowBytes = bytes.count / rows
        let blocks = (columns + blockSize - 1) / blockSize
        let zeros = node.input(3).flatMap { graph.initializers[$0] }?.storage.bytes
        let zeroRowBytes = (zeros?.count ?? 0) / rows
        guard rowBytes * 8 / bits >= columns, zeros == nil || zeroRowBytes * 8 / bits >= blocks else { return }
        let mask = UInt8(truncatingIfNeeded: (1 << bits) - 1)
        let perByte = 8 / bits
        func code(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ index: Int) -> UInt8 {
            (bytes[start + index / perByte] >> UInt8(index % perByte * bits)) & mask
        }
        var nonZeros = 0
        for row in 0..<rows {
            for block in 0..<blocks {
                let zero = zeros.map { code($0, row * zeroRowBytes, block) } ?? UInt8(1 << (bits - 1))
                for index in (block * blockSize)..<min((block + 1) * blockSize, columns) where code(bytes, row * rowBytes, index) != zero {
                    nonZeros += 1
                }
            }
        }
        counts[name] = Count(parameters: rows * columns, nonZeros: nonZeros)
    }

    /// Counts a weight that plain operators unpack.
    private static func count(_ weight: PackedWeight, _ graph: Graph) -> Count? {
        let planes = weight.planes.compactMap { graph.initializers[$0] }
        guard planes.count == weight.planes.count, let first = planes.first else { return nil }
        let total = weight.codeDims.reduce(1, *)
        let zero = weight.zeroPoint.flatMap { graph.initializers[$0] }
        let count = weight.dims.reduce(1, *)
        if let offset = zero?.floats(), offset.contains(where: { $0 != $0.rounded() }) { return Count(parameters: count, nonZeros: count) }
        let codebook = weight.codebook.flatMap { graph.initializers[$0] }?.floats()
        if let codebook, !codebook.contains(0) { return Count(parameters: count, nonZeros: count) }
        let zeros = codebook?.firstIndex(of: 0).map { [UInt8(truncatingIfNeeded: $0)] } ?? zero?.floats()?.map { UInt8(truncatingIfNeeded: Int($0)) } ?? [0]
        guard let codes = weight.bits == 8 && planes.count == 1 ? first.codes : weight.unpackedCodes(in: graph), codes.count == total else { return nil }
        // Zero points broadcast over the codes: equal extents, or 1.
        let dims = zero?.dims ?? []
        let padded = [Int](repeating: 1, count: max(weight.codeDims.count - dims.count, 0)) + dims
        guard let places = BroadcastPositions(of: padded, in: weight.codeDims) else { return nil }
        var nonZeros = 0
        if zeros.count == 1 {
            for code in codes where code != zeros[0] { nonZeros += 1 }
        } else {
            for (index, code) in codes.enumerated() where code != zeros[places[index]] { nonZeros += 1 }
        }
        return Count(parameters: count, nonZeros: min(nonZeros, count))
    }
}

extension Tensor {
    /// Codes of 8 or 4 bits, one to a byte, signed ones in two's complement.
    fileprivate var codes: [UInt8]? {
        switch elementType {
        case .int8, .uint8: return [UInt8](storage.bytes)
        case .int4, .uint4: return floats()?.map { UInt8(truncatingIfNeeded: Int($0)) }
        default: return nil
        }
    }
}
