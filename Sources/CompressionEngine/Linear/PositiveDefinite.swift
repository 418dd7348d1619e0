import CLapack

/// Symmetric positive definite matrices in double precision, through LAPACK's Cholesky routines. All arrays row-major.
enum PositiveDefinite {
    /// The factor U of an inverse: upper triangular with A⁻¹ = Uᵀ·U; zeros below the diagonal.
    /// - Returns: `nil` if the matrix is not positive definite.
    static func factorOfInverse(_ matrix: [Double], size: Int) -> [Double]? {
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

    /// C = A·B for row-major matrices, A rows × inner, B inner × columns.
    static func product(_ a: [Double], _ b: [Double], rows: Int, inner: Int, columns: Int) -> [Double] {
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
