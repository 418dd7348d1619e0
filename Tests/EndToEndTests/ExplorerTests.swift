import Foundation
import PythonOracle
import Testing

/// The explorer in a real terminal: what a user does, and what becomes of the terminal.
@Suite(.serialized) struct ExplorerTests {
    private static let model = Samples.path("lenet-5")

    // MARK: - A session

    /// Switch a technique on, wait for its accuracy, export, quit: the number on screen is the one that `evaluate` and
    /// Python's onnxruntime give for the file that was written, and the log replays to it.
    @Test func aSessionFromOpenToExport() throws {
        let terminal = try Tmux(width: 120, height: 40)
        let settings = try terminal.lineSettings()
        let folder = try TemporaryFolder()
        try terminal.command("cd \(folder.path)")
        try terminal.open()
        let baseline = try terminal.screen()
        #expect(baseline.contains("92.23 %"), "MODELS.md says so\n\(baseline)")

        try terminal.press("Space")
        try terminal.wait(for: "1 on")
        let shown = try terminal.wait("the accuracy of the pruned model") { screen in
            screen.contains("evaluated 10,000") && screen.matches(of: /[0-9]+\.[0-9]+ %/).contains { $0.output != "92.23 %" } && screen.contains(" pt")
        }
        let report = try Program.json(["evaluate", Self.model, "--data", Samples.data, "--no-latency", "--step", "magnitude-pruning"])
        let correct = try #require(report["accuracy.correct"]?.int)
        #expect(shown.contains(String(format: "%.2f %%", Double(correct) / 100)), "\(shown)")

        try terminal.type("6")
        try terminal.wait(for: "Write the files")
        try terminal.type("w")
        for name in ["lenet-5-compressed.onnx", "lenet-5-compressed.recipe.yaml", "lenet-5-compressed.lathe", "lenet-5-compressed.report.md"] {
            try terminal.poll("\(name)") { FileManager.default.fileExists(atPath: folder.file(name)) ? true : nil }
        }
        try terminal.type("5")
        try terminal.wait(for: "finished")
        try terminal.type("q")
        try terminal.waitForShell()
        try terminal.expectSane(settings)

        #expect(try Python.correct([folder.file("lenet-5-compressed.onnx")]).first == correct)
        let again = folder.file("again.onnx")
        #expect(try Program.run("apply", Self.model, "--recipe", folder.file("lenet-5-compressed.recipe.yaml"), "--output", again).status == 0)
        #expect(try contents(again) == contents(folder.file("lenet-5-compressed.onnx")))
        let markdown = try String(contentsOfFile: folder.file("lenet-5-compressed.report.md"), encoding: .utf8)
        #expect(markdown.contains("| test (top-1) | 4000 |") && markdown.contains("| validation (top-1) | 10000 |"), "\(markdown)")

        let sessions = terminal.home + "/state/lathe/sessions"
        let log = try #require(try FileManager.default.contentsOfDirectory(atPath: sessions).first)
        let replay = try Program.run("replay", "\(sessions)/\(log)", "--check", "--json")
        #expect(replay.status == 0, "\(replay.errors)")
        #expect(try JSON(parsing: replay.output)["accuracy.correct"]?.int == correct)
    }

    /// What was tried is found again after a restart, without evaluating it again.
    @Test func trialsSurviveARestart() throws {
        let terminal = try Tmux(width: 120, height: 40)
        try terminal.open()
        try terminal.press("Space")
        try terminal.wait(for: "1 on")
        try terminal.wait("the evaluation") { $0.contains("✓ evaluated 10,000") && $0.contains(" pt") }
        try terminal.type("q")
        try terminal.waitForShell()
        try terminal.open()
        try terminal.type("3")
        try terminal.wait("the stored trial") { $0.localizedCaseInsensitiveContains("magnitude pruning") || $0.contains("magnitude-pruning") }
        try terminal.type("q")
        try terminal.waitForShell()
    }

    /// Undo takes a step back and redo does it again; a number can be typed.
    @Test func undoRedoAndTyping() throws {
        let terminal = try Tmux(width: 120, height: 40)
        try terminal.open(data: nil)
        try terminal.wait(for: "none on")
        try terminal.press("Space")
        try terminal.wait(for: "1 on")
        try terminal.press("Tab")
        try terminal.press("Enter")
        try terminal.press("C-u")
        try terminal.type("0.37")
        try terminal.press("Enter")
        try terminal.wait(for: "37")
        try terminal.type("u")
        try terminal.type("u")
        try terminal.wait(for: "none on")
        try terminal.press("C-r")
        try terminal.wait(for: "1 on")
        try terminal.type("q")
        try terminal.waitForShell()
    }

    // MARK: - The terminal afterwards

