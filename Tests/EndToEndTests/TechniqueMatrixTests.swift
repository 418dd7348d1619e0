import Foundation
import Testing

/// Every technique on every sample model, generated from the registry: what `evaluate` says is what stock ONNX Runtime
/// does with what `apply` writes, to the image, and the same bytes come out twice.
///
/// On the first 1,000 validation images; with LATHE_TEST_ALL=1 on all 10,000, and with every choice of every parameter.
@Suite struct TechniqueMatrixTests {
    private static let everything = ProcessInfo.processInfo.environment["LATHE_TEST_ALL"] != nil
    private static let images = everything ? 10_000 : 1_000

    /// Techniques of the registry, as the program lists them.
    private static func techniques() throws -> [JSON] {
        let list = try Program.json(["techniques"])["techniques"]?.array ?? []
        try #require(!list.isEmpty)
        return list
    }

    /// The sample data, its validation split cut to the first images. What learns does so on a few of the held-out images: here it is
    /// not to get good, but to come out the same everywhere.
    private static func data(in folder: TemporaryFolder) throws -> String {
        let samples = Program.repository.appendingPathComponent("SampleModels/data").path
        let text = try String(contentsOfFile: Samples.data, encoding: .utf8)
            .replacingOccurrences(of: ": fashion-mnist/", with: ": \(samples)/fashion-mnist/")
            .replacingOccurrences(of: "range: [0, 10000]", with: "range: [0, \(images)]")
            .replacingOccurrences(of: "/usr/share/datasets/fashion-mnist/train-images", with: "\(samples)/fashion-mnist/heldout-images")
            .replacingOccurrences(of: "/usr/share/datasets/fashion-mnist/train-labels", with: "\(samples)/fashion-mnist/heldout-labels")
            .replacingOccurrences(of: "range: [0, 55000]", with: "range: [4700, 5000]")
            .replacingOccurrences(of: "range: [1000, 5000]", with: "range: [1000, 4700]")
        let file = folder.file("data.yaml")
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        return file
    }

    /// A recipe on the command line that was applied, and how many images the program says it gets right.
    private struct Applied {
        var label: String
        var file: String
        var correct: Int
        var report: JSON
    }

    /// Applies steps twice and evaluates them; `nil` when the program refuses, which it must do in one line.
    private func apply(_ steps: [String], to model: String, data: String, in folder: TemporaryFolder) throws -> Applied? {
        let label = steps.joined(separator: " + ")
        let options = steps.flatMap { ["--step", $0] }
        let name = label.filter { $0.isLetter || $0.isNumber || $0 == "-" }
        let files = ["a", "b"].map { folder.file("\(name)-\($0).onnx") }
        // Two memories of what was trained: the second run trains again.
        let states = ["a", "b"].map { ["XDG_STATE_HOME": folder.file("state-\($0)")] }
        for (file, state) in zip(files, states) {
            let result = try Program.run(["apply", Samples.path(model), "--data", data, "--output", file] + options, environment: state)
            if result.status != 0 {
                #expect(result.status == 2 && result.signal == nil, "\(model), \(label)")
                #expect(result.errorLines.count == 1 && result.errors.contains(model), "\(model), \(label): \(result.errors)")
                #expect(!FileManager.default.fileExists(atPath: file))
                return nil
            }
        }
        #expect(try contents(files[0]) == contents(files[1]), "\(model), \(label): not the same bytes twice")
        let report = try Program.json(["evaluate", Samples.path(model), "--data", data, "--no-latency"] + options, environment: states[0])
        let correct = try #require(report["accuracy.correct"]?.int)
        #expect(report["accuracy.samples"]?.int == Self.images)
        let size = try contents(files[0]).count
        #expect(report["figures.candidate.sizes.serialized"]?.int == size, "\(model), \(label): size is not that of the file")
        try FileManager.default.removeItem(atPath: files[1])
        return Applied(label: label, file: files[0], correct: correct, report: report)
    }

    private func compare(_ applied: [Applied], _ model: String) throws {
        let truth = try Oracle.correct(applied.map(\.file), images: Self.images)
        for (entry, expected) in zip(applied, truth) {
            #expect(entry.correct == expected, "\(model), \(entry.label): lathe counts \(entry.correct), Python's onnxruntime \(expected)")
            try FileManager.default.removeItem(atPath: entry.file)
        }
    }

    /// The technique at its defaults; with LATHE_TEST_ALL also at every other choice that a parameter offers.
    private static func variants(_ technique: JSON) -> [String] {
        guard let id = technique["id"]?.string else { return [] }
        let learns = (technique["parameters"]?.array ?? []).contains { $0["name"]?.string == "epochs" }
        guard everything else { return [learns ? "\(id):epochs=1" : id] }
        var all = [learns ? "\(id):epochs=1" : id]
        for parameter in technique["parameters"]?.array ?? [] {
            guard let name = parameter["name"]?.string else { continue }
            for choice in parameter["choices"]?.array ?? [] {
                guard let value = choice["name"]?.string, value != parameter["default"]?.string else { continue }
                all.append("\(id):\(learns ? "epochs=1," : "")\(name)=\(value)")
            }
        }
        return all
    }

    @Test(arguments: Samples.models) func everyTechnique(_ model: String) throws {
        let folder = try TemporaryFolder()
        let data = try Self.data(in: folder)
        var applied: [Applied] = []
        for technique in try Self.techniques() {
            for variant in Self.variants(technique) {
                guard let entry = try apply([variant], to: model, data: data, in: folder) else { continue }
                // Storing numbers otherwise does not change how many are multiplied.
                if ["quantization", "sharing", "coding"].contains(technique["family"]?.string ?? "") {
                    #expect(
                        entry.report["figures.candidate.macs"]?.double == entry.report["figures.baseline.macs"]?.double, "\(model), \(variant): MACs")
                }
                applied.append(entry)
            }
        }
        #expect(applied.count >= 5, "\(model): nearly every technique refuses it")
        try compare(applied, model)
    }

    @Test(arguments: Samples.models) func combinedRecipes(_ model: String) throws {
        let recipes = [
            ["magnitude-pruning:sparsity=0.8", "weight-sharing", "huffman"],
            ["structured-pruning", "static-int8"],
            ["svd", "weight-quantization"],
            // The samples are float32, so that float32 alone applies to none.
            ["fp16:mode=compute", "float32", "static-int8"],
        ]
        let folder = try TemporaryFolder()
        let data = try Self.data(in: folder)
        let applied = try recipes.compactMap { try apply($0, to: model, data: data, in: folder) }
        #expect(!applied.isEmpty)
        try compare(applied, model)
    }

    /// The accuracy before any step, against the published table in SampleModels/MODELS.md and against Python.
    @Test func baselines() throws {
        let truth = try Oracle.correct(Samples.models.map(Samples.path), images: 10_000)
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
