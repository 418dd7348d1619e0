import EngineSupport
import Foundation

/// A range code in the form of an asymmetric numeral system (rANS; Duda, "Asymmetric numeral systems", arXiv:1311.2540, section 2):
/// a symbol of frequency f out of 2^s takes s − log₂ f bits, whole or not, where a Huffman code needs whole ones.
///
/// The coder's state is 64 bits wide and gives off 32 bits at a time. Long streams take turns between four states, so that
/// four symbols are decoded at once; all share one sequence of words.
struct RangeCode: Sendable {
    /// A code has at most as many symbols that occur, so that the decoder's table stays small.
    static let maximumSymbols = 1 << 14
    static let maximumScale = 16
    static let scales = 6...maximumScale
    /// Lower end of the interval that states are kept in.
    static let lowest: UInt64 = 1 << 31

    /// Frequencies add up to 2^scale.
    let scale: Int
    /// One for each symbol; 0 for those that do not occur, and below 2^scale, since a code has at least two symbols.
    let frequencies: [UInt32]

    /// States of a stream of `count` symbols. A state costs four bytes or so beyond the symbols themselves.
    static func lanes(_ count: Int) -> Int { count < 1 << 12 ? 1 : 4 }

    /// Frequencies for symbols that occur `counts` times, at most `maximumSymbols` of them and at least two.
    init(counts: [Int], scale: Int) {
        self.scale = scale
        frequencies = Self.normalized(counts, scale: scale)
    }

    /// The code of given frequencies.
    /// - Throws: `EngineError` unless they add up to 2^scale, over at least two symbols.
    init(frequencies: [UInt32], scale: Int) throws(EngineError) {
        guard Self.scales.contains(scale), frequencies.reduce(0, { $0 + UInt64($1) }) == 1 << UInt64(scale), !frequencies.contains(1 << UInt32(scale)) else {
            throw ByteReader.damaged("frequencies that do not add up")
        }
        self.init(valid: frequencies, scale: scale)
    }

    /// The code of frequencies that are known to be right.
    init(valid frequencies: [UInt32], scale: Int) {
        self.scale = scale
        self.frequencies = frequencies
    }

    /// Bits that symbols with these counts take.
    func bits(_ counts: [Int]) -> Double {
        var bits = 0.0
        for (count, frequency) in zip(counts, frequencies) where count > 0 { bits += Double(count) * (Double(scale) - log2(Double(frequency))) }
        return bits
    }

    /// Whole frequencies of at least one that add up to 2^scale, near the counts' shares. Where rounding leaves a
    /// difference, it is spread over the symbols that it costs least.
    private static func normalized(_ counts: [Int], scale: Int) -> [UInt32] {
        let total = Double(counts.reduce(0, +))
        let target = 1 << scale
        var frequencies = counts.map { count in count == 0 ? 0 : max(Int((Double(count) / total * Double(target)).rounded()), 1) }
        var excess = frequencies.reduce(0, +) - target
        while excess != 0 {
            let step = excess > 0 ? -1 : 1
            // Bits lost by taking one away, or not won by adding one.
            let costs: [(cost: Double, symbol: Int)] = frequencies.indices.compactMap { symbol in
                let frequency = frequencies[symbol]
                guard counts[symbol] > 0, frequency + step > 0 else { return nil }
                return (Double(counts[symbol]) * log2(Double(frequency) / Double(frequency + step)), symbol)
            }
            for (_, symbol) in costs.sorted(by: { ($0.cost, $0.symbol) < ($1.cost, $1.symbol) }).prefix(abs(excess)) {
                frequencies[symbol] += step
                excess += step
            }
        }
        return frequencies.map(UInt32.init)
    }

    /// First slot of each symbol among the 2^scale.
    private var starts: [UInt32] {
        var next: UInt32 = 0
        return frequencies.map { frequency in
            defer { next += frequency }
            return next
        }
    }

    // MARK: Encoding