    @Test func suspendAndForeground() throws {
        let terminal = try Tmux(width: 100, height: 30)
        let settings = try terminal.lineSettings()
        try terminal.open(data: nil)
        try terminal.press("C-z")
        try terminal.waitForShell()
        try terminal.expectSane(settings, "suspended")
        try terminal.command("fg")
        try terminal.poll("the alternate screen") { try terminal.isAlternate() ? true : nil }
        try terminal.wait(for: "Magnitude")
        try terminal.press("Space")
        try terminal.wait(for: "1 on")
        try terminal.type("q")
        try terminal.waitForShell()
        try terminal.expectSane(settings, "after quitting")
    }

    /// Ctrl-C cancels what runs first, then quits.
    @Test func interrupt() throws {
        let terminal = try Tmux(width: 100, height: 30)
        let settings = try terminal.lineSettings()
        try terminal.open()
        try terminal.press("C-c")
        try terminal.waitForShell()
        try terminal.expectSane(settings)
        #expect(try terminal.output(of: "true").isEmpty)
    }

    @Test func interruptCancelsWorkFirst() throws {
        let terminal = try Tmux(width: 100, height: 30)
        let settings = try terminal.lineSettings()
        try terminal.command("clear; \(Program.path) \(Samples.path("lstm")) --data \(Samples.data)")
        try terminal.wait(for: "Magnitude")
        try terminal.press("Space")
        try terminal.wait(for: "1 on")
        try terminal.press("C-c")
        try terminal.wait(for: "canceled")
        #expect(try terminal.isAlternate())
        try terminal.press("C-c")
        try terminal.waitForShell()
        try terminal.expectSane(settings)
    }

    /// When the terminal window is closed, the program ends, too.
    @Test func closingTheTerminalEndsIt() throws {
        var terminal: Tmux? = try Tmux(width: 80, height: 24)
        try terminal?.open(data: nil)
        let process = try #require(try terminal?.childProcess())
        let other = try Tmux(width: 80, height: 24)
        terminal = nil
        try other.poll("the end of the program") { kill(process, 0) == 0 ? nil : true }
    }

    // MARK: - Sizes and kinds of terminals

    @Test func resizing() throws {
        let terminal = try Tmux(width: 120, height: 40)
        try terminal.open(data: nil)
        for (width, height) in [(80, 24), (200, 60), (60, 18), (40, 60), (120, 40)] {
            try terminal.resize(width: width, height: height)
            if width >= 60, height >= 18 {
                // The footer's line is the last one: the whole height is used, and nothing is cut.
                try terminal.wait("\(width)×\(height)") { screen in
                    let lines = screen.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
                    return screen.contains("Magnitude") && lines.count == height && lines.last?.contains("help") == true
                }
            } else {
                try terminal.wait(for: "need 60×18, have \(width)×\(height)")
            }
        }
        try terminal.type("q")
        try terminal.waitForShell()
    }

    @Test(arguments: [(59, 17), (200, 60), (80, 24), (60, 80)]) func opensAtAnySize(_ width: Int, _ height: Int) throws {
        let terminal = try Tmux(width: width, height: height)
        try terminal.command("clear; \(Program.path) \(Self.model)")
        try terminal.wait(for: width < 60 ? "need 60×18, have 59×17" : "Magnitude")
        try terminal.type("q")
        try terminal.waitForShell()
    }

