import Foundation
import PythonOracle
import Testing

@testable import OnnxRuntime

/// Models, inputs and the outputs that Python's `onnxruntime` computes for them, made once per test run.
struct Oracle {
    struct Failure: Error, CustomStringConvertible { var description: String }

    let folder: URL

    /// The folder that `modelScript` filled, or why it could not.
    static let shared: Result<Oracle, Failure> = {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("lathe-onnxruntime-\(ProcessInfo.processInfo.processIdentifier)")
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try Python.run(modelScript, folder.path)
            atexit { removeOracleFolder() }
            return .success(Oracle(folder: folder))
        } catch {
            return .failure(Failure(description: "\(error)"))
        }
    }()

    static func path(_ name: String) throws -> String {
        try shared.get().folder.appendingPathComponent(name).path
    }

    static func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: path(name))))
    }

    static func floats(_ name: String) throws -> [Float] {
        try bytes(name).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }

    static func strings(_ name: String) throws -> [String] {
        try JSONDecoder().decode([String].self, from: Data(bytes(name)))
    }
}

private func removeOracleFolder() {
    if case .success(let oracle) = Oracle.shared { try? FileManager.default.removeItem(at: oracle.folder) }
}

/// The library under test: `LATHE_ONNXRUNTIME`, or what `make setup` installed in the repository.
func testLibrary() throws -> RuntimeLibrary {
    if ProcessInfo.processInfo.environment["LATHE_ONNXRUNTIME"] != nil { return try RuntimeLibrary.load() }
    return try RuntimeLibrary.load(path: Repository.root + "/.deps/onnxruntime")
}

func session(_ model: String, options: SessionOptions = SessionOptions()) throws -> Session {
    try Session(library: testLibrary(), model: Oracle.bytes(model), options: options, label: model)
}

/// Bits, for comparisons that mean equality and not closeness.
func bits(_ floats: [Float]) -> [UInt32] { floats.map(\.bitPattern) }

/// The library's error that `body` throws; nil, with an issue recorded, when it throws none.
func failure<R>(
    _ body: () throws -> R, at location: SourceLocation = #_sourceLocation
) -> OnnxRuntimeError? {
    do {
        _ = try body()
        Issue.record("nothing was thrown", sourceLocation: location)
        return nil
    } catch let error as OnnxRuntimeError {
        return error
    } catch {
        Issue.record("another error: \(error)", sourceLocation: location)
        return nil
    }
}

/// Stands for memory that somebody owns, and tells when nobody does any more.
final class Owner: @unchecked Sendable {
    // Written before it is shared, never after.
    let memory: UnsafeMutableRawBufferPointer

    init(_ bytes: [UInt8], offset: Int = 0) {
        let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count + 64, alignment: 64)
        memory = UnsafeMutableRawBufferPointer(rebasing: whole[offset..<(offset + bytes.count)])
        self.whole = whole
        memory.copyBytes(from: bytes)
    }

    private let whole: UnsafeMutableRawBufferPointer

    deinit { whole.deallocate() }
}
