import Archive
import Foundation
import ModelGraph

/// A file and its size.
struct FileSize: Encodable {
    var path: String
    var bytes: Int
}

extension FileSize {
    /// As it is on disk.
    init(_ path: String) throws {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        self.init(path: path, bytes: (attributes[.size] as? NSNumber)?.intValue ?? 0)
    }
}

/// What `lathe pack --json` prints.
struct PackDocument: JSONDocument {
    struct Tensor: Encodable {
        var name: String
        var type: String
        var shape: [Int]
        var originalBytes: Int
        var packedBytes: Int
        /// How it is stored: `sparse`, `codebook`, …
        var encoding: String
        var entropyCoded: Bool
        /// Whether range codes are among the codes.
        var rangeCoded: Bool
        /// Shannon entropy of an element in bits, where few values occur.
        var entropyBits: Double?
        var bitsPerElement: Double
        /// Parts of `packedBytes`.
        var codebookBytes: Int
        var tableBytes: Int
        var indexBytes: Int
        var indexBits: Int
        var fillers: Int
        var codebookEntries: Int
    }

    /// The model by one code (`fixed`, `huffman`, `range`, `smallest`) or by `gzip`.
    struct Code: Encodable {
        var code: String
        var bytes: Int
        /// Megabytes that one core decodes in a second.
        var decodedMegabytesPerSecond: Double
    }

    let schema = "lathe.pack/1"
    var model: String
    var archive: String
    var archiveBytes: Int
    /// The ONNX file that `unpack` gives back.
    var serializedBytes: Int
    /// Header, directory and the graph without weights.
    var skeletonBytes: Int
    var tensors: [Tensor]
    /// With `--compare`.
    var codes: [Code]?

    init(model: String, archive: String, packed: PackedModel, comparison: CodingComparison? = nil) {
        self.model = model
        self.archive = archive
        archiveBytes = packed.byteCount
        serializedBytes = packed.serializedByteCount
        skeletonBytes = packed.skeletonByteCount
        codes = comparison?.entries.map { Code(code: $0.name, bytes: $0.bytes, decodedMegabytesPerSecond: $0.megabytesPerSecond) }
        tensors = packed.tensors.map { tensor in
            Tensor(
                name: tensor.name, type: tensor.elementType.description, shape: tensor.dims, originalBytes: tensor.originalBytes,
                packedBytes: tensor.packedBytes, encoding: tensor.encoding.rawValue, entropyCoded: tensor.isEntropyCoded, rangeCoded: tensor.usesRange,
                entropyBits: tensor.entropy, bitsPerElement: tensor.bitsPerElement, codebookBytes: tensor.codebookBytes,
                tableBytes: tensor.tableBytes, indexBytes: tensor.indexBytes, indexBits: tensor.indexBits, fillers: tensor.fillers,
                codebookEntries: tensor.codebookEntries)
        }
    }

    var text: String {
        var table = TextTable([
            ("tensor", .left), ("shape", .left), ("type", .left), ("bytes", .right), ("packed", .right), ("bits/element", .right), ("encoding", .left),
        ])
        for tensor in tensors {
            table.add(
                tensor.name.onOneLine, tensor.shape.map(String.init).joined(separator: "×"), tensor.type, Written.bytes(Double(tensor.originalBytes)),
                Written.bytes(Double(tensor.packedBytes)), tensor.bitsPerElement.formatted(places: 2),
                tensor.encoding + (tensor.rangeCoded ? ", range" : tensor.entropyCoded && tensor.encoding != "deflated" ? ", Huffman" : ""))
        }
        var comparison = ""
        if let codes {
            var rows = TextTable([("code", .left), ("bytes", .right), ("of the ONNX file", .right), ("decoded on one core", .right)])
            for code in codes {
                rows.add(
                    code.code, Written.exact(code.bytes), Written.percent(Double(code.bytes) / Double(max(serializedBytes, 1)), digits: 1),
                    "\(Int(code.decodedMegabytesPerSecond.rounded())) MB/s")
            }
            comparison = "\n" + rows.text + "\n"
        }
        let ratio = Double(archiveBytes) / Double(max(serializedBytes, 1))
        return """
            \(table.text)\(comparison)
            wrote \(archive) (\(Written.exact(archiveBytes)) bytes, \(Written.percent(ratio, digits: 1)) of the ONNX file's \(Written.exact(serializedBytes)); \
            graph without weights \(Written.bytes(Double(skeletonBytes))))
            """
    }
}

/// What `lathe unpack --json` prints.
struct UnpackDocument: JSONDocument {
    let schema = "lathe.unpack/1"
    var archive: FileSize
    var model: FileSize
}
