import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import Measurement
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// Second-order pruning against numpy and against magnitude pruning.
@Suite struct SparseGPTTests {
    private static func problem(rows: Int, columns: Int) -> (weights: [Double], gram: [Float]) {
        let weights = Fixture.normal(rows * columns, seed: 3).map(Double.init)
        let count = 2 * columns
        var inputs = Fixture.normal(count * columns, seed: 4)
        for index in inputs.indices.dropFirst() where index % columns != 0 { inputs[index] += 0.8 * inputs[index - 1] }
        return (weights, DenseReference.gram(inputs, columns: columns))
    }

    /// Algorithm 1 of the paper, written with numpy's inverse and Cholesky factor, column by column without blocks of updates.
    private static let reference = """
        import sys, numpy as np
        folder, rows, columns, fraction, n, m, width = sys.argv[1], *map(float, sys.argv[2:])
        rows, columns, n, m, width = int(rows), int(columns), int(n), int(m), int(width)
        W = np.fromfile(folder + '/w', '<f8').reshape(rows, columns)
        H = np.fromfile(folder + '/g', '<f8').reshape(columns, columns)
        H = H + 0.01 * np.mean(np.diag(H)) * np.eye(columns)
        U = np.linalg.cholesky(np.linalg.inv(H)).T
        mask, removed = np.zeros(W.shape, bool), 0
        for i in range(columns):
            if n == 0 and i % width == 0:
                end = min(i + width, columns)
                scores = W[:, i:end] ** 2 / np.diag(U)[i:end] ** 2
                count = int(np.floor(fraction * rows * end + 0.5)) - removed
                chosen = np.argsort(scores.ravel(), kind='stable')[:count]
                part = np.zeros(scores.size, bool); part[chosen] = True
                mask[:, i:end] = part.reshape(scores.shape)
                removed += count
            if n and i % m == 0:
                scores = W[:, i:i + m] ** 2 / np.diag(U)[i:i + m] ** 2
                order = np.argsort(scores, axis=1, kind='stable')[:, :max(scores.shape[1] - n, 0)]
                part = np.zeros(scores.shape, bool); np.put_along_axis(part, order, True, axis=1)
                mask[:, i:i + m] = part
            error = np.where(mask[:, i], W[:, i], 0) / U[i, i]
            W[:, i:] -= np.outer(error, U[i, i:])
            W[mask[:, i], i] = 0
        W.astype('<f8').tofile(folder + '/out')
        """

    @Test(arguments: [(0.6, 0, 0), (0.0, 2, 4), (0.0, 1, 8)]) func surgeonEqualsNumPy(fraction: Double, n: Int, m: Int) throws {
        let (rows, columns) = (9, 300)
        let (weights, gram) = Self.problem(rows: rows, columns: columns)
        let surgeon = try #require(OptimalBrainSurgeon(gram: gram, offset: 0, columns: columns, order: Array(0..<columns), damping: 0.01))
        var pruned = weights
        var budget = OptimalBrainSurgeon.Budget()
        let blocks = stride(from: 0, to: columns, by: max(m, 1)).map { $0..<min($0 + m, columns) }
        try surgeon.prune(&pruned, rows: rows, n > 0 ? .pattern(n: n, blocks: blocks) : .fraction(fraction), budget: &budget, cancellation: Cancellation())
        let folder = try TemporaryFolder()
        try Python.write(weights, to: folder.path + "/w")
        try Python.write(gram.map(Double.init), to: folder.path + "/g")
        _ = try Python.run(Self.reference, folder.path, "\(rows)", "\(columns)", "\(fraction)", "\(n)", "\(m)", "\(OptimalBrainSurgeon.blockWidth(columns))")
        let expected = try Python.doubles(folder.path + "/out")
        #expect(zip(pruned, expected).allSatisfy { ($0 == 0) == ($1 == 0) }, "other weights are zero")
        #expect(zip(pruned, expected).map { abs($0 - $1) }.max() ?? 1 < 1e-6)
        #expect(n > 0 || pruned.count { $0 == 0 } == Int((fraction * Double(rows * columns)).rounded()))
    }

