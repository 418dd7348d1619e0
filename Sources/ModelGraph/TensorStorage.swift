import Foundation

/// Immutable bytes of a tensor: a range of a mapped file, or memory of its own. Rewrites share every storage they do
/// not change, so copying a model costs no weights.
///
/// Sendable without a lock: the bytes are never written after `init` returns, and the pointer lives as long as the
/// object (an owned allocation, or a mapping kept alive by `owner`).
public final class TensorStorage: @unchecked Sendable {
    public let bytes: UnsafeRawBufferPointer
    private let owner: AnyObject?
    private let hash = LazyHash()

    /// A view of memory that `owner` keeps alive and unchanged.
    public init(viewing bytes: UnsafeRawBufferPointer, owner: AnyObject & Sendable) {
        self.bytes = bytes
        self.owner = owner
    }

    /// Memory of its own, 64-byte aligned, filled once by `initialize`.
    public init(byteCount: Int, initialize: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(byteCount, 1), alignment: 64)
        let used = UnsafeMutableRawBufferPointer(rebasing: memory[0..<byteCount])
        used.initializeMemory(as: UInt8.self, repeating: 0)
        do {
            try initialize(used)
        } catch {
            memory.deallocate()
            throw error
        }
        bytes = UnsafeRawBufferPointer(used)
        owner = nil
    }

    public convenience init<Element: BitwiseCopyable>(copying elements: [Element]) {
        self.init(byteCount: elements.count * MemoryLayout<Element>.stride) { memory in
            elements.withUnsafeBytes { memory.copyMemory(from: $0) }
        }
    }

    deinit {
        if owner == nil { UnsafeMutableRawPointer(mutating: bytes.baseAddress)?.deallocate() }
    }

    public var byteCount: Int { bytes.count }

    /// The mapped file the bytes are in, if they are in one.
    var file: MappedFile? { owner as? MappedFile }

    /// A 128-bit hash of the bytes, computed once.
    public var contentHash: ContentHash {
        hash.value {
            defer { if byteCount > 1 << 20 { releasePages() } }
            return ContentHash(of: bytes, every: Self.passSlice) { if byteCount > Self.passSlice { releasePages(before: $0) } }
        }
    }

    /// Bytes after which a pass over a tensor lets go of what lies behind it, so that one huge tensor is never resident whole.
    public static let passSlice = 16 << 20

    /// Tells the system that the pages of a mapped range are not needed soon; keeps resident memory of a pass over a large file small.
    /// - Parameter offset: only bytes before it; `nil` for all.
    public func releasePages(before offset: Int? = nil) {
        guard owner is MappedFile, let base = bytes.baseAddress, bytes.count > 0 else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let start = (Int(bitPattern: base) + page - 1) / page * page
        let end = (Int(bitPattern: base) + min(offset ?? bytes.count, bytes.count)) / page * page
        guard end > start, let address = UnsafeMutableRawPointer(bitPattern: start) else { return }
        _ = madvise(address, end - start, Int32(MADV_DONTNEED))
    }

    /// A value computed at most once. The lock makes it safe to share.
    private final class LazyHash: @unchecked Sendable {
        private let lock = NSLock()
        private var stored: ContentHash?

        func value(_ compute: () -> ContentHash) -> ContentHash {
            lock.lock()
            defer { lock.unlock() }
            if let stored { return stored }
            let computed = compute()
            stored = computed
            return computed
        }
    }
}

/// A file mapped read-only into memory.
///
/// Sendable without a lock: the mapping is read-only and lives exactly as long as the object.
public final class MappedFile: @unchecked Sendable {
    public let path: String
    public let bytes: UnsafeRawBufferPointer

    /// - Throws: `ModelGraphError` if the file is missing, is no regular file, or cannot be mapped.
    public convenience init(path: String) throws(ModelGraphError) { try self.init(path: path, resolved: nil) }

    /// - Parameter resolved: the path with its links followed, if that was looked at: what is opened is then no other file.
    init(path: String, resolved: String?) throws(ModelGraphError) {
        self.path = path
        // O_NONBLOCK: opening a pipe without a writer must not wait for one.
        let descriptor = open(resolved ?? path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (resolved == nil ? 0 : O_NOFOLLOW))
        guard descriptor >= 0 else { throw ModelGraphError(.file, "\(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw ModelGraphError(.file, "\(path): \(String(cString: strerror(errno)))") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw ModelGraphError(.file, "\(path): not a regular file") }
        let size = Int(status.st_size)
        guard size > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        guard let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
            throw ModelGraphError(.file, "\(path): cannot be mapped: \(String(cString: strerror(errno)))")
        }
        bytes = UnsafeRawBufferPointer(start: address, count: size)
    }

    deinit {
        if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
    }
}
