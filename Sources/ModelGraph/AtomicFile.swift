import Foundation

/// Files that appear whole or not at all: written beside their place, flushed, renamed.
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
                    throw ModelGraphError(.file, "\(path): cannot be written: \(String(cString: strerror(errno)))")
                }
                offset += written
            }
        }
    }

    /// - Throws: `ModelGraphError` naming the path; the old file, if any, is then as it was.
    public static func write(to path: String, _ body: (Handle) throws -> Void) throws {
        let temporary = path + ".partial-\(getpid())"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw ModelGraphError(.file, "\(path): cannot be written: \(String(cString: strerror(errno)))") }
        do {
            try body(Handle(descriptor: descriptor, path: path))
            guard fsync(descriptor) == 0 || errno == EINVAL else {
                throw ModelGraphError(.file, "\(path): cannot be flushed: \(String(cString: strerror(errno)))")
            }
        } catch {
            close(descriptor)
            unlink(temporary)
            throw error
        }
        guard close(descriptor) == 0, rename(temporary, path) == 0 else {
            let reason = String(cString: strerror(errno))
            unlink(temporary)
            throw ModelGraphError(.file, "\(path): cannot be renamed into place: \(reason)")
        }
    }

    public static func write(_ bytes: [UInt8], to path: String) throws {
        try write(to: path) { handle in try bytes.withUnsafeBytes { try handle.write($0) } }
    }

    public static func write(_ text: String, to path: String) throws { try write(Array(text.utf8), to: path) }
}
