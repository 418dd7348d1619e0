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

/// Decompositions against TensorLy, NumPy and what is planted in the data.
@Suite struct DecompositionTests {
    /// Kernel of ResNet-8, ranks and relative error of TensorLy 0.10's partial_tucker, rank and error of its parafac: printed by
    /// Benchmarks/tensorly_reference.py.
    static let reference: [(kernel: String, first: Int, second: Int, tucker: Double, rank: Int, cp: Double)] = [
        ("stage1.conv1.weight", 8, 5, 0.61105, 18, 0.42331),
        ("stage1.conv2.weight", 8, 5, 0.65730, 18, 0.44132),
        ("stage2.conv1.weight", 16, 5, 0.68724, 25, 0.42466),
        ("stage2.conv2.weight", 16, 10, 0.63753, 39, 0.45186),
        ("stage3.conv1.weight", 32, 10, 0.67310, 54, 0.44647),
        ("stage3.conv2.weight", 32, 21, 0.53405, 82, 0.36017),
    ]

    static func kernel(_ name: String) throws -> (values: [Double], dims: [Int]) {
        let model = try Model.read(path: Samples.path("resnet-8"))
        let tensor = try #require(model.graph.initializers[name])
        return (try #require(tensor.floats()).map(Double.init), tensor.dims)
    }

    static func tucker(_ values: [Double], _ dims: [Int], _ ranks: (Int, Int), iterations: Int) throws -> TuckerDecomposition {
        let (m, n, k) = (dims[0], dims[1], dims[2...].reduce(1, *))
        let start = (
            try SymmetricEigen(unfolding: values, rows: m, columns: n * k).vectors,
            try SymmetricEigen(unfolding: Dense.swapFirstTwo(values, m, n, k), rows: n, columns: m * k).vectors
        )
        return try TuckerDecomposition.decompose(values, dims: (m, n, k), ranks: ranks, start: start, iterations: iterations, cancellation: Cancellation())
    }

    @Test func tuckerErrorsAreTensorLys() throws {
        for row in Self.reference {
            let (values, dims) = try Self.kernel(row.kernel)
            let found = try Self.tucker(values, dims, (row.first, row.second), iterations: 100)
            #expect(abs(found.relativeError / row.tucker - 1) < 0.002, "\(row.kernel): \(found.relativeError) against \(row.tucker)")
            // The error stated is that of the tensor made from the factors.
            let (p, q, k) = (found.ranks.first, found.ranks.second, values.count / dims[0] / dims[1])
            let widened = Dense.product(found.first, found.core, rows: dims[0], inner: p, columns: q * k, transposedA: true)
            let swapped = Dense.product(
                found.second, Dense.swapFirstTwo(widened, dims[0], q, k), rows: dims[1], inner: q, columns: dims[0] * k, transposedA: true)
            let back = Dense.swapFirstTwo(swapped, dims[1], dims[0], k)
            #expect(abs(Self.relativeError(back, values) - found.relativeError) < 1e-6)
            // Alternating least squares starts from the higher-order SVD and never makes it worse.
            #expect(try Self.tucker(values, dims, (row.first, row.second), iterations: 0).relativeError >= found.relativeError - 1e-9)
        }
    }

    /// Within 1 % of TensorLy's error, or below it: the problem has many local minima.
    @Test func cpErrorsAreNotAboveTensorLys() throws {
        for row in Self.reference {
            let (values, dims) = try Self.kernel(row.kernel)
            let found = try CanonicalPolyadic.decompose(values, dims: dims, rank: row.rank, iterations: 200, seed: 0, cancellation: Cancellation())
            #expect(found.relativeError < 1.01 * row.cp, "\(row.kernel): \(found.relativeError) against \(row.cp)")
            #expect(found.relativeError > 0.9 * row.cp, "\(row.kernel): too good to be true")
            var back = [Double](repeating: 0, count: values.count)
            let (n, h, w) = (dims[1], dims[2], dims[3])
            for index in values.indices {
                let place = [index / (n * h * w), index / (h * w) % n, index / w % h, index % w]
                for r in 0..<row.rank { back[index] += (0..<4).reduce(1.0) { $0 * found.factors[$1][place[$1] * row.rank + r] } }
            }
            #expect(abs(Self.relativeError(back, values) - found.relativeError) < 1e-6)
        }
    }

    /// A sum of three outer products is found again.
    @Test func cpFindsWhatIsThere() throws {
        let dims = [9, 7, 3, 5]
        let parts = dims.enumerated().map { Fixture.normal($1 * 3, seed: UInt64(20 + $0)).map(Double.init) }
        var values: [Double] = []
        for index in 0..<dims.reduce(1, *) {
            let place = [index / 105, index / 15 % 7, index / 5 % 3, index % 5]
            var sum = 0.0
            for r in 0..<3 { sum += (0..<4).reduce(1.0) { (product: Double, axis: Int) -> Double in product * parts[axis][place[axis] * 3 + r] } }
            values.append(sum)
        }
        #expect(try CanonicalPolyadic.decompose(values, dims: dims, rank: 3, iterations: 500, seed: 1, cancellation: Cancellation()).relativeError < 1e-3)
    }

    /// At full ranks a train is the tensor; at lower ones its error is between the best of one unfolding and the bound of TT-SVD.
    @Test func tensorTrainHoldsItsBound() throws {
        let (doubles, dims) = try Self.kernel("stage2.conv2.weight")
        let values = doubles.map(Float.init)
        let spectra = try TensorTrain.spectra(values, dims: dims)
        for ranks in [[32, 96, 3], [20, 30, 3], [8, 8, 2]] {
            let train = try TensorTrain.decompose(values, dims: dims, ranks: ranks, cancellation: Cancellation())
            var back = train.cores[0].map(Double.init)
            for core in 1..<4 {
                back = Dense.product(
                    back, train.cores[core].map(Double.init), rows: back.count / train.ranks[core - 1], inner: train.ranks[core - 1],
                    columns: train.cores[core].count / train.ranks[core - 1])
            }
            let lost = zip(spectra, train.ranks).map { values, rank in values.dropFirst(rank).reduce(0.0) { $0 + Double($1) * Double($1) } }
            let norm = doubles.reduce(0) { $0 + $1 * $1 }
            let error = Self.relativeError(back, doubles)
            #expect(error * error <= lost.reduce(0, +) / norm + 1e-6, "\(ranks)")
            #expect(error * error >= (lost.max() ?? 0) / norm - 1e-6, "\(ranks)")
            #expect(TensorTrain.count(dims: dims, ranks: train.ranks) == train.cores.reduce(0) { $0 + $1.count })
        }
    }

    static func relativeError(_ a: [Double], _ b: [Double]) -> Double {
        (zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / b.reduce(0) { $0 + $1 * $1 }).squareRoot()
    }

    /// rank·signal + noise: variational Bayes counts the signals, and none in noise alone.
    @Test(arguments: [(60, 150, 7), (150, 60, 7), (64, 64, 5), (16, 144, 3), (40, 400, 0)])
    func variationalBayesFindsThePlantedRank(rows: Int, columns: Int, rank: Int) throws {
        var values = Fixture.normal(rows * columns, seed: 4)
        if rank > 0 {
            let left = Fixture.normal(rows * rank, seed: 5).map(Double.init)
            let right = Fixture.normal(rank * columns, seed: 6).map(Double.init)
            let signal = Dense.product(left, right, rows: rows, inner: rank, columns: columns)
            for index in values.indices { values[index] += Float(signal[index]) }
        }
        let s = try Lapack.singularValues(array: values, rows: rows, columns: columns)
        #expect(VariationalBayes.rank(rows: rows, columns: columns, singularValues: s) == rank)
    }

    /// SciPy minimizes the free energy as the paper writes it (equation 37 with ψ₀ and ψ₁), from many starts.
    @Test func variationalBayesEqualsSciPys() throws {
        let script = """
            import onnx
            from onnx import numpy_helper
            from scipy.optimize import minimize_scalar, brentq
            for t in onnx.load(args[0]).graph.initializer:
                w = numpy_helper.to_array(t).astype(np.float64)
                if w.ndim < 2 or min(w.shape[0], w[0].size) < 8: continue
                w = w.reshape(w.shape[0], -1)
                if w.shape[0] > w.shape[1]: w = w.T
                L, M = w.shape
                g2 = np.linalg.svd(w, compute_uv=False) ** 2
                a = L / M
                phi = lambda z: np.log(z + 1) / z - 0.5
                tau0 = brentq(lambda z: phi(z) + phi(z / a), 1e-6, 100)
                x0 = (1 + tau0) * (1 + a / tau0)
                tau = lambda x: 0.5 * (x - (1 + a) + np.sqrt((x - (1 + a)) ** 2 - 4 * a))
                def energy(logs):
                    x = g2 / (M * np.exp(logs))
                    big = x[x > x0]
                    t = tau(big)
                    return np.sum(x - np.log(x)) + np.sum(np.log(t + 1) + a * np.log(t / a + 1) - t)
                H = int(np.ceil(L / (1 + a))) - 1
                low, high = np.log(max(g2[H] / (M * x0), np.mean(g2[H:]) / M)), np.log(np.sum(g2) / (L * M))
                edges = np.linspace(low, high, 40)
                best = min((minimize_scalar(energy, bounds=(p, q), method='bounded') for p, q in zip(edges, edges[1:])), key=lambda r: r.fun)
                print(t.name, np.sum(g2 > M * np.exp(best.x) * x0))
            """
        let path = Samples.path("resnet-8")
        let model = try Model.read(path: path)
        let lines = try Python.run(script, path).split(separator: "\n").map { $0.split(separator: " ") }
        #expect(lines.count >= 8)
        for line in lines {
            let tensor = try #require(model.graph.initializers[String(line[0])])
            let rank = VariationalBayes.rank(rows: tensor.dims[0], columns: tensor.count / tensor.dims[0], singularValues: SingularValues.compute(tensor))
            #expect(rank == Int(line[1]), "\(line[0])")
        }
    }

    @Test func whiteningIsASquareRootAndItsInverse() throws {
        let n = 12
        let x = Fixture.normal(n * 5, seed: 9).map(Double.init)
        // Five rows of twelve inputs: singular, so that something must be added.
        let gram = Dense.product(x, x, rows: n, inner: 5, columns: n, transposedA: true).map(Float.init)
        let whitening = try Whitening(gram: gram, count: n, damping: 0)
        let back = Dense.gram(whitening.factor, rows: n, columns: n)
        let unit = Dense.product(whitening.factor, whitening.inverse, rows: n, inner: n, columns: n)
        #expect(whitening.added > 0)
        for row in 0..<n {
            for column in 0..<n {
                #expect(abs(back[row * n + column] - Double(gram[row * n + column]) - (row == column ? whitening.added : 0)) < 1e-5)
                #expect(abs(unit[row * n + column] - (row == column ? 1 : 0)) < 1e-5)
            }
        }
        let said = message { _ = try Whitening(gram: [Float](repeating: 0, count: n * n), count: n, damping: 0.1) }
        #expect(said.contains("zero"))
    }
}
