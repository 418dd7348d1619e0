import CLapack

/// Symmetric positive definite matrices in double precision, through LAPACK's Cholesky routines. All arrays row-major.
package enum PositiveDefinite {
    /// The factor U of an inverse: upper triangular with A⁻¹ = Uᵀ·U; zeros below the diagonal.
    /// - Returns: `nil` if the matrix is not positive definite.
    package static func factorOfInverse(_ matrix: [Double], size: Int) -> [Double]? {
        guard size > 0, size < 32768, matrix.count == size * size, matrix.allSatisfy(\.isFinite) else { return nil }
        Lapack.useOneThread()
        var a = matrix
        var n = Int32(size)
        var info: Int32 = 0
        // LAPACK's lower triangle, column by column, is our upper one, row by row.
        dpotrf_("L", &n, &a, &n, &info)
        guard info == 0 else { return nil }
        dpotri_("L", &n, &a, &n, &info)
        guard info == 0 else { return nil }
        dpotrf_("L", &n, &a, &n, &info)
        guard info == 0 else { return nil }
        for row in 1..<max(size, 1) { for column in 0..<row { a[row * size + column] = 0 } }
        return a
    }

    /// The solutions x of A·x = b for several b, which are the rows of `sides`; row-major.
    /// - Returns: `nil` if the matrix is not positive definite.
    package static func solve(_ matrix: [Double], size: Int, sides: [Double]) -> [Double]? {
        guard size > 0, size < 32768, matrix.count == size * size, sides.count % size == 0, matrix.allSatisfy(\.isFinite) else { return nil }
        Lapack.useOneThread()
        var (a, b) = (matrix, sides)
        var n = Int32(size)
        var count = Int32(sides.count / size)
        var info: Int32 = 0
        dpotrf_("L", &n, &a, &n, &info)
        guard info == 0 else { return nil }
        // Row-major rows are LAPACK's columns, so each side is a column of its own.
        dpotrs_("L", &n, &count, a, &n, &b, &n, &info)
        return info == 0 ? b : nil
    }

    /// C = A·B for row-major matrices, A rows × inner, B inner × columns.
    package static func product(_ a: [Double], _ b: [Double], rows: Int, inner: Int, columns: Int) -> [Double] {
        Lapack.useOneThread()
        var c = [Double](repeating: 0, count: rows * columns)
        guard rows > 0, inner > 0, columns > 0 else { return c }
        var (m, n, k) = (Int32(columns), Int32(rows), Int32(inner))
        var (one, zero) = (1.0, 0.0)
        // Column-major this is Cᵀ = Bᵀ·Aᵀ.
        dgemm_("N", "N", &m, &n, &k, &one, b, &m, a, &k, &zero, &c, &m)
        return c
    }
}
