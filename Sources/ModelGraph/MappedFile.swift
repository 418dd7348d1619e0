import Foundation

/// The bytes of a file, unchanged while the object lives.
///
/// A file of ordinary size is read: exporters, `cp` and editors rewrite files in place, and a mapping of such a file shows other bytes from one
/// moment to the next, or ends the program where the file became shorter. Only what is too large to be held twice is mapped; `stamp` tells
/// whether it is still what was opened.
///
/// Sendable without a lock: the bytes are never written after `init` and live exactly as long as the object.
public final class MappedFile: @unchecked Sendable {
    public let path: String
    public let bytes: UnsafeRawBufferPointer
    /// What the file was when it was opened.
    public let stamp: FileStamp
    /// Whether the bytes are the file's own pages.
    var isMapped: Bool { stamp.isMapped }

    /// - Throws: `ModelGraphError` if the file is missing, is no regular file, or cannot be read.
    public convenience init(path: String) throws(ModelGraphError) { try self.init(path: path, resolved: nil) }

    /// - Parameter resolved: the path with its links followed, if that was looked at: what is opened is then no other file.
    init(path: String, resolved: String?) throws(ModelGraphError) {
        self.path = path
        func failure() -> ModelGraphError { ModelGraphError(.file, "\(path): \(String(cString: strerror(errno)))") }
        // Opening a pipe would wait for a writer.
        let descriptor = open(resolved ?? path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (resolved == nil ? 0 : O_NOFOLLOW))
        guard descriptor >= 0 else { throw failure() }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure() }
        guard status.st_mode & S_IFMT == S_IFREG else { throw ModelGraphError(.file, "\(path): not a regular file") }
        stamp = FileStamp(path: path, status)
        let size = stamp.size
        let isMapped = stamp.isMapped
        guard size > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        let flags = isMapped ? MAP_PRIVATE : MAP_PRIVATE | MAP_ANONYMOUS
        guard let address = mmap(nil, size, isMapped ? PROT_READ : PROT_READ | PROT_WRITE, flags, isMapped ? descriptor : -1, 0), address != MAP_FAILED else {
            throw ModelGraphError(.file, "\(path): cannot be mapped: \(String(cString: strerror(errno)))")
        }
        bytes = UnsafeRawBufferPointer(start: address, count: size)
        guard !isMapped else { return }
        var filled = 0
        while filled < size {
            let count = pread(descriptor, address + filled, min(size - filled, 1 << 30), off_t(filled))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let why = count < 0 ? String(cString: strerror(errno)) : "became shorter while it was read"
                munmap(address, size)
                throw ModelGraphError(.file, "\(path): \(why)")
            }
            filled += count
        }
        guard stamp.isCurrent(descriptor) else {
            munmap(address, size)
            throw ModelGraphError(.file, "\(path): changed while it was read; try again when it is complete")
        }
    }

    deinit {
        if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
    }
}

/// What tells whether the file under a path is still the one that was opened.
public struct FileStamp: Hashable, Sendable {
    public let path: String
    /// Bytes.
    public let size: Int
    /// Whether a file of this size is mapped rather than read.
    public var isMapped: Bool { size >= Self.mappedSize }
    private static let mappedSize = 512 << 20
    private let device, inode: UInt64
    private let seconds, nanoseconds: Int

    init(path: String, _ status: stat) {
        self.path = path
        size = Int(status.st_size)
        (device, inode) = (UInt64(status.st_dev), UInt64(status.st_ino))
        (seconds, nanoseconds) = (Int(status.st_mtim.tv_sec), Int(status.st_mtim.tv_nsec))
    }

    /// - Throws: `ModelGraphError` if there is no such file.
    public init(path: String) throws(ModelGraphError) {
        var status = stat()
        guard stat(path, &status) == 0 else { throw ModelGraphError(.file, "\(path): \(String(cString: strerror(errno)))") }
        self.init(path: path, status)
    }

    /// Whether the path still leads to that file, with the size and time of change it had.
    public var isCurrent: Bool { (try? FileStamp(path: path)) == self }

    fileprivate func isCurrent(_ descriptor: Int32) -> Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && FileStamp(path: path, status) == self
    }
}
