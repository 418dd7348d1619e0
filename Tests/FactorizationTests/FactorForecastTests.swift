import Foundation
import ModelGraph
import TestSupport
import Testing

@testable import EngineSupport
@testable import Measurement
@testable import Recipes
@testable import Techniques

/// What is predicted from summaries against what is counted on the rewritten model.
@Suite struct FactorForecastTests {
    private static func shapes(of model: Model) throws -> ValueShapes {
        ValueShapes(try Fixture.shapes(of: model, Fixture.inputs(for: model, batch: 1)).mapValues { .init(dims: $0, elementType: .float32) })
    }

    /// Weights of every layer equal; MACs too, but where a convolution's height and width shrink by unlike padding.
    @Test(arguments: ["lenet-5", "resnet-8", "transformer"], ["svd", "spatial-svd", "tucker-2", "cp", "tensor-train"])
    func figuresAreThoseOfTheRewrite(name: String, technique: String) throws {
        let model = try Fixture.sample(name)
        let shapes = try Self.shapes(of: model)
        let layers = model.layers()
        var summaries = try LayerPreparation.summaries(of: model, layers: layers, shapes: shapes, cancellation: Cancellation())
        try LayerPreparation.addSlowParts(to: &summaries, of: model, cancellation: Cancellation())
        let baseline = try FigureCounting.figures(of: model, shapes: shapes)
        let chosen = try #require(TechniqueRegistry.technique(technique))
        let reasons = chosen.refusals(for: layers, in: model, shapes: shapes.dims)
        guard reasons.contains(where: { $0 == nil }) else { return }
        let refused = Dictionary(uniqueKeysWithValues: reasons.enumerated().compactMap { index, reason in reason.map { (index, $0) } })
        let predictor = Predictor(baseline: baseline, layers: layers, summaries: summaries, refusals: [technique: refused])
        let modes: [[String: ParameterValue]] =
            [
                ["ratio": .real(0.4)], ["mode": .choice("rank"), "rank": .integer(4)], ["mode": .choice("vbmf")],
            ] + (technique == "tensor-train" ? (3...4).flatMap { cores in ["ratio", "vbmf"].map { ["mode": .choice($0), "cores": .integer(cores)] } } : [])
        for mode in modes {
            let recipe = Recipe(steps: [RecipeStep(technique: technique, parameters: ParameterValues(mode))])
            let predicted = try predictor.figures(for: recipe)
            let applied = try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext(shapes: shapes.dims)).model
            let counted = try FigureCounting.figures(of: applied, shapes: Self.shapes(of: applied))
            let error = predicted.parameters.value / counted.parameters.value - 1
            #expect(abs(error) < 1e-9, "\(name), \(technique), \(mode): \(predicted.parameters.value) for \(counted.parameters.value)")
            if let macs = predicted.macs?.value, let truth = counted.macs?.value {
                #expect(abs(macs / truth - 1) < (name == "lenet-5" ? 0.05 : 1e-9), "\(name), \(technique), \(mode): \(macs) MACs for \(truth)")
            }
            #expect(
                abs(predicted.serializedBytes.value / counted.serializedBytes.value - 1) < 0.04,
                "\(name), \(technique), \(mode): \(predicted.serializedBytes.value) bytes for \(counted.serializedBytes.value)")
        }
    }
}
