import Foundation
import Testing

@testable import Archive
@testable import EngineSupport
@testable import Techniques

@Suite struct SparseCodingTests {
    /// Deep Compression, figure 2: non-zeros at 1, 4 and 15 with three index bits need a filler at distance 8 and then 3.
    @Test func figureTwoOfDeepCompression() throws {
        var values = [Float](repeating: 0, count: 16)
        (values[1], values[4], values[15]) = (3.4, 0.9, 1.7)
        try values.withUnsafeBytes { bytes in
            let gaps = GapCounts(bytes, width: 4, skipping: 0)
            #expect(gaps.kept == 3 && gaps.fillers(indexBits: 3) == 1 && gaps.fillers(indexBits: 4) == 0 && gaps.fillers(indexBits: 2) == 2)
            // Distances 2, 3, 8 (filler) and 3 from position −1, stored less one.
            #expect(gaps.symbols(indexBits: 3) == [0, 1, 2, 0, 0, 0, 0, 1])
            let sparse = try #require(
                try SparseCoding(
                    bytes, width: 4, skipping: 0, counts: nil, choices: [3], options: .init(coder: .fixed), below: 1000, cancellation: nil))
            #expect(sparse.fillers == 1 && sparse.kept == 3)
        }
    }

    /// Whatever the positions, whatever the pattern left out: what is read is what was written, and the size predicted is
    /// the size written.
    @Test(arguments: [1, 2, 4, 8], [2, 3, 5, 8])
    func roundTrips(width: Int, indexBits: Int) throws {
        var generator = SeededGenerator(seed: UInt64(width * 10 + indexBits))
        for count in [1, 2, 300, 5000] {
            for density in [0, 1, 5, 40, 90] {
                for skipped: UInt64 in [0, 0x80] {
                    var writer = ByteWriter()
                    for _ in 0..<count { writer.append(pattern: generator.below(100) < density ? generator.next() % 23 : skipped, width: width) }
                    try writer.bytes.withUnsafeBytes { bytes in
                        let counts = generator.below(2) == 0 ? PatternCounts(bytes, width: width) : nil
                        guard
                            let sparse = try SparseCoding(
                                bytes, width: width, skipping: skipped, counts: counts, choices: [indexBits], options: .init(), below: .max,
                                cancellation: nil)
                        else { return }
                        var out = ByteWriter()
                        sparse.write(width: width, to: &out)
                        // Exact, but for a few words of each of the two streams where they are range-coded.
                        #expect(abs(out.bytes.count - sparse.byteCount) <= 16)
                        let back = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
                        defer { back.deallocate() }
                        try out.bytes.withUnsafeBytes { coded in
                            var reader = ByteReader(coded)
                            try SparseCoding.read(into: back, width: width, from: &reader)
                            #expect(reader.remaining == 0)
                        }
                        #expect(back.elementsEqual(bytes))
                    }
                }
            }
        }
    }

    /// facts: at density p, fillers over non-zeros is q^S/(1 − q^S) for independent positions.
    @Test(arguments: [0.02, 0.05, 0.1], [3, 4, 5])
    func fillersFollowTheGeometricLaw(density: Double, indexBits: Int) {
        var generator = SeededGenerator(seed: 8)
        let mask = (0..<1_000_000).map { _ in UInt8(Double(generator.next() >> 11) * 0x1p-53 < density ? 1 : 0) }
        let gaps = mask.withUnsafeBytes { GapCounts($0, width: 1, skipping: 0) }
        let expected = TheoreticalSize.expectedFillers(nonZeros: Double(gaps.kept), density: density, indexBits: indexBits)
        #expect(abs(Double(gaps.fillers(indexBits: indexBits)) - expected) < 5 * (expected + 25).squareRoot() + 0.02 * expected)
        // The same law gives the entropy of what is stored.
        #expect(abs(Entropy.bits(gaps.symbols(indexBits: indexBits)) - PackedSize.stepEntropy(density: density, indexBits: indexBits)) < 0.01)
    }
}
