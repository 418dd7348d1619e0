import EngineSupport

/// The frequencies of a range code as bits.
///
/// Where symbols are numbered by falling frequency and all occur: the first frequency in `scale` bits, then each one's difference to
/// the one before, plus one, in Elias's gamma code. Elsewhere: the number of the last symbol that occurs (varint) and, for every
/// symbol up to it, the number of bits of its frequency, in as few bits as `scale` takes, followed by the frequency without
/// its leading one.
enum FrequencyTable {
    static func write(_ frequencies: [UInt32], scale: Int, ordered: Bool, to out: inout ByteWriter) {
        var bits = BitWriter(reservingBytes: frequencies.count)
        if ordered {
            var last = frequencies.first ?? 0
            bits.append(last, length: UInt8(scale))
            for frequency in frequencies.dropFirst() {
                bits.appendGamma(last - frequency + 1)
                last = frequency
            }
        } else {
            let end = frequencies.lastIndex { $0 > 0 } ?? 0
            out.append(varint: end)
            for frequency in frequencies[...end] {
                let length = UInt8(UInt32.bitWidth - frequency.leadingZeroBitCount)
                bits.append(UInt32(length), length: lengthWidth(scale))
                if length > 1 { bits.append(frequency ^ 1 << UInt32(length - 1), length: length - 1) }
            }
        }
        out.append(bits.finish())
    }

    /// - Throws: `EngineError` if the bytes are damaged. Whether frequencies add up is for `RangeCode` to say.
    static func read(alphabet: Int, scale: Int, ordered: Bool, from reader: inout ByteReader) throws(EngineError) -> [UInt32] {
        var frequencies: [UInt32] = []
        let end = ordered ? alphabet - 1 : try reader.varint(atMost: alphabet - 1)
        var bits = BitReader(reader.rest)
        if ordered {
            guard alphabet <= RangeCode.maximumSymbols else { throw ByteReader.damaged("a range code for \(alphabet) symbols") }
            bits.refill()
            var last = bits.take(scale)
            frequencies.append(last)
            for _ in 0..<end {
                bits.refill()
                // Differences are below 2^16, so that a refill holds a whole one.
                let zeros = bits.buffer.trailingZeroBitCount
                guard zeros <= RangeCode.maximumScale else { throw ByteReader.damaged("a frequency table") }
                bits.drop(zeros + 1)
                let difference = bits.take(zeros) | 1 << UInt32(zeros) - 1
                guard difference < last else { throw ByteReader.damaged("a frequency table") }
                last -= difference
                frequencies.append(last)
            }
        } else {
            let width = Int(lengthWidth(scale))
            for _ in 0...end {
                bits.refill()
                let length = Int(bits.take(width))
                guard length <= scale else { throw ByteReader.damaged("a frequency of \(length) bits") }
                frequencies.append(length > 0 ? bits.take(length - 1) | 1 << UInt32(length - 1) : 0)
            }
        }
        _ = try reader.take((bits.consumed + 7) / 8)
        return frequencies
    }

    private static func lengthWidth(_ scale: Int) -> UInt8 { UInt8(Int.bitWidth - scale.leadingZeroBitCount) }
}

extension BitWriter {
    /// Elias's gamma code of a number from 1: as many zeros as it has bits behind the leading one, a one, and those bits.
    fileprivate mutating func appendGamma(_ value: UInt32) {
        let length = UInt8(UInt32.bitWidth - 1 - value.leadingZeroBitCount)
        append(1 << UInt32(length), length: length + 1)
        append(value ^ 1 << UInt32(length), length: length)
    }
}

extension BitReader {
    /// The next bits, at most as many as a refill left.
    fileprivate mutating func take(_ count: Int) -> UInt32 {
        defer { drop(count) }
        return UInt32(truncatingIfNeeded: buffer & (1 << UInt64(count) - 1))
    }
}
