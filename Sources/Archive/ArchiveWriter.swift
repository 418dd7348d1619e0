import EngineSupport
import Foundation
import ModelGraph
import Synchronization

/// Takes an ONNX file apart into its graph and its tensors and codes both.
struct ArchiveWriter {
    /// A tensor taken out of the file.
    private struct Part {
        var tensor: Tensor
        /// Name of the constant in the graph; tensors inside Constant nodes have other names in the file, or none.
        var name: String
        /// Bytes of the graph between the tensor before and this one.
        var distance: Int
        /// Number of an earlier tensor with the same bytes.
        var sameAs: Int?
    }

    private let serialized: SerializedModel
    /// Size of the ONNX file that unpacking gives.
    private let fileBytes: Int
    private let rules: [String: CodingDeclaration.Rule]
    private let coder: EntropyCoder?
    private let names: [ObjectIdentifier: String]
    private let cancellation: Cancellation
    private let progress: @Sendable (Double, String) -> Void

    init(_ model: Model, coder: EntropyCoder?, cancellation: Cancellation, progress: @escaping @Sendable (Double, String) -> Void) throws {
        let (model, serialized, fileBytes) = try SparseDeclaration.dense(model)
        self.serialized = serialized
        self.fileBytes = fileBytes
        rules = CodingDeclaration(model)?.byTensor ?? [:]
        self.coder = coder
        var names: [ObjectIdentifier: String] = [:]
        model.forEachInitializer { _, tensor in
            if names[ObjectIdentifier(tensor.storage)] == nil { names[ObjectIdentifier(tensor.storage)] = tensor.name }
        }
        self.names = names
        self.cancellation = cancellation
        self.progress = progress
    }

    func pack() throws -> PackedModel {
        let (graph, parts) = takeApart()
        let coded = try code(parts)
        // Directory and graph are compressed together: names repeat, and so do sizes.
        var meta = ByteWriter()
        meta.append(varint: parts.count)
        for (part, coding) in zip(parts, coded) {
            meta.append(varint: part.distance)
            meta.append(varint: part.tensor.storage.byteCount)
            meta.append(UInt8(TensorCoding.width(of: part.tensor.elementType)))
            meta.append(varint: coding.bytes.count)
            meta.append(fixed: Deflate.crc32(part.tensor.storage.bytes))
        }
        meta.append(graph)
        let packedMeta = try meta.bytes.withUnsafeBytes { try Deflate.compress($0, level: 9, cancellation: cancellation) }
        var head = ByteWriter()
        head.append(varint: serialized.byteCount)
        head.append(varint: meta.bytes.count)
        head.append(varint: packedMeta.count)
        head.append(packedMeta)
        var checksum: UInt32 = head.bytes.withUnsafeBytes { Deflate.crc32($0) }
        for coding in coded { coding.bytes.withUnsafeBytes { checksum = Deflate.crc32($0, after: checksum) } }
        var prefix = ByteWriter()
        prefix.append(Archive.magic)
        prefix.append(fixed: Archive.version)
        prefix.append(fixed: checksum)
        let first = prefix.bytes + head.bytes
        progress(1, "packed")
        return PackedModel(
            chunks: [first] + coded.map(\.bytes), byteCount: first.count + coded.reduce(0) { $0 + $1.bytes.count },
            serializedByteCount: fileBytes, skeletonByteCount: first.count, tensors: coded.map(\.report))
    }

    private func takeApart() -> (graph: [UInt8], parts: [Part]) {
        var graph: [UInt8] = []
        var parts: [Part] = []
        var last = 0
        var known: [ContentHash: Int] = [:]
        for part in serialized.parts {
            switch part {
            case .bytes(let bytes): graph += bytes
            case .tensor(let tensor):
                let bytes = tensor.storage.bytes
                guard bytes.count >= Archive.smallestTensor else {
                    graph.append(contentsOf: bytes)
                    continue
                }
                let hash = tensor.storage.contentHash
                var sameAs = known[hash]
                // The hash only finds candidates: bytes decide.
                if let earlier = sameAs, !parts[earlier].tensor.storage.bytes.elementsEqual(bytes) { sameAs = nil }
                if sameAs == nil { known[hash] = parts.count }
                let name = names[ObjectIdentifier(tensor.storage)] ?? tensor.name
                parts.append(Part(tensor: tensor, name: name, distance: graph.count - last, sameAs: sameAs))
                last = graph.count
            }
        }
        return (graph, parts)
    }

    private func code(_ parts: [Part]) throws -> [TensorCoding] {
        let results = Mutex<(done: Int, coded: [Int: Result<TensorCoding, any Error>])>((0, [:]))
        let total = max(Double(serialized.byteCount), 1)
        // Largest first, so that no core is left with the largest at the end.
        let order = parts.indices.sorted { (parts[$1].tensor.storage.byteCount, $0) < (parts[$0].tensor.storage.byteCount, $1) }
        let (rules, coder, cancellation, progress) = (rules, coder, cancellation, progress)
        let work = parts
        DispatchQueue.concurrentPerform(iterations: order.count) { position in
            guard !cancellation.isCancelled else { return }
            let index = order[position]
            let tensor = work[index].tensor.renamed(work[index].name)
            let result = Result {
                if let earlier = work[index].sameAs { return TensorCoding(tensor, sameAs: earlier) }
                return try TensorCoding(tensor, rule: rules[tensor.name], coder: coder, cancellation: cancellation)
            }
            let done = results.withLock { state in
                state.coded[index] = result
                state.done += tensor.storage.byteCount
                return state.done
            }
            progress(Double(done) / total, tensor.name)
        }
        try cancellation.check()
        let coded = results.withLock { $0.coded }
        return try parts.indices.map { index in
            guard let result = coded[index] else { throw EngineError.cancelled }
            return try result.get()
        }
    }
}
