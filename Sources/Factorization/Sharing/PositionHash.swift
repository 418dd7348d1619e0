import EngineSupport
import ModelGraph

/// A hash of whole numbers that standard ONNX operators compute as well: a cubic polynomial modulo the prime 2³¹ − 1, whose values at any
/// four positions are independent (Wegman and Carter, "New hash functions", JCSS 22, 1981, section 4).
///
/// A position's bucket is the remainder, and its sign the parity of the quotient, of the hash divided by the number of buckets.
struct PositionHash: Sendable {
    static let prime: Int64 = 0x7FFF_FFFF

    /// Of the polynomial, highest power first; the first is not 0.
    let coefficients: [Int64]

    init(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        coefficients = (0..<4).map { Int64(generator.below(Int(Self.prime) - ($0 == 0 ? 1 : 0))) + ($0 == 0 ? 1 : 0) }
    }

    /// 0 ..< 2³¹ − 1. Positions must be below that too.
    @inline(__always)
    func callAsFunction(_ position: Int64) -> Int64 {
        var hash = coefficients[0]
        for coefficient in coefficients[1...] { hash = (hash * position + coefficient) % Self.prime }
        return hash
    }

    /// Bucket of each position below `count`, with the top bit set where the sign is negative.
    func buckets(_ count: Int, of total: Int, signed: Bool) -> [UInt32] {
        let (a, b, c, d) = (coefficients[0], coefficients[1], coefficients[2], coefficients[3])
        let total = Int64(total)
        return (0..<Int64(count)).map { position in
            let hash = (((a * position + b) % Self.prime * position + c) % Self.prime * position + d) % Self.prime
            let (quotient, bucket) = hash.quotientAndRemainder(dividingBy: total)
            return UInt32(truncatingIfNeeded: bucket) | (signed && quotient & 1 == 1 ? 1 << 31 : 0)
        }
    }

    /// The same as nodes at the front of a graph: the hashes of 0 ..< `count`.
    func emit(_ editor: inout GraphEditor, count: Int, at path: GraphPath) -> String {
        let positions = editor.front(
            "Range", [editor.number(0, at: path), editor.number(Int64(count), at: path), editor.number(1, at: path)], at: path)
        let prime = editor.number(Self.prime, at: path)
        var hash = editor.number(coefficients[0], at: path)
        for coefficient in coefficients[1...] {
            hash = editor.front("Mul", [positions, hash], at: path)
            hash = editor.front("Add", [hash, editor.number(coefficient, at: path)], at: path)
            hash = editor.front("Mod", [hash, prime], at: path)
        }
        return hash
    }
}