    /// The states to begin decoding with, and the words. Symbols are encoded from the last to the first.
    func encode(_ count: Int, next symbol: (_ position: Int) -> Int) -> (states: [UInt64], words: [UInt32]) {
        let lanes = Self.lanes(count)
        var states = [UInt64](repeating: Self.lowest, count: lanes)
        var words: [UInt32] = []
        let starts = starts
        let shift = UInt64(scale)
        for position in stride(from: count - 1, through: 0, by: -1) {
            let symbol = symbol(position)
            let frequency = UInt64(frequencies[symbol])
            var state = states[position % lanes]
            if state >= ((Self.lowest >> shift) << 32) * frequency {
                words.append(UInt32(truncatingIfNeeded: state))
                state >>= 32
            }
            states[position % lanes] = ((state / frequency) << shift) + state % frequency + UInt64(starts[symbol])
        }
        words.reverse()
        return (states, words)
    }

    // MARK: Decoding

    /// By slot: symbol · 2³² + frequency · 2¹⁶ + the slot's place within its symbol's.
    private func slots() -> [UInt64] {
        var slots: [UInt64] = []
        slots.reserveCapacity(1 << scale)
        for (symbol, frequency) in frequencies.enumerated() {
            for place in 0..<UInt64(frequency) { slots.append(UInt64(symbol) << 32 | UInt64(frequency) << 16 | place) }
        }
        return slots
    }

    /// Decodes `count` symbols and hands each to `emit` with its position.
    /// - Parameters:
    ///   - states: as many as `lanes` says.
    ///   - words: little-endian, four bytes each.
    /// - Throws: `EngineError` unless the symbols take exactly these words and leave every state as it was at the beginning.
    @inline(__always)
    func decode(
        _ count: Int, states: [UInt64], words: UnsafeRawBufferPointer, emit: (_ position: Int, _ symbol: Int) -> Void
    ) throws(EngineError) {
        let table = slots()
        let mask = UInt64(1) << UInt64(scale) - 1
        let shift = UInt64(scale)
        let wordCount = words.count / 4
        var next = 0
        var position = 0
        var missing = false
        var states = states
        table.withUnsafeBufferPointer { table in
            if states.count == 4 {
                var (a, b, c, d) = (states[0], states[1], states[2], states[3])
                // Four symbols read four words at most, so that one check is enough.
                while position + 4 <= count, next + 4 <= wordCount {
                    let (p, q, r, s) = (
                        table[Int(truncatingIfNeeded: a & mask)], table[Int(truncatingIfNeeded: b & mask)],
                        table[Int(truncatingIfNeeded: c & mask)], table[Int(truncatingIfNeeded: d & mask)]
                    )
                    Self.advance(&a, p, shift, words, &next)
                    Self.advance(&b, q, shift, words, &next)
                    Self.advance(&c, r, shift, words, &next)
                    Self.advance(&d, s, shift, words, &next)
                    emit(position, Int(truncatingIfNeeded: p >> 32))
                    emit(position + 1, Int(truncatingIfNeeded: q >> 32))
                    emit(position + 2, Int(truncatingIfNeeded: r >> 32))
                    emit(position + 3, Int(truncatingIfNeeded: s >> 32))
                    position += 4
                }
                states = [a, b, c, d]
            }
            let lanes = states.count
            while position < count {
                let lane = position % lanes
                let entry = table[Int(truncatingIfNeeded: states[lane] & mask)]
                if next < wordCount {
                    Self.advance(&states[lane], entry, shift, words, &next)
                } else {
                    states[lane] = (entry >> 16 & 0xFFFF) &* (states[lane] >> shift) &+ (entry & 0xFFFF)
                    if states[lane] < Self.lowest {
                        missing = true
                        break
                    }
                }
                emit(position, Int(truncatingIfNeeded: entry >> 32))
                position += 1
            }
        }
        guard !missing, next == wordCount, states.allSatisfy({ $0 == Self.lowest }) else {
            throw ByteReader.damaged("coded symbols do not fill their space")
        }
    }

    /// Takes one symbol out of a state, and a word in if the state has become small. A word is looked at in any case, so that
    /// there is no branch to guess: at least one must be left.
    @inline(__always)
    private static func advance(_ state: inout UInt64, _ entry: UInt64, _ shift: UInt64, _ words: UnsafeRawBufferPointer, _ next: inout Int) {
        let lower = (entry >> 16 & 0xFFFF) &* (state >> shift) &+ (entry & 0xFFFF)
        let word = UInt64(UInt32(littleEndian: words.loadUnaligned(fromByteOffset: next &* 4, as: UInt32.self)))
        let small = lower < lowest
        state = small ? lower << 32 | word : lower
        next &+= small ? 1 : 0
    }
}
