import Foundation
import PythonOracle
import Testing

/// One technique of every family through the command line, as TechniqueMatrixTests does it with all of them in the engine.
@Suite struct TechniqueCommandTests {
    private static let images = 1_000

    /// A step on the command line that was applied.
    private struct Applied {
        var step: String
        var file: String
        /// How many images the program says it gets right.
        var correct: Int
    }

    @Test func oneOfEveryFamily() throws {
        let folder = try TemporaryFolder()
        let data = try Samples.data(images: Self.images, in: folder)
        let families = Dictionary(grouping: try Program.json(["techniques"])["techniques"]?.array ?? []) { $0["family"]?.string ?? "" }
        try #require(families.count >= 5)
        var applied: [Applied] = []
        for (family, techniques) in families.sorted(by: { $0.key < $1.key }) {
            for technique in techniques {
                let learns = (technique["parameters"]?.array ?? []).contains { $0["name"]?.string == "epochs" }
                let id = try #require(technique["id"]?.string)
                // What corrects another step needs one to correct.
                let steps = (family == "correction" ? ["magnitude-pruning"] : []) + [learns ? "\(id):epochs=1" : id]
                guard let entry = try apply(steps, data: data, in: folder) else { continue }
                applied.append(entry)
                break
            }
        }
        #expect(applied.count == families.count, "a family whose techniques all refuse")
        for (entry, expected) in zip(applied, try Python.correct(applied.map(\.file), images: Self.images)) {
            #expect(entry.correct == expected, "\(entry.step): lathe counts \(entry.correct), Python's onnxruntime \(expected)")
        }
    }

    /// Applies steps twice and evaluates them; `nil` when the program refuses, which it must do in one line.
    private func apply(_ steps: [String], data: String, in folder: TemporaryFolder) throws -> Applied? {
        let model = "lenet-5"
        let label = steps.joined(separator: " + ")
        let options = steps.flatMap { ["--step", $0] }
        let name = label.filter { $0.isLetter || $0.isNumber || $0 == "-" }
        let files = ["a", "b"].map { folder.file("\(name)-\($0).onnx") }
        // Two memories of what was trained: the second run trains again.
        let states = ["a", "b"].map { ["XDG_STATE_HOME": folder.file("state-\($0)")] }
        for (file, state) in zip(files, states) {
            let result = try Program.run(["apply", Samples.path(model), "--data", data, "--output", file] + options, environment: state)
            if result.status != 0 {
                #expect(result.status == 2 && result.signal == nil, "\(label)")
                #expect(result.errorLines.count == 1 && result.errors.contains(model), "\(label): \(result.errors)")
                #expect(!FileManager.default.fileExists(atPath: file))
                return nil
            }
        }
        #expect(try contents(files[0]) == contents(files[1]), "\(label): not the same bytes twice")
        let report = try Program.json(["evaluate", Samples.path(model), "--data", data, "--no-latency"] + options, environment: states[0])
        #expect(report["accuracy.samples"]?.int == Self.images)
        let size = try contents(files[0]).count
        #expect(report["figures.candidate.sizes.serialized"]?.int == size, "\(label): size is not that of the file")
        return Applied(step: label, file: files[0], correct: try #require(report["accuracy.correct"]?.int))
    }
}
