import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import EngineSupport
@testable import Measurement
@testable import Recipes

/// Recipes that come with the program, and optional steps.
@Suite struct PresetTests {
    @Test func filesInTheRepositoryAreThePresets() throws {
        let folder = Repository.root + "/SampleModels/recipes"
        let files = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".yaml") }
        #expect(Set(files) == Set(RecipePreset.all.map { $0.id + ".yaml" }), "run: lathe presets --write-recipes SampleModels/recipes")
        for preset in RecipePreset.all {
            #expect(try String(contentsOfFile: "\(folder)/\(preset.id).yaml", encoding: .utf8) == preset.yaml, "\(preset.id)")
            let recipe = try preset.recipe()
            #expect(recipe.steps.allSatisfy(\.optional) && !recipe.name.isEmpty && !preset.summary.isEmpty)
            try RecipeOrder.check(recipe)
            #expect(try Recipe.read(path: "preset:\(preset.id)") == recipe)
            #expect(try Recipe.parse(recipe.yaml, file: "again") == recipe)
        }
        #expect(throws: EngineError.self) { try Recipe.read(path: "preset:nonsense") }
    }

    @Test func optionalStepsArePassedOver() throws {
        let model = try Fixture.sample("lenet-300-100")
        func recipe(_ optional: Bool) -> Recipe {
            Recipe(steps: [
                RecipeStep(technique: "magnitude-pruning"),
                RecipeStep(technique: "head-pruning", optional: optional),
                RecipeStep(technique: "weight-sharing", layers: LayerSelector(include: [.kind("conv")]), optional: optional),
            ])
        }
        #expect(throws: EngineError.self) { try Fixture.apply(recipe(false), to: model) }
        let applied = try Fixture.apply(recipe(true), to: model)
        #expect(applied.reports.map { $0.skipped == nil } == [true, false, false])
        let alone = try Fixture.apply(Fixture.recipe("magnitude-pruning"), to: model)
        #expect(applied.model.contentHash == alone.model.contentHash)
    }

    /// Missing data is not the model's fault: an optional step does not hide it.
    @Test func optionalStepsStillNeedTheirData() throws {
        let model = try Fixture.sample("lenet-5")
        #expect(throws: EngineError.self) { try Fixture.apply(Recipe(steps: [RecipeStep(technique: "gptq", optional: true)]), to: model) }
    }
}
