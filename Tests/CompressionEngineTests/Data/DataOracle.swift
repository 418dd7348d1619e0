import Foundation
import Testing

@testable import Datasets
@testable import EngineSupport

/// Python with numpy and Pillow: an independent writer and reader of the formats.
enum DataOracle {
    static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path

    static let python = ProcessInfo.processInfo.environment["LATHE_PYTHON"] ?? repository + "/.deps/venv/bin/python"

    /// Runs a script with numpy as `np` and the arguments as `args`; returns what it printed.
    @discardableResult
    static func run(_ script: String, _ arguments: String...) throws -> String { try run(script, arguments: arguments) }

    @discardableResult
    static func run(_ script: String, arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: python)
        process.arguments = ["-c", "import sys, numpy as np\nargs = sys.argv[1:]\n" + script] + arguments
        let (out, err) = (Pipe(), Pipe())
        process.standardOutput = out
        process.standardError = err
        try process.run()
        let text = String(decoding: out.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let problem = String(decoding: err.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "python failed: \(problem)")
        return text
    }

    /// Floats that a script wrote with `tofile`.
    static func floats(_ path: String) throws -> [Float] {
        let bytes = try InputFile.read(path)
        return bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
}

/// A folder that is gone when the test is.
final class TemporaryFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("lathe-test-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file in it and returns its path.
    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let file = path + "/" + name
        let parent = (file as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(fileURLWithPath: file))
        return file
    }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }
}

/// An IDX file of bytes.
func idx(_ shape: [Int], _ bytes: [UInt8], type: UInt8 = 0x08) -> [UInt8] {
    [0, 0, type, UInt8(shape.count)] + shape.flatMap { dimension in (0..<4).map { UInt8(truncatingIfNeeded: dimension >> (24 - 8 * $0)) } } + bytes
}

/// The message of the `EngineError` that `body` throws.
func message(_ body: () throws -> Void) -> String {
    do {
        try body()
        Issue.record("expected an error")
        return ""
    } catch let error as EngineError {
        #expect(!error.message.contains("\n"), "more than one line")
        return error.message
    } catch {
        Issue.record("not an EngineError: \(error)")
        return ""
    }
}

extension PreparedSamples {
    func floats(_ input: Int = 0) throws -> [Float] { try withUnsafeBytes(0..<count, input: input) { Array($0.bindMemory(to: Float.self)) } }
}
