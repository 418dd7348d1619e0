import CLapack
import EngineSupport

/// Eigenvalues and eigenvectors of a symmetric matrix, in double precision.
package struct SymmetricEigen: Sendable {
    /// Largest first.
    package var values: [Double]
    /// n × n, row-major: row i is the unit eigenvector of value i.
    package var vectors: [Double]

    /// - Parameter matrix: n × n, symmetric.
    /// - Throws: `EngineError` if it is not finite, too large, or the iteration does not converge.
    init(_ matrix: [Double], count n: Int) throws(EngineError) {
        guard n > 0, n < 16384, matrix.count == n * n, matrix.allSatisfy(\.isFinite) else { throw EngineError(.technique, "weights are not finite") }
        Lapack.useOneThread()
        var a = matrix
        var w = [Double](repeating: 0, count: n)
        var size = Int32(n)
        var info: Int32 = 0
        var (count, integerCount): (Int32, Int32) = (-1, -1)
        var work = [0.0]
        var integers: [Int32] = [0]
        dsyevd_("V", "L", &size, &a, &size, &w, &work, &count, &integers, &integerCount, &info)
        guard info == 0, work[0] < Double(Int32.max) else { throw EngineError(.technique, "a \(n) × \(n) matrix is too large to decompose") }
        (count, integerCount) = (Int32(work[0]), integers[0])
        work = [Double](repeating: 0, count: Int(count))
        integers = [Int32](repeating: 0, count: Int(integerCount))
        dsyevd_("V", "L", &size, &a, &size, &w, &work, &count, &integers, &integerCount, &info)
        guard info == 0 else { throw EngineError(.technique, "the eigenvalues did not converge (LAPACK info \(info))") }
        values = w.reversed()
        vectors = [Double](unsafeUninitializedCapacity: n * n) { out, initialized in
            // LAPACK's columns, smallest first, stand in memory one after the other.
            for row in 0..<n { for column in 0..<n { out.initializeElement(at: row * n + column, to: a[(n - 1 - row) * n + column]) } }
            initialized = n * n
        }
    }

    /// Left singular vectors and squared singular values of a rows × columns matrix, through A·Aᵀ.
    package init(unfolding matrix: [Double], rows: Int, columns: Int) throws(EngineError) {
        try self.init(Dense.gram(matrix, rows: rows, columns: columns), count: rows)
    }

    /// The first `rank` eigenvectors: rank × n.
    func leading(_ rank: Int, of n: Int) -> [Double] { Array(vectors[..<(rank * n)]) }
}

/// Products of dense row-major matrices in double precision.
package enum Dense {
    /// A·B, A rows × inner, B inner × columns; either may be stored transposed.
    package static func product(
        _ a: [Double], _ b: [Double], rows: Int, inner: Int, columns: Int, transposedA: Bool = false, transposedB: Bool = false
    ) -> [Double] {
        Lapack.useOneThread()
        var c = [Double](repeating: 0, count: rows * columns)
        guard rows > 0, inner > 0, columns > 0 else { return c }
        var (m, n, k) = (Int32(columns), Int32(rows), Int32(inner))
        var (ldb, lda) = (Int32(transposedB ? inner : columns), Int32(transposedA ? rows : inner))
        var (one, zero) = (1.0, 0.0)
        // Column-major this is Cᵀ = Bᵀ·Aᵀ.
        dgemm_(transposedB ? "T" : "N", transposedA ? "T" : "N", &m, &n, &k, &one, b, &ldb, a, &lda, &zero, &c, &m)
        return c
    }

    /// A·Aᵀ, rows × rows.
    static func gram(_ a: [Double], rows: Int, columns: Int) -> [Double] {
        product(a, a, rows: rows, inner: columns, columns: rows, transposedB: true)
    }

    static func transpose(_ a: [Double], rows: Int, columns: Int) -> [Double] { swapFirstTwo(a, rows, columns, 1) }

    /// Of a tensor first × second × rest, the tensor second × first × rest.
    package static func swapFirstTwo(_ a: [Double], _ first: Int, _ second: Int, _ rest: Int) -> [Double] {
        [Double](unsafeUninitializedCapacity: a.count) { out, initialized in
            for i in 0..<first {
                for j in 0..<second {
                    let (source, target) = ((i * second + j) * rest, (j * first + i) * rest)
                    for k in 0..<rest { out.initializeElement(at: target + k, to: a[source + k]) }
                }
            }
            initialized = a.count
        }
    }
}
