import Foundation
import PythonOracle
import Testing

/// From a cold start to a good model in a few keys, by what stands on the screen alone.
@Suite(.serialized) struct FirstMinutesTests {
    private static let model = Samples.path("resnet-8")

    /// What `apply` makes of the recipe that was exported, against the original: shares and the loss in points.
    private func found(_ folder: TemporaryFolder) throws -> (file: Double, drop: Double) {
        let path = folder.file("resnet-8-compressed.onnx")
        let bytes = { (path: String) in try #require(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) }
        let correct = try Python.correct([Self.model, path])
        return (Double(try bytes(path)) / Double(try bytes(Self.model)), Double(correct[0] - correct[1]) / 100)
    }

    /// Export and report in two keys more.
    private func export(_ terminal: Tmux, _ folder: TemporaryFolder) throws {
        try terminal.type("6")
        try terminal.wait(for: "Write the files")
        try terminal.type("w")
        try terminal.poll("the report") { FileManager.default.fileExists(atPath: folder.file("resnet-8-compressed.report.md")) ? true : nil }
    }

    /// `F`, Enter, and `i` once something is found: half the size at half a point at most.
    @Test func halfTheSizeInThreeKeys() throws {
        let terminal = try Tmux(width: 100, height: 30)
        let folder = try TemporaryFolder()
        try terminal.command("cd \(folder.path)")
        try terminal.open(model: Self.model)
        #expect(try terminal.screen().contains("F reaches a goal"))
        try terminal.type("F")
        try terminal.wait(for: "half the size")
        try terminal.press("Enter")
        try terminal.wait("something that is found") { $0.contains("takes the best so far") || $0.contains("found: ") }
        try terminal.poll("the best so far") {
            try terminal.type("i")
            return try terminal.screen().contains("none on") ? nil : true
        }
        try terminal.wait("the target is met") { screen in screen.contains("Target met") }
        try export(terminal, folder)
        let (file, drop) = try found(folder)
        #expect(file <= 0.5 && drop <= 0.5 + 1e-9, "\(file) of the bytes, \(drop) points lost")
        try terminal.type("q")
        try terminal.poll("the shell or the question") { try terminal.isAlternate() && !terminal.screen().contains("Quit while") ? nil : true }
        if try terminal.isAlternate() { try terminal.type("y") }
        try terminal.waitForShell()
    }

    /// Without arguments: what is here, its data, and the explorer opens.
    @Test func aModelIsChosenFromAList() throws {
        let terminal = try Tmux(width: 80, height: 24)
        try terminal.command("cd \(Repository.root)/SampleModels")
        try terminal.command("clear; \(Program.path)")
        try terminal.wait(for: "ds-cnn.onnx")
        try terminal.type("lenet-5")
        try terminal.press("Enter")
        try terminal.wait(for: "data/fashion-mnist.yaml")
        try terminal.press("Enter")
        try terminal.wait(for: "evaluated 10,000")
        try terminal.type("q")
        try terminal.waitForShell()
        // Next time it is the first that is offered, with its data.
        try terminal.command("clear; \(Program.path)")
        try terminal.wait(for: "with data/fashion-mnist.yaml")
        try terminal.press("Enter")
        try terminal.wait(for: "evaluated 10,000")
        try terminal.type("q")
        try terminal.waitForShell()
        try terminal.command("clear; \(Program.path)")
        try terminal.wait(for: "Models below")
        try terminal.type("q")
        try terminal.waitForShell()
    }

    /// A session that is killed goes on where it was, with its states.
    @Test func aKilledSessionGoesOn() throws {
        let terminal = try Tmux(width: 100, height: 30)
        try terminal.open()
        try terminal.press("Space")
        try terminal.wait(for: "1 on")
        try terminal.press("Tab")
        try terminal.press("Right")
        try terminal.wait(for: "0.51")
        let process = try terminal.childProcess()
        kill(process, SIGKILL)
        try terminal.poll("the end of the program") { kill(process, 0) == 0 ? nil : true }
        try terminal.command("reset")
        try terminal.open()
        try terminal.wait(for: "goes on here")
        try terminal.wait(for: "0.51")
        try terminal.type("u")
        try terminal.type("u")
        try terminal.wait(for: "none on")
        try terminal.type("q")
        try terminal.waitForShell()
    }

    /// A click whose press and release come in one write, as quick ones do over a slow line.
    @Test func quickClicksCount() throws {
        let terminal = try Tmux(width: 100, height: 30, term: "xterm-256color")
        try terminal.open(data: nil)
        for _ in 0..<6 {
            try terminal.type("\u{1B}[<0;15;2M\u{1B}[<0;15;2m")
            try terminal.wait(for: "own value of")
            try terminal.type("\u{1B}[<0;4;2M\u{1B}[<0;4;2m")
            try terminal.wait(for: "Ready-made recipes")
        }
        try terminal.type("q")
        try terminal.waitForShell()
    }
}
