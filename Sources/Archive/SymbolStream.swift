import EngineSupport

/// Which codes the archive may use for symbols of uneven frequency.
public enum EntropyCoder: String, Sendable, Codable, CaseIterable {
    /// None: fixed widths.
    case fixed
    /// Canonical Huffman codes.
    case huffman
    /// Range codes (rANS).
    case range
    /// Whatever is smallest for each stream.
    case smallest

    var allowsHuffman: Bool { self == .huffman || self == .smallest }
    var allowsRange: Bool { self == .range || self == .smallest }
}

/// A run of small numbers in its shortest form: nothing if all are the same, else a canonical Huffman code, a range code or
/// fixed width.
///
/// Layout: mode (1 byte), then
/// - constant: the symbol (varint);
/// - fixed: width (1 byte), the symbols in that many bits each;
/// - Huffman: the code table, length of the coded bits in bytes (varint), the coded bits;
/// - range: scale (1 byte), the frequencies as `FrequencyTable`, number of words (varint), the states of `RangeCode` (8 bytes each),
///   the words (4 bytes each).
///
/// A Huffman code table is the greatest length (1 byte), then: where symbols are numbered in order of their code words, the
/// number of words of each length (varints); elsewhere the number of the last symbol (varint) and each symbol's length
/// in as few bits as the greatest takes.
struct SymbolStream: Sendable {
    enum Mode: UInt8, Sendable { case constant, fixed, huffman, range }

    private(set) var mode: Mode
    private let count: Int
    private var symbol = 0
    private var width: UInt8 = 0
    private var code: CanonicalCode?
    private var range: RangeCode?
    /// Whether symbols are renumbered as `order` says.
    private let isOrdered: Bool
    /// Bytes of the whole stream: exactly, except that a range code may take a few words more or less, depending on the
    /// order of the symbols.
    private(set) var byteCount: Int
    /// Bytes of the code table.
    private(set) var tableBytes = 0

    /// Whether symbols of uneven frequency take room of uneven size.
    var isEntropyCoded: Bool { mode == .huffman || mode == .range }

    /// The order in which an ordered stream numbers its symbols, which makes its table short: by length of code word, or by
    /// falling frequency. `nil` if they stay as they are.
    var order: [Int]? {
        if let lengths = code?.lengths { return lengths.indices.sorted { (lengths[$0], $0) < (lengths[$1], $1) } }
        if let all = range?.frequencies { return all.indices.sorted { (all[$1], $0) < (all[$0], $1) } }
        return nil
    }

    /// The best form for symbols that occur `counts` times.
    /// - Parameter ordered: all symbols occur, and the caller will renumber them as `order` says.
    init(counts: [Int], ordered: Bool, coder: EntropyCoder) {
        count = counts.reduce(0, +)
        isOrdered = ordered
        let used = counts.indices.filter { counts[$0] > 0 }
        if used.count <= 1 {
            mode = .constant
            symbol = used.first ?? 0
            byteCount = 1 + ByteWriter.varintLength(symbol)
            return
        }
        mode = .fixed
        width = UInt8(Int.bitWidth - (counts.count - 1).leadingZeroBitCount)
        byteCount = 2 + (count * Int(width) + 7) / 8
        if coder.allowsHuffman { tryHuffman(counts) }
        if coder.allowsRange, used.count <= RangeCode.maximumSymbols { tryRange(counts, used: used.count) }
    }

    private mutating func tryHuffman(_ counts: [Int]) {
        let code = CanonicalCode(counts: counts)
        let table = Self.tableBytes(code.lengths, ordered: isOrdered)
        let bitBytes = (code.bitCount(counts) + 7) / 8
        let size = 1 + table + ByteWriter.varintLength(bitBytes) + bitBytes
        guard size < byteCount else { return }
        mode = .huffman
        self.code = code
        byteCount = size
        tableBytes = table
    }

