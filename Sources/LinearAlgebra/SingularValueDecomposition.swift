import CLapack
import EngineSupport

/// A thin singular value decomposition A = U · diag(s) · Vᵀ of an m × n matrix, k = min(m, n). All arrays row-major.
package struct SingularValueDecomposition: Sendable {
    package var rows: Int
    package var columns: Int
    /// m × k, orthonormal columns.
    package var u: [Float]
    /// k values, largest first.
    package var s: [Float]
    /// k × n, orthonormal rows.
    package var vt: [Float]

    package init(rows: Int, columns: Int, u: [Float], s: [Float], vt: [Float]) {
        self.rows = rows
        self.columns = columns
        self.u = u
        self.s = s
        self.vt = vt
    }
}

/// LAPACK behind Swift arrays.
///
/// OpenBLAS is set to one thread: layers are spread over cores by the callers, and results then do not depend on how
/// many cores a machine has.
package enum Lapack {
    private static let singleThreaded: Void = openblas_set_num_threads(1)

    /// Must come before the first call of a BLAS routine from several threads.
    package static func useOneThread() { _ = singleThreaded }

    /// Whether a matrix is small enough for LAPACK's 32-bit indices and workspace.
    package static func canDecompose(rows: Int, columns: Int) -> Bool {
        let (elements, overflow) = rows.multipliedReportingOverflow(by: columns)
        let small = min(rows, columns)
        return rows > 0 && columns > 0 && !overflow && elements < 1 << 31 && small < 16384
    }

    /// The decomposition of a row-major matrix, by divide and conquer (`sgesdd`).
    /// - Throws: `EngineError` if an element is not finite, the matrix too large, or the iteration does not converge.
    package static func svd(_ matrix: UnsafeBufferPointer<Float>, rows: Int, columns: Int) throws(EngineError) -> SingularValueDecomposition {
        let k = min(rows, columns)
        var result = SingularValueDecomposition(
            rows: rows, columns: columns, u: [Float](repeating: 0, count: rows * k), s: [], vt: [Float](repeating: 0, count: k * columns))
        // LAPACK is column-major, so it sees the transpose, whose left factor is our right one and stands in memory as
        // Vᵀ row by row: nothing needs to be transposed.
        result.s = try decompose(matrix, rows: rows, columns: columns, vt: &result.vt, u: &result.u, job: "S")
        return result
    }

    /// The singular values alone, largest first.
    /// - Throws: as `svd`.
    package static func singularValues(_ matrix: UnsafeBufferPointer<Float>, rows: Int, columns: Int) throws(EngineError) -> [Float] {
        var none: [Float] = [0]
        var alsoNone: [Float] = [0]
        return try decompose(matrix, rows: rows, columns: columns, vt: &none, u: &alsoNone, job: "N")
    }

    /// `svd` of an array.
    package static func svd(array: [Float], rows: Int, columns: Int) throws(EngineError) -> SingularValueDecomposition {
        let result: Result<SingularValueDecomposition, EngineError> = array.withUnsafeBufferPointer { matrix in
            Result { () throws(EngineError) in try svd(matrix, rows: rows, columns: columns) }
        }
        return try result.get()
    }

    /// `singularValues` of an array.
    package static func singularValues(array: [Float], rows: Int, columns: Int) throws(EngineError) -> [Float] {
        let result: Result<[Float], EngineError> = array.withUnsafeBufferPointer { matrix in
            Result { () throws(EngineError) in try singularValues(matrix, rows: rows, columns: columns) }
        }
        return try result.get()
    }

    private static func decompose(
        _ matrix: UnsafeBufferPointer<Float>, rows: Int, columns: Int, vt: inout [Float], u: inout [Float], job: String
    ) throws(EngineError) -> [Float] {
        guard canDecompose(rows: rows, columns: columns), matrix.count == rows * columns else {
            throw EngineError(.technique, "a \(rows) × \(columns) matrix is too large to decompose")
        }
        guard matrix.allSatisfy(\.isFinite) else { throw EngineError(.technique, "weights are not finite") }
        _ = singleThreaded
        var a = [Float](matrix)
        let k = min(rows, columns)
        var s = [Float](repeating: 0, count: k)
        var m = Int32(columns)
        var n = Int32(rows)
        var ldu = Int32(columns)
        var ldvt = Int32(k)
        var info: Int32 = 0
        var integers = [Int32](repeating: 0, count: 8 * k)
        let name = job.utf8CString
        var workCount: Int32 = -1
        var best: Float = 0
        name.withUnsafeBufferPointer { name in
            sgesdd_(name.baseAddress, &m, &n, &a, &m, &s, &vt, &ldu, &u, &ldvt, &best, &workCount, &integers, &info)
        }
        guard info == 0 else { throw EngineError(.technique, "singular value decomposition was refused (LAPACK info \(info))") }
        // The size comes back as a float: round up past what its 24 bits cut off.
        let size = Double(best) * (1 + 0x1p-22) + 64
        guard size < Double(Int32.max) else { throw EngineError(.technique, "a \(rows) × \(columns) matrix is too large to decompose") }
        workCount = Int32(size)
        var work = [Float](repeating: 0, count: Int(workCount))
        name.withUnsafeBufferPointer { name in
            sgesdd_(name.baseAddress, &m, &n, &a, &m, &s, &vt, &ldu, &u, &ldvt, &work, &workCount, &integers, &info)
        }
        guard info == 0 else { throw EngineError(.technique, "singular value decomposition did not converge (LAPACK info \(info))") }
        return s
    }
}
