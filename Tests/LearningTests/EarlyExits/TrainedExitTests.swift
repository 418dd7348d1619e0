import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Measurement
@testable import Recipes
@testable import Techniques
@testable import Training

/// Exits whose classifiers are trained.
@Suite struct TrainedExitTests {
    private static let quick: [String: ParameterValue] = [
        "epochs": .integer(2), "exits": .integer(2), "grid": .integer(2), "samples": .integer(128), "learning-rate": .real(0.005),
    ]

    private func apply(_ parameters: [String: ParameterValue], _ session: EngineSession) throws -> AppliedModel {
        try FewImages.apply("trained-exits", Self.quick.merging(parameters) { $1 }, to: session)
    }

    /// A session whose data have a calibration split beside the others.
    private func session(_ name: String, in folder: TemporaryFolder) throws -> EngineSession {
        let plain = try FewImages.session(name, in: folder, training: 192)
        _ = plain
        let file = folder.path + "/few.yaml"
        let images = Repository.root + "/SampleModels/data/fashion-mnist/heldout"
        let text =
            try String(contentsOfFile: file, encoding: .utf8)
            + "\n  calibration: {images: \(images)-images-idx3-ubyte.gz, labels: \(images)-labels-idx1-ubyte.gz, range: [1000, 1200]}\n"
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        return try EngineSession.open(OpenRequest(modelPath: Samples.path(name), dataPath: file))
    }

    @Test(.long) func theFrozenNetworkStaysAndExitsLearn() throws {
        let folder = try TemporaryFolder()
        let session = try session("resnet-8", in: folder)
        let applied = try apply(["threshold": .real(1), "keep": .choice("last")], session)
        // Nobody leaves at a threshold of 1: the network's own answers.
        #expect(try PythonComparison.difference(session.model, applied.model) < 1e-5)
        let declaration = try #require(ExitDeclaration(applied.model))
        #expect(declaration.exits.count == 2)
        let summary = try #require(applied.reports.last?.training)
        let losses = summary.epochs.compactMap(\.loss)
        #expect(losses.count == 2 && losses[1] < losses[0])
        let again = try apply(["threshold": .real(1), "keep": .choice("last")], self.session("resnet-8", in: folder)).model
        #expect(try applied.model.serialized().joined() == again.serialized().joined(), "the same bytes twice")
    }

    /// Trained along, the network's own weights change as well.
    @Test(.long) func theNetworkLearnsWithThem() throws {
        let folder = try TemporaryFolder()
        let session = try session("lenet-5", in: folder)
        let applied = try apply(["network": .choice("trained"), "keep": .choice("last"), "threshold": .real(0.9)], session)
        let before = session.model.graph.initializers
        var moved = 0
        applied.model.forEachInitializer { _, tensor in if let old = before[tensor.name], old.floats() != tensor.floats() { moved += 1 } }
        #expect(moved >= 6)
        #expect(throws: EngineError.self) {
            try session.apply(Recipe(steps: [RecipeStep(technique: "trained-exits"), RecipeStep(technique: "magnitude-pruning")]))
        }
    }
}
