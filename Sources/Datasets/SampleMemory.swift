import EngineSupport
import Foundation

/// Page-aligned memory that stays at one address until its owner is released, so that runtime tensors can point into it.
///
/// Pages are committed by the system when first written, so reserving costs nothing.
public final class SampleMemory: @unchecked Sendable {
    // Sendable: the address and the size never change. The bytes are written only by the code that makes the memory,
    // before it hands it out, or (PreparedSamples) chunk by chunk under a lock that every reader of the chunk takes first.
    private let base: UnsafeMutableRawPointer
    public let byteCount: Int
    private let mappedBytes: Int

    /// - Throws: `EngineError` if the system refuses the memory; `what` says what it was for.
    package init(byteCount: Int, what: String) throws(EngineError) {
        self.byteCount = byteCount
        let page = 4096
        mappedBytes = max(page, (byteCount + page - 1) / page * page)
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let address = mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, flags, -1, 0), Int(bitPattern: address) != -1 else {
            throw EngineError(.data, "\(what): \(byteCount) bytes of memory are not to be had")
        }
        base = address
        // Fewer page faults while filling; refusal is harmless.
        if mappedBytes >= 4 << 20 { _ = madvise(address, mappedBytes, MADV_HUGEPAGE) }
    }

    deinit { munmap(base, mappedBytes) }

    /// Valid as long as the owner.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: byteCount) }

    package var mutableBytes: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(start: base, count: byteCount) }

    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try withExtendedLifetime(self) { try body(bytes) }
    }
}

/// A decoded array: rows of samples as they stood in the file, native byte order, C order. The first dimension counts rows.
struct RawArray: Sendable {
    var type: SampleType
    var shape: [Int]
    var memory: SampleMemory
    /// Of an array of text: the last dimension counts characters (uint32) or bytes (uint8), zeros fill up.
    var isText = false

    var rowCount: Int { shape.first ?? 0 }
    var rowShape: [Int] { Array(shape.dropFirst()) }
    /// Elements of one row.
    var rowElements: Int { shape.dropFirst().reduce(1, *) }
    var rowBytes: Int { rowElements * type.byteWidth }

    func row(_ index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: memory.bytes[index * rowBytes..<(index + 1) * rowBytes])
    }
}
