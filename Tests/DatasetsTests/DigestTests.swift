import Testing

@testable import Datasets
@testable import EngineSupport

@Suite("Hashes and random numbers")
struct DigestTests {
    // Python's xxhash 4.1.0, the reference implementation's binding: xxh64_hexdigest(data, seed).
    @Test(
        "XXH64: the reference implementation's values",
        arguments: [
            (Array("".utf8), 0xef46_db37_51d8_e999, 0xac75_fda2_929b_17ef), (Array("a".utf8), 0xd24e_c4f1_a98c_6e5b, 0x393d_a8b7_8992_279b),
            (Array("abc".utf8), 0x44bc_2cf5_ad77_0999, 0x1318_df30_094a_85fd),
            (Array("Nobody inspects the spammish repetition".utf8), 0xfbce_a83c_8a37_8bf1, 0x56db_22dd_5b05_1147),
            (Array(0..<31), 0xc346_d2b5_9b4d_8ee1, 0x7196_9c89_a30a_986a), (Array(0..<32), 0xcbf5_9c51_16ff_32b4, 0x7181_3547_74e0_d600),
            (Array(0..<101), 0xe990_3849_5f85_381e, 0xa1c6_d417_4c37_136d),
        ] as [([UInt8], UInt64, UInt64)])
    func xxhash(bytes: [UInt8], plain: UInt64, seeded: UInt64) {
        bytes.withUnsafeBytes {
            #expect(XXH64.hash($0) == plain)
            #expect(XXH64.hash($0, seed: 2_654_435_761) == seeded)
        }
    }

    @Test("Pieces do not run into each other")
    func pieces() {
        func digest(_ pieces: [String]) -> String {
            var digest = ContentDigest()
            for piece in pieces { digest.combine(piece) }
            return digest.text
        }
        let all = [["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["", "abc"], [], [""]].map(digest)
        #expect(Set(all).count == all.count && all.allSatisfy { $0.count == 32 })
    }

    // The published test vector of SplitMix64 with seed 1234567.
    @Test("SplitMix64's published numbers")
    func splitMix() {
        var generator = SeededGenerator(seed: 1_234_567)
        #expect((0..<3).map { _ in generator.next() } == [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423])
    }

    @Test("Numbers below a bound are even; permutations hold every index once")
    func even() {
        var generator = SeededGenerator(seed: 6)
        var counts = [Int](repeating: 0, count: 7)
        for _ in 0..<70000 { counts[generator.below(7)] += 1 }
        // Standard deviation about 93.
        #expect(counts.allSatisfy { abs($0 - 10000) < 450 })
        for count in [0, 1, 2, 1000] { #expect(generator.permutation(count).sorted() == Array(0..<count)) }
    }
}
