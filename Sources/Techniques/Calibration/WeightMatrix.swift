import ModelGraph

/// A layer's main weight as matrices of outputs × inputs, one per group of a convolution: the form in which methods that
/// look at a layer's inputs see it.
///
/// The inputs of a convolution's output are its kernel positions: input channel of the group, then the kernel's axes.
package struct WeightMatrix {
    package let groups: Int
    /// Outputs of one group.
    package let rows: Int
    /// Inputs of one output.
    package let columns: Int
    /// groups × rows × columns, row-major.
    package var values: [Float]
    private let dims: [Int]
    /// The stored tensor has inputs before outputs.
    private let transposed: Bool

    package struct Shape: Hashable, Sendable {
        package var groups: Int
        package var rows: Int
        package var columns: Int

        package init(groups: Int, rows: Int, columns: Int) {
            self.groups = groups
            self.rows = rows
            self.columns = columns
        }
    }

    /// `nil` for layers that are not one product with their weight on the right: recurrent layers, embeddings, transposed
    /// convolutions, batched constants.
    package static func shape(of layer: Layer) -> Shape? {
        let dims = layer.weightShape
        switch layer.kind {
        case .conv:
            guard dims.count >= 3, layer.group > 0, dims[0] % layer.group == 0 else { return nil }
            return Shape(groups: layer.group, rows: dims[0] / layer.group, columns: dims[1...].reduce(1, *))
        case .gemm, .matMul:
            guard dims.count == 2 else { return nil }
            return Shape(groups: 1, rows: dims[layer.outputAxis], columns: dims[layer.inputAxis])
        case .convTranspose, .lstm, .gru, .rnn, .embedding:
            return nil
        }
    }

    /// Why a layer is no such matrix, in words for the user; `nil` if it is one.
    package static func refusal(of layer: Layer) -> String? {
        guard shape(of: layer) == nil else { return nil }
        return switch layer.kind {
        case .embedding: "embedding: rows are looked up, not multiplied"
        case .lstm, .gru, .rnn: "recurrent layers multiply several matrices, step by step"
        case .convTranspose: "transposed convolutions are not one matrix of outputs by inputs"
        case .conv, .gemm, .matMul: "its weight is not one matrix of outputs by inputs"
        }
    }

    /// - Parameter tensor: the weight of `layer`.
    package init?(_ tensor: Tensor, of layer: Layer) {
        guard let shape = Self.shape(of: layer), tensor.dims == layer.weightShape, let floats = tensor.floats() else { return nil }
        groups = shape.groups
        rows = shape.rows
        columns = shape.columns
        dims = tensor.dims
        transposed = layer.kind != .conv && layer.outputAxis == 1
        values = transposed ? Self.transpose(floats, rows: columns, columns: rows) : floats
    }

    /// The weight in the shape and layout in which the graph has it, rounded to the type of `original`.
    package func tensor(like original: Tensor) -> Tensor {
        original.withFloats(transposed ? Self.transpose(values, rows: rows, columns: columns) : values, dims: dims)
    }

    /// Marks of elements, from the matrix's order into the stored tensor's.
    package func inTensorOrder(_ marks: [Bool]) -> [Bool] {
        guard transposed else { return marks }
        var result = marks
        for row in 0..<rows { for column in 0..<columns { result[column * rows + row] = marks[row * columns + column] } }
        return result
    }

    /// First element of a row: output `row` of group `group`.
    package func offset(_ group: Int, _ row: Int) -> Int { (group * rows + row) * columns }

    package static func transpose(_ matrix: [Float], rows: Int, columns: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: rows * columns) { out, initialized in
            let tile = 32
            for rowStart in stride(from: 0, to: rows, by: tile) {
                for columnStart in stride(from: 0, to: columns, by: tile) {
                    for row in rowStart..<min(rowStart + tile, rows) {
                        for column in columnStart..<min(columnStart + tile, columns) {
                            out.initializeElement(at: column * rows + row, to: matrix[row * columns + column])
                        }
                    }
                }
            }
            initialized = rows * columns
        }
    }
}
