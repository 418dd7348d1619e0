import Foundation
import Synchronization

/// The files of a `TrainingStore` as files: which there are, which may go.
struct TrainingFolder: Sendable {
    let path: String
    /// Bytes that all files together may take.
    let limit: Int
    private let remarks = Remarks()

    init(path: String, limit: Int) {
        self.path = path
        self.limit = limit
    }

    /// What was removed, and what else there is to say, since it was last said.
    private final class Remarks: Sendable {
        struct Content {
            var count = 0
            var bytes = 0
            var lines: [String] = []
            /// Lines are said once, however often their reason comes.
            var said: Set<String> = []
        }
        let content = Mutex(Content())
    }

    func say(_ line: String) {
        remarks.content.withLock { remarks in if remarks.said.insert(line).inserted { remarks.lines.append(line) } }
    }

    /// Moves a file that cannot be used out of the way, where it goes in its turn like any other, and says so.
    func setAside(_ file: String) {
        let aside = "\(file.dropLast(".onnx".count)).damaged-\(Int(Date().timeIntervalSince1970)).onnx"
        let moved = rename(file, aside) == 0
        say("\(file) was damaged or of another version: \(moved ? "moved to \(aside)" : "it is not used")")
    }

    /// Says that a file is in use, so that it is not among the first to go.
    func touch(_ file: String) { try? FileManager.default.setAttributes([.modificationDate: Date()], ofItemAtPath: file) }

    /// Removes files until the rest keeps within the limit, the ones not used for longest first.
    /// - Parameter key: of the training whose files stay, as do those that a process is at work on.
    func prune(keeping key: String) {
        let manager = FileManager.default
        var files: [(path: String, key: String, used: Date, bytes: Int)] = []
        for name in (try? manager.contentsOfDirectory(atPath: path)) ?? [] where name.hasSuffix(".onnx") {
            let file = (path as NSString).appendingPathComponent(name)
            guard let attributes = try? manager.attributesOfItem(atPath: file), let used = attributes[.modificationDate] as? Date, let bytes = attributes[.size] as? Int
            else { continue }
            files.append((file, String(name.prefix { $0 != "." }), used, bytes))
        }
        var total = files.reduce(0) { $0 + $1.bytes }
        for file in files.sorted(by: { ($0.used, $0.path) < ($1.used, $1.path) }) where total > limit && file.key != key {
            // Whoever trains holds the lock; a training that nobody is at is ours to remove.
            guard let use = Use.begin(folder: path, key: file.key), unlink(file.path) == 0 else { continue }
            withExtendedLifetime(use) { total -= file.bytes }
            remarks.content.withLock { ($0.count, $0.bytes) = ($0.count + 1, $0.bytes + file.bytes) }
        }
    }

    /// What there is to say since this was last asked, in one line; `nil` for nothing.
    func takeRemark() -> String? {
        let (count, bytes, lines) = remarks.content.withLock { remarks in
            defer { (remarks.count, remarks.bytes, remarks.lines) = (0, 0, []) }
            return (remarks.count, remarks.bytes, remarks.lines)
        }
        let all = lines + [removal(count, bytes)].compactMap(\.self)
        return all.isEmpty ? nil : all.joined(separator: "; ")
    }

    private func removal(_ count: Int, _ bytes: Int) -> String? {
        guard count > 0 else { return nil }
        let megabytes = { (bytes: Int) in String(format: "%.0f MB", Double(bytes) / 1e6) }
        return "\(path): \(count == 1 ? "a training" : "\(count) trainings") not used for longest removed (\(megabytes(bytes))) to keep within \(megabytes(limit))"
    }

    /// A training that this process is at: a lock on a file beside its own, which goes with the process however that ends.
    final class Use: Sendable {
        private let descriptor: Int32
        private let file: String

        /// - Parameter descriptor: of the lock file, locked; closed in the end.
        private init(descriptor: Int32, file: String) {
            self.descriptor = descriptor
            self.file = file
        }

        /// - Returns: `nil` if another process, or another thread of this one, is at it.
        static func begin(folder: String, key: String) -> Use? {
            let file = (folder as NSString).appendingPathComponent("\(key).lock")
            let descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else { return nil }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                close(descriptor)
                return nil
            }
            return Use(descriptor: descriptor, file: file)
        }

        deinit {
            unlink(file)
            close(descriptor)
        }
    }
}
