import Foundation
import PythonOracle
import Testing

/// The built program, run as a user runs it.
enum Program {
    /// `LATHE_BINARY`, or whichever of the debug and release builds was built last.
    static let path: String = {
        if let named = ProcessInfo.processInfo.environment["LATHE_BINARY"] { return named }
        let built = ["debug", "release"].map { Repository.root + "/.build/\($0)/lathe" }
        func date(_ path: String) -> Date {
            ((try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate] as? Date) ?? .distantPast
        }
        return built.max { date($0) < date($1) } ?? built[0]
    }()

    /// Runs the program to its end. Standard input is empty; standard output and error are pipes.
    static func run(_ arguments: [String], environment: [String: String] = [:], directory: String? = nil) throws -> ChildProcess.Result {
        try ChildProcess.run(path, arguments, environment: environment, directory: directory)
    }

    static func run(_ arguments: String...) throws -> ChildProcess.Result { try run(arguments) }

    /// Runs the program with `--json` and reads what it prints.
    static func json(_ arguments: [String], environment: [String: String] = [:]) throws -> JSON {
        let result = try run(arguments + ["--json"], environment: environment)
        try #require(result.status == 0, "lathe \(arguments.joined(separator: " ")): status \(result.status): \(result.errors)")
        return try JSON(parsing: result.output)
    }
}

func contents(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }
