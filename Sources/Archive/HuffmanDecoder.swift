import EngineSupport

/// Decodes a canonical code by table: one look-up for code words up to twelve bits, a short search for longer ones.
struct HuffmanDecoder {
    private static let tableBits = 12

    private let tableBits: Int
    private let maximumLength: Int
    /// By the next `tableBits` bits: symbol · 256 + length; 0 where the word is longer.
    private var table: [UInt32]
    /// By length: one past the last code word of that length, left-aligned to 24 bits.
    private var limits = [UInt32](repeating: 0, count: CanonicalCode.maximumLength + 1)
    /// By length: what to add to a code word to get its symbol's position in `sorted`.
    private var offsets = [Int](repeating: 0, count: CanonicalCode.maximumLength + 1)
    /// Symbols in order of their code words.
    private var sorted: [UInt32]

    init(_ code: CanonicalCode) {
        maximumLength = Int(code.lengths.max() ?? 0)
        tableBits = min(Self.tableBits, maximumLength)
        table = [UInt32](repeating: 0, count: 1 << tableBits)
        for (symbol, length) in code.lengths.enumerated() where length > 0 && Int(length) <= tableBits {
            let entry = UInt32(symbol) << 8 | UInt32(length)
            for slot in stride(from: Int(code.words[symbol]), to: table.count, by: 1 << Int(length)) { table[slot] = entry }
        }
        var perLength = [Int](repeating: 0, count: CanonicalCode.maximumLength + 1)
        for length in code.lengths where length > 0 { perLength[Int(length)] += 1 }
        sorted = code.lengths.indices.filter { code.lengths[$0] > 0 }
            .sorted { (code.lengths[$0], $0) < (code.lengths[$1], $1) }.map(UInt32.init)
        var first = 0
        var position = 0
        for length in 1...CanonicalCode.maximumLength {
            offsets[length] = position - first
            limits[length] = UInt32((first + perLength[length]) << (CanonicalCode.maximumLength - length))
            position += perLength[length]
            first = (first + perLength[length]) << 1
        }
    }

    /// Decodes `count` symbols and hands each to `emit` with its position.
    /// - Throws: `EngineError` unless the symbols take exactly these bytes.
    @inline(__always)
    func decode(_ count: Int, from bytes: UnsafeRawBufferPointer, emit: (_ position: Int, _ symbol: Int) -> Void) throws(EngineError) {
        var reader = BitReader(bytes)
        let perRefill = 56 / maximumLength
        let mask = UInt64(table.count - 1)
        let done: Int = table.withUnsafeBufferPointer { table in
            var position = 0
            while position + perRefill <= count {
                reader.refill()
                for _ in 0..<perRefill {
                    var entry = table[Int(truncatingIfNeeded: reader.buffer & mask)]
                    if entry == 0 { entry = long(reader.buffer) }
                    reader.drop(Int(entry & 0xFF))
                    emit(position, Int(entry >> 8))
                    position += 1
                }
            }
            return position
        }
        for position in done..<count {
            reader.refill()
            var entry = table[Int(truncatingIfNeeded: reader.buffer & mask)]
            if entry == 0 { entry = long(reader.buffer) }
            reader.drop(Int(entry & 0xFF))
            emit(position, Int(entry >> 8))
        }
        guard (reader.consumed + 7) / 8 == bytes.count else { throw ByteReader.damaged("coded symbols do not fill their space") }
    }

    /// The entry for a code word longer than the table's index. The code is complete, so there is one.
    @inline(never)
    private func long(_ buffer: UInt64) -> UInt32 {
        let aligned = UInt32(truncatingIfNeeded: buffer & 0xFF_FFFF).reversedBits(CanonicalCode.maximumLength)
        var length = tableBits + 1
        while length < maximumLength, aligned >= limits[length] { length += 1 }
        let word = Int(aligned >> UInt32(CanonicalCode.maximumLength - length))
        return sorted[min(max(word + offsets[length], 0), sorted.count - 1)] << 8 | UInt32(length)
    }
}
