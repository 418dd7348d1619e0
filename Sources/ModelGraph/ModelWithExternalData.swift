/// A model as two files: the graph, and beside it the weights. What does not fit into one, since protobuf reads no file beyond 2 GiB.
public struct ModelWithExternalData: Sendable {
    /// The graph's file.
    public let graph: SerializedModel
    /// What stands in the other file, with the offset of each.
    private let weights: [(tensor: Tensor, offset: Int)]
    /// Size of the other file in bytes.
    public let weightByteCount: Int

    /// Bytes from which on a model must be written so. A little below 2³¹ − 1, where protobuf stops reading.
    public static let limit = (1 << 31) - (1 << 20)
    /// Smaller initializers stay in the graph's file.
    private static let threshold = 1 << 10

    /// - Parameter fileName: of the file with the weights, in the same folder.
    /// - Throws: `ModelGraphError` if the graph cannot be expressed, or is too large even without its weights.
    public init(_ model: Model, fileName: String) throws(ModelGraphError) {
        var writer = OnnxWriter(externalThreshold: Self.threshold)
        writer.externalFile = fileName
        // Constant nodes cannot refer to another file, so that large ones are written as initializers.
        var model = try model.restoringSparseForms()
        for (name, tensor) in model.graph.initializers where tensor.storage.byteCount >= Self.threshold { model.graph.constantNodes[name] = nil }
        graph = try writer.serialize(model.restoringConstants())
        weights = Array(zip(writer.external, writer.externalOffsets))
        weightByteCount = writer.externalByteCount
        guard graph.byteCount < Self.limit else {
            throw ModelGraphError(.graph, "the model is beyond protobuf's 2 GiB even with its weights in a file beside it")
        }
    }

    /// Writes the weights' file.
    public func writeWeights(to path: String) throws {
        try AtomicFile.write(to: path) { handle in
            var position = 0
            for (tensor, offset) in weights {
                let gap = [UInt8](repeating: 0, count: offset - position)
                try gap.withUnsafeBytes { try handle.write($0) }
                try handle.write(tensor.storage.bytes)
                tensor.storage.releasePages()
                position = offset + tensor.storage.byteCount
            }
        }
    }
}
