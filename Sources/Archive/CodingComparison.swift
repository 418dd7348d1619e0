import Dispatch
import EngineSupport
import ModelGraph

/// A model packed by each code in turn, with what decoding costs: Huffman codes, range codes and gzip side by side.
public struct CodingComparison: Sendable {
    public struct Entry: Sendable {
        /// `fixed`, `huffman`, `range`, `smallest` or `gzip`.
        public var name: String
        /// The whole file: archive with codebooks, tables and graph; or the ONNX file after gzip.
        public var bytes: Int
        /// Bytes that come out of decoding: of the tensors, or of the ONNX file.
        public var decodedBytes: Int
        /// Seconds to decode on one core, best of three.
        public var seconds: Double

        /// Millions of bytes decoded in a second.
        public var megabytesPerSecond: Double { seconds > 0 ? Double(decodedBytes) / seconds / 1e6 : 0 }
    }

    public var entries: [Entry]

    /// Packs and decodes a model by every code. What the model declares is ignored but for its index bits.
    /// - Throws: `EngineError.cancelled`; `ModelGraphError` if the model cannot be serialized.
    public init(_ model: Model, cancellation: Cancellation = Cancellation()) throws {
        entries = []
        for coder in EntropyCoder.allCases {
            let packed = try Archive.pack(model, coder: coder, cancellation: cancellation)
            let (bytes, seconds) = try packed.decode(cancellation)
            entries.append(Entry(name: coder.rawValue, bytes: packed.byteCount, decodedBytes: bytes, seconds: seconds))
        }
        let file = try model.serialized()
        let deflated = try file.joined().withUnsafeBytes { try Deflate.compress($0, level: 6, cancellation: cancellation) }
        let seconds = try Self.best(of: 3, cancellation) {
            _ = try TensorStorage(byteCount: file.byteCount) { out in try deflated.withUnsafeBytes { try Deflate.expand($0, into: out) } }
        }
        entries.append(
            Entry(name: "gzip", bytes: try DeflateSize.gzip(file, cancellation: cancellation), decodedBytes: file.byteCount, seconds: seconds))
    }

    fileprivate static func best(of rounds: Int, _ cancellation: Cancellation, _ body: () throws -> Void) throws -> Double {
        var best = Double.infinity
        for _ in 0..<rounds {
            try cancellation.check()
            let start = DispatchTime.now().uptimeNanoseconds
            try body()
            best = min(best, Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9)
        }
        return best
    }
}

extension PackedModel {
    /// Decodes every tensor that is no copy of another, one after the other on this thread.
    /// - Returns: bytes decoded, and the seconds of the best of three rounds.
    fileprivate func decode(_ cancellation: Cancellation) throws -> (bytes: Int, seconds: Double) {
        let blocks = zip(tensors, chunks.dropFirst()).filter { $0.0.encoding != .duplicate }
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: max(blocks.map(\.0.originalBytes).max() ?? 1, 1), alignment: 64)
        defer { room.deallocate() }
        let seconds = try CodingComparison.best(of: 3, cancellation) {
            for (tensor, block) in blocks {
                let out = UnsafeMutableRawBufferPointer(rebasing: room[..<tensor.originalBytes])
                try block.withUnsafeBytes { _ = try TensorCoding.read($0, into: out, width: TensorCoding.width(of: tensor.elementType)) }
            }
        }
        return (blocks.reduce(0) { $0 + $1.0.originalBytes }, seconds)
    }
}
