import CZlib
import EngineSupport
import Foundation

/// A regular file opened for reading, told apart from everything that would block or lie about its size.
package struct InputFile {
    let path: String
    let descriptor: Int32
    let byteCount: Int
    let identity: FileIdentity

    /// - Throws: `EngineError` naming the path and the system's reason.
    init(path: String) throws(EngineError) {
        // O_NONBLOCK: opening a pipe without a writer must not hang.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw EngineError(.data, errno == ENOENT ? "\(path): no such file" : "\(path): cannot be read: \(String(cString: strerror(errno)))")
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            Glibc.close(descriptor)
            throw EngineError(.data, "\(path): not a regular file")
        }
        self.path = path
        self.descriptor = descriptor
        byteCount = Int(status.st_size)
        identity = FileIdentity(status)
    }

    func close() { Glibc.close(descriptor) }

    /// The whole file.
    static func read(_ path: String, limit: Int = DataLimits.fileBytes) throws(EngineError) -> [UInt8] {
        let file = try InputFile(path: path)
        defer { file.close() }
        guard file.byteCount <= limit else {
            throw EngineError(.data, "\(path): \(file.byteCount) bytes, at most \(limit) are read")
        }
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: file.byteCount) { buffer, initialized in
            while initialized < file.byteCount {
                let got = Glibc.read(file.descriptor, buffer.baseAddress! + initialized, file.byteCount - initialized)
                if got > 0 {
                    initialized += got
                } else if got == 0 || errno != EINTR {
                    failure = got == 0 ? 0 : errno
                    break
                }
            }
        }
        guard failure == 0 else { throw EngineError(.data, "\(path): cannot be read: \(String(cString: strerror(failure)))") }
        return bytes
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}

/// Reads a file that may or may not be gzip, in order. Checksums are verified at the end of the data.
final class GzipReader {
    let path: String
    /// Bytes of the file on disk.
    let fileBytes: Int
    private let stream: gzFile

    init(path: String) throws(EngineError) {
        let file = try InputFile(path: path)
        guard let stream = gzdopen(file.descriptor, "rb") else {
            file.close()
            throw EngineError(.data, "\(path): cannot be read")
        }
        self.path = path
        self.stream = stream
        fileBytes = file.byteCount
        gzbuffer(stream, 256 << 10)
    }

    deinit { gzclose(stream) }

    /// Whether the file is not compressed. Known after the first read.
    var isPlain: Bool { gzdirect(stream) == 1 }

    /// - Returns: bytes read; fewer than asked for only at the end of the data.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(EngineError) -> Int {
        var offset = 0
        while offset < buffer.count {
            let part = min(buffer.count - offset, 64 << 20)
            let got = gzread(stream, buffer.baseAddress! + offset, UInt32(part))
            if got <= 0 {
                // At the end of a truncated file zlib returns nothing and only its error tells.
                var code: Int32 = 0
                let reason = gzerror(stream, &code).map { String(cString: $0) } ?? ""
                if code == Z_OK || code == Z_STREAM_END { break }
                // zlib's text begins with its own name of the stream.
                let text = code == Z_BUF_ERROR ? "ends too early" : reason.split(separator: ":").last.map { String($0.drop { $0 == " " }) }
                throw EngineError(.data, "\(path): damaged gzip data: \(text ?? "unknown")")
            }
            offset += Int(got)
        }
        return offset
    }

    func readExactly(_ count: Int, _ what: String) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = try bytes.withUnsafeMutableBytes { try read(into: $0) }
        guard got == count else { throw EngineError(.data, "\(path): ends within \(what)") }
        return bytes
    }
}
