import EngineSupport
import Foundation
import ModelGraph
import Synchronization

/// The size of an ONNX file after gzip (zlib, level 6): what a web server or package transfers.
public enum DeflateSize {
    /// The exact size of `gzip -6` without a file name, by compressing everything; one core, some 20–60 MB/s.
    /// - Throws: `EngineError.cancelled`.
    public static func gzip(_ model: SerializedModel, cancellation: Cancellation = Cancellation()) throws -> Int {
        var size = 0
        let deflater = try Deflater(level: 6, wrapper: .gzip, cancellation: cancellation)
        try model.forEachChunk { chunk in try deflater.feed(chunk) { size += $0.count } }
        try deflater.finish { size += $0.count }
        return size
    }

    /// Nearly the same size, from each run of bytes compressed on its own: on all cores, and tensors that were seen before
    /// cost nothing. Differs from `gzip` by what matches reach across tensors, well under a per cent.
    /// - Throws: `EngineError.cancelled`.
    public static func estimate(_ model: SerializedModel, cache: DeflateCache, cancellation: Cancellation = Cancellation()) throws -> Int {
        // Slices, so that one large tensor occupies all cores.
        let slice = 1 << 20
        var pieces: [(storage: TensorStorage, range: Range<Int>)] = []
        var literals: [UInt8] = []
        for part in model.parts {
            switch part {
            case .bytes(let bytes): literals += bytes
            case .tensor(let tensor) where tensor.storage.byteCount < 4096: literals.append(contentsOf: tensor.storage.bytes)
            case .tensor(let tensor):
                var start = 0
                while start < tensor.storage.byteCount {
                    let end = min(start + slice, tensor.storage.byteCount)
                    pieces.append((tensor.storage, start..<end))
                    start = end
                }
            }
        }
        let sizes = try Parallel.map(pieces) { piece in
            let bytes = UnsafeRawBufferPointer(rebasing: piece.storage.bytes[piece.range])
            return try cache.size(ContentHash(of: bytes)) { try rawSize(bytes, cancellation) }
        }
        // gzip's header and trailer: 18 bytes.
        return try sizes.reduce(18, +) + literals.withUnsafeBytes { try rawSize($0, cancellation) }
    }

    /// Size of the compressed bytes without any wrapper (zlib's own takes six bytes).
    private static func rawSize(_ bytes: UnsafeRawBufferPointer, _ cancellation: Cancellation) throws -> Int {
        var size = -6
        let deflater = try Deflater(level: 6, wrapper: .zlib, cancellation: cancellation)
        try deflater.feed(bytes) { size += $0.count }
        try deflater.finish { size += $0.count }
        return size
    }
}

/// Remembers compressed sizes by content.
public final class DeflateCache: Sendable {
    private let sizes = Mutex<[ContentHash: Int]>([:])

    public init() {}

    func size(_ content: ContentHash, compute: () throws -> Int) rethrows -> Int {
        if let known = sizes.withLock({ $0[content] }) { return known }
        let size = try compute()
        sizes.withLock { sizes in
            if sizes.count > 1 << 16 { sizes = [:] }
            sizes[content] = size
        }
        return size
    }
}
