import ModelGraph

/// Codes of weights that share bytes: what bit planes or the blocks of MatMulNBits hold, one number to a weight.
package enum StoredCodes {
    /// The codes of a layer's weight less their zero point, or what they stand for in a codebook: the weights before scaling.
    /// - Returns: `nil` where the elements of the stored tensor are the codes.
    package static func values(of layer: Layer, in model: Model) -> [Float]? {
        guard let graph = model.graph[layer.path], graph.nodes.indices.contains(layer.nodeIndex), let bits = layer.quantization?.bits, bits < 8 else { return nil }
        let node = graph.nodes[layer.nodeIndex]
        if node.opType == "MatMulNBits" { return blocks(node, model, layer, bits: bits) }
        guard let (stored, owner) = model.initializer(layer.weight, from: layer.path), stored.elementType == .uint8, let home = model.graph[owner] else { return nil }
        return home.packedWeights.first { $0.planes.first == layer.weight }.flatMap { planes($0, home) }
    }

    private static func planes(_ weight: PackedWeight, _ graph: Graph) -> [Float]? {
        guard let codes = weight.unpackedCodes(in: graph) else { return nil }
        if let values = weight.codebook.flatMap({ graph.initializers[$0]?.floats() }) {
            return codes.map { values.indices.contains(Int($0)) ? values[Int($0)] : 0 }
        }
        guard let zero = weight.zeroPoint.flatMap({ graph.initializers[$0] }), let zeros = zero.floats(), let first = zeros.first else { return codes.map { Float($0) } }
        guard zeros.count > 1 else { return codes.map { Float($0) - first } }
        let dims = [Int](repeating: 1, count: max(weight.codeDims.count - zero.dims.count, 0)) + zero.dims
        guard let places = BroadcastPositions(of: dims, in: weight.codeDims) else { return nil }
        return codes.enumerated().map { Float($1) - zeros[places[$0]] }
    }

    /// B[N][blocks][block_size · bits / 8], lowest bits first; a zero point for each block, 2^(bits − 1) where none are given (com.microsoft, MatMulNBits).
    private static func blocks(_ node: Node, _ model: Model, _ layer: Layer, bits: Int) -> [Float]? {
        func bytes(_ input: Int) -> Tensor? { node.input(input).flatMap { model.initializer($0, from: layer.path)?.tensor } }
        guard let packed = bytes(1), packed.elementType == .uint8, let rows = node.int("N"), let columns = node.int("K"), let size = node.int("block_size"),
            [2, 4].contains(bits), rows > 0, columns > 0, size > 0
        else { return nil }
        let zeros = bytes(3)
        guard zeros == nil || zeros?.elementType == .uint8 else { return nil }
        let rowCodes = packed.storage.byteCount / rows * 8 / bits
        let blocks = (columns + size - 1) / size
        let zeroCodes = (zeros?.storage.byteCount ?? 0) / rows * 8 / bits
        guard rowCodes >= columns, zeros == nil || zeroCodes >= blocks else { return nil }
        let mask = UInt8((1 << bits) - 1)
        let perByte = 8 / bits
        func code(_ tensor: Tensor, _ index: Int) -> Float { Float((tensor.storage.bytes[index / perByte] >> UInt8(index % perByte * bits)) & mask) }
        var values: [Float] = []
        values.reserveCapacity(rows * columns)
        for row in 0..<rows {
            for column in 0..<columns {
                let zero = zeros.map { code($0, row * zeroCodes + column / size) } ?? Float(1 << (bits - 1))
                values.append(code(packed, row * rowCodes + column) - zero)
            }
        }
        return values
    }
}

/// Which element of a tensor meets each element of another that it is broadcast to.
struct BroadcastPositions {
    private let dims, extents: [Int]

    /// `nil` where extents are neither equal nor 1.
    init?(of dims: [Int], in extents: [Int]) {
        guard dims.count == extents.count, zip(dims, extents).allSatisfy({ $0 == 1 || $0 == $1 }) else { return nil }
        (self.dims, self.extents) = (dims, extents)
    }

    subscript(index: Int) -> Int {
        var (rest, position, stride) = (index, 0, 1)
        for axis in dims.indices.reversed() {
            let coordinate = rest % extents[axis]
            rest /= extents[axis]
            if dims[axis] > 1 { position += coordinate * stride }
            stride *= dims[axis]
        }
        return position
    }
}
