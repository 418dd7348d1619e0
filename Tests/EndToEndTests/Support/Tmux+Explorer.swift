import Foundation
import PythonOracle
import Testing

/// Opening and leaving the explorer in a terminal of our own.
extension Tmux {
    /// Opens the explorer on LeNet-5 and waits until the baseline is evaluated; without data, until the techniques show.
    func open(model: String = Samples.path("lenet-5"), data: String? = Samples.data, evaluated: String = "evaluated 10,000") throws {
        try command("clear; \(Program.path) \(model)" + (data.map { " --data \($0)" } ?? ""))
        try wait(for: data == nil ? "Pruning" : evaluated)
    }

    /// Waits for the shell's prompt on the primary screen.
    func waitForShell() throws {
        try poll("the primary screen") { try isAlternate() ? nil : true }
        try wait("the prompt") { screen in
            screen.split(separator: "\n").last { !$0.trimmingCharacters(in: .whitespaces).isEmpty }?.hasPrefix("READY$") == true
        }
    }

    /// The terminal is as the shell had it: primary screen, line settings, cursor, no mouse reports.
    func expectSane(_ settings: String, _ comment: String = "", sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(try !isAlternate(), "\(comment)", sourceLocation: sourceLocation)
        #expect(try lineSettings() == settings, "\(comment)", sourceLocation: sourceLocation)
        #expect(try isCursorVisible(), "\(comment)", sourceLocation: sourceLocation)
        #expect(try !wantsMouse(), "\(comment)", sourceLocation: sourceLocation)
    }

    /// Quits with `q` and waits for the shell.
    func quit() throws {
        try type("q")
        try waitForShell()
    }
}
