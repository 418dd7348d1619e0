import CLapack
import EngineSupport

/// A square root L of a symmetric positive definite matrix G = L·Lᵀ, lower triangular (Cholesky), and its inverse. Both n × n,
/// row-major, double precision.
package struct Whitening: Sendable {
    package var factor: [Double]
    package var inverse: [Double]
    /// What was added to the diagonal for G to be positive definite.
    var added: Double

    private init(factor: [Double], inverse: [Double], added: Double) {
        self.factor = factor
        self.inverse = inverse
        self.added = added
    }

    /// - Parameters:
    ///   - gram: n × n, symmetric.
    ///   - damping: added to the diagonal, as a share of its mean. Where that is not enough for a matrix that is singular, more is.
    /// - Throws: `EngineError` if the matrix is not finite or zero.
    package init(gram: [Float], count n: Int, damping: Double) throws(EngineError) {
        guard n > 0, gram.count == n * n, gram.allSatisfy(\.isFinite) else { throw EngineError(.technique, "the Gram matrix of its inputs is not finite") }
        Lapack.useOneThread()
        let mean = (0..<n).reduce(0.0) { $0 + Double(gram[$1 * n + $1]) } / Double(n)
        guard mean > 0 else { throw EngineError(.technique, "its inputs are all zero on the calibration data") }
        var size = Int32(n)
        var info: Int32 = 0
        var share = damping
        // Rounding of a float32 Gram matrix makes eigenvalues near zero negative.
        for _ in 0..<8 {
            var work = gram.map(Double.init)
            for index in 0..<n { work[index * n + index] += share * mean }
            // LAPACK's upper triangle, column by column, is our lower one, row by row: G = Uᵀ·U = L·Lᵀ.
            dpotrf_("U", &size, &work, &size, &info)
            var root: [Double] = []
            if info == 0 {
                for row in 0..<n { for column in (row + 1)..<max(n, row + 1) { work[row * n + column] = 0 } }
                root = work
                dtrtri_("U", "N", &size, &work, &size, &info)
            }
            guard info == 0 else {
                share = max(share * 10, 1e-7)
                continue
            }
            self.init(factor: root, inverse: work, added: share * mean)
            return
        }
        throw EngineError(.technique, "the Gram matrix of its inputs cannot be factorized")
    }
}
