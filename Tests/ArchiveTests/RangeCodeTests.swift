import Foundation
import ModelGraph
import TestSupport
import Testing

@testable import Archive
@testable import EngineSupport
@testable import Recipes
@testable import Techniques

@Suite struct RangeCodeTests {
    private static func written(_ symbols: [Int], alphabet: Int, ordered: Bool, _ coder: EntropyCoder = .range) -> (stream: SymbolStream, bytes: [UInt8], symbols: [Int]) {
        var symbols = symbols
        var counts = [Int](repeating: 0, count: alphabet)
        for symbol in symbols { counts[symbol] += 1 }
        if ordered {
            let used = counts.indices.filter { counts[$0] > 0 }
            let first = SymbolStream(counts: used.map { counts[$0] }, ordered: true, coder: coder)
            var rank = [Int](repeating: 0, count: alphabet)
            for (place, symbol) in (first.order ?? Array(used.indices)).enumerated() { rank[used[symbol]] = place }
            symbols = symbols.map { rank[$0] }
            counts = used.map { counts[$0] }
        }
        let stream = SymbolStream(counts: counts, ordered: ordered, coder: coder)
        var out = ByteWriter()
        stream.write(to: &out) { symbols[$0] }
        return (stream, out.bytes, symbols)
    }

    private static func read(_ bytes: [UInt8], _ count: Int, alphabet: Int, ordered: Bool) throws -> [Int] {
        var decoded = [Int](repeating: -1, count: count)
        try bytes.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            try SymbolStream.read(count, alphabet: alphabet, ordered: ordered, from: &reader) { decoded[$0] = $1 }
            guard reader.remaining == 0 else { throw ByteReader.damaged("bytes are left") }
        }
        return decoded
    }

    /// Sources of falling frequency, from nearly constant to nearly uniform.
    private static func source(_ alphabet: Int, _ count: Int) -> [Int] {
        var generator = SeededGenerator(seed: UInt64(alphabet))
        if alphabet == 2 { return (0..<count).map { _ in generator.below(60) == 0 ? 1 : 0 } }
        return (0..<count).map { _ in min(generator.below(alphabet), generator.below(alphabet), generator.below(alphabet)) }
    }

    /// issue 5, what must hold, 2: bit-exact, and within one per cent of Shannon's entropy, tables apart; Huffman within one bit a symbol.
    @Test(arguments: [2, 3, 8, 17, 256, 1000, 5000], [false, true])
    func sizeIsNearTheEntropy(alphabet: Int, ordered: Bool) throws {
        let count = 200_000
        let plain = Self.source(alphabet, count)
        let entropy = Entropy.bits(Array(Dictionary(plain.map { ($0, 1) }, uniquingKeysWith: +).values)) * Double(count) / 8
        let (stream, bytes, symbols) = Self.written(plain, alphabet: alphabet, ordered: ordered)
        try #require(stream.mode == .range)
        let used = ordered ? Set(plain).count : alphabet
        #expect(try Self.read(bytes, count, alphabet: used, ordered: ordered) == symbols)
        #expect(Double(bytes.count - stream.tableBytes) < entropy * 1.01 + 16, "\(bytes.count) bytes, entropy \(entropy)")
        #expect(Double(bytes.count) > entropy)
        #expect(abs(stream.byteCount - bytes.count) <= 24, "\(stream.byteCount) predicted, \(bytes.count) written")
        let huffman = Self.written(plain, alphabet: alphabet, ordered: ordered, .huffman)
        #expect(Double(huffman.bytes.count - huffman.stream.tableBytes) < entropy + Double(count) / 8)
        // Free to choose, the smaller is taken.
        let free = Self.written(plain, alphabet: alphabet, ordered: ordered, .smallest)
        #expect(free.bytes.count <= min(bytes.count, huffman.bytes.count) + 24)
    }

    /// Around the count at which a stream gets four states, and streams that run out of words long before they run out of symbols.
    @Test(arguments: [2, 5, 4090, 4095, 4096, 4097, 4098, 4099, 20_001])
    func anyLengthComesBack(count: Int) throws {
        for alphabet in [2, 3, 256] {
            let symbols = Self.source(alphabet, count)
            let (_, bytes, _) = Self.written(symbols, alphabet: alphabet, ordered: false)
            #expect(try Self.read(bytes, count, alphabet: alphabet, ordered: false) == symbols)
        }
    }

    @Test(arguments: CanonicalCodeTests.shapes.indices)
    func frequenciesAddUpAndLeaveNobodyOut(shape: Int) throws {
        let counts = CanonicalCodeTests.shapes[shape]
        let used = counts.count { $0 > 0 }
        guard used <= RangeCode.maximumSymbols else { return }
        for scale in RangeCode.scales where 1 << scale >= used {
            let code = RangeCode(counts: counts, scale: scale)
            #expect(code.frequencies.reduce(0, +) == 1 << UInt32(scale))
            #expect(zip(counts, code.frequencies).allSatisfy { ($0 > 0) == ($1 > 0) })
            for ordered in [false, true] {
                let frequencies = ordered ? code.frequencies.filter { $0 > 0 }.sorted(by: >) : code.frequencies
                var out = ByteWriter()
                FrequencyTable.write(frequencies, scale: scale, ordered: ordered, to: &out)
                let back = try out.bytes.withUnsafeBytes { bytes in
                    var reader = ByteReader(bytes)
                    let back = try FrequencyTable.read(alphabet: frequencies.count, scale: scale, ordered: ordered, from: &reader)
                    #expect(reader.remaining == 0)
                    return back
                }
                #expect(back == Array(frequencies[..<back.count]) && frequencies[back.count...].allSatisfy { $0 == 0 })
            }
        }
    }

    /// Damaged streams end in an error or in symbols of the alphabet, never in a trap.
    @Test func damageIsNoticed() throws {
        let symbols = Self.source(20, 5000)
        let (_, bytes, _) = Self.written(symbols, alphabet: 20, ordered: false)
        var generator = SeededGenerator(seed: 4)
        var noticed = 0
        for _ in 0..<2000 {
            var damaged = bytes
            damaged[1 + generator.below(bytes.count - 1)] = UInt8(truncatingIfNeeded: generator.next())
            guard damaged != bytes else { continue }
            if let read = try? Self.read(damaged, 5000, alphabet: 20, ordered: false) {
                #expect(!read.contains { $0 < 0 || $0 >= 20 })
            } else {
                noticed += 1
            }
        }
        #expect(noticed > 1900)
        for length in 0..<bytes.count { #expect(throws: EngineError.self) { try Self.read(Array(bytes.prefix(length)), 5000, alphabet: 20, ordered: false) } }
    }

    /// Pruned and shared LeNet-5 by each code: range codes are the smallest, what is declared is what is used, and every archive gives the model back.
    @Test func codesSideBySide() throws {
        let pruned = Fixture.pruned(try Fixture.sample("lenet-5"), keeping: 0.1)
        var sizes: [String: Int] = [:]
        for technique in ["huffman", "range-coding"] {
            let recipe = Recipe(steps: [RecipeStep(technique: "weight-sharing"), RecipeStep(technique: technique)])
            let model = try RecipeExecutor(baseline: pruned).apply(recipe, context: RewriteContext()).model
            let packed = try ArchiveTests.roundTrip(model)
            sizes[technique] = packed.byteCount
            let weights = Set(model.layers().map(\.weight))
            #expect(packed.tensors.allSatisfy { !weights.contains($0.name) || $0.usesRange == (technique == "range-coding") })
        }
        let range = try #require(sizes["range-coding"])
        let huffman = try #require(sizes["huffman"])
        #expect(range < huffman && Double(range) > 0.8 * Double(huffman))
        let comparison = try CodingComparison(pruned)
        let bytes = Dictionary(uniqueKeysWithValues: comparison.entries.map { ($0.name, $0.bytes) })
        #expect(Set(bytes.keys) == ["fixed", "huffman", "range", "smallest", "gzip"])
        let (packed, zipped) = (try Archive.pack(pruned).byteCount, try DeflateSize.gzip(try pruned.serialized()))
        #expect(bytes["smallest"] == packed && bytes["gzip"] == zipped)
        #expect(comparison.entries.allSatisfy { $0.seconds > 0 && $0.decodedBytes > 1_700_000 })
    }

    /// Archives of version 1, which have no range codes, are still read.
    @Test func firstVersionIsRead() throws {
        let model = Fixture.pruned(try Fixture.sample("ds-cnn"), keeping: 0.2)
        var bytes = try Archive.pack(model, coder: .huffman).joined()
        #expect(bytes[8] == 2)
        bytes[8] = 1
        #expect(try ArchiveTests.unpack(bytes).serialized().joined() == model.serialized().joined())
    }
}
