import Archive
import EngineSupport
import ModelGraph

/// The four sizes of a model, in bytes. They answer different questions and are never mixed.
public struct ModelSizes: Sendable, Hashable {
    /// Bits of the weights' encoding at fixed widths, as papers count it: no graph, no file format.
    public var theoretical: Double
    /// The ONNX file. Zeros in a dense tensor make it no smaller.
    public var serialized: Int
    /// The ONNX file after gzip (level 6).
    public var compressedTransfer: Int
    /// lathe's archive with codebooks, fillers, code tables and the graph.
    public var entropyCoded: Int

    public init(theoretical: Double, serialized: Int, compressedTransfer: Int, entropyCoded: Int) {
        self.theoretical = theoretical
        self.serialized = serialized
        self.compressedTransfer = compressedTransfer
        self.entropyCoded = entropyCoded
    }

    /// Measures a model by making the files. O(weights), dominated by DEFLATE.
    /// - Throws: `EngineError.cancelled`; `ModelGraphError` if the model cannot be serialized.
    public static func measure(
        _ model: Model, cancellation: Cancellation = Cancellation(), progress: @escaping @Sendable (Double, String) -> Void = { _, _ in }
    ) throws -> ModelSizes {
        let serialized = try model.serialized()
        progress(0, "counting bits")
        let theoretical = try TheoreticalSize.bits(of: model, cancellation: cancellation) / 8
        progress(0.1, "packing")
        let packed = try Archive.pack(model, cancellation: cancellation) { fraction, name in progress(0.1 + 0.5 * fraction, "packing \(name)") }
        progress(0.6, "gzip")
        let transfer = try DeflateSize.gzip(serialized, cancellation: cancellation)
        progress(1, "done")
        return ModelSizes(
            theoretical: theoretical, serialized: serialized.byteCount, compressedTransfer: transfer, entropyCoded: packed.byteCount)
    }
}
