import LinearAlgebra
import ModelGraph

/// Singular values of weights.
public enum SingularValues {
    /// Rows and columns of a weight as a matrix: the first dimension by all others. That is outputs × inputs·kernel for
    /// convolutions, inputs × outputs·kernel for transposed ones, rows × width for embeddings. `nil` for weights that are
    /// no single matrix (recurrent layers, batched constants) or are empty.
    public static func matrixShape(of layer: Layer) -> (rows: Int, columns: Int)? {
        let dims = layer.weightShape
        switch layer.kind {
        case .conv, .convTranspose: guard layer.group == 1, dims.count >= 3 else { return nil }
        case .gemm, .matMul, .embedding: guard dims.count == 2 else { return nil }
        case .lstm, .gru, .rnn: return nil
        }
        let rows = dims[0]
        let columns = dims.dropFirst().reduce(1, *)
        return rows > 0 && columns > 0 ? (rows, columns) : nil
    }

    /// Singular values of a weight tensor as the matrix of its first dimension by all others, largest first; empty if it has
    /// values that are not finite, is not numeric or is too large. O(m·n·min(m, n)).
    public static func compute(_ tensor: Tensor) -> [Float] {
        guard tensor.dims.count >= 2, tensor.count > 0 else { return [] }
        let rows = tensor.dims[0]
        return tensor.withFloats { values in
            (try? Lapack.singularValues(values, rows: rows, columns: values.count / rows)) ?? []
        } ?? []
    }
}
