import ModelGraph
import Techniques

/// A weight tensor cut into vectors: runs of `dimension` inputs of one output, the last run of each filled up with zeros.
struct Subvectors: Sendable {
    /// Outputs of a matrix or convolution; for other tensors everything but the last axis, or the first of embeddings.
    let rows: Int
    /// Inputs of one output.
    let columns: Int
    let dimension: Int
    /// The tensor has inputs before outputs.
    let transposed: Bool

    /// Vectors of one row.
    var blocks: Int { (columns + dimension - 1) / dimension }
    /// Vectors of the tensor.
    var count: Int { rows * blocks }
    /// Columns with what is filled up.
    var paddedColumns: Int { blocks * dimension }

    init(_ layer: Layer, dims: [Int], dimension wanted: Int) {
        let count = dims.reduce(1, *)
        switch layer.kind {
        case .gemm where dims.count == 2, .matMul where dims.count == 2:
            transposed = layer.outputAxis == 1
            rows = dims[layer.outputAxis]
        case .conv, .convTranspose, .embedding:
            transposed = false
            rows = dims[0]
        default:
            transposed = false
            rows = dims.dropLast().reduce(1, *)
        }
        columns = count / max(rows, 1)
        dimension = max(min(wanted, columns), 1)
    }

    /// The vectors, row by row.
    func vectors(_ tensor: Tensor) -> [Float] {
        guard let floats = tensor.floats() else { return [] }
        let matrix = transposed ? WeightMatrix.transpose(floats, rows: columns, columns: rows) : floats
        guard paddedColumns != columns else { return matrix }
        var padded = [Float](repeating: 0, count: rows * paddedColumns)
        for row in 0..<rows { padded.replaceSubrange((row * paddedColumns)..<(row * paddedColumns + columns), with: matrix[(row * columns)..<((row + 1) * columns)]) }
        return padded
    }

    /// Nodes that put vectors, [rows, blocks, dimension], back into a tensor.
    func emit(_ value: String, dims: [Int], _ editor: inout GraphEditor, at path: GraphPath) -> String {
        var value = value
        if paddedColumns != columns {
            value = editor.frontReshape(value, [rows, paddedColumns], at: path)
            value = editor.frontSlice(value, axis: 1, to: columns, at: path)
        }
        if transposed {
            if paddedColumns == columns { value = editor.frontReshape(value, [rows, columns], at: path) }
            value = editor.front("Transpose", [value], at: path, [Attribute("perm", .integers([1, 0]))])
        }
        return editor.frontReshape(value, dims, at: path)
    }
}

extension GraphEditor {
    /// The first `length` positions of an axis. Operator sets before 10 have Slice with attributes instead of inputs.
    mutating func frontSlice(_ value: String, axis: Int, to length: Int, at path: GraphPath) -> String {
        guard model.opset >= 10 else {
            return front("Slice", [value], at: path, [("starts", 0), ("ends", length), ("axes", axis)].map { Attribute($0.0, .integers([$0.1])) })
        }
        let inputs = [0, length, axis].map { constant(Tensor(name: "", int64s: [Int64($0)], dims: [1]), at: path) }
        return front("Slice", [value] + inputs, at: path)
    }
}
