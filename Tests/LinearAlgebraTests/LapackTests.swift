import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import LinearAlgebra
@testable import Pruning
@testable import Quantization
@testable import Techniques
@testable import Training

@Suite struct LapackTests {
    /// A = U·S·Vᵀ with orthonormal columns of U and rows of Vᵀ and falling singular values, for every aspect.
    @Test(arguments: [(1, 1), (1, 7), (7, 1), (5, 5), (40, 9), (9, 40), (64, 130), (300, 24)])
    func decompositionReconstructs(rows: Int, columns: Int) throws {
        let a = Fixture.uniform(rows * columns, seed: 1)
        let svd = try a.withUnsafeBufferPointer { try Lapack.svd($0, rows: rows, columns: columns) }
        let k = min(rows, columns)
        #expect(svd.s.count == k && svd.u.count == rows * k && svd.vt.count == k * columns)
        #expect(zip(svd.s, svd.s.dropFirst()).allSatisfy { $0 >= $1 } && svd.s.allSatisfy { $0 >= 0 })
        for row in 0..<rows {
            for column in 0..<columns {
                let sum = (0..<k).reduce(0.0) { $0 + Double(svd.u[row * k + $1]) * Double(svd.s[$1]) * Double(svd.vt[$1 * columns + column]) }
                #expect(abs(sum - Double(a[row * columns + column])) < 1e-5)
            }
        }
        for first in 0..<k {
            for second in 0...first {
                let dotU = (0..<rows).reduce(0.0) { $0 + Double(svd.u[$1 * k + first]) * Double(svd.u[$1 * k + second]) }
                let dotV = (0..<columns).reduce(0.0) { $0 + Double(svd.vt[first * columns + $1]) * Double(svd.vt[second * columns + $1]) }
                #expect(abs(dotU - (first == second ? 1 : 0)) < 1e-5 && abs(dotV - (first == second ? 1 : 0)) < 1e-5)
            }
        }
        let alone = try a.withUnsafeBufferPointer { try Lapack.singularValues($0, rows: rows, columns: columns) }
        #expect(zip(alone, svd.s).allSatisfy { abs($0 - $1) < 1e-5 * (svd.s[0] + 1) })
    }

    @Test func singularValuesEqualNumPys() throws {
        let folder = try TemporaryFolder()
        let (rows, columns) = (150, 420)
        let a = Fixture.uniform(rows * columns, seed: 2)
        try folder.write("a", a.withUnsafeBytes { Array($0) })
        try Python.run(
            "np.linalg.svd(np.fromfile(args[0], np.float32).reshape(150, 420).astype(np.float64), compute_uv=False).astype(np.float32).tofile(args[1])",
            folder.path + "/a", folder.path + "/s")
        let expected = try Python.floats(folder.path + "/s")
        let values = SingularValues.compute(Tensor(name: "a", floats: a, dims: [rows, columns]))
        #expect(values.count == rows)
        #expect(zip(values, expected).allSatisfy { abs($0 - $1) <= 1e-5 * expected[0] })
    }

    /// The same values whatever the shape says about the kernel: a filter's weights are one row.
    @Test func convolutionIsAMatrixOfFilters() {
        let a = Fixture.uniform(8 * 45, seed: 3)
        #expect(
            SingularValues.compute(Tensor(name: "w", floats: a, dims: [8, 5, 3, 3])) == SingularValues.compute(Tensor(name: "w", floats: a, dims: [8, 45])))
    }

    @Test func notFiniteIsAnErrorNotAHang() {
        let a: [Float] = [1, .nan, 3, 4]
        #expect(throws: EngineError.self) { try a.withUnsafeBufferPointer { try Lapack.svd($0, rows: 2, columns: 2) } }
        #expect(SingularValues.compute(Tensor(name: "w", floats: [1, .infinity], dims: [1, 2])).isEmpty)
    }
}
