import EngineSupport
import ModelGraph

/// A hash of whole numbers that standard ONNX operators compute as well, in every runtime alike: no number on the way is 2²⁴ or more, so that those
/// that compute whole numbers as float32 (MNN does) are exact too.
///
/// A position is digits (low, high) to the base 4091, and its hash two numbers, modulo the primes 4091 and 4093: each a cubic polynomial of `low` plus
/// a quadratic one of `high`, with random coefficients. So the values at any three positions are independent (Wegman and Carter, "New hash
/// functions", JCSS 22, 1981, section 4). Together they are a number below 4091 · 4093; a position's bucket is its remainder, and its sign the
/// parity of the quotient, on division by the number of buckets.
struct PositionHash: Sendable {
    static let primes: [Int64] = [4091, 4093]
    /// Positions are below that: what the hashes of more would take in memory while loading, nobody has to spare.
    static let limit = 4091 * 1024

    /// For each prime: of the cubic polynomial, highest power first, then of the quadratic one, which has no constant.
    let coefficients: [[Int64]]

    init(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        coefficients = Self.primes.map { prime in
            (0..<6).map { place in
                // A first coefficient of 0 would lower the degree.
                let least = place == 0 || place == 4 ? 1 : 0
                return Int64(generator.below(Int(prime) - least) + least)
            }
        }
    }

    /// 0 ..< 4091 · 4093. `position` is in 0 ..< `limit`.
    func callAsFunction(_ position: Int64) -> Int64 {
        let (high, low) = position.quotientAndRemainder(dividingBy: Self.primes[0])
        let parts = (0..<2).map { cubic(low, $0) + quadratic(high, $0) }
        return parts[0] % Self.primes[0] * Self.primes[1] + parts[1] % Self.primes[1]
    }

    private func cubic(_ low: Int64, _ part: Int) -> Int64 {
        coefficients[part][1..<4].reduce(coefficients[part][0]) { ($0 * low + $1) % Self.primes[part] }
    }

    private func quadratic(_ high: Int64, _ part: Int) -> Int64 { (coefficients[part][4] * high + coefficients[part][5]) % Self.primes[part] * high }

    /// Bucket of each position below `count`, with the top bit set where the sign is negative.
    func buckets(_ count: Int, of total: Int, signed: Bool) -> [UInt32] {
        let (total, width) = (Int64(total), Self.primes[0])
        let lows = (0..<2).map { part in (0..<width).map { cubic($0, part) } }
        var result: [UInt32] = []
        result.reserveCapacity(count)
        for high in 0..<((Int64(count) + width - 1) / width) {
            let (first, second) = (quadratic(high, 0), quadratic(high, 1))
            for low in 0..<min(Int(width), count - result.count) {
                let hash = (lows[0][low] + first) % Self.primes[0] * Self.primes[1] + (lows[1][low] + second) % Self.primes[1]
                let (quotient, bucket) = hash.quotientAndRemainder(dividingBy: total)
                result.append(UInt32(truncatingIfNeeded: bucket) | (signed && quotient & 1 == 1 ? 1 << 31 : 0))
            }
        }
        return result
    }

    /// The same as nodes at the front of a graph: the hashes of 0 ..< `count`.
    func emit(_ editor: inout GraphEditor, count: Int, at path: GraphPath) -> String {
        let width = Int(Self.primes[0])
        func range(_ end: Int) -> String {
            editor.front("Range", [editor.number(0, at: path), editor.number(Int64(end), at: path), editor.number(1, at: path)], at: path)
        }
        /// A number for each prime, of shape [2, 1, 1].
        func pair(_ values: [Int64]) -> String { editor.constant(Tensor(name: "", int64s: values, dims: [2, 1, 1]), at: path) }
        func coefficient(_ place: Int) -> String { pair(coefficients.map { $0[place] }) }
        let primes = pair(Self.primes)
        let lows = range(min(count, width))
        var hash = coefficient(0)
        for place in 1..<4 {
            hash = editor.front("Mul", [lows, hash], at: path)
            hash = editor.front("Add", [hash, coefficient(place)], at: path)
            hash = editor.front("Mod", [hash, primes], at: path)
        }
        let rows = (count + width - 1) / width
        if rows > 1 {
            let highs = editor.frontReshape(range(rows), [rows, 1], at: path)
            var other = editor.front("Mul", [highs, coefficient(4)], at: path)
            other = editor.front("Add", [other, coefficient(5)], at: path)
            other = editor.front("Mul", [editor.front("Mod", [other, primes], at: path), highs], at: path)
            hash = editor.front("Mod", [editor.front("Add", [hash, other], at: path), primes], at: path)
        }
        func part(_ index: Int64) -> String { editor.front("Gather", [hash, editor.number(index, at: path)], at: path, [Attribute("axis", .integer(0))]) }
        let raised = editor.front("Mul", [part(0), editor.number(Self.primes[1], at: path)], at: path)
        hash = editor.frontReshape(editor.front("Add", [raised, part(1)], at: path), [-1], at: path)
        guard rows > 1, count != rows * width else { return hash }
        func list(_ value: Int) -> String { editor.constant(Tensor(name: "", int64s: [Int64(value)], dims: [1]), at: path) }
        return editor.front("Slice", [hash, list(0), list(count)], at: path)
    }
}
