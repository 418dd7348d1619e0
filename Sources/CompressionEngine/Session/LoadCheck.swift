import EngineSupport
import Foundation
import ModelGraph
import OnnxRuntime
import Synchronization

/// Loads a model file as a deployment would, in the runtime at hand with its default options, in a process of its own where there is a program
/// for that: a graph that makes the runtime crash is an answer like any other.
package enum LoadCheck {
    /// What a file takes and gives.
    package struct Contract: Codable, Equatable, Sendable {
        package struct Value: Codable, Equatable, Sendable {
            package var name: String
            /// The element type's number in ONNX; 0 for what is no tensor, or of a type that is not declared.
            package var type: Int

            init(name: String, type: Int) { (self.name, self.type) = (name, type) }

            init(_ info: ValueInfo) { self.init(name: info.name, type: info.elementType.map { Int($0.rawValue) } ?? 0) }
        }
        package var inputs: [Value]
        package var outputs: [Value]

        /// What a caller of the model that `other` describes would miss; `nil` for nothing. Outputs may have been added. A type that is not known fits all.
        func difference(from other: Contract) -> String? {
            for (verb, now, before) in [("take", inputs, other.inputs), ("give", outputs, other.outputs)] {
                for value in before {
                    guard let found = now.first(where: { $0.name == value.name }) else { return "it does not \(verb) '\(value.name)' any more" }
                    guard value.type > 0, found.type > 0, found.type != value.type else { continue }
                    return "it \(verb)s '\(value.name)' as \(ElementType(rawValue: Int32(found.type))), the model as \(ElementType(rawValue: Int32(value.type)))"
                }
            }
            return inputs.first { input in !other.inputs.contains { $0.name == input.name } }.map { "it takes '\($0.name)', which the model does not" }
        }
    }

    package enum Answer: Sendable {
        case loads(Contract)
        /// In words.
        case refused(String)
        /// Loading was given up, in words.
        case unknown(String)
    }

    /// The program that answers `load-check FILE --runtime LIBRARY`; `nil` to load in this process.
    package static let program = Mutex<String?>(nil)

    /// What loading may take: seconds for a file, more for a large one, and bytes of memory.
    private static func limits(_ byteCount: Int) -> (seconds: Double, memory: Int) {
        (15 + Double(byteCount) / 10e6, (1 << 30) + 6 * byteCount)
    }

    /// Resident bytes of a process; 0 where the system does not say.
    private static func memory(of process: pid_t) -> Int {
        let fields = (try? String(contentsOfFile: "/proc/\(process)/statm", encoding: .utf8))?.split(separator: " ") ?? []
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    }

    /// - Parameters:
    ///   - path: of the file, its external data beside it.
    ///   - byteCount: size of both.
    package static func answer(_ path: String, byteCount: Int, runtime: RuntimeLibrary, cancellation: Cancellation = Cancellation()) throws -> Answer {
        guard let program = program.withLock({ $0 }) else { return loaded(path, runtime) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = ["load-check", path, "--runtime", runtime.path]
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        do {
            try process.run()
        } catch {
            return loaded(path, runtime)
        }
        let began = ContinuousClock.now
        let (limit, most) = limits(byteCount)
        func giveUp() {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        while process.isRunning {
            if cancellation.isCancelled {
                giveUp()
                throw EngineError.cancelled
            }
            if began.duration(to: .now) > .seconds(limit) {
                giveUp()
                return .unknown("ONNX Runtime did not load it within \(Int(limit)) seconds")
            }
            if memory(of: process.processIdentifier) > most {
                giveUp()
                return .refused("ONNX Runtime takes more than \(most >> 20) MiB of memory to load it")
            }
            usleep(2000)
        }
        // Both are a line or two, which a pipe holds.
        let (text, problem) = (output.fileHandleForReading.readDataToEndOfFile(), errors.fileHandleForReading.readDataToEndOfFile())
        guard process.terminationReason == .exit else {
            return .refused("ONNX Runtime crashed over it (\(String(cString: strsignal(process.terminationStatus))))")
        }
        if process.terminationStatus == 0, let contract = try? JSONDecoder().decode(Contract.self, from: text) { return .loads(contract) }
        let line = String(decoding: problem, as: UTF8.self).split(separator: "\n").last.map(String.init) ?? "it ended with status \(process.terminationStatus)"
        return .refused(line.hasPrefix("lathe: ") ? String(line.dropFirst(7)) : line)
    }

    /// The same in this process.
    package static func loaded(_ path: String, _ runtime: RuntimeLibrary) -> Answer {
        do {
            let session = try Session(library: runtime, path: path)
            func values(_ descriptions: [ValueDescription]) -> [Contract.Value] {
                descriptions.map { Contract.Value(name: $0.name, type: $0.elementType.map { Int($0.rawValue) } ?? 0) }
            }
            return .loads(Contract(inputs: values(session.inputs), outputs: values(session.outputs)))
        } catch {
            return .refused("\(error)")
        }
    }
}
