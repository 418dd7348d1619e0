import EngineSupport
import ModelGraph

/// What the archive did with one tensor.
public struct PackedTensor: Sendable {
    public enum Encoding: String, Sendable, Codable {
        /// Elements as they are.
        case stored
        /// DEFLATE over the elements.
        case deflated
        /// Each byte of an element coded on its own.
        case planes
        /// Indices into a codebook.
        case codebook
        /// Relative indices, values as they are or by planes.
        case sparse
        /// Relative indices, values in a codebook.
        case sparseCodebook
        /// Equal to an earlier tensor.
        case duplicate
    }

    public var name: String
    public var elementType: ElementType
    public var dims: [Int]
    /// Bytes in the ONNX file.
    public var originalBytes: Int
    /// Bytes in the archive, its entry in the directory apart.
    public var packedBytes: Int
    public var encoding: Encoding
    /// Whether Huffman codes, range codes or DEFLATE are used; fixed widths otherwise.
    public var isEntropyCoded: Bool
    /// Whether range codes are used.
    public var usesRange = false
    /// Shannon entropy of an element in bits, elements taken as independent; `nil` where more than 65,536 differ.
    public var entropy: Double?
    /// Of `packedBytes`: codebook entries.
    public var codebookBytes = 0
    /// Of `packedBytes`: code and frequency tables.
    public var tableBytes = 0
    /// Of `packedBytes`: relative indices with their code table.
    public var indexBytes = 0
    /// Bits of a relative index; 0 where dense.
    public var indexBits = 0
    /// Zeros inserted because a distance was too long for its bits.
    public var fillers = 0
    /// Entries of the codebook; 0 without one.
    public var codebookEntries = 0

    /// Bits in the archive per element.
    public var bitsPerElement: Double {
        let count = dims.reduce(1, *)
        return count > 0 ? Double(packedBytes) * 8 / Double(count) : 0
    }
}

/// A tensor in the smallest of the archive's encodings.
///
/// Layout: kind (1 byte: 0 dense, 1 sparse, 2 duplicate), then `ValueCoding`, `SparseCoding`, or the number of the earlier
/// tensor (varint).
struct TensorCoding {
    enum Kind: UInt8 { case dense, sparse, duplicate }

    let bytes: [UInt8]
    let report: PackedTensor

    /// Bytes of one element as the archive sees it; types narrower than a byte count as bytes.
    static func width(of type: ElementType) -> Int {
        switch type.bitWidth ?? 8 {
        case 16: 2
        case 32: 4
        case 64, 128: 8
        default: 1
        }
    }

    /// Codes a tensor.
    /// - Parameters:
    ///   - rule: what the model declares for it; `nil` leaves everything open.
    ///   - coder: codes to use whatever the rule says; `nil` follows it.
    init(_ tensor: Tensor, rule: CodingDeclaration.Rule?, coder: EntropyCoder? = nil, cancellation: Cancellation?) throws {
        let source = tensor.storage.bytes
        let width = Self.width(of: tensor.elementType)
        let count = source.count / width
        var options = ValueCoding.Options()
        options.coder = coder ?? rule?.entropyCoder ?? .smallest
        let counts = PatternCounts(source, width: width, limit: width <= 2 ? 1 << 16 : min(1 << 16, max(count / 2, 16)))
        try cancellation?.check()
        let planes = Elements.planeCounts(source, width: width)
        let dense = try ValueCoding(source, width: width, counts: counts, planeCounts: planes, options: options, cancellation: cancellation)
        try cancellation?.check()
        var skipped: (pattern: UInt64, count: Int)?
        if let counts {
            skipped = counts.mostFrequent
        } else {
            let zeros = (0..<count).count { Elements.pattern(source, at: $0, width: width) == 0 }
            if zeros > 0 { skipped = (0, zeros) }
        }
        var out = ByteWriter()
        var report = PackedTensor(
            name: tensor.name, elementType: tensor.elementType, dims: tensor.dims, originalBytes: source.count, packedBytes: 0,
            encoding: .stored, isEntropyCoded: false, entropy: counts?.entropy)
        // Below a tenth the index alone costs more than the values left out.
        if let skipped, skipped.count * 10 >= count,
            let sparse = try SparseCoding(
                source, width: width, skipping: skipped.pattern, counts: counts, choices: rule?.indexBits.map { [$0] } ?? Array(2...8),
                options: options, below: dense.byteCount, cancellation: cancellation), sparse.byteCount < dense.byteCount
        {
            out.append(Kind.sparse.rawValue)
            sparse.write(width: width, to: &out)
            report.encoding = sparse.codebookEntries > 0 ? .sparseCodebook : .sparse
            report.isEntropyCoded = sparse.isEntropyCoded
            report.usesRange = sparse.usesRange
            report.codebookBytes = sparse.codebookBytes
            report.codebookEntries = sparse.codebookEntries
            report.tableBytes = sparse.tableBytes
            report.indexBytes = sparse.indexBytes
            report.indexBits = sparse.indexBits
            report.fillers = sparse.fillers
        } else {
            out.append(Kind.dense.rawValue)
            dense.write(source, width: width, to: &out)
            report.encoding =
                switch dense.form {
                case .stored: .stored
                case .deflated: .deflated
                case .planes: .planes
                case .codebook: .codebook
                }
            report.isEntropyCoded = dense.isEntropyCoded
            report.usesRange = dense.usesRange
            report.codebookBytes = dense.codebookBytes
            report.codebookEntries = dense.entries
            report.tableBytes = dense.tableBytes
        }
        bytes = out.bytes
        report.packedBytes = out.bytes.count
        self.report = report
        tensor.storage.releasePages()
    }

    /// A tensor with the very bytes of an earlier one.
    init(_ tensor: Tensor, sameAs earlier: Int) {
        var out = ByteWriter()
        out.append(Kind.duplicate.rawValue)
        out.append(varint: earlier)
        bytes = out.bytes
        report = PackedTensor(
            name: tensor.name, elementType: tensor.elementType, dims: tensor.dims, originalBytes: tensor.storage.byteCount,
            packedBytes: out.bytes.count, encoding: .duplicate, isEntropyCoded: true, entropy: nil)
    }

    /// Reads a tensor of `width`-byte elements into memory of exactly its size.
    /// - Returns: the number of the earlier tensor to copy, if the block is a duplicate; `out` is then untouched.
    /// - Throws: `EngineError` if the block is damaged or does not end where it should.
    static func read(_ block: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer, width: Int) throws(EngineError) -> Int? {
        var reader = ByteReader(block)
        guard let kind = Kind(rawValue: try reader.byte()) else { throw ByteReader.damaged("an unknown way of coding a tensor") }
        var earlier: Int?
        switch kind {
        case .dense: try ValueCoding.read(into: out, width: width, from: &reader)
        case .sparse: try SparseCoding.read(into: out, width: width, from: &reader)
        case .duplicate: earlier = try reader.varint()
        }
        guard reader.remaining == 0 else { throw ByteReader.damaged("\(reader.remaining) bytes too many in a tensor") }
        return earlier
    }
}
