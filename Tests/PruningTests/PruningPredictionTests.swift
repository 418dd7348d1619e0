import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import Measurement
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// What is predicted from summaries against what is counted on the rewritten model.
@Suite struct PruningPredictionTests {
    private struct Case {
        var model: Model
        var shapes: ValueShapes
        var predictor: Predictor
        var baseline: ModelFigures
    }

    private func prepare(_ name: String) throws -> Case {
        let model = try Fixture.sample(name)
        let shapes = try shapes(of: model)
        let layers = model.layers()
        let summaries = try LayerPreparation.summaries(of: model, layers: layers, shapes: shapes, cancellation: Cancellation())
        let baseline = try FigureCounting.figures(of: model, shapes: shapes)
        var refusals: [String: [Int: String]] = [:]
        for technique in [MagnitudePruning(), NMPruning(), StructuredPruning()] as [any Technique] {
            for (index, reason) in technique.refusals(for: layers, in: model, shapes: shapes.dims).enumerated() {
                refusals[technique.descriptor.id, default: [:]][index] = reason
            }
        }
        return Case(
            model: model, shapes: shapes, predictor: Predictor(baseline: baseline, layers: layers, summaries: summaries, refusals: refusals), baseline: baseline)
    }

    private func shapes(of model: Model) throws -> ValueShapes {
        ValueShapes(try Fixture.shapes(of: model, Fixture.inputs(for: model, batch: 1)).mapValues { .init(dims: $0, elementType: .float32) })
    }

    @Test(arguments: Samples.models, ["layer", "global"]) func structuredFiguresAreExact(name: String, scope: String) throws {
        let prepared = try prepare(name)
        for ratio in [0.0, 0.1, 0.5, 0.9] {
            for multiple in [1, 8] {
                let recipe = Fixture.recipe(
                    "structured-pruning", ["ratio": .real(ratio), "scope": .choice(scope), "keep-multiple-of": .integer(multiple)])
                let predicted = try prepared.predictor.figures(for: recipe)
                let model = try Fixture.apply(recipe, to: prepared.model, shapes: prepared.shapes.dims).model
                let counted = try FigureCounting.figures(of: model, shapes: shapes(of: model))
                #expect(abs(predicted.parameters.value - counted.parameters.value) < 0.5)
                for (a, b) in zip(predicted.layers, counted.layers) {
                    #expect(abs(a.parameters - b.parameters) < 0.5, "\(a.id)")
                    #expect(abs((a.macs ?? 0) - (b.macs ?? 0)) < 0.5, "\(a.id)")
                    #expect(a.outputElements == nil || abs((a.outputElements ?? 0) - (b.outputElements ?? 0)) < 0.5, "\(a.id)")
                }
                // Shapes that had to be spelled out cost some bytes.
                #expect(abs(predicted.serializedBytes.value - counted.serializedBytes.value) < 1000)
            }
        }
    }

    @Test(arguments: Samples.models, ["layer", "global"]) func magnitudeDensities(name: String, scope: String) throws {
        let prepared = try prepare(name)
        for sparsity in [0.0, 0.3, 0.9, 0.99] {
            let recipe = Fixture.recipe("magnitude-pruning", ["sparsity": .real(sparsity), "scope": .choice(scope)])
            let predicted = try prepared.predictor.figures(for: recipe)
            let counted = try FigureCounting.figures(of: Fixture.apply(recipe, to: prepared.model).model, shapes: prepared.shapes)
            // Quantiles are kept at 1,025 ranks: a layer's density is right to a rank or two, and to the weight that is rounded.
            for (a, b) in zip(predicted.layers, counted.layers) {
                #expect(abs(a.nonZeros - b.nonZeros) <= 0.004 * a.parameters + 1, "\(a.id) \(sparsity): \(a.nonZeros) \(b.nonZeros)")
            }
            #expect(predicted.parameters.value == counted.parameters.value)
        }
    }

    @Test(arguments: Samples.models, ["2:4", "1:16", "3:4"]) func patternDensitiesAreExact(name: String, pattern: String) throws {
        let prepared = try prepare(name)
        let recipe = Fixture.recipe("n-m-pruning", ["pattern": .choice(pattern)])
        let predicted = try prepared.predictor.figures(for: recipe)
        let counted = try FigureCounting.figures(of: Fixture.apply(recipe, to: prepared.model).model, shapes: prepared.shapes)
        for (a, b) in zip(predicted.layers, counted.layers) { #expect(abs(a.nonZeros - b.nonZeros) < 0.5, "\(a.id)") }
    }
}
