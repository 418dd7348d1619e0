import EngineSupport

/// A canonical Huffman code: lengths alone define it. Symbols in ascending order of (length, number) get ascending code
/// words (Schwartz and Kallick 1964), written here lowest bit first as in DEFLATE.
///
/// Codes have at least two symbols; a stream of one symbol needs no code at all (`SymbolStream`).
struct CanonicalCode: Sendable {
    /// No code word is longer. An optimal code is that long only for more than 100,000 weights of most uneven frequency.
    static let maximumLength = 24

    /// Bits of each symbol's code word, 1…24; 0 for symbols that do not occur.
    let lengths: [UInt8]
    /// Code word of each symbol, bit-reversed.
    let words: [UInt32]

    /// The optimal code for `counts`, limited to `maximumLength` bits. At least two counts must be positive.
    init(counts: [Int], maximumLength limit: Int = Self.maximumLength) {
        lengths = Self.lengths(counts: counts, limit: limit)
        words = Self.words(lengths)
    }

    /// The code that given lengths define.
    /// - Throws: `EngineError` unless the lengths make a complete prefix code of at least two symbols.
    init(lengths: [UInt8]) throws(EngineError) {
        var space = 0
        for length in lengths where length > 0 {
            guard length <= Self.maximumLength else { throw ByteReader.damaged("a code word of \(length) bits") }
            space += 1 << (Self.maximumLength - Int(length))
            guard space <= 1 << Self.maximumLength else { throw ByteReader.damaged("code words overlap") }
        }
        guard space == 1 << Self.maximumLength, lengths.count(where: { $0 > 0 }) > 1 else { throw ByteReader.damaged("an incomplete code") }
        self.lengths = lengths
        words = Self.words(lengths)
    }

    /// Bits that symbols with these counts take.
    func bitCount(_ counts: [Int]) -> Int {
        var bits = 0
        for (count, length) in zip(counts, lengths) { bits += count * Int(length) }
        return bits
    }

    private static func words(_ lengths: [UInt8]) -> [UInt32] {
        var perLength = [UInt32](repeating: 0, count: maximumLength + 2)
        for length in lengths where length > 0 { perLength[Int(length)] += 1 }
        var next = [UInt32](repeating: 0, count: maximumLength + 2)
        for length in 1...maximumLength { next[length + 1] = (next[length] + perLength[length]) << 1 }
        return lengths.map { length in
            guard length > 0 else { return 0 }
            defer { next[Int(length)] += 1 }
            return next[Int(length)].reversedBits(Int(length))
        }
    }

    /// Huffman's algorithm with two queues: leaves in ascending order, inner nodes in the order they are made.
    private static func lengths(counts: [Int], limit: Int) -> [UInt8] {
        let symbols = counts.indices.filter { counts[$0] > 0 }.sorted { (counts[$0], $0) < (counts[$1], $1) }
        let n = symbols.count
        precondition(n > 1 && n <= 1 << limit, "a code needs at least two symbols and room for all")
        var weights = symbols.map { counts[$0] }
        weights.reserveCapacity(2 * n - 1)
        var parents = [Int](repeating: 0, count: 2 * n - 1)
        var leaf = 0
        var inner = n
        for node in n..<(2 * n - 1) {
            var weight = 0
            for _ in 0..<2 {
                let chosen: Int
                // A leaf before an inner node of equal weight keeps the code shallow.
                if leaf < n, inner >= node || weights[leaf] <= weights[inner] {
                    chosen = leaf
                    leaf += 1
                } else {
                    chosen = inner
                    inner += 1
                }
                parents[chosen] = node
                weight += weights[chosen]
            }
            weights.append(weight)
        }
        var depths = [Int](repeating: 0, count: 2 * n - 1)
        for node in stride(from: 2 * n - 3, through: 0, by: -1) { depths[node] = depths[parents[node]] + 1 }
        var result = [UInt8](repeating: 0, count: counts.count)
        if depths[0..<n].max() ?? 0 <= limit {
            for (position, symbol) in symbols.enumerated() { result[symbol] = UInt8(depths[position]) }
        } else {
            for (position, length) in limitedLengths(Array(weights[0..<n]), limit: limit).enumerated() { result[symbols[position]] = UInt8(length) }
        }
        return result
    }

    /// Package-merge (Larmore and Hirschberg 1990): the optimal lengths of at most `limit` bits for ascending weights.
    static func limitedLengths(_ weights: [Int], limit: Int) -> [Int] {
        let n = weights.count
        // Whether each item of a level is a leaf; items are ascending, so counting leaves in a prefix says which they are.
        var isLeaf: [[Bool]] = []
        var packages: [Int] = []
        for _ in 0..<limit {
            var merged: [Int] = []
            var kinds: [Bool] = []
            merged.reserveCapacity(n + packages.count)
            var leaf = 0
            var package = 0
            while leaf < n || package < packages.count {
                let takesLeaf = leaf < n && (package >= packages.count || weights[leaf] <= packages[package])
                merged.append(takesLeaf ? weights[leaf] : packages[package])
                kinds.append(takesLeaf)
                if takesLeaf { leaf += 1 } else { package += 1 }
            }
            isLeaf.append(kinds)
            packages = stride(from: 0, to: merged.count - 1, by: 2).map { merged[$0] + merged[$0 + 1] }
        }
        var lengths = [Int](repeating: 0, count: n)
        var needed = 2 * n - 2
        for kinds in isLeaf.reversed() {
            let leaves = kinds.prefix(needed).count(where: { $0 })
            for index in 0..<leaves { lengths[index] += 1 }
            needed = 2 * (needed - leaves)
        }
        return lengths
    }
}

extension UInt32 {
    /// The lowest `count` bits in reverse order.
    func reversedBits(_ count: Int) -> UInt32 {
        guard count > 0 else { return 0 }
        var value = self
        value = (value >> 1) & 0x5555_5555 | (value & 0x5555_5555) << 1
        value = (value >> 2) & 0x3333_3333 | (value & 0x3333_3333) << 2
        value = (value >> 4) & 0x0F0F_0F0F | (value & 0x0F0F_0F0F) << 4
        return value.byteSwapped >> UInt32(32 - count)
    }
}
