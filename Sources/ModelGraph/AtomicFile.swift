import Foundation

/// Files that appear whole or not at all: written beside their place, flushed, renamed. Devices and pipes, which cannot be replaced, are written to.
public enum AtomicFile {
    /// Writes to a file under construction.
    public struct Handle {
        let descriptor: Int32
        let path: String

        public func write(_ bytes: UnsafeRawBufferPointer) throws {
            var offset = 0
            while offset < bytes.count {
                let written = Glibc.write(descriptor, bytes.baseAddress! + offset, min(bytes.count - offset, 1 << 30))
                if written < 0 {
                    if errno == EINTR { continue }
                    throw AtomicFile.failure("cannot be written", path)
                }
                offset += written
            }
        }
    }

    /// - Throws: `ModelGraphError` naming the path; the old file, if any, is then as it was.
    public static func write(to path: String, _ body: (Handle) throws -> Void) throws {
        switch try OutputPlace(path) {
        case .file: try replace(path, body)
        case .stream: try stream(try openStream(path), path, body)
        case .descriptor(let number): try stream(dup(number), path, body)
        }
    }

    /// Where a file is made that is to stand at `path`. What programs that were killed have left there is removed.
    package static func stagingPath(for path: String) -> String {
        let prefix = ((path as NSString).lastPathComponent) + ".partial-"
        let folder = path.folder.isEmpty ? "." : path.folder
        for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] where name.hasPrefix(prefix) {
            guard let process = pid_t(name.dropFirst(prefix.count)), kill(process, 0) != 0, errno == ESRCH else { continue }
            try? FileManager.default.removeItem(atPath: "\(folder)/\(name)")
        }
        return path + ".partial-\(getpid())"
    }

    private static func replace(_ path: String, _ body: (Handle) throws -> Void) throws {
        let temporary = stagingPath(for: path)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw failure("cannot be written", path) }
        do {
            try body(Handle(descriptor: descriptor, path: path))
            guard fsync(descriptor) == 0 || errno == EINVAL else { throw failure("cannot be flushed", path) }
        } catch {
            close(descriptor)
            unlink(temporary)
            throw error
        }
        guard close(descriptor) == 0, rename(temporary, path) == 0 else {
            let error = failure("cannot be renamed into place", path)
            unlink(temporary)
            throw error
        }
    }

    private static func stream(_ descriptor: Int32, _ path: String, _ body: (Handle) throws -> Void) throws {
        guard descriptor >= 0 else { throw failure("cannot be written", path) }
        defer { close(descriptor) }
        try body(Handle(descriptor: descriptor, path: path))
    }

    /// Seconds that a pipe may be without a reader.
    private static let patience = 5.0

    /// Opens a device or pipe. A pipe that nobody reads would be waited for without end.
    private static func openStream(_ path: String) throws(ModelGraphError) -> Int32 {
        let deadline = ContinuousClock.now + .seconds(patience)
        while true {
            let descriptor = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
            if descriptor >= 0 {
                _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
                return descriptor
            }
            guard errno == ENXIO else { throw failure("cannot be written", path) }
            guard ContinuousClock.now < deadline else { throw ModelGraphError(.file, "\(path): cannot be written: nobody reads from this pipe") }
            usleep(20_000)
        }
    }

    private static func failure(_ what: String, _ path: String) -> ModelGraphError {
        ModelGraphError(.file, "\(path): \(what): \(String(cString: strerror(errno)))")
    }

    public static func write(_ bytes: [UInt8], to path: String) throws {
        try write(to: path) { handle in try bytes.withUnsafeBytes { try handle.write($0) } }
    }

    public static func write(_ text: String, to path: String) throws { try write(Array(text.utf8), to: path) }
}
