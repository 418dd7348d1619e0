import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import Recipes
@testable import Techniques

/// Activation-aware SVD is the least-squares optimum of its rank for the layer's outputs.
@Suite struct ActivationAwareTests {
    private static func apply(_ model: Model, _ parameters: [String: ParameterValue], technique: String = "activation-aware-svd", _ data: TensorCalibration) throws -> AppliedModel
    {
        try Fixture.apply([(technique, parameters)], to: model, calibration: data)
    }

    /// The optimum of min ‖(W − W′)·X‖ at rank r is the energy of W·X behind its r largest singular values: NumPy takes it from the
    /// inputs themselves, without a Gram matrix.
    @Test func errorIsTheOptimum() throws {
        var b = GraphBuilder(input: [nil, 24])
        let model = b.model(b.node("Gemm", ["x", b.constant("d.weight", [20, 24]), b.constant("d.bias", [20])], "d", [("transB", .integer(1))]))
        let data = TensorCalibration(model, count: 96)
        let folder = try TemporaryFolder()
        let (weights, inputs) = (folder.path + "/w", folder.path + "/x")
        try Python.write(try #require(model.graph.initializers["d.weight"]?.floats()).map(Double.init), to: weights)
        try Python.write(try #require(data.samples.floats()).map(Double.init), to: inputs)
        for rank in [2, 5, 9] {
            let parameters: [String: ParameterValue] = ["mode": .choice("rank"), "rank": .integer(rank)]
            let text = try Python.run(
                """
                w, x = np.fromfile(args[0]).reshape(20, 24), np.fromfile(args[1]).reshape(-1, 24)
                print(np.sum(np.linalg.svd(w @ x.T, compute_uv=False)[\(rank):] ** 2) / (20 * len(x)))
                """, weights, inputs)
            let optimum = try #require(Double(text.trimmingCharacters(in: .whitespacesAndNewlines)))
            var exact = parameters
            exact["damping"] = .real(0)
            let aware = try Fixture.error(model, Self.apply(model, exact, data).model, value: "d", data)
            #expect(abs(aware / optimum - 1) < 1e-3, "rank \(rank): \(aware) against \(optimum)")
            let plain = try Fixture.error(model, Self.apply(model, parameters, technique: "svd", data).model, value: "d", data)
            #expect(plain > 1.2 * aware, "rank \(rank): plain SVD \(plain) against \(aware)")
            var scaled = parameters
            scaled["whitening"] = .choice("scale")
            #expect(try Fixture.error(model, Self.apply(model, scaled, data).model, value: "d", data) < plain)
        }
    }

    /// Convolutions and both orders of a stored matrix: less output error than plain SVD at the same ranks, in the same graph.
    @Test func convolutionsAndTransposedWeights() throws {
        var b = GraphBuilder(input: [nil, 6, 9, 9])
        let c = b.conv("x", "c", (6, 16))
        let flat = b.node("Flatten", [c], "flat")
        let model = b.model(b.matMul(flat, "m", (16 * 81, 24)))
        let data = TensorCalibration(model, count: 48)
        for value in ["c", "m"] {
            let recipe: [String: ParameterValue] = ["ratio": .real(0.4)]
            func run(_ technique: String) throws -> Model {
                let step = RecipeStep(technique: technique, parameters: ParameterValues(recipe), layers: LayerSelector(include: [.name(value)]))
                return try RecipeExecutor(baseline: model).apply(Recipe(steps: [step]), context: RewriteContext(calibration: data)).model
            }
            let (aware, plain) = (try run("activation-aware-svd"), try run("svd"))
            #expect(aware.graph.nodes.map(\.name) == plain.graph.nodes.map(\.name))
            #expect(aware.graph.initializers.values.map(\.dims) == plain.graph.initializers.values.map(\.dims))
            #expect(try Fixture.error(model, aware, value: value, data) < 0.95 * Fixture.error(model, plain, value: value, data), "\(value)")
        }
    }

    @Test func sameBytesTwice() throws {
        var b = GraphBuilder(input: [nil, 24])
        let model = b.model(b.matMul("x", "m", (24, 20)))
        let data = TensorCalibration(model)
        let first = try Self.apply(model, [:], data).model.serialized().joined()
        #expect(try Self.apply(model, [:], data).model.serialized().joined() == first)
    }
}
