import CompressionEngine
import Foundation
import PythonOracle
import Recipes
import Techniques
import Training

/// A session on a sample model that trains on a few of the held-out images.
package enum FewImages {
    package static func session(_ name: String, in folder: TemporaryFolder, training: Int = 256) throws -> EngineSession {
        let samples = Repository.root + "/SampleModels"
        let data = samples + "/data/fashion-mnist"
        let text = """
            format: idx
            metric: top1
            preprocessing: {scale: 0.00392156862745098, mean: [0.2860], std: [0.3530], shape: [1, 28, 28]}
            splits:
              train: {images: \(data)/heldout-images-idx3-ubyte.gz, labels: \(data)/heldout-labels-idx1-ubyte.gz, range: [0, \(training)]}
              validation: {images: \(data)/t10k-images-idx3-ubyte.gz, labels: \(data)/t10k-labels-idx1-ubyte.gz, range: [0, 500]}
            """
        let file = folder.path + "/few.yaml"
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        return try EngineSession.open(OpenRequest(modelPath: samples + "/\(name).onnx", dataPath: file))
    }

    /// What one step makes of the model, without anything remembered.
    package static func apply(_ technique: String, _ parameters: [String: ParameterValue], to session: EngineSession, store: TrainingStore? = nil) throws -> AppliedModel {
        var values: [String: ParameterValue] = ["epochs": .integer(2), "batch": .integer(32)]
        values.merge(parameters) { $1 }
        return try session.apply(
            Recipe(steps: [RecipeStep(technique: technique, parameters: ParameterValues(values))]), training: session.trainingSource(store: store))
    }
}
