import ArgumentParser
import CompressionEngine
import EngineSupport
import Explorer
import Foundation
import ModelGraph
import OnnxRuntime
import TerminalCurses

/// Something the user gave that cannot be used, in one line.
struct BadInput: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) { self.description = description }
}

/// How errors of every layer reach the user: one line on standard error and the exit status.
enum Failure {
    /// Status when a stated requirement is not met.
    static let requirementNotMet = ExitCode(1)
    static let badInput: Int32 = 2
    /// As shells report a program ended by SIGINT.
    static let interrupted: Int32 = 130
    /// As shells report a program ended by SIGPIPE.
    static let outputClosed: Int32 = 141

    /// Writes what there is to say and returns the exit status. Help and version requests come here too.
    static func report(_ error: any Error) -> Int32 {
        if let code = error as? ExitCode { return code.rawValue }
        if let engine = error as? EngineError, engine.kind == .cancelled {
            Console.error("canceled")
            return interrupted
        }
        if Lathe.exitCode(for: error) == .success {
            Console.print(Lathe.fullMessage(for: error))
            return 0
        }
        Console.error(line(for: error))
        if error is RefusedModel { return requirementNotMet.rawValue }
        return badInput
    }

    /// The error on one line without control characters and long names: what it names may come from files that nobody vetted.
    static func line(for error: any Error) -> String {
        let text =
            switch error {
            case let error as ModelGraphError: error.message
            case let error as EngineError: error.message
            case let error as OnnxRuntimeError: error.description
            case let error as BadInput: error.description
            case let error as RefusedModel: error.message
            case let error as SettingsError: error.description
            case let error as TerminalError: error.description
            default: Lathe.message(for: error) + (Lathe.exitCode(for: error) == .validationFailure ? " (see 'lathe --help')" : "")
            }
        return text.onOneLine.namesShortened(keeping: typed)
    }

    /// What the user typed, which is shown as it was.
    private static let typed = ProcessInfo.processInfo.arguments.dropFirst().flatMap { word in
        [word] + (word.firstIndex(of: "=").map { [String(word[word.index(after: $0)...])] } ?? [])
    }

    /// Runs `body`; an error that does not name `file` yet gets it in front.
    static func about<R>(_ file: String, _ body: () throws -> R) throws -> R {
        do {
            return try body()
        } catch let error as EngineError where error.kind == .cancelled {
            throw error
        } catch let error where !(error is ExitCode || error is RefusedModel) {
            let line = line(for: error)
            throw BadInput(line.contains(file) ? line : "\(file): \(line)")
        }
    }
}

extension String {
    /// Runs of white space, line breaks and control characters made one space.
    var onOneLine: String {
        var result = String.UnicodeScalarView()
        var gap = false
        for scalar in unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .spaceSeparator: gap = true
            default:
                if gap, !result.isEmpty { result.append(" ") }
                gap = false
                result.append(scalar)
            }
        }
        return String(result)
    }
}
