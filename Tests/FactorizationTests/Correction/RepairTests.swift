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

/// Repairs without training.
@Suite struct RepairTests {
    private let pruning: (String, [String: ParameterValue]) = ("magnitude-pruning", ["sparsity": .real(0.6), "scope": .choice("layer")])

    private func mean(_ model: Model, _ value: String, _ data: TensorCalibration, axis: Int = 1) throws -> [Double] {
        let output = try TensorCalibration.values(of: model, [value], data.samples)[0]
        let axis = axis < 0 ? output.shape.count + axis : axis
        let inner = output.shape[(axis + 1)...].reduce(1, *)
        var sums = [Double](repeating: 0, count: output.shape[axis])
        for (index, value) in output.values.enumerated() { sums[index / inner % output.shape[axis]] += Double(value) }
        return sums.map { $0 * Double(sums.count) / Double(output.values.count) }
    }

    @Test func normalizationsHaveTheMomentsOfTheData() throws {
        let model = Fixture.network()
        let data = TensorCalibration(model, count: 64)
        let repaired = try Fixture.apply([pruning, ("batchnorm-reestimation", [:])], to: model, calibration: data).model
        let folder = try TemporaryFolder()
        try repaired.serialized().write(to: folder.path + "/model.onnx")
        try Python.write((data.samples.floats() ?? []).map(Double.init), to: folder.path + "/data")
        let problems = try Python.run(
            """
            import sys, numpy as np, onnx, onnxruntime
            from onnx import numpy_helper
            model = onnx.load(sys.argv[1])
            tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info('a'))
            session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
            x = np.fromfile(sys.argv[2], '<f8').astype(np.float32).reshape(-1, 3, 8, 8)
            a = session.run(['a'], {'x': x})[0].astype(np.float64)
            if not np.allclose(a.mean((0, 2, 3)), tensors['a.bn.mean'], rtol=1e-4, atol=1e-5): print('means differ')
            if not np.allclose(a.var((0, 2, 3)), tensors['a.bn.variance'], rtol=1e-4, atol=1e-6): print('variances differ')
            """, folder.path + "/model.onnx", folder.path + "/data")
        #expect(problems.isEmpty, "\(problems)")
    }

