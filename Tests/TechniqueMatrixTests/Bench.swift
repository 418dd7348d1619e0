import CompressionEngine
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import PythonOracle
import Recipes
import Techniques
import Testing
import Training

/// One sample model, opened once, to which recipes are applied one after another.
struct Bench {
    /// A recipe that was applied and written.
    struct Applied {
        var label: String
        var file: String
        /// How many of the images the engine says it gets right.
        var correct: Int
        var figures: ModelFigures
    }

    let name: String
    let baseline: ModelFigures
    private let images: Int
    private let folder: TemporaryFolder
    private let session: EngineSession
    /// Two memories of what was trained: the second run trains again.
    private let stores: [TrainingStore]

    init(_ name: String, images: Int) throws {
        self.name = name
        self.images = images
        folder = try TemporaryFolder()
        let data = try Samples.data(images: images, in: folder)
        session = try EngineSession.open(OpenRequest(modelPath: Samples.path(name), dataPath: data))
        baseline = try session.baselineFigures(slowSizes: false)
        stores = ["a", "b"].map { [folder] in TrainingStore(folder: folder.file("state-\($0)")) }
    }

    /// Applies steps twice, in the session and as if nothing had been done before, writes the model and evaluates it.
    /// - Returns: `nil` when the engine refuses, which it must do in one line that names the step.
    func apply(_ steps: [RecipeStep]) throws -> Applied? {
        let recipe = Recipe(steps: steps)
        let label = recipe.steps.map(\.canonical).joined(separator: " + ")
        let model: Model
        do {
            model = try session.apply(recipe, training: recipe.learns ? session.trainingSource(store: stores[0]) : nil).model
        } catch let error as EngineError {
            #expect(!error.message.contains("\n"), "\(name), \(label): \(error.message)")
            let step = try #require(error.step, "\(name), \(label): \(error.message)")
            #expect(steps.indices.contains(step.number - 1) && steps[step.number - 1].technique == step.technique, "\(name), \(label): \(error.message)")
            #expect(throws: EngineError.self, "\(name), \(label): refused once only") { try applyAfresh(recipe) }
            return nil
        }
        // By default nothing is written that another runtime computes otherwise without a word.
        let differing = TargetForm.portable.objections(to: model).filter { $0.contains("something else") }
        #expect(differing.isEmpty, "\(name), \(label): \(differing)")
        let file = folder.file("\(UUID().uuidString).onnx")
        try model.serialized().write(to: file)
        let written = try Data(contentsOf: URL(fileURLWithPath: file))
        #expect(try applyAfresh(recipe).serialized().joined().elementsEqual(written), "\(name), \(label): not the same bytes twice")
        let figures = try session.figures(of: model, slowSizes: false)
        #expect(Int(figures.serializedBytes.value) == written.count, "\(name), \(label): size is not that of the file")
        let estimate = try session.evaluate(model)
        #expect(estimate.seen == images)
        let correct = estimate.value * Double(estimate.seen)
        #expect(abs(correct - correct.rounded()) < 1e-6)
        return Applied(label: label, file: file, correct: Int(correct.rounded()), figures: figures)
    }

    /// With another executor, which remembers nothing of other recipes, and another memory of trainings.
    private func applyAfresh(_ recipe: Recipe) throws -> Model {
        var context = RewriteContext(calibration: session.calibration, clock: session.clock, shapes: try session.shapes(of: session.model)?.dims ?? [:], seed: recipe.seed)
        if recipe.learns { context.training = try session.trainingSource(store: stores[1]) }
        return try RecipeExecutor(baseline: session.model).apply(recipe, context: context).model
    }

    /// Holds what was counted against Python's onnxruntime on the files.
    func compare(_ applied: [Applied]) throws {
        let truth = try Python.correct(applied.map(\.file), images: images)
        for (entry, expected) in zip(applied, truth) {
            #expect(entry.correct == expected, "\(name), \(entry.label): lathe counts \(entry.correct), Python's onnxruntime \(expected)")
        }
    }
}
