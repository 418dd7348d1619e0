import EngineSupport
import Foundation
import Measurement
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
        /// Why the runtime, which loads it, cannot run it on zeros; `nil` if it can, or was not asked to.
        package var failure: String?

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
    ///   - shapes: of all inputs, to run it once on zeros; by default it is loaded only.
    package static func answer(
        _ path: String, byteCount: Int, runtime: RuntimeLibrary, shapes: [String: [Int]] = [:], cancellation: Cancellation = Cancellation()
    ) throws -> Answer {
        guard let program = program.withLock({ $0 }) else { return loaded(path, runtime, shapes: shapes) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = ["load-check", path, "--runtime", runtime.path, "--shapes", String(decoding: try JSONEncoder().encode(shapes), as: UTF8.self)]
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        do {
            try process.run()
        } catch {
            return loaded(path, runtime, shapes: shapes)
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
    package static func loaded(_ path: String, _ runtime: RuntimeLibrary, shapes: [String: [Int]] = [:]) -> Answer {
        do {
            let session = try Session(library: runtime, path: path)
            func values(_ descriptions: [ValueDescription]) -> [Contract.Value] {
                descriptions.map { Contract.Value(name: $0.name, type: $0.elementType.map { Int($0.rawValue) } ?? 0) }
            }
            var contract = Contract(inputs: values(session.inputs), outputs: values(session.outputs))
            if !shapes.isEmpty { contract.failure = failure(of: session, contract, shapes) }
            return .loads(contract)
        } catch {
            return .refused("\(error)")
        }
    }

    /// Bytes of inputs beyond which a model is not run.
    private static let mostInput = 256 << 20

    /// Runs once on zeros.
    /// - Returns: the runtime's words; `nil` where it runs, or takes what no zeros can be made of.
    private static func failure(of session: Session, _ contract: Contract, _ shapes: [String: [Int]]) -> String? {
        var inputs: [(String, OnnxRuntime.Value)] = []
        var total = 0
        for input in contract.inputs {
            let type = ElementType(rawValue: Int32(input.type))
            guard let shape = shapes[input.name], let bytes = type.byteCount(of: shape.reduce(1, *)), let element = OnnxRuntime.Value.ElementType(onnxDataType: input.type)
            else { return nil }
            total += bytes
            guard total <= mostInput else { return nil }
            let zeros = TensorStorage(byteCount: bytes) { _ in }
            guard element != .string, let value = try? RuntimeValues.view(zeros.bytes, type: type, shape: shape, owner: zeros) else { return nil }
            inputs.append((input.name, value))
        }
        do {
            _ = try session.run(inputs: inputs, outputs: contract.outputs.map(\.name))
            return nil
        } catch {
            return "\(error)"
        }
    }
}
