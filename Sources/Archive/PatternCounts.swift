import Foundation

/// The different bit patterns among a tensor's elements and how often each occurs.
struct PatternCounts: Sendable {
    /// Ascending as unsigned numbers.
    private(set) var patterns: [UInt64]
    private(set) var counts: [Int]

    /// Counts elements of 1, 2, 4 or 8 bytes; `nil` if there are more than `limit` different ones.
    init?(_ bytes: UnsafeRawBufferPointer, width: Int, limit: Int = 1 << 16) {
        switch width {
        case 1:
            let counted = Self.direct(UInt8.self, bytes)
            (patterns, counts) = counted
        case 2:
            let counted = Self.direct(UInt16.self, bytes)
            (patterns, counts) = counted
        case 4:
            guard let counted = Self.hashed(UInt32.self, bytes, limit: limit) else { return nil }
            (patterns, counts) = counted
        default:
            guard let counted = Self.hashed(UInt64.self, bytes, limit: limit) else { return nil }
            (patterns, counts) = counted
        }
        guard patterns.count <= limit else { return nil }
    }

    private init(patterns: [UInt64], counts: [Int]) {
        self.patterns = patterns
        self.counts = counts
    }

    var total: Int { counts.reduce(0, +) }

    /// The pattern that occurs most, zero before others.
    var mostFrequent: (pattern: UInt64, count: Int)? {
        guard let most = counts.max() else { return nil }
        let index = patterns.first == 0 && counts[0] == most ? 0 : counts.firstIndex(of: most) ?? 0
        return (patterns[index], most)
    }

    /// Shannon entropy in bits per element.
    var entropy: Double { Entropy.bits(counts) }

    /// The counts with those of one pattern replaced.
    func replacing(_ pattern: UInt64, count: Int) -> PatternCounts {
        var copy = self
        var low = 0
        var high = copy.patterns.count
        while low < high {
            let middle = (low + high) / 2
            if copy.patterns[middle] < pattern { low = middle + 1 } else { high = middle }
        }
        let present = low < copy.patterns.count && copy.patterns[low] == pattern
        switch (present, count > 0) {
        case (true, true): copy.counts[low] = count
        case (true, false):
            copy.patterns.remove(at: low)
            copy.counts.remove(at: low)
        case (false, true):
            copy.patterns.insert(pattern, at: low)
            copy.counts.insert(count, at: low)
        case (false, false): break
        }
        return copy
    }

    private static func direct<T: FixedWidthInteger & UnsignedInteger>(_: T.Type, _ bytes: UnsafeRawBufferPointer) -> ([UInt64], [Int]) {
        var table = [Int](repeating: 0, count: 1 << T.bitWidth)
        let stride = MemoryLayout<T>.stride
        for index in 0..<(bytes.count / stride) {
            table[Int(T(littleEndian: bytes.loadUnaligned(fromByteOffset: index * stride, as: T.self)))] += 1
        }
        let used = table.indices.filter { table[$0] > 0 }
        return (used.map(UInt64.init), used.map { table[$0] })
    }

    /// Open addressing with linear probing, at most a quarter full.
    private static func hashed<T: FixedWidthInteger & UnsignedInteger>(
        _: T.Type, _ bytes: UnsafeRawBufferPointer, limit: Int
    ) -> ([UInt64], [Int])? {
        let stride = MemoryLayout<T>.stride
        let n = bytes.count / stride
        var bits = 4
        while 1 << bits < 4 * min(limit + 1, n) { bits += 1 }
        var slots = [Int32](repeating: -1, count: 1 << bits)
        var patterns: [T] = []
        var counts: [Int] = []
        let mask = (1 << bits) - 1
        for index in 0..<n {
            let pattern = T(littleEndian: bytes.loadUnaligned(fromByteOffset: index * stride, as: T.self))
            var slot = Int(truncatingIfNeeded: (UInt64(pattern) &* 0x9E37_79B9_7F4A_7C15) >> UInt64(64 - bits))
            while true {
                let entry = Int(slots[slot])
                if entry < 0 {
                    guard patterns.count < limit else { return nil }
                    slots[slot] = Int32(patterns.count)
                    patterns.append(pattern)
                    counts.append(1)
                    break
                }
                if patterns[entry] == pattern {
                    counts[entry] += 1
                    break
                }
                slot = (slot + 1) & mask
            }
        }
        let order = patterns.indices.sorted { patterns[$0] < patterns[$1] }
        return (order.map { UInt64(patterns[$0]) }, order.map { counts[$0] })
    }
}

/// Finds the number of a pattern in a codebook.
struct PatternIndex {
    private var slots: [(pattern: UInt64, number: Int32)]
    private let shift: UInt64

    init(_ patterns: [UInt64]) {
        var bits: UInt64 = 4
        while 1 << bits < 4 * patterns.count { bits += 1 }
        shift = 64 - bits
        slots = [(UInt64, Int32)](repeating: (0, -1), count: 1 << Int(bits))
        for (number, pattern) in patterns.enumerated() {
            var slot = Int(truncatingIfNeeded: (pattern &* 0x9E37_79B9_7F4A_7C15) >> shift)
            while slots[slot].number >= 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = (pattern, Int32(number))
        }
    }

    /// The number of a pattern, which must be in the codebook.
    @inline(__always)
    func number(of pattern: UInt64) -> Int {
        var slot = Int(truncatingIfNeeded: (pattern &* 0x9E37_79B9_7F4A_7C15) >> shift)
        while slots[slot].pattern != pattern || slots[slot].number < 0 { slot = (slot + 1) & (slots.count - 1) }
        return Int(slots[slot].number)
    }
}

/// Shannon's entropy.
public enum Entropy {
    /// Bits per symbol of a source with these counts: Σ −p·log₂ p.
    public static func bits(_ counts: [Int]) -> Double {
        let total = Double(counts.reduce(0, +))
        guard total > 0 else { return 0 }
        return counts.reduce(0) { sum, count in
            guard count > 0 else { return sum }
            let share = Double(count) / total
            return sum - share * log2(share)
        }
    }
}