    /// NO_COLOR takes colors away and leaves bold and reverse.
    @Test func noColor() throws {
        let terminal = try Tmux(width: 100, height: 30, environment: ["NO_COLOR": "1"])
        try terminal.open(data: nil)
        let sequences = try terminal.styledScreen().matches(of: /\u{1B}\[([0-9;:]*)m/).map { String($0.output.1) }
        let codes = sequences.flatMap { $0.split(whereSeparator: { ";:".contains($0) }).compactMap { Int($0) } }
        #expect(!codes.contains { (30...38).contains($0) || (40...48).contains($0) || (90...107).contains($0) }, "\(sequences)")
        #expect(codes.contains(1) && codes.contains(7))
        try terminal.type("q")
        try terminal.waitForShell()
    }

    @Test func colorsWithoutNoColor() throws {
        let terminal = try Tmux(width: 100, height: 30)
        try terminal.open(data: nil)
        let sequences = try terminal.styledScreen().matches(of: /\u{1B}\[([0-9;:]*)m/).map { String($0.output.1) }
        #expect(sequences.contains { $0.contains("38") || $0.split(separator: ";").contains { (30...37).contains(Int($0) ?? 0) || (90...97).contains(Int($0) ?? 0) } })
        try terminal.type("q")
        try terminal.waitForShell()
    }

    /// Old terminals get ASCII; all are given back.
    @Test(arguments: ["vt100", "linux", "screen", "screen-256color", "tmux-256color", "xterm-256color", "ansi"]) func terminalTypes(_ type: String) throws {
        guard try ChildProcess.run("/bin/sh", ["-c", "infocmp \(type)"]).status == 0 else { return }
        let terminal = try Tmux(width: 80, height: 24, term: type)
        let settings = try terminal.lineSettings()
        try terminal.command("clear; \(Program.path) \(Self.model)")
        let screen = try terminal.wait(for: "Magnitude")
        if ["vt100", "linux", "ansi"].contains(type) {
            #expect(!screen.unicodeScalars.contains { (0x2580...0x259F).contains($0.value) || (0x2800...0x28FF).contains($0.value) }, "\(screen)")
        }
        try terminal.press("Space")
        try terminal.wait(for: "1 on")
        try terminal.type("q")
        try terminal.wait("the prompt") { $0.split(separator: "\n").last { !$0.allSatisfy { $0 == " " } }?.hasPrefix("READY$") == true }
        #expect(try terminal.lineSettings() == settings)
    }

    @Test func unknownAndIncapableTerminalsAreRefused() throws {
        for type in ["dumb", "no-such-terminal"] {
            let terminal = try Tmux(width: 80, height: 24, term: type)
            let settings = try terminal.lineSettings()
            let output = try terminal.output(of: "true")
            #expect(output.isEmpty)
            try terminal.command("clear; \(Program.path) \(Self.model); echo status-$?")
            let screen = try terminal.wait(for: "status-2")
            #expect(screen.contains("lathe: ") && screen.contains(type), "\(screen)")
            #expect(try terminal.lineSettings() == settings)
        }
    }

    // MARK: - What goes wrong

    /// A model that cannot be read is told in the program, which stays usable; a name mistyped is told in the shell.
    @Test func modelsThatCannotBeOpened() throws {
        let terminal = try Tmux(width: 100, height: 30)
        let folder = try TemporaryFolder()
        let damaged = folder.file("damaged.onnx")
        try contents(Self.model).prefix(5000).write(to: URL(fileURLWithPath: damaged))
        try terminal.command("clear; \(Program.path) \(damaged)")
        try terminal.wait(for: "cannot be opened")
        try terminal.type("q")
        try terminal.waitForShell()
        try terminal.command("clear; \(Program.path) \(folder.file("missing.onnx")); echo status-$?")
        let screen = try terminal.wait(for: "status-2")
        #expect(screen.contains("missing.onnx: No such file or directory"))
    }

    /// A model with an operator that the runtime does not know still has sizes, and the program says why it has no more.
    @Test func modelsThatDoNotRun() throws {
        let terminal = try Tmux(width: 100, height: 30)
        let folder = try TemporaryFolder()
        let script = """
            import sys, numpy as np, onnx
            from onnx import helper, numpy_helper, TensorProto
            w = numpy_helper.from_array(np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32), "w")
            nodes = [helper.make_node("MatMul", ["x", "w"], ["m"], name="fc"), helper.make_node("Frobnicate", ["m"], ["y"], name="odd", domain="com.example")]
            value = lambda name, size: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
            graph = helper.make_graph(nodes, "odd", [value("x", 64)], [value("y", 32)], [w])
            opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
            onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), sys.argv[1] + "/odd.onnx")
            np.savez(sys.argv[1] + "/odd.npz", x=np.zeros((50, 64), np.float32), labels=np.zeros(50, np.int64))
            """
        try Python.run(script, folder.path)
        try terminal.command("clear; \(Program.path) \(folder.file("odd.onnx")) --data \(folder.file("odd.npz"))")
        try terminal.wait(for: "does not run this model")
        try terminal.press("Space")
        try terminal.wait("sizes of the pruned model") { screen in
            screen.split(separator: "\n").contains { $0.contains("Archive") && $0.contains(" %") } && !screen.contains("applying recipe")
        }
        try terminal.type("!")
        try terminal.wait(for: "Frobnicate")
        try terminal.press("Escape")
        try terminal.quit()
    }

    /// Settings are read, and a mistake in them is one line that names the place.
    @Test func settings() throws {
        let terminal = try Tmux(width: 100, height: 30)
        let file = terminal.home + "/config/lathe/config.yaml"
        try FileManager.default.createDirectory(atPath: (file as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data("glyphs: ascii\nview: layers\n".utf8).write(to: URL(fileURLWithPath: file))
        try terminal.command("clear; \(Program.path) \(Self.model)")
        let screen = try terminal.wait(for: "/ip1/Gemm")
        #expect(!screen.utf8.contains { $0 > 127 }, "\(screen)")
        try terminal.type("q")
        try terminal.waitForShell()
        try Data("glyphs: ascii\nsparkles: many\n".utf8).write(to: URL(fileURLWithPath: file))
        try terminal.command("clear; \(Program.path) \(Self.model); echo status-$?")
        #expect(try terminal.wait(for: "status-2").contains("config.yaml, line 2"))
        let defaults = folderless("--default-config")
        try Data(defaults.utf8).write(to: URL(fileURLWithPath: file))
        try terminal.open(data: nil)
        try terminal.type("q")
        try terminal.waitForShell()
    }

    private func folderless(_ option: String) -> String { (try? Program.run(option).output) ?? "" }
}