    /// What the layers compute stays nearer to the original than with the smallest weights gone, at the very same sparsity.
    @Test(arguments: ["unstructured", "2:4"]) func errorIsBelowMagnitudes(pattern: String) throws {
        let model = Fixture.network()
        let data = TensorCalibration(model, count: 256)
        let ours = try Fixture.apply(
            [("sparsegpt", ["sparsity": .real(0.5), "scope": .choice("layer"), "pattern": .choice(pattern)])], to: model, calibration: data
        ).model
        let plain = try Fixture.apply(
            pattern == "2:4" ? [("n-m-pruning", ["pattern": .choice("2:4")])] : [("magnitude-pruning", ["sparsity": .real(0.5), "scope": .choice("layer")])],
            to: model, calibration: nil
        ).model
        let chosen = pattern == "2:4" ? ["a.weight", "c.weight", "d.weight", "out.weight"] : ["a.weight", "c.weight", "d.weight", "out.weight"]
        for name in chosen { #expect(Fixture.zeros(ours, name) == Fixture.zeros(plain, name), "\(name)") }
        for value in ["a", "c", "d", "out"] {
            let (mine, theirs) = (try Fixture.error(model, ours, value: value, data), try Fixture.error(model, plain, value: value, data))
            #expect(mine < theirs * 0.9, "\(value): \(mine) against \(theirs)")
        }
    }

    @Test func nothingAskedNothingDone() throws {
        let model = Fixture.network()
        let same = try Fixture.apply([("sparsegpt", ["sparsity": .real(0)])], to: model, calibration: TensorCalibration(model)).model
        for (name, tensor) in model.graph.initializers { #expect(same.graph.initializers[name]?.contentHash == tensor.contentHash, "\(name)") }
    }

    @Test func sameBytesTwice() throws {
        let model = Fixture.network()
        for technique in ["sparsegpt", "wanda"] {
            let made = try (0..<2).map { _ in try Fixture.apply([(technique, [:])], to: model, calibration: TensorCalibration(model)).model.serialized().joined() }
            #expect(made[0] == made[1])
        }
    }

    /// Zeros that are there stay and count.
    @Test func zerosStay() throws {
        let model = Fixture.network()
        let data = TensorCalibration(model)
        let half = try Fixture.apply([("magnitude-pruning", ["sparsity": .real(0.5), "scope": .choice("layer")])], to: model, calibration: data).model
        let both = try Fixture.apply(
            [("magnitude-pruning", ["sparsity": .real(0.5), "scope": .choice("layer")]), ("sparsegpt", ["sparsity": .real(0.7), "scope": .choice("layer")])],
            to: model, calibration: data
        ).model
        for name in ["a.weight", "c.weight", "d.weight", "out.weight"] {
            let (before, after) = try (#require(half.graph.initializers[name]?.floats()), #require(both.graph.initializers[name]?.floats()))
            #expect(zip(before, after).allSatisfy { $0 != 0 || $1 == 0 })
            #expect(after.count { $0 == 0 } == Int((0.7 * Double(after.count)).rounded()), "\(name)")
        }
    }

    /// Blocks of a convolution lie along its input channels, as in N:M pruning.
    @Test func patternOfConvolutions() throws {
        let model = Fixture.network()
        for technique in ["sparsegpt", "wanda"] {
            let pruned = try Fixture.apply([(technique, ["pattern": .choice("2:4")])], to: model, calibration: TensorCalibration(model)).model
            let weight = try #require(pruned.graph.initializers["c.weight"]?.floats())
            for output in 0..<16 {
                for position in 0..<9 {
                    for block in 0..<3 { #expect((0..<4).count { weight[(output * 12 + block * 4 + $0) * 9 + position] != 0 } == 2) }
                }
            }
        }
    }

    @Test func refusals() throws {
        var b = GraphBuilder(input: [nil, 6])
        let first = b.matMul("x", "a", (6, 6))
        b.node("MatMul", [first, "a.weight"], "b")
        let left = b.node("MatMul", [b.constant("l", [4, 6]), b.node("Transpose", ["b"], "t")], "left")
        let model = b.model(left)
        let reasons = SparseGPT().refusals(for: model.layers(), in: model, shapes: [:])
        #expect(reasons[0] == "its weight is shared with another node")
        #expect(reasons[2]?.contains("left operand") == true)
        #expect(throws: EngineError.self) { try Fixture.apply([("sparsegpt", [:])], to: Fixture.network(), calibration: nil) }
    }

    /// On a trained network and real images: more right answers than magnitude pruning at the same sparsity, in either scope.
    @Test(arguments: ["layer", "global"]) func accuracyIsAboveMagnitudes(scope: String) throws {
        let session = try Fixture.session("resnet-8")
        func accuracy(_ technique: String) throws -> Double {
            let recipe = Fixture.recipe(technique, ["sparsity": .real(0.6), "scope": .choice(scope)])
            return try session.evaluate(session.apply(recipe).model, limit: 2000).value
        }
        let (ours, plain) = (try accuracy("sparsegpt"), try accuracy("magnitude-pruning"))
        #expect(ours > plain + 0.02, "\(ours) against \(plain)")
    }
}
