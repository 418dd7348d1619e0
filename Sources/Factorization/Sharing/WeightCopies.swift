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

    /// Whether a tensor is the transpose of another; `nil` where it is no copy at all.
    private static func copy(_ tensor: Tensor, of other: Tensor) -> Bool? {
        guard tensor.elementType == other.elementType, tensor.count == other.count else { return nil }
        if tensor.dims == other.dims { return tensor.storage.bytes.elementsEqual(other.storage.bytes) ? false : nil }
        guard tensor.dims.count == 2, tensor.dims == other.dims.reversed(), let a = tensor.floats(), let b = other.floats() else { return nil }
        let (rows, columns) = (tensor.dims[0], tensor.dims[1])
        for row in 0..<rows {
            for column in 0..<columns where a[row * columns + column] != b[column * rows + row] { return nil }
        }
        return true
    }
}
