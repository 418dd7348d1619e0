import ArgumentParser
import CompressionEngine
import Foundation

/// The program: its commands, and how it ends.
struct Lathe: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lathe",
        abstract: "Explore what compressing a neural network costs and saves.",
        discussion: """
            With a model (an ONNX file) as its first argument, lathe opens the explorer: switch techniques on and off, turn \
            their parameters, watch size, compute, latency and accuracy follow, export the result. Every other command \
            does one thing without a terminal.

            Exit status: 0 on success; 1 when a stated requirement is not met; 2 on bad input, with one line on \
            standard error; 141 when whoever reads standard output left before the end. No command leaves a half-written file, and files are \
            written even if nobody reads what is printed.
            """,
        version: "lathe \(Version.number)",
        subcommands: [
            Explore.self, Inspect.self, Evaluate.self, SearchCommand.self, SweepCommand.self, Sensitivity.self, Apply.self, Convert.self, Train.self, Pack.self, Unpack.self,
            Techniques.self,
            Measures.self,
            Presets.self, Replay.self,
            DataCommand.self,
            Keys.self,
            Completions.self, Manual.self, LoadCheckCommand.self,
        ],
        defaultSubcommand: Explore.self)
}

/// The program for its executable, which adds the techniques.
public enum Program {
    /// Runs the command that the arguments name.
    /// - Returns: the status to end with.
    public static func run() -> Int32 {
        // Not the path it was called by, which may have changed hands since.
        LoadCheck.program.withLock { $0 = "/proc/\(getpid())/exe" }
        Console.prepare()
        return Console.status(after: ended())
    }

    private static func ended() -> Int32 {
        do {
            var command = try Lathe.parseAsRoot()
            try command.run()
            return 0
        } catch {
            return Failure.report(error)
        }
    }
}
