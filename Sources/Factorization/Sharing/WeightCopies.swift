import Foundation
import ModelGraph
import Techniques

/// Weights that stand in the file twice: the same numbers in the same order, or transposed, as exporters write a table that a model looks words
/// up in and multiplies by at its end.
struct WeightCopies {
    struct Copy {
        /// Position of the layer whose weight stays.
        var original: Int
        /// The copy is the original's transpose.
        var isTransposed: Bool
    }

    /// By position of the layer whose weight is a copy of an earlier layer's.
    private(set) var copies: [Int: Copy] = [:]

    /// - Parameter candidates: positions in `layers` whose weights may be shared.
    init(_ layers: [Layer], candidates: [Int], in model: Model) {
        var originals: [(position: Int, name: String, tensor: Tensor)] = []
        for position in candidates {
            let layer = layers[position]
            guard layer.otherWeights.isEmpty, let place = model.place(of: layer.weight, readBy: layer), place.owner.isMain,
                let tensor = model.graph.initializers[place.name], tensor.dims.count >= 2
            else { continue }
            if originals.contains(where: { $0.name == place.name }) { continue }
            if let found = originals.lazy.compactMap({ known in Self.copy(tensor, of: known.tensor).map { Copy(original: known.position, isTransposed: $0) } }).first {
                copies[position] = found
            } else {
                originals.append((position, place.name, tensor))
            }
        }
    }

    /// Whether a tensor is the transpose of another; `nil` where it is no copy at all. Elements are compared by their bits and in place: models have
    /// hundreds of weights of one shape, and the first elements tell most of them apart.
    private static func copy(_ tensor: Tensor, of other: Tensor) -> Bool? {
        guard tensor.elementType == other.elementType, tensor.count == other.count, tensor.storage.byteCount == other.storage.byteCount else { return nil }
        let (a, b) = (tensor.storage.bytes, other.storage.bytes)
        if tensor.dims == other.dims {
            guard let start = a.baseAddress, let second = b.baseAddress else { return false }
            return memcmp(start, second, a.count) == 0 ? false : nil
        }
        guard tensor.dims.count == 2, tensor.dims == other.dims.reversed() else { return nil }
        let (rows, columns) = (tensor.dims[0], tensor.dims[1])
        let isTransposed: Bool =
            switch tensor.elementType.bitWidth {
            case 8: isTranspose(a, b, rows, columns, of: UInt8.self)
            case 16: isTranspose(a, b, rows, columns, of: UInt16.self)
            case 32: isTranspose(a, b, rows, columns, of: UInt32.self)
            case 64: isTranspose(a, b, rows, columns, of: UInt64.self)
            default: false
            }
        return isTransposed ? true : nil
    }

    private static func isTranspose<Bits: FixedWidthInteger & BitwiseCopyable>(
        _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, _ rows: Int, _ columns: Int, of type: Bits.Type
    ) -> Bool {
        let width = MemoryLayout<Bits>.size
        guard rows * columns * width <= min(a.count, b.count) else { return false }
        for row in 0..<rows {
            for column in 0..<columns {
                let (here, there) = ((row * columns + column) * width, (column * rows + row) * width)
                guard a.loadUnaligned(fromByteOffset: here, as: Bits.self) == b.loadUnaligned(fromByteOffset: there, as: Bits.self) else { return false }
            }
        }
        return true
    }
}
