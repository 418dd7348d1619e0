import Foundation
import Synchronization

/// Immutable bytes of a tensor: a range of a mapped file, or memory of its own. Rewrites share every storage they do
/// not change, so copying a model costs no weights.
///
/// Sendable without a lock: the bytes are never written after `init` returns, and the pointer lives as long as the
/// object (an owned allocation, or a mapping kept alive by `owner`).
public final class TensorStorage: @unchecked Sendable {
    public let bytes: UnsafeRawBufferPointer
    private let owner: AnyObject?
    private let hash = LazyHash()
    private let counts = Mutex<[Reading: ElementCounts]>([:])

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
        guard let file, file.isMapped, let base = bytes.baseAddress, bytes.count > 0 else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let start = (Int(bitPattern: base) + page - 1) / page * page
        let end = (Int(bitPattern: base) + min(offset ?? bytes.count, bytes.count)) / page * page
        guard end > start, let address = UnsafeMutableRawPointer(bitPattern: start) else { return }
        _ = madvise(address, end - start, Int32(MADV_DONTNEED))
    }

    /// What is counted over all elements of a tensor.
    package struct ElementCounts: Sendable, Hashable {
        package var nonZeros: Int
        /// NaN and infinities; 0 for types that have none.
        package var notFinite: Int

        package init(nonZeros: Int, notFinite: Int = 0) {
            self.nonZeros = nonZeros
            self.notFinite = notFinite
        }
    }

    /// Counts over the elements, made once for each way to read the bytes: codes of 4 bits may be seen as bytes too.
    package func elementCounts(of elements: Int, _ type: ElementType, _ count: () -> ElementCounts) -> ElementCounts {
        let reading = Reading(type: type, elements: elements)
        if let known = counts.withLock({ $0[reading] }) { return known }
        let counted = count()
        counts.withLock { $0[reading] = counted }
        return counted
    }

    private struct Reading: Hashable {
        var type: ElementType
        var elements: Int
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
