import Foundation
import Synchronization

/// Python with numpy, onnx and onnxruntime: an independent writer, reader and runner of what is tested.
///
/// Scripts run in at most two processes that stay, one script after another in each.
package enum Python {
    package static let executable = ProcessInfo.processInfo.environment["LATHE_PYTHON"] ?? Repository.root + "/.deps/venv/bin/python"

    /// A script that failed, with its traceback.
    package struct Failure: Error, CustomStringConvertible {
        package var description: String
    }

    /// Runs a script with numpy as `np` and the arguments as `args`; returns what it printed. One that fails fails the test.
    @discardableResult
    package static func run(_ script: String, _ arguments: String...) throws -> String { try run(script, arguments: arguments) }

    /// - Parameter limit: seconds after which the script is ended.
    @discardableResult
    package static func run(_ script: String, arguments: [String], limit: Double = 300) throws -> String {
        // Workers that are not at work wait in the pool; there are as many as run at once, and never more than cores.
        slots.wait()
        defer { slots.signal() }
        let worker = try idle.withLock { $0.popLast() } ?? PythonWorker()
        do {
            let output = try worker.run(script, arguments, limit: limit)
            idle.withLock { $0.append(worker) }
            return output
        } catch {
            // One that died or hangs is dropped, which ends it.
            if !error.isFatal { idle.withLock { $0.append(worker) } }
            throw Failure(description: error.message)
        }
    }

    private static let slots = DispatchSemaphore(value: 2)
    private static let idle = Mutex<[PythonWorker]>([])

    /// Float32 numbers that a script wrote with `tofile`.
    package static func floats(_ path: String) throws -> [Float] { try numbers(path) }

    /// Float64 numbers that a script wrote with `tofile`.
    package static func doubles(_ path: String) throws -> [Double] { try numbers(path) }

    private static func numbers<Number: BitwiseCopyable>(_ path: String) throws -> [Number] {
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        let size = MemoryLayout<Number>.size
        return data.withUnsafeBytes { bytes in (0..<(bytes.count / size)).map { bytes.loadUnaligned(fromByteOffset: $0 * size, as: Number.self) } }
    }

    /// Writes float64 numbers for `np.fromfile`.
    package static func write(_ values: [Double], to path: String) throws { try values.withUnsafeBytes { Data($0) }.write(to: URL(fileURLWithPath: path)) }
}
