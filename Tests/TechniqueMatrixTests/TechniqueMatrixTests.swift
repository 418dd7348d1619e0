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

/// Every technique on every sample model, generated from the registry: what the engine counts is what stock ONNX Runtime does with the
/// file that is written, to the image, and the same bytes come out twice.
///
/// On the first 1,000 validation images; with LATHE_TEST_ALL=1 on all 10,000, and with every choice of every parameter; with
/// LATHE_TEST_QUICK=1 on one model.
@Suite struct TechniqueMatrixTests {
    private static let everything = ProcessInfo.processInfo.environment["LATHE_TEST_ALL"] != nil
    private static let images = everything ? 10_000 : 1_000
    private static let models = ProcessInfo.processInfo.environment["LATHE_TEST_QUICK"] != nil ? ["ds-cnn"] : Samples.models

    /// The technique at its defaults; with LATHE_TEST_ALL also at every other choice that a parameter offers. What learns does so for
    /// one epoch.
    private static func variants(_ technique: TechniqueDescriptor) -> [ParameterValues] {
        var plain = ParameterValues([:])
        if technique.parameter("epochs") != nil { plain["epochs"] = .integer(1) }
        guard everything else { return [plain] }
        var all = [plain]
        for parameter in technique.parameters {
            guard case .choice(let choices) = parameter.domain else { continue }
            for choice in choices where .choice(choice.name) != parameter.defaultValue {
                var other = plain
                other[parameter.name] = .choice(choice.name)
                all.append(other)
            }
        }
        return all
    }

    @Test(arguments: models) func everyTechnique(_ name: String) throws {
        let bench = try Bench(name, images: Self.images)
        var applied: [Bench.Applied] = []
        for descriptor in TechniqueRegistry.all.map(\.descriptor) {
            for parameters in Self.variants(descriptor) {
                guard let entry = try bench.apply([RecipeStep(technique: descriptor.id, parameters: parameters)]) else { continue }
                // Storing numbers otherwise does not change how many are multiplied.
                if [.quantization, .sharing, .coding].contains(descriptor.family) {
                    #expect(entry.figures.macs?.value == bench.baseline.macs?.value, "\(name), \(entry.label): MACs")
                }
                applied.append(entry)
            }
        }
        #expect(applied.count >= 5, "\(name): nearly every technique refuses it")
        try bench.compare(applied)
    }

    @Test(arguments: models) func combinedRecipes(_ name: String) throws {
        func step(_ technique: String, _ parameters: [String: ParameterValue] = [:]) -> RecipeStep {
            RecipeStep(technique: technique, parameters: ParameterValues(parameters))
        }
        let recipes = [
            [step("magnitude-pruning", ["sparsity": .real(0.8)]), step("weight-sharing"), step("huffman")],
            [step("structured-pruning"), step("static-int8")],
            [step("svd"), step("weight-quantization")],
            // The samples are float32, so that float32 alone applies to none.
            [step("fp16", ["mode": .choice("compute")]), step("float32"), step("static-int8")],
        ]
        let bench = try Bench(name, images: Self.images)
        let applied = try recipes.compactMap { try bench.apply($0) }
        #expect(!applied.isEmpty)
        try bench.compare(applied)
    }

    /// The accuracy before any step, against the published table in SampleModels/MODELS.md and against Python.
    @Test func baselines() throws {
        let truth = try Python.correct(Samples.models.map(Samples.path), images: 10_000)
        let table = try String(contentsOfFile: Repository.root + "/SampleModels/MODELS.md", encoding: .utf8)
        for (model, expected) in zip(Samples.models, truth) {
            let session = try EngineSession.open(OpenRequest(modelPath: Samples.path(model), dataPath: Samples.data))
            #expect(try session.evaluate(session.model).value == Double(expected) / 10_000, "\(model)")
            let percent = String(format: "%.2f %%", Double(expected) / 100)
            let row = try #require(table.split(separator: "\n").first { $0.contains("(\(model).onnx)") })
            #expect(row.contains(percent), "\(model): MODELS.md does not say \(percent)")
        }
    }
}
