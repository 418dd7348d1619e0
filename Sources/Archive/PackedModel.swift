import EngineSupport
import ModelGraph

/// An archive in memory, not yet joined.
public struct PackedModel: Sendable {
    /// The file in order.
    let chunks: [[UInt8]]
    /// Size of the archive file.
    public let byteCount: Int
    /// Size of the ONNX file that it gives back.
    public let serializedByteCount: Int
    /// Header, directory and graph without weights, compressed.
    public let skeletonByteCount: Int
    /// One entry for each tensor that was taken out of the graph, in file order.
    public let tensors: [PackedTensor]

    /// Calls `body` with each run of bytes in order.
    public func forEachChunk(_ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        for chunk in chunks { try chunk.withUnsafeBytes(body) }
    }

    /// The whole archive.
    public func joined() -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(byteCount)
        for chunk in chunks { out.append(contentsOf: chunk) }
        return out
    }

    /// Writes the archive beside its place, flushes it and renames it into place.
    public func write(to path: String) throws {
        try AtomicFile.write(to: path) { handle in try forEachChunk { try handle.write($0) } }
    }
}

/// lathe's archive: an ONNX file with its weights entropy-coded. The format is described in Docs/ArchiveFormat.md.
public enum Archive {
    /// The first bytes of every archive. As in PNG, a byte above 127 and both kinds of line end show damage by transfer
    /// as text.
    static let magic: [UInt8] = [0x89, 0x4C, 0x54, 0x48, 0x0D, 0x0A, 0x1A, 0x0A]
    /// Version 2 added range codes; version 1 is still read.
    static let version: UInt32 = 2
    static let readableVersions: ClosedRange<UInt32> = 1...2
    /// Bytes before the part that the checksum covers: magic, version, checksum.
    static let prefixLength = 16
    /// Smaller tensors stay in the graph and are compressed with it.
    static let smallestTensor = 64

    /// Whether bytes begin like an archive.
    public static func isArchive(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.count >= 8 && bytes.prefix(8).elementsEqual(magic) }

    /// Packs a model. The same model always gives the same bytes.
    ///
    /// What the model declares under `lathe.coding` (techniques `huffman` and `range-coding`) is followed; everything else is coded
    /// in whatever way is smallest.
    /// - Parameters:
    ///   - coder: codes to use for everything, whatever the model declares; `nil` follows it.
    ///   - progress: fraction done in 0…1 and what is being packed; from any thread.
    /// - Throws: `EngineError.cancelled`; `ModelGraphError` if the model cannot be serialized.
    public static func pack(
        _ model: Model, coder: EntropyCoder? = nil, cancellation: Cancellation = Cancellation(),
        progress: @escaping @Sendable (Double, String) -> Void = { _, _ in }
    ) throws -> PackedModel {
        try ArchiveWriter(model, coder: coder, cancellation: cancellation, progress: progress).pack()
    }

    /// Packs a model into a file that appears whole or not at all.
    @discardableResult
    public static func write(
        _ model: Model, to path: String, cancellation: Cancellation = Cancellation(),
        progress: @escaping @Sendable (Double, String) -> Void = { _, _ in }
    ) throws -> PackedModel {
        let packed = try pack(model, cancellation: cancellation, progress: progress)
        try packed.write(to: path)
        return packed
    }

    /// The model in an archive. Serialized, it gives the ONNX file that was packed, byte by byte.
    /// - Parameter maximumBytes: the largest ONNX file to make; `nil` allows 256 MiB and a thousand times the archive.
    /// - Throws: `EngineError` with one line if the bytes are no archive, damaged or too large.
    public static func unpack(
        _ bytes: UnsafeRawBufferPointer, maximumBytes: Int? = nil, cancellation: Cancellation = Cancellation()
    ) throws -> Model {
        try unpackFile(bytes, maximumBytes: maximumBytes, cancellation: cancellation).model
    }

    /// The model in an archive file.
    /// - Throws: `EngineError` with one line that names the file.
    public static func read(path: String, maximumBytes: Int? = nil, cancellation: Cancellation = Cancellation()) throws -> Model {
        try named(path) { try unpack($0, maximumBytes: maximumBytes, cancellation: cancellation) }
    }

    /// Writes the ONNX file in an archive to its own place. What comes out is a model that can be read, not only
    /// undamaged bytes.
    /// - Returns: the bytes of that file.
    /// - Throws: `EngineError` or `ModelGraphError` with one line that names the file.
    @discardableResult
    public static func extract(path: String, to destination: String, maximumBytes: Int? = nil, cancellation: Cancellation = Cancellation()) throws -> Int {
        let file = try named(path) { try unpackFile($0, maximumBytes: maximumBytes, cancellation: cancellation).file }
        try AtomicFile.write(to: destination) { try $0.write(file.bytes) }
        return file.byteCount
    }

    private static func named<R>(_ path: String, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        let file: MappedFile
        do {
            file = try MappedFile(path: path)
        } catch {
            throw EngineError(.model, error.message)
        }
        do {
            return try body(file.bytes)
        } catch let error as EngineError where error.kind == .model {
            throw EngineError(.model, "\(path): \(error.message)")
        }
    }

    private static func unpackFile(
        _ bytes: UnsafeRawBufferPointer, maximumBytes: Int?, cancellation: Cancellation
    ) throws -> (file: TensorStorage, model: Model) {
        let (product, overflow) = bytes.count.multipliedReportingOverflow(by: 1000)
        let limit = maximumBytes ?? (overflow ? Int.max : (256 << 20) + product)
        let file = try ArchiveReader(bytes, limit: limit).unpack(cancellation: cancellation)
        let model: Model
        do {
            model = try Model.read(bytes: file.bytes, owner: file, directory: nil)
        } catch {
            throw EngineError(.model, "damaged archive: \(error.message)")
        }
        guard let sparse = SparseDeclaration.restored(model) else { return (file, model) }
        return (TensorStorage(copying: try sparse.serialized().joined()), sparse)
    }
}
