import Foundation
import Testing

/// Every technique on every sample model: what `evaluate` says is what stock ONNX Runtime does with what `apply` writes.
@Suite(.serialized) struct TechniqueMatrixTests {
    /// Techniques of the registry, as the program lists them.
    private static func techniques() throws -> [JSON] {
        let list = try Program.json(["techniques"])["techniques"]?.array ?? []
        try #require(!list.isEmpty)
        return list
    }

    /// A recipe on the command line that was applied, and how many images the program says it gets right.
    private struct Applied {
        var label: String
        var file: String
        var correct: Int
        var bytes: Int
    }

    /// Applies steps twice and evaluates them; `nil` when the program refuses, which it must do in one line.
    private func apply(_ steps: [String], to model: String, in folder: TemporaryFolder, refusable: Bool) throws -> Applied? {
        let label = steps.joined(separator: " + ")
        let options = steps.flatMap { ["--step", $0] }
        let name = label.filter { $0.isLetter || $0.isNumber || $0 == "-" }
        let files = ["a", "b"].map { folder.file("\(name)-\($0).onnx") }
        for file in files {
            let result = try Program.run(["apply", Samples.path(model), "--data", Samples.data, "--output", file] + options)
            if result.status != 0 {
                #expect(refusable, "\(model), \(label): \(result.errors)")
                #expect(result.status == 2 && result.signal == nil, "\(model), \(label)")
                #expect(result.errorLines.count == 1 && result.errors.contains(model), "\(model), \(label): \(result.errors)")
                #expect(!FileManager.default.fileExists(atPath: file))
                return nil
            }
        }
        #expect(try contents(files[0]) == contents(files[1]), "\(model), \(label): not the same bytes twice")
        let report = try Program.json(["evaluate", Samples.path(model), "--data", Samples.data, "--no-latency"] + options)
        let correct = try #require(report["accuracy.correct"]?.int)
        #expect(report["accuracy.samples"]?.int == 10000)
        let size = try contents(files[0]).count
        #expect(report["figures.candidate.sizes.serialized"]?.int == size, "\(model), \(label): size is not that of the file")
        return Applied(label: label, file: files[0], correct: correct, bytes: size)
    }

    private func compare(_ applied: [Applied], _ model: String) throws {
        let truth = try Oracle.correct(applied.map(\.file))
        for (entry, expected) in zip(applied, truth) {
            #expect(entry.correct == expected, "\(model), \(entry.label): lathe counts \(entry.correct), Python's onnxruntime \(expected)")
        }
    }

    @Test(arguments: Samples.models) func everyTechnique(_ model: String) throws {
        let folder = try TemporaryFolder()
        var applied: [Applied] = []
        for technique in try Self.techniques() {
            let id = try #require(technique["id"]?.string)
            if let entry = try apply([id], to: model, in: folder, refusable: true) { applied.append(entry) }
        }
        #expect(applied.count >= 5, "\(model): nearly every technique refuses it")
        try compare(applied, model)
    }

    @Test(arguments: Samples.models) func combinedRecipes(_ model: String) throws {
        let recipes = [
            ["magnitude-pruning:sparsity=0.8", "weight-sharing", "huffman"],
            ["structured-pruning", "static-int8"],
            ["svd", "weight-quantization"],
        ]
        let folder = try TemporaryFolder()
        var applied: [Applied] = []
        for recipe in recipes {
            if let entry = try apply(recipe, to: model, in: folder, refusable: true) { applied.append(entry) }
        }
        #expect(!applied.isEmpty)
        try compare(applied, model)
    }

    /// The accuracy before any step, against the published table in SampleModels/MODELS.md and against Python.
    @Test func baselines() throws {
        let truth = try Oracle.correct(Samples.models.map(Samples.path))
        let table = try String(contentsOfFile: Program.repository.appendingPathComponent("SampleModels/MODELS.md").path, encoding: .utf8)
        for (model, expected) in zip(Samples.models, truth) {
            let report = try Program.json(["evaluate", Samples.path(model), "--data", Samples.data, "--no-latency"])
            #expect(report["accuracy.correct"]?.int == expected, "\(model)")
            let percent = String(format: "%.2f %%", Double(expected) / 100)
            let row = try #require(table.split(separator: "\n").first { $0.contains("(\(model).onnx)") })
            #expect(row.contains(percent), "\(model): MODELS.md does not say \(percent)")
        }
    }
}