    /// Finer frequencies fit the symbols better and make a larger table; very fine ones make the decoder slow.
    private mutating func tryRange(_ counts: [Int], used: Int) {
        let least = Int.bitWidth - (used - 1).leadingZeroBitCount
        for scale in [8, 10, 12, 14, 16] where scale >= least && (scale < 16 || least > 12) {
            let code = RangeCode(counts: counts, scale: scale)
            var table = ByteWriter()
            FrequencyTable.write(isOrdered ? code.frequencies.sorted(by: >) : code.frequencies, scale: scale, ordered: isOrdered, to: &table)
            // A state begins with 31 bits that say nothing.
            let lanes = Double(RangeCode.lanes(count))
            let words = Int(max((code.bits(counts) - 16.5 * lanes) / 32, 0).rounded(.up))
            let size = 2 + table.bytes.count + ByteWriter.varintLength(words) + 8 * Int(lanes) + 4 * words
            guard size < byteCount else { continue }
            mode = .range
            self.code = nil
            range = code
            byteCount = size
            tableBytes = table.bytes.count
        }
    }

    // MARK: Writing

    /// Writes the stream of the symbols that were counted. `next` gives them in order.
    func write(to out: inout ByteWriter, next: (_ position: Int) -> Int) {
        out.append(mode.rawValue)
        switch mode {
        case .constant: out.append(varint: symbol)
        case .fixed:
            out.append(width)
            var bits = BitWriter(reservingBytes: (count * Int(width) + 7) / 8)
            for position in 0..<count { bits.append(UInt32(truncatingIfNeeded: next(position)), length: width) }
            out.append(bits.finish())
        case .huffman:
            guard let code else { return }
            Self.writeTable(isOrdered ? code.lengths.sorted() : code.lengths, ordered: isOrdered, to: &out)
            // Renumbered symbols have the words of the sorted lengths.
            let words = isOrdered ? CanonicalCode.words(sorted: code.lengths) : (code.words, code.lengths)
            var bits = BitWriter(reservingBytes: byteCount)
            for position in 0..<count {
                let symbol = next(position)
                bits.append(words.0[symbol], length: words.1[symbol])
            }
            let bytes = bits.finish()
            out.append(varint: bytes.count)
            out.append(bytes)
        case .range:
            guard let range else { return }
            let frequencies = isOrdered ? range.frequencies.sorted(by: >) : range.frequencies
            out.append(UInt8(range.scale))
            FrequencyTable.write(frequencies, scale: range.scale, ordered: isOrdered, to: &out)
            let (states, words) = RangeCode(valid: frequencies, scale: range.scale).encode(count, next: next)
            out.append(varint: words.count)
            for state in states { out.append(pattern: state, width: 8) }
            words.withUnsafeBufferPointer { words in
                if UInt32(1).littleEndian == 1 { out.append(UnsafeRawBufferPointer(words)) } else { for word in words { out.append(fixed: word) } }
            }
        }
    }

    private static func tableBytes(_ lengths: [UInt8], ordered: Bool) -> Int {
        var table = ByteWriter()
        writeTable(ordered ? lengths.sorted() : lengths, ordered: ordered, to: &table)
        return table.bytes.count
    }

    private static func writeTable(_ lengths: [UInt8], ordered: Bool, to out: inout ByteWriter) {
        let greatest = lengths.max() ?? 0
        out.append(greatest)
        if ordered {
            var perLength = [Int](repeating: 0, count: Int(greatest) + 1)
            for length in lengths { perLength[Int(length)] += 1 }
            for length in 1...Int(greatest) { out.append(varint: perLength[length]) }
        } else {
            let last = lengths.lastIndex { $0 > 0 } ?? 0
            out.append(varint: last)
            var bits = BitWriter(reservingBytes: last)
            let width = UInt8(8 - greatest.leadingZeroBitCount)
            for length in lengths[...last] { bits.append(UInt32(length), length: width) }
            out.append(bits.finish())
        }
    }

    // MARK: Reading

