import EngineSupport
import Foundation

/// A folder in which processes of several hosts work without talking to each other.
///
/// Only what is atomic on network file systems is used: a file made beside its place and renamed or linked into it, a rename that takes a file away from
/// all others, and unlink. There are no locks. `AtomicFile` is not used here: it names its unfinished files by process id, which two hosts may share, and
/// lists the folder each time, which is slow among many thousand files.
public struct SweepFolder: Sendable {
    /// Folders in it.
    enum Part: String, CaseIterable {
        /// What is to be tried; never changed once it is there.
        case batches
        /// A file for each trial that nobody has taken.
        case open
        /// A file for each trial that a worker has taken.
        case claimed
        /// A file for each result; the first one stays.
        case done
        /// A file for each worker, rewritten while it lives.
        case workers
        /// Files that are being written.
        case staging
    }

    public let path: String
    /// Whose unfinished files are whose: unique among all processes on all hosts.
    let owner: String

    public init(_ path: String) { self.init(path, owner: WorkerIdentity.makeName()) }

    init(_ path: String, owner: String) {
        self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        self.owner = owner
    }

    func path(_ part: Part, _ name: String = "") -> String { name.isEmpty ? "\(path)/\(part.rawValue)" : "\(path)/\(part.rawValue)/\(name)" }

    /// Makes the folder and its parts, or leaves them.
    /// - Throws: `EngineError` that names what cannot be made.
    func create() throws(EngineError) {
        do {
            for part in Part.allCases { try FileManager.default.createDirectory(atPath: path(part), withIntermediateDirectories: true) }
        } catch {
            throw EngineError(.data, "\(path): cannot be made: \(error.localizedDescription)")
        }
    }

    // MARK: - Reading

    /// Names of a part's files, in no order; none where it is missing. File systems' own files (`.nfs…`) are left out.
    func names(_ part: Part) -> [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path(part))) ?? []).filter { !$0.hasPrefix(".") } }

    /// `nil` where there is no such file (any more).
    func read(_ part: Part, _ name: String) -> Data? { FileManager.default.contents(atPath: path(part, name)) }

    func exists(_ part: Part, _ name: String) -> Bool {
        var status = stat()
        return stat(path(part, name), &status) == 0
    }

    // MARK: - Writing

    /// Puts a file in place unless there is one: of all that try, on whatever hosts, one succeeds.
    /// - Returns: whether it was this one.
    func add(_ data: Data, _ part: Part, _ name: String, patience: Double = 0, cancellation: Cancellation? = nil) throws(EngineError) -> Bool {
        try add(data, to: path(part, name), patience: patience, cancellation: cancellation)
    }

    func add(_ data: Data, to target: String, patience: Double = 0, cancellation: Cancellation? = nil) throws(EngineError) -> Bool {
        let staged = stagingPath(target)
        defer { unlink(staged) }
        var isFirst = true
        try insist(target, patience, cancellation) {
            if let problem = Self.write(data, staged, flushed: true) { return problem }
            if link(staged, target) == 0 { return nil }
            guard errno == EEXIST else { return errno }
            // Over a network an answer may be lost and the call made twice: the file that is there may be this one.
            var status = stat()
            isFirst = stat(staged, &status) == 0 && status.st_nlink == 2
            return nil
        }
        return isFirst
    }

    /// Replaces a file as a whole.
    /// - Returns: 0 or the error.
    @discardableResult
    func replace(_ data: Data, _ part: Part, _ name: String) -> Int32 {
        let target = path(part, name)
        let staged = stagingPath(target)
        if let problem = Self.write(data, staged, flushed: false) {
            unlink(staged)
            return problem
        }
        guard rename(staged, target) == 0 else {
            let problem = errno
            unlink(staged)
            return problem
        }
        return 0
    }

    /// Renames a file: of all that try to take it away, one succeeds.
    /// - Parameter target: a name that only this process uses, or that nobody else could be renaming to.
    /// - Returns: whether it was this one.
    func move(_ part: Part, _ name: String, to other: Part, _ target: String) throws(EngineError) -> Bool {
        if rename(path(part, name), path(other, target)) == 0 { return true }
        let problem = errno
        // The answer of a rename over the network may be lost and the call made again, which then finds nothing to rename.
        guard problem == ENOENT || problem == ESTALE else { throw Self.failure("cannot be renamed", path(part, name), problem) }
        return exists(other, target)
    }

    func remove(_ part: Part, _ name: String) { unlink(path(part, name)) }

    private func stagingPath(_ target: String) -> String { path(.staging, "\((target as NSString).lastPathComponent).\(owner)") }

    /// - Returns: the error; `nil` for none.
    private static func write(_ data: Data, _ path: String, flushed: Bool) -> Int32? {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { return errno }
        var offset = 0
        while offset < data.count {
            let written = data.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + offset, data.count - offset) }
            if written < 0 {
                if errno == EINTR { continue }
                let problem = errno
                close(descriptor)
                return problem
            }
            offset += written
        }
        if flushed, fsync(descriptor) != 0, errno != EINVAL {
            let problem = errno
            close(descriptor)
            return problem
        }
        // Network file systems say only now that a disk is full.
        return close(descriptor) == 0 ? nil : errno
    }

    /// Tries again, with growing pauses, while a disk is full or a server does not answer.
    private func insist(_ target: String, _ patience: Double, _ cancellation: Cancellation?, _ body: () -> Int32?) throws(EngineError) {
        let deadline = ContinuousClock.now + .seconds(patience)
        var pause = 0.25
        while let problem = body() {
            let mayPass = [ENOSPC, EDQUOT, EIO, ESTALE, ETIMEDOUT, ENFILE, EMFILE, ENOMEM].contains(problem)
            guard mayPass, ContinuousClock.now < deadline, cancellation?.isCancelled != true else {
                if [EPERM, EOPNOTSUPP, ENOSYS].contains(problem) {
                    throw EngineError(.data, "\(target): cannot be linked into place: \(Self.text(problem)); a sweep needs a file system with hard links")
                }
                throw Self.failure("cannot be written", target, problem)
            }
            Thread.sleep(forTimeInterval: pause)
            pause = min(pause * 2, 8)
        }
    }

    private static func text(_ problem: Int32) -> String { String(cString: strerror(problem)) }

    private static func failure(_ what: String, _ path: String, _ problem: Int32) -> EngineError { EngineError(.data, "\(path): \(what): \(text(problem))") }
}

/// JSON as all files of a sweep have it.
enum SweepJSON {
    static func data(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return try encoder.encode(value) + Data("\n".utf8)
    }

    static func value<Value: Decodable>(_ type: Value.Type, _ data: Data) throws -> Value {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return try decoder.decode(type, from: data)
    }
}
