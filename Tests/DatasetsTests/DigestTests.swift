import Testing

@testable import Datasets
@testable import EngineSupport
@testable import ModelGraph

@Suite("Hashes and random numbers")
struct DigestTests {
    // Python's xxhash 4.1.0, the reference implementation's binding: xxh3_128_hexdigest(data).
    @Test(
        "XXH3: the reference implementation's values, at once and slice by slice",
        arguments: [
            (Array("".utf8), "99aa06d3014798d86001c324468d497f"), (Array("a".utf8), "a96faf705af16834e6c632b61e964e1f"), (Array("abc".utf8), "06b05ab6733a618578af5f94892f3950"),
            (Array("Nobody inspects the spammish repetition".utf8), "a32c6f55b80b5f449f1a957522431b91"), (Array(0..<101), "ba82934b07328df1a1145e3e92013897"),
            (Array(0...255), "f1f8a93f50849ac39408a4433b952d71"), ((0..<1000).map { UInt8($0 * $0 % 251) }, "3ab7ff4f164647186cefd16c7917b48d"),
            ((0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 * 7) }, "1aab91afeba44d9210b1a1969287219f"),
        ] as [([UInt8], String)])
    func xxhash(bytes: [UInt8], digits: String) {
        bytes.withUnsafeBytes { bytes in
            #expect(ContentHash(of: bytes).description == digits)
            for step in [1, 64, 1000, 4096] where bytes.count / step < 2000 {
                var passed: [Int] = []
                #expect(ContentHash(of: bytes, every: step) { passed.append($0) }.description == digits)
                #expect(passed.last == bytes.count && passed.count == max((bytes.count + step - 1) / step, 1) && passed.sorted() == passed)
            }
        }
    }

    @Test("Pieces do not run into each other")
    func pieces() {
        func digest(_ pieces: [String]) -> String {
            var digest = ContentHash()
            for piece in pieces { digest.combine(piece) }
            return digest.description
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
