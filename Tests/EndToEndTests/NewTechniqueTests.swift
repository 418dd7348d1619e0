import Foundation
import PythonOracle
import Testing

/// A technique is a file and a line: the program in `Tests/ExtendedProgram` has one more, and everything that is derived from the registry has it.
@Suite struct NewTechniqueTests {
    private static let id = "decimal-rounding"

    /// Built beside the program under test.
    private static let path = URL(fileURLWithPath: Program.path).deletingLastPathComponent().appendingPathComponent("lathe-extended").path

    private func run(_ arguments: String..., status: Int32 = 0) throws -> ChildProcess.Result {
        let result = try ChildProcess.run(Self.path, arguments, environment: ["XDG_STATE_HOME": NSTemporaryDirectory() + "lathe-extended"])
        #expect(result.status == status, "\(arguments): \(result.errors)")
        return result
    }

    @Test func isInHelpAndDocumentation() throws {
        #expect(try !Program.run("techniques").output.contains(Self.id))
        #expect(try run("techniques").output.contains(Self.id))
        #expect(try run("techniques", Self.id).output.contains("Digits behind the decimal point"))
        #expect(try JSON(parsing: run("techniques", "--json").output)["techniques"]?.array.contains { $0["id"]?.string == Self.id } == true)
        #expect(try run("completions", "bash").output.contains(Self.id))
        let folder = try TemporaryFolder()
        _ = try run("techniques", "--write-docs", folder.path)
        #expect(try String(contentsOfFile: folder.file("\(Self.id).md"), encoding: .utf8).contains("`decimals`"))
        #expect(try String(contentsOfFile: folder.file("README.md"), encoding: .utf8).contains("[`\(Self.id)`]"))
    }

    /// As in the technique matrix: the same bytes twice, and the images that Python's onnxruntime gets right.
    @Test(arguments: Samples.models) func worksOnEverySampleModel(_ model: String) throws {
        let folder = try TemporaryFolder()
        let data = try Samples.data(images: 1000, in: folder)
        for name in ["a", "b"] { _ = try run("apply", Samples.path(model), "--step", "\(Self.id):decimals=1", "--output", folder.file("\(name).onnx")) }
        #expect(try contents(folder.file("a.onnx")) == contents(folder.file("b.onnx")))
        let report = try JSON(parsing: run("evaluate", Samples.path(model), "--data", data, "--no-latency", "--step", "\(Self.id):decimals=1", "--json").output)
        #expect(try report["accuracy.correct"]?.int == Python.correct([folder.file("a.onnx")], images: 1000).first)
        let refused = try run("apply", Samples.path(model), "--step", "\(Self.id):decimals=7", "--output", folder.file("c.onnx"), status: 2)
        #expect(refused.errors.contains("decimals"))
    }

    @Test func isInTheExplorer() throws {
        let terminal = try Tmux(width: 160, height: 48)
        try terminal.command("clear; \(Self.path) \(Samples.path("lenet-5")) --data \(Samples.data)")
        try terminal.wait(for: "evaluated")
        try terminal.type(":Decimal")
        try terminal.wait(for: "Decimal rounding")
        try terminal.press("Enter")
        try terminal.wait("its parameter") { $0.contains("Decimals") && $0.contains("default 2") && $0.contains("What if: Decimals") }
        try terminal.quit()
    }
}
