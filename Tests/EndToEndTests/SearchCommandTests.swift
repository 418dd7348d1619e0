import Foundation
import PythonOracle
import Testing

/// `lathe search`: what is written is what was told, also when it is ended early.
@Suite(.serialized) struct SearchCommandTests {
    private let common = ["search", Samples.path("lenet-5"), "--data", Samples.data, "--techniques", "weight-quantization,gptq,fp16"]

    @Test func whatIsWrittenIsWhatWasTold() throws {
        let folder = try TemporaryFolder()
        let state = ["XDG_STATE_HOME": folder.path + "/state"]
        let result = try Program.run(common + ["--goal", "file <= 20%, drop <= 1", "--budget", "25s", "--output", folder.path + "/out", "--json"], environment: state)
        #expect(result.status == 0, "\(result.errors)")
        let lines = try result.output.split(separator: "\n").map { try JSON(parsing: String($0)) }
        let last = try #require(lines.last)
        #expect(
            last["event"]?.string == "result" && last["schema"]?.string == "lathe.search/1"
                && lines.dropLast().allSatisfy { ["tried", "best", "phase"].contains($0["event"]?.string ?? "") })
        let value = try #require(last["best.accuracy"]?.double)
        let model = folder.path + "/out/best.onnx"
        #expect(try Python.correct([model]).first == Int((value * 10_000).rounded()))
        let bytes = try contents(model).count
        #expect(Double(bytes) == last["best.values.file"]?.double && Double(bytes) <= 0.2 * (last["baseline.file"]?.double ?? 0))
        // The recipe gives the same bytes.
        let again = try Program.run([
            "apply", Samples.path("lenet-5"), "--data", Samples.data, "--recipe", folder.path + "/out/best.recipe.yaml", "--output", folder.path + "/again.onnx",
        ])
        #expect(again.status == 0, "\(again.errors)")
        #expect(try contents(folder.path + "/again.onnx") == contents(model))
        // What is stored is not asked for again.
        let second = try Program.run(common + ["--goal", "file <= 20%, drop <= 1", "--budget", "10s", "--json"], environment: state)
        let found = try JSON(parsing: String(try #require(second.output.split(separator: "\n").last)))
        #expect((found["known"]?.int ?? 0) > 0)
    }

    /// A front over two measures; --resume asks the same again and knows the answers; the written recipes give what was told.
    @Test func aFrontIsWrittenAndGoneOnWith() throws {
        let folder = try TemporaryFolder()
        let state = ["XDG_STATE_HOME": folder.path + "/state"]
        let result = try Program.run(common + ["--minimize", "file,drop", "--budget", "12s", "--output", folder.path + "/out", "--json"], environment: state)
        #expect(result.status == 0, "\(result.errors)")
        let last = try JSON(parsing: String(try #require(result.output.split(separator: "\n").last)))
        #expect(last["objectives"]?.array.compactMap(\.string) == ["file", "drop"], "\(result.output)")
        let points = try #require(last["front"]).array.map { (size: $0["values.file"]?.double ?? .nan, loss: $0["values.drop"]?.double ?? .nan) }
        #expect(points.count >= 3 && zip(points, points.dropFirst()).allSatisfy { $0.size < $1.size && $0.loss > $1.loss })
        #expect(last["test.samples"]?.int == 4000 && last["test.difference"]?.double != nil)
        #expect(FileManager.default.fileExists(atPath: folder.path + "/out/front-2.recipe.yaml"))
        let again = try Program.run(
            ["search", Samples.path("lenet-5"), "--data", Samples.data, "--resume", "--budget", "12s", "--output", folder.path + "/out", "--json"], environment: state)
        let second = try JSON(parsing: String(try #require(again.output.split(separator: "\n").last)))
        #expect(second["objectives"]?.array.compactMap(\.string) == ["file", "drop"] && (second["known"]?.int ?? 0) >= points.count - 1, "\(again.errors)")
        let text = try Program.run(common + ["--minimize", "file,drop", "--budget", "3s"], environment: state)
        #expect(text.output.contains("front of ONNX file, change of top-1 accuracy") && text.output.contains("test split, read once"), "\(text.output)")
    }

    /// Widths of each group of channels, within a limit on MACs that the written file holds.
    @Test func architecturesHoldTheirLimits() throws {
        let folder = try TemporaryFolder()
        let state = ["XDG_STATE_HOME": folder.path + "/state"]
        let arguments = ["search", Samples.path("lenet-5"), "--data", Samples.data, "--goal", "macs <= 60%", "--architecture", "score", "--budget", "120s", "--json"]
        let result = try Program.run(arguments + ["--output", folder.path + "/out"], environment: state)
        let last = try JSON(parsing: String(try #require(result.output.split(separator: "\n").last)))
        #expect(result.status == 0, "\(result.errors)")
        let model = folder.path + "/out/best.onnx"
        let value = try #require(last["best.accuracy"]?.double)
        #expect(try Python.correct([model]).first == Int((value * 10_000).rounded()))
        func macs(_ path: String) throws -> Double {
            try #require(try JSON(parsing: try Program.run(["inspect", path, "--json"], environment: state).output)["figures.macs"]?.double)
        }
        #expect(try macs(model) <= 0.6 * macs(Samples.path("lenet-5")))
        let recipe = try String(contentsOfFile: folder.path + "/out/best.recipe.yaml", encoding: .utf8)
        #expect(recipe.contains("structured-pruning"))
        let again = try Program.run(arguments, environment: ["XDG_STATE_HOME": folder.path + "/other"])
        let second = try JSON(parsing: String(try #require(again.output.split(separator: "\n").last)))
        #expect(second["best.recipe"]?.string == last["best.recipe"]?.string && second["best.accuracy"]?.double == value)
    }

    @Test(
        "What cannot be asked is one line",
        arguments: [
            ([], "a search needs a goal"), (["--minimize", "accuracy"], "'drop' is what it loses"), (["--goal", "file <= 50%", "--resume"], "give the folder of the search"),
            (["--goal", "file <= 50%", "--form", "small"], "portable"), (["--resume", "--output", "/tmp/lathe-no-such-search"], "no search has written here"),
        ])
    func badRequests(arguments: [String], part: String) throws {
        let result = try Program.run(common + arguments)
        #expect(result.status == 2 && result.errors.contains(part), "\(result.errors)")
        rmdir("/tmp/lathe-no-such-search")
    }

    @Test func badGoalsAndUnreachableOnes() throws {
        let bad = try Program.run(common + ["--goal", "files <= 3"])
        #expect(bad.status == 2 && bad.errorLines.count == 1 && bad.errors.contains("there is no measure 'files'"))
        let technique = try Program.run(Array(common.dropLast()) + ["unknown", "--goal", "file <= 50%"])
        #expect(technique.status == 2 && technique.errors.contains("there is no technique 'unknown'"))
        let never = try Program.run(common + ["--goal", "file <= 2%, drop <= 0", "--budget", "10s"])
        #expect(never.status == 1 && never.output.contains("No recipe meets the goal"), "\(never.output) \(never.errors)")
    }

    /// SIGINT in the middle: the best so far is written, and the status is that of a search that found something.
    @Test func anInterruptedSearchWritesWhatItHas() throws {
        let folder = try TemporaryFolder()
        let output = open(folder.path + "/output", O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        let process = try ChildProcess.start(
            Program.path, common + ["--goal", "file <= 60%, drop <= 2", "--budget", "5m", "--output", folder.path + "/out"],
            environment: ["XDG_STATE_HOME": folder.path + "/state"], output: output, errors: output)
        close(output)
        let deadline = Date().addingTimeInterval(120)
        while !FileManager.default.fileExists(atPath: folder.path + "/out/best.recipe.yaml"), Date() < deadline { usleep(20_000) }
        kill(process, SIGINT)
        let end = ChildProcess.wait(process)
        #expect(end.status == 0 && end.signal == nil)
        let text = try String(contentsOfFile: folder.path + "/output", encoding: .utf8)
        #expect(text.contains("interrupted") && text.contains("written: "), "\(text)")
        for name in ["best.onnx", "best.recipe.yaml", "best.report.md"] { #expect(FileManager.default.fileExists(atPath: "\(folder.path)/out/\(name)")) }
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path + "/out").filter { $0.contains("partial") }
        #expect(left.isEmpty)
    }
}