    /// Reads `count` symbols below `alphabet` and hands each to `emit` with its position.
    /// - Throws: `EngineError` if the bytes are damaged.
    @inline(__always)
    static func read(
        _ count: Int, alphabet: Int, ordered: Bool, from reader: inout ByteReader, emit: (_ position: Int, _ symbol: Int) -> Void
    ) throws(EngineError) {
        switch try mode(&reader) {
        case .constant:
            let symbol = try reader.varint(atMost: alphabet - 1)
            for position in 0..<count { emit(position, symbol) }
        case .fixed:
            let width = Int(try reader.byte())
            guard (1...16).contains(width) else { throw ByteReader.damaged("symbols of \(width) bits") }
            let bytes = try reader.take((count * width + 7) / 8)
            if width == 8, alphabet >= 256 {
                for position in 0..<count { emit(position, Int(bytes[position])) }
                return
            }
            // One check at the end keeps the loop free of throws.
            var greatest = 0
            var bits = BitReader(bytes)
            let mask = UInt64(1) << UInt64(width) - 1
            for position in 0..<count {
                bits.refill()
                let symbol = Int(truncatingIfNeeded: bits.buffer & mask)
                greatest = max(greatest, symbol)
                emit(position, min(symbol, alphabet - 1))
                bits.drop(width)
            }
            guard greatest < alphabet else { throw ByteReader.damaged("symbol \(greatest) of \(alphabet)") }
        case .huffman:
            let decoder = HuffmanDecoder(try readTable(alphabet: alphabet, ordered: ordered, from: &reader))
            let bytes = try reader.take(try reader.varint())
            try decoder.decode(count, from: bytes, emit: emit)
        case .range:
            let scale = Int(try reader.byte())
            guard RangeCode.scales.contains(scale) else { throw ByteReader.damaged("frequencies of \(scale) bits") }
            let frequencies = try FrequencyTable.read(alphabet: alphabet, scale: scale, ordered: ordered, from: &reader)
            let code = try RangeCode(frequencies: frequencies, scale: scale)
            let words = try reader.varint(atMost: reader.remaining / 4)
            var states: [UInt64] = []
            for _ in 0..<RangeCode.lanes(count) { states.append(try reader.pattern(width: 8)) }
            try code.decode(count, states: states, words: try reader.take(4 * words), emit: emit)
        }
    }

    private static func mode(_ reader: inout ByteReader) throws(EngineError) -> Mode {
        guard let mode = Mode(rawValue: try reader.byte()) else { throw ByteReader.damaged("an unknown way of coding symbols") }
        return mode
    }

    private static func readTable(alphabet: Int, ordered: Bool, from reader: inout ByteReader) throws(EngineError) -> CanonicalCode {
        let greatest = Int(try reader.byte())
        guard (1...CanonicalCode.maximumLength).contains(greatest) else { throw ByteReader.damaged("a code word of \(greatest) bits") }
        var lengths: [UInt8] = []
        if ordered {
            for length in 1...greatest {
                let number = try reader.varint(atMost: alphabet - lengths.count)
                lengths += [UInt8](repeating: UInt8(length), count: number)
            }
            guard lengths.count == alphabet else { throw ByteReader.damaged("a code for \(lengths.count) of \(alphabet) symbols") }
        } else {
            let last = try reader.varint(atMost: alphabet - 1)
            let width = 8 - UInt8(greatest).leadingZeroBitCount
            var bits = BitReader(try reader.take(((last + 1) * width + 7) / 8))
            for _ in 0...last {
                bits.refill()
                lengths.append(UInt8(truncatingIfNeeded: bits.buffer & (1 << UInt64(width) - 1)))
                bits.drop(width)
            }
        }
        return try CanonicalCode(lengths: lengths)
    }
}

extension CanonicalCode {
    /// Words and lengths of symbols renumbered in order of (length, number).
    static func words(sorted lengths: [UInt8]) -> ([UInt32], [UInt8]) {
        let sorted = lengths.sorted()
        guard let code = try? CanonicalCode(lengths: sorted) else { return ([], []) }
        return (code.words, sorted)
    }
}
