import EngineSupport
import ModelGraph

/// How a layer's weight matrix is cut into scales: the granularities of the user, for each kind of layer.
package enum Granularity: String, CaseIterable, Sendable {
    case tensor, channel, group
}

/// Where the elements of a tensor stand that is one matrix of outputs × inputs.
struct MatrixOrder: Hashable, Sendable {
    var rows: Int
    /// Inputs of an output.
    var columns: Int
    /// The same in the tensor, what fills the last block included.
    var paddedColumns: Int
    /// The tensor has outputs before inputs.
    var rowsFirst: Bool

    func offset(_ row: Int, _ column: Int) -> Int { rowsFirst ? row * paddedColumns + column : column * rows + row }
}

/// A weight tensor in the shape in which it is quantized.
package struct WeightView {
    /// The tensor, padded with zeros to whole blocks where they do not divide it.
    var tensor: Tensor
    package var layout: ScaleLayout
    /// Shape of the weight in the graph.
    var dims: [Int]
    /// Axis and length to cut back to, where padded.
    var crop: (axis: Int, length: Int)?
    /// The tensor as a matrix; `nil` where it is none.
    var order: MatrixOrder? {
        guard let rowsFirst else { return nil }
        let shape = layout.dims
        let rows = rowsFirst ? shape[0] : shape[1]
        let padded = shape.reduce(1, *) / max(rows, 1)
        return MatrixOrder(rows: rows, columns: dims.reduce(1, *) / max(rows, 1), paddedColumns: padded, rowsFirst: rowsFirst)
    }
    private var rowsFirst: Bool?

    /// - Parameters:
    ///   - weight: a weight tensor of `layer`, or one of its further weight matrices.
    ///   - groupSize: elements that share a scale along the inputs of an output, for `.group`.
    package init(_ weight: Tensor, of layer: Layer, granularity: Granularity, groupSize: Int) throws {
        dims = weight.dims
        tensor = weight
        layout = ScaleLayout(.tensor, dims: dims)
        let rank = weight.dims.count
        switch layer.kind {
        case .conv: rowsFirst = true
        case .gemm, .matMul: rowsFirst = rank == 2 ? layer.outputAxis == 0 : nil
        default: rowsFirst = nil
        }
        switch (granularity, layer.kind) {
        case (.tensor, _):
            return
        case (.channel, .conv), (.channel, .convTranspose), (.group, .convTranspose):
            layout = ScaleLayout(.axis(layer.outputAxis), dims: dims)
            return
        case (.channel, .embedding):
            // A row is what one index fetches; it has its own scale.
            layout = ScaleLayout(.axis(0), dims: dims)
            return
        case (.channel, .gemm), (.channel, .matMul):
            layout = rank == 2 ? ScaleLayout(.axis(layer.outputAxis), dims: dims) : ScaleLayout(.blocks(axis: layer.inputAxis, size: dims[layer.inputAxis]), dims: dims)
            return
        case (.channel, .lstm), (.channel, .gru), (.channel, .rnn):
            layout = ScaleLayout(.blocks(axis: 2, size: dims[2]), dims: dims)
            return
        case (.group, .conv):
            // Groups run over all inputs of a filter, kernel positions included.
            try pad(to: groupSize, axis: 1, shape: [dims[0], dims[1...].reduce(1, *)])
        case (.group, .embedding): try pad(to: groupSize, axis: 1, shape: dims)
        case (.group, .gemm), (.group, .matMul): try pad(to: groupSize, axis: layer.inputAxis, shape: dims)
        case (.group, .lstm), (.group, .gru), (.group, .rnn): try pad(to: groupSize, axis: 2, shape: dims)
        }
    }

    /// A matrix [rows, columns] in groups along its rows' elements, padded to whole groups even if one is longer than a row.
    init(rows weight: Tensor, groupSize: Int) throws {
        dims = weight.dims
        tensor = weight
        layout = ScaleLayout(.tensor, dims: dims)
        rowsFirst = true
        try pad(to: groupSize, axis: 1, shape: dims, whole: true)
    }

    /// Values of the padded shape without what was filled in.
    func cropped(_ values: [Float]) -> [Float] {
        guard let crop else { return values }
        let padded = layout.dims
        let from = padded[crop.axis...].reduce(1, *)
        let to = crop.length * padded[(crop.axis + 1)...].reduce(1, *)
        return (0..<(values.count / from)).flatMap { values[($0 * from)..<($0 * from + to)] }
    }

    private mutating func pad(to groupSize: Int, axis: Int, shape: [Int], whole: Bool = false) throws {
        let size = whole ? groupSize : min(groupSize, shape[axis])
        var padded = shape
        padded[axis] = (shape[axis] + size - 1) / size * size
        layout = ScaleLayout(.blocks(axis: axis, size: size), dims: padded)
        if padded == shape {
            tensor = try tensor.reshaped(shape)
            return
        }
        crop = (axis, shape[axis])
        let from = shape[axis...].reduce(1, *)
        let to = padded[axis...].reduce(1, *)
        let outer = shape[..<axis].reduce(1, *)
        let source = tensor
        let storage = source.withFloats { values in
            TensorStorage(byteCount: outer * to * 4) { memory in
                for part in 0..<outer {
                    let slice = UnsafeBufferPointer(rebasing: values[(part * from)..<((part + 1) * from)])
                    UnsafeMutableRawBufferPointer(rebasing: memory[(part * to * 4)...]).copyMemory(from: UnsafeRawBufferPointer(slice))
                }
            }
        }
        guard let storage else { throw EngineError(.technique, "tensor '\(source.name)': \(source.elementType) cannot be quantized") }
        tensor = try Tensor(name: source.name, elementType: .float32, dims: padded, storage: storage)
    }
}

extension Tensor {
    /// The matrix transposed. For two dimensions and float32 only.
    func transposedMatrix() throws -> Tensor {
        let (rows, columns) = (dims[0], dims[1])
        let made = withFloats { values in
            TensorStorage(byteCount: values.count * 4) { memory in
                let out = memory.bindMemory(to: Float.self)
                // In tiles, so that neither side leaves the cache.
                let tile = 32
                for rowStart in stride(from: 0, to: rows, by: tile) {
                    for columnStart in stride(from: 0, to: columns, by: tile) {
                        for row in rowStart..<min(rowStart + tile, rows) {
                            for column in columnStart..<min(columnStart + tile, columns) {
                                out[column * rows + row] = values[row * columns + column]
                            }
                        }
                    }
                }
            }
        }
        guard let made else { throw EngineError(.technique, "tensor '\(name)': \(elementType) cannot be transposed") }
        return try Tensor(name: name, elementType: .float32, dims: [columns, rows], storage: made)
    }
}