    /// After the correction every corrected layer has its old mean on the data; one pass gives that for the first layer at least.
    @Test(arguments: ["layer-by-layer", "one-pass"]) func biasesGiveTheOldMeans(order: String) throws {
        let model = Fixture.network()
        let data = TensorCalibration(model, count: 64)
        let repaired = try Fixture.apply([pruning, ("bias-correction", ["order": .choice(order)])], to: model, calibration: data).model
        for value in order == "one-pass" ? ["a"] : ["a", "c", "d", "out"] {
            let (old, new) = (try mean(model, value, data), try mean(repaired, value, data))
            for (a, b) in zip(old, new) { #expect(abs(a - b) < 1e-3 * (1 + abs(a)), "\(value)") }
        }
        #expect(repaired.graph.nodes[0].inputs.count == 3, "the convolution without a bias got one")
    }

    /// Behind quantized weights too, and behind removed channels; constants added behind a MatMul count as biases.
    @Test func biasesBehindOtherSteps() throws {
        var b = GraphBuilder(input: [nil, 10])
        let hidden = b.node("Relu", [b.node("Add", [b.matMul("x", "m", (10, 24)), b.constant("m.bias", [24])], "m.add")], "r")
        let model = b.model(b.gemm(hidden, "out", (24, 4)))
        let data = TensorCalibration(model, count: 96)
        for first in [("weight-quantization", ["bits": ParameterValue.integer(3)]), ("structured-pruning", ["ratio": .real(0.5)])] {
            let changed = try Fixture.apply([first], to: model, calibration: data).model
            let repaired = try Fixture.apply([first, ("bias-correction", [:])], to: model, calibration: data).model
            let (old, new, before) = (try mean(model, "out", data), try mean(repaired, "out", data), try mean(changed, "out", data))
            #expect(zip(old, new).map { abs($0 - $1) }.max() ?? 1 < 1e-3, "\(first.0)")
            #expect(zip(old, before).map { abs($0 - $1) }.max() ?? 0 > 1e-2, "\(first.0): there was nothing to repair")
        }
    }

    @Test func ridgeRegressionEqualsNumPy() throws {
        let (rows, columns) = (5, 40)
        let inputs = Fixture.normal(100 * columns, seed: 1).map(Double.init)
        let outputs = Fixture.normal(100 * rows, seed: 2).map(Double.init)
        let start = Fixture.normal(rows * columns, seed: 3).enumerated().map { $0.offset % 3 == 0 ? 0 : Double($0.element) }
        func products(_ a: [Double], _ n: Int, _ b: [Double], _ m: Int) -> [Double] {
            DenseReference.product(a, b, rows: n, inner: 100, columns: m, transposedA: true).map { $0 / 100 }
        }
        let solver = RidgeRegression(columns: columns, gram: products(inputs, columns, inputs, columns), ridge: 0.05)
        let found = try solver.solve(start, cross: products(outputs, rows, inputs, columns), rows: rows, cancellation: Cancellation())
        let folder = try TemporaryFolder()
        for (name, values) in [("x", inputs), ("y", outputs), ("w", start), ("found", found)] { try Python.write(values, to: folder.path + "/" + name) }
        let worst = try Python.run(
            """
            import sys, numpy as np
            x, y, w, found = (np.fromfile(sys.argv[1] + '/' + n, '<f8') for n in ('x', 'y', 'w', 'found'))
            x, y, w, found = x.reshape(100, 40), y.reshape(100, 5), w.reshape(5, 40), found.reshape(5, 40)
            worst = 0
            for r in range(5):
                s = w[r] != 0
                # Least squares with the ridge as further rows.
                a = np.vstack([x[:, s] / 10, np.sqrt(0.05) * np.eye(s.sum())])
                b = np.concatenate([y[:, r] / 10, np.sqrt(0.05) * w[r, s]])
                expected = np.zeros(40); expected[s] = np.linalg.lstsq(a, b, rcond=None)[0]
                worst = max(worst, np.abs(expected - found[r]).max())
            print(worst)
            """, folder.path)
        #expect(Double(worst.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 1 < 1e-6, "\(worst)")
    }

    /// Zeros stay zero, and what the layers compute comes nearer to what they computed.
    @Test func refittedWeights() throws {
        let model = Fixture.network()
        let data = TensorCalibration(model, count: 256)
        for first in [pruning, ("n-m-pruning", ["pattern": .choice("1:4")]), ("structured-pruning", ["ratio": .real(0.5)])] {
            let pruned = try Fixture.apply([first], to: model, calibration: data).model
            let fitted = try Fixture.apply([first, ("least-squares-reconstruction", [:])], to: model, calibration: data).model
            for (name, tensor) in pruned.graph.initializers where name.hasSuffix(".weight") {
                let (a, b) = try (#require(tensor.floats()), #require(fitted.graph.initializers[name]?.floats()))
                #expect(zip(a, b).allSatisfy { ($0 == 0) == ($1 == 0) }, "\(first.0) \(name)")
            }
            let (before, after) = (try Fixture.error(model, pruned, value: "out", data), try Fixture.error(model, fitted, value: "out", data))
            #expect(after < 0.7 * before, "\(first.0): \(after) after \(before)")
        }
    }

    @Test func orderOfSteps() throws {
        func reason(_ steps: [String]) -> String? {
            do {
                try RecipeOrder.check(Recipe(steps: steps.map { RecipeStep(technique: $0) }))
                return nil
            } catch { return error.message }
        }
        for repair in ["batchnorm-reestimation", "bias-correction", "least-squares-reconstruction"] {
            #expect(reason([repair])?.contains("nothing to correct yet") == true)
            for first in ["magnitude-pruning", "structured-pruning", "sparsegpt", "block-pruning", "head-pruning", "layer-removal"] { #expect(reason([first, repair]) == nil) }
            #expect(reason(["magnitude-pruning", repair, repair])?.contains("twice") == true)
            #expect(reason(["huffman", repair]) != nil)
        }
        #expect(reason(["magnitude-pruning", "bias-correction", "weight-quantization", "bias-correction"]) == nil)
        #expect(reason(["weight-quantization", "least-squares-reconstruction"])?.contains("float weights") == true)
        #expect(reason(["weight-sharing", "least-squares-reconstruction"])?.contains("shared values") == true)
        #expect(reason(["weight-sharing", "sparsegpt"]) != nil)
    }

    @Test func sameBytesTwice() throws {
        let model = Fixture.network()
        for repair in ["batchnorm-reestimation", "bias-correction", "least-squares-reconstruction"] {
            let made = try (0..<2).map { _ in
                try Fixture.apply([("structured-pruning", [:]), (repair, [:])], to: model, calibration: TensorCalibration(model)).model.serialized().joined()
            }
            #expect(made[0] == made[1], "\(repair)")
        }
    }

    /// On a trained network and real images each repair wins back right answers: of what it is for.
    @Test(arguments: [
        ("magnitude-pruning", "batchnorm-reestimation"), ("magnitude-pruning", "least-squares-reconstruction"), ("weight-quantization", "bias-correction"),
        ("structured-pruning", "least-squares-reconstruction"),
    ])
    func accuracyComesBack(damage: String, repair: String) throws {
        let session = try Fixture.session("resnet-8")
        func accuracy(_ steps: [RecipeStep]) throws -> Double { try session.evaluate(session.apply(Recipe(steps: steps)).model, limit: 2000).value }
        let parameters: [String: ParameterValue] =
            switch damage {
            case "magnitude-pruning": ["sparsity": .real(0.6)]
            case "weight-quantization": ["bits": .integer(3)]
            default: [:]
            }
        let first = RecipeStep(technique: damage, parameters: ParameterValues(parameters))
        let (before, after) = (try accuracy([first]), try accuracy([first, RecipeStep(technique: repair)]))
        #expect(after > before + 0.1, "\(before), repaired \(after)")
    }
}
