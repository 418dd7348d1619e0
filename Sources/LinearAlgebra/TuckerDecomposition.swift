import EngineSupport

/// A tensor first × second × rest as a core with a factor on each of its first two axes (Tucker-2):
/// T[i, j, k] ≈ Σ U[i, a]·V[j, b]·C[a, b, k], U and V with orthonormal columns.
///
/// The start is the higher-order singular value decomposition; alternating least squares (higher-order orthogonal iteration) then
/// makes both subspaces fit each other. De Lathauwer, De Moor and Vandewalle, On the Best Rank-1 and Rank-(R1, …, RN)
/// Approximation of Higher-Order Tensors, SIAM J. Matrix Anal. Appl. 21 (2000), section 4.
package struct TuckerDecomposition: Sendable {
    /// Ranks of the first and the second axis.
    package var ranks: (first: Int, second: Int)
    /// rank × first dimension and rank × second dimension, orthonormal rows.
    package var first: [Double]
    package var second: [Double]
    /// first rank × second rank × rest.
    package var core: [Double]
    /// ‖T − approximation‖ / ‖T‖, Frobenius.
    var relativeError: Double

    /// - Parameters:
    ///   - dims: first, second, rest.
    ///   - start: eigenvectors of the unfolding along the first and the second axis (`SymmetricEigen.vectors`).
    ///   - iterations: rounds at most; 0 leaves the higher-order singular value decomposition.
    package static func decompose(
        _ tensor: [Double], dims: (first: Int, second: Int, rest: Int), ranks: (first: Int, second: Int), start: (first: [Double], second: [Double]),
        iterations: Int, cancellation: Cancellation
    ) throws(EngineError) -> TuckerDecomposition {
        let (m, n, k) = dims
        let (p, q) = (min(max(ranks.first, 1), m), min(max(ranks.second, 1), n))
        var u = Array(start.first[..<(p * m)])
        var v = Array(start.second[..<(q * n)])
        let norm = tensor.reduce(0) { $0 + $1 * $1 }
        let swapped = Dense.swapFirstTwo(tensor, m, n, k)
        var kept = 0.0
        for round in 0..<max(iterations, 0) {
            try cancellation.check()
            // first × (q·rest), then second × (p·rest).
            let alongSecond = Dense.swapFirstTwo(Dense.product(v, swapped, rows: q, inner: n, columns: m * k), q, m, k)
            u = try SymmetricEigen(unfolding: alongSecond, rows: m, columns: q * k).leading(p, of: m)
            let alongFirst = Dense.swapFirstTwo(Dense.product(u, tensor, rows: p, inner: m, columns: n * k), p, n, k)
            let eigen = try SymmetricEigen(unfolding: alongFirst, rows: n, columns: p * k)
            v = eigen.leading(q, of: n)
            let now = eigen.values[..<q].reduce(0, +)
            defer { kept = now }
            if round > 0, now - kept <= 1e-9 * norm { break }
        }
        let alongFirst = Dense.swapFirstTwo(Dense.product(u, tensor, rows: p, inner: m, columns: n * k), p, n, k)
        let core = Dense.swapFirstTwo(Dense.product(v, alongFirst, rows: q, inner: n, columns: p * k), q, p, k)
        let energy = core.reduce(0) { $0 + $1 * $1 }
        return TuckerDecomposition(
            ranks: (p, q), first: u, second: v, core: core, relativeError: norm > 0 ? (max(norm - energy, 0) / norm).squareRoot() : 0)
    }
}
