import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import Factorization
@testable import Learning
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// Low-rank adapters.
@Suite struct LoRATests {
    private static let forms = [
        "gemm", "gemm_transB", "gemm_transA", "gemm_left", "gemm_left_transA", "gemm_scaled", "matmul", "matmul_left", "matmul_batched_input", "conv", "conv_strided", "conv_1d",
        "conv_3d", "conv_same", "conv_1x1", "conv_tall",
    ]

    /// New adapters change nothing; kept and merged ones the same, in Python's onnxruntime, in every form a layer may have.
    @Test func keptAndMergedComputeTheSame() throws {
        let folder = try TemporaryFolder()
        var (fresh, trained): ([(Model, Model)], [(Model, Model)]) = ([], [])
        let parameters = ParameterValues(["rank": .integer(3), "alpha": .real(6), "adapters": .choice("merge")])
        for form in Self.forms {
            let model = try PythonComparison.form(form, in: folder)
            let layer = try #require(model.layers().first)
            #expect(LoRA().refusal(for: layer, in: model) == nil, "\(form)")
            var adapter = try LowRankAdapter(LayerTarget(layer: layer, parameters: parameters), in: model, seed: 1)
            var untouched = model
            let names = try LowRankAdapter.insert([adapter], into: &untouched, scaled: true)
            fresh.append((model, untouched))
            let b = try #require(untouched.graph.initializers[names[0].b])
            adapter.take(a: nil, b: b.withFloats((0..<b.count).map { sin(Float($0)) }))
            var (scaled, kept, merged) = (model, model, model)
            _ = try LowRankAdapter.insert([adapter], into: &scaled, scaled: true)
            _ = try LowRankAdapter.insert([adapter], into: &kept, scaled: false)
            let weight = try #require(model.graph.initializers[layer.weight])
            merged.graph.initializers[layer.weight] = adapter.merged(with: weight)
            trained += [(scaled, merged), (kept, merged), (model, merged)]
        }
        for (form, difference) in zip(Self.forms, try PythonComparison.differences(fresh)) { #expect(difference == 0, "\(form)") }
        let found = try PythonComparison.differences(trained)
        for (number, form) in Self.forms.enumerated() {
            #expect(found[3 * number] < 1e-5 && found[3 * number + 1] < 1e-5, "\(form): \(found[3 * number]), \(found[3 * number + 1])")
            #expect(found[3 * number + 2] > 1e-2, "\(form): the adapter does something")
        }
    }

    @Test(.long) func onlyAdaptersAreTrained() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-5", in: folder)
        let parameters: [String: ParameterValue] = ["rank": .integer(2), "adapters": .choice("keep"), "keep": .choice("last")]
        let applied = try FewImages.apply("lora", parameters, to: session)
        for (name, tensor) in session.model.graph.initializers { #expect(applied.model.graph.initializers[name]?.floats() == tensor.floats(), "\(name)") }
        // Rank 2 on 20×25, 50×500, 500×800 and 10×500.
        let summary = try #require(applied.reports.last?.training)
        #expect(summary.trainedParameters == 2 * (20 + 25 + 50 + 500 + 500 + 800 + 10 + 500))
        #expect(applied.model.graph.nodes.count == session.model.graph.nodes.count + 4 * 3)
        let merged = try FewImages.apply("lora", parameters.merging(["adapters": .choice("merge")]) { $1 }, to: session).model
        #expect(merged.graph.nodes.count == session.model.graph.nodes.count)
        #expect(try PythonComparison.difference(applied.model, merged) < 1e-4)
        #expect(try PythonComparison.difference(session.model, merged) > 1e-3)
        let again = try FewImages.apply("lora", parameters, to: FewImages.session("lenet-5", in: folder)).model
        #expect(try applied.model.serialized().joined() == again.serialized().joined(), "the same bytes twice")
    }

    /// Weights stored as integers stay so, with adapters beside them.
    @Test func integersStay() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-300-100", in: folder)
        let steps = [
            RecipeStep(technique: "weight-quantization", parameters: ParameterValues(["bits": .integer(8), "storage": .choice("dequantize")])),
            RecipeStep(technique: "lora", parameters: ParameterValues(["epochs": .integer(1), "rank": .integer(2), "keep": .choice("last")])),
        ]
        let quantized = try session.apply(Recipe(steps: [steps[0]])).model
        let adapted = try session.apply(Recipe(steps: steps), training: session.trainingSource(store: nil)).model
        for (name, tensor) in quantized.graph.initializers { #expect(adapted.graph.initializers[name]?.contentHash == tensor.contentHash, "\(name)") }
        #expect(adapted.graph.nodes.count == quantized.graph.nodes.count + 3 * 3)
    }
}
