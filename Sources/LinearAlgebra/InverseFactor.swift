import CLapack
import EngineSupport

extension Lapack {
    /// Upper triangular R with A⁻¹ = Rᵀ·R for a symmetric positive definite A, row-major, computed in double precision.
    ///
    /// A = U·Uᵀ with upper triangular U gives R = U⁻¹; the factorization "from the other end" is that of A with rows and columns
    /// reversed.
    /// - Parameter step: added to A's diagonal, and multiplied, as often as rounding leaves A not positive definite.
    /// - Throws: `EngineError` if A is not finite.
    package static func inverseFactor(_ matrix: [Float], count n: Int, raising step: Double) throws(EngineError) -> [Float] {
        guard matrix.count == n * n, matrix.allSatisfy(\.isFinite) else {
            throw EngineError(.technique, "the Gram matrix of the layer's inputs is not finite")
        }
        useOneThread()
        var size = Int32(n)
        var info: Int32 = 0
        var raise = 0.0
        for _ in 0..<8 {
            // Symmetric, so row-major and column-major are the same.
            var work = [Double](unsafeUninitializedCapacity: n * n) { out, initialized in
                for index in 0..<(n * n) { out.initializeElement(at: index, to: Double(matrix[n * n - 1 - index])) }
                initialized = n * n
            }
            for index in 0..<n { work[index * n + index] += raise }
            dpotrf_("L", &size, &work, &size, &info)
            if info == 0 { dtrtri_("L", "N", &size, &work, &size, &info) }
            guard info == 0 else {
                raise = raise == 0 ? step : raise * 10
                continue
            }
            // The inverse's lower triangle, column-major, reversed in both axes is R row-major: element (i, j) of R is
            // (n−1−i, n−1−j) of it, at column n−1−j.
            var result = [Float](repeating: 0, count: n * n)
            for row in 0..<n {
                for column in row..<n { result[row * n + column] = Float(work[(n - 1 - column) * n + (n - 1 - row)]) }
            }
            return result
        }
        throw EngineError(.technique, "the Gram matrix of the layer's inputs cannot be inverted")
    }
}
