import Foundation
import Testing

@testable import Archive
@testable import EngineSupport

@Suite struct CanonicalCodeTests {
    /// Counts of several shapes: uniform, geometric, one dominating, Fibonacci (the deepest tree), random with gaps.
    static let shapes: [[Int]] = {
        var fibonacci = [1, 1]
        while fibonacci.count < 40 { fibonacci.append(fibonacci[fibonacci.count - 1] + fibonacci[fibonacci.count - 2]) }
        var generator = SeededGenerator(seed: 3)
        let random = (0..<300).map { _ in generator.below(3) == 0 ? 0 : 1 + generator.below(5000) }
        return [
            [1, 1], [1, 1_000_000], [5, 5, 5, 5], [7, 7, 7], (0..<20).map { 1 << $0 }, fibonacci, Array(fibonacci.prefix(24)), random,
            (0..<256).map { 1 + $0 * $0 }, [Int](repeating: 1, count: 65536), [0, 0, 3, 0, 9],
        ]
    }()

    /// Shannon 1948, Huffman 1952: H ≤ L < H + 1 for the mean length L of the optimal code.
    @Test(arguments: shapes.indices)
    func meanLengthIsWithinOneBitOfEntropy(shape: Int) {
        let counts = Self.shapes[shape]
        let mean = Double(CanonicalCode(counts: counts).bitCount(counts)) / Double(counts.reduce(0, +))
        #expect(mean >= Entropy.bits(counts) - 1e-9 && mean < Entropy.bits(counts) + 1)
    }

    /// Kraft's sum is one, no word is another's beginning, and more frequent symbols have no longer words.
    @Test(arguments: shapes.indices)
    func codeIsAnOptimalPrefixCode(shape: Int) {
        let counts = Self.shapes[shape]
        let code = CanonicalCode(counts: counts)
        var kraft = 0.0
        for (count, length) in zip(counts, code.lengths) {
            #expect((count > 0) == (length > 0) && length <= 24)
            if length > 0 { kraft += pow(2, -Double(length)) }
        }
        #expect(abs(kraft - 1) < 1e-12)
        let used = counts.indices.filter { counts[$0] > 0 }.sorted { counts[$0] > counts[$1] }
        #expect(zip(used, used.dropFirst()).allSatisfy { code.lengths[$0] <= code.lengths[$1] || counts[$0] == counts[$1] })
        guard used.count <= 400 else { return }
        for first in used {
            for second in used where first != second && code.lengths[first] <= code.lengths[second] {
                let mask = UInt32(1) << UInt32(code.lengths[first]) - 1
                #expect(code.words[first] != code.words[second] & mask)
            }
        }
    }

    /// Package-merge against exhaustive search over all length vectors that satisfy Kraft's inequality.
    @Test(arguments: [[1, 1, 2, 3, 5, 8], [1, 1, 1, 1, 50], [1, 2, 4, 8, 16, 32], [3, 3, 3, 4, 4]], [3, 4, 5])
    func limitedLengthsAreOptimal(weights: [Int], limit: Int) {
        var best = Int.max
        func search(_ index: Int, _ space: Int, _ cost: Int) {
            guard cost < best, space >= 0 else { return }
            guard index < weights.count else {
                best = cost
                return
            }
            for length in 1...limit { search(index + 1, space - (1 << (limit - length)), cost + weights[index] * length) }
        }
        search(0, 1 << limit, 0)
        let lengths = CanonicalCode.limitedLengths(weights, limit: limit)
        #expect(lengths.allSatisfy { $0 <= limit })
        #expect(zip(weights, lengths).reduce(0) { $0 + $1.0 * $1.1 } == best)
    }

    @Test(arguments: [(true, true), (true, false), (false, true), (false, false)], [1, 2, 3, 17, 256, 300, 65536])
    func streamsRoundTrip(form: (ordered: Bool, huffman: Bool), alphabet: Int) throws {
        let (ordered, huffman) = form
        var generator = SeededGenerator(seed: UInt64(alphabet))
        for count in [1, 2, 50, 5000] {
            // Squaring a uniform number makes small symbols frequent.
            var symbols = (0..<count).map { _ in generator.below(alphabet) * generator.below(alphabet) / alphabet }
            var size = alphabet
            if ordered {
                // An ordered stream numbers only symbols that occur, by falling frequency as its code table demands.
                let counts = Dictionary(symbols.map { ($0, 1) }, uniquingKeysWith: +)
                let rank = Dictionary(uniqueKeysWithValues: counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.enumerated().map { ($1.key, $0) })
                symbols = symbols.map { rank[$0]! }
                size = rank.count
            }
            var counts = [Int](repeating: 0, count: size)
            for symbol in symbols { counts[symbol] += 1 }
            let stream = SymbolStream(counts: counts, ordered: ordered, coder: huffman ? .huffman : .fixed)
            var out = ByteWriter()
            stream.write(to: &out) { symbols[$0] }
            #expect(out.bytes.count == stream.byteCount)
            #expect(huffman || stream.mode != .huffman)
            var decoded = [Int](repeating: -1, count: count)
            try out.bytes.withUnsafeBytes { bytes in
                var reader = ByteReader(bytes)
                try SymbolStream.read(count, alphabet: size, ordered: ordered, from: &reader) { decoded[$0] = $1 }
                #expect(reader.remaining == 0)
            }
            #expect(decoded == symbols)
        }
    }

    /// Words of 13 to 24 bits leave the decoder's table.
    @Test func longWordsDecode() throws {
        let counts = (0..<28).map { 1 << $0 }
        let code = CanonicalCode(counts: counts)
        #expect(code.lengths.max() == 24)
        let decoder = HuffmanDecoder(code)
        var generator = SeededGenerator(seed: 1)
        let symbols = (0..<20_000).map { _ in generator.below(28) }
        var bits = BitWriter(reservingBytes: 0)
        for symbol in symbols { bits.append(code.words[symbol], length: code.lengths[symbol]) }
        var decoded = [Int](repeating: -1, count: symbols.count)
        try bits.finish().withUnsafeBytes { try decoder.decode(symbols.count, from: $0) { decoded[$0] = $1 } }
        #expect(decoded == symbols)
    }

    @Test func tablesThatAreNoCodeAreRefused() {
        for lengths: [UInt8] in [[], [0, 0], [1], [1, 1, 1], [1, 2], [25, 25], [2, 2, 2]] {
            #expect(throws: EngineError.self) { try CanonicalCode(lengths: lengths) }
        }
    }
}
