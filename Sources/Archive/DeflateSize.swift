import EngineSupport
import ModelGraph

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
}
