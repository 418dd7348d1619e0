import ArgumentParser
import Foundation

/// The program: its commands, and how it ends.
struct Lathe: ParsableCommand {
    static let version = "0.1.0"
    /// Of this version, for the man page.
    static let releaseDate = "November 25, 2026"

    static let configuration = CommandConfiguration(
        commandName: "lathe",
        abstract: "Explore what compressing a neural network costs and saves.",
        discussion: """
            With a model (an ONNX file) as its first argument, lathe opens the explorer: switch techniques on and off, turn \
            their parameters, watch size, compute, latency and accuracy follow, export the result. Every other command \
            does one thing without a terminal.

            Exit status: 0 on success; 1 when a stated requirement is not met; 2 on bad input, with one line on \
            standard error. No command leaves a half-written file.
            """,
        version: "lathe \(version)",
        subcommands: [
            Explore.self, Inspect.self, Evaluate.self, Sensitivity.self, Apply.self, Train.self, Pack.self, Unpack.self, Techniques.self, Measures.self, Presets.self, Replay.self,
            Keys.self,
            Completions.self, Manual.self,
        ],
        defaultSubcommand: Explore.self)
}

@main
enum Main {
    static func main() {
        var status: Int32 = 0
        do {
            var command = try Lathe.parseAsRoot()
            try command.run()
        } catch {
            status = Failure.report(error)
        }
        // Without destructors of libraries: a worker that has not noticed its cancellation yet may still be inside
        // ONNX Runtime. Nothing is buffered: output goes by write(2), files are flushed.
        _exit(status)
    }
}
