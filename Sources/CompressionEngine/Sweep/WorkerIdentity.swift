import Foundation
import Measurement

/// Which process a worker is, for others to see whether it lives.
struct WorkerIdentity: Codable, Hashable, Sendable {
    /// `<host>-<pid>-<random>`, without dots.
    var name: String
    var host: String
    var process: Int32
    /// When the process was started, in the kernel's own count: a process id may come again.
    var started: String
    /// Of the running kernel, and of the name space its process ids are from; empty where the system does not say. Where both are the same, processes can be looked up.
    var boot: String
    var processes: String

    /// This process.
    static func current() -> WorkerIdentity {
        WorkerIdentity(
            name: makeName(), host: host, process: getpid(), started: startTime(of: getpid()) ?? "",
            boot: (try? String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines) ?? "",
            processes: (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/pid")) ?? "")
    }

    static func makeName() -> String { "\(host)-\(getpid())-\(String(UInt32.random(in: 0...UInt32.max), radix: 36))" }

    /// The host's name up to the first dot, as far as it can be part of a file's name.
    static let host: String = {
        var buffer = [CChar](repeating: 0, count: 256)
        gethostname(&buffer, buffer.count - 1)
        let name = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let kept = name.prefix { $0 != "." }.filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
        return kept.isEmpty ? "host" : String(kept.prefix(64))
    }()

    /// Field 22 of `/proc/<pid>/stat`; `nil` where there is no such process.
    static func startTime(of process: Int32) -> String? {
        guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        // A zombie works on nothing any more.
        return fields.count > 19 && fields[0] != "Z" ? String(fields[19]) : nil
    }

    /// Whether it has certainly ended, as seen from `other`; `nil` where that cannot be seen from there.
    func hasEnded(seenFrom other: WorkerIdentity) -> Bool? {
        guard !boot.isEmpty, !processes.isEmpty, !started.isEmpty, boot == other.boot, processes == other.processes else { return nil }
        return Self.startTime(of: process) != started
    }
}
