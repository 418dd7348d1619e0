import EngineSupport

/// Appends numbers to bytes: little-endian, varints of seven bits a byte with the lowest first.
struct ByteWriter {
    private(set) var bytes: [UInt8] = []

    mutating func append(_ byte: UInt8) { bytes.append(byte) }

    mutating func append(_ other: some Sequence<UInt8>) { bytes.append(contentsOf: other) }

    mutating func append(fixed value: UInt32) { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }

    /// The lowest `width` bytes of a pattern.
    mutating func append(pattern: UInt64, width: Int) {
        for index in 0..<width { bytes.append(UInt8(truncatingIfNeeded: pattern >> UInt64(8 * index))) }
    }

    mutating func append(varint value: Int) {
        var rest = UInt64(value)
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    static func varintLength(_ value: Int) -> Int { value == 0 ? 1 : (64 - UInt64(value).leadingZeroBitCount + 6) / 7 }
}

/// Reads what `ByteWriter` wrote from bytes that may be hostile: every read is checked.
struct ByteReader {
    let bytes: UnsafeRawBufferPointer
    private(set) var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var remaining: Int { bytes.count - position }

    /// What has not been read yet.
    var rest: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[position...]) }

    mutating func byte() throws(EngineError) -> UInt8 {
        guard remaining > 0 else { throw Self.truncated }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func fixed() throws(EngineError) -> UInt32 {
        let part = try take(4)
        return UInt32(littleEndian: part.loadUnaligned(as: UInt32.self))
    }

    mutating func pattern(width: Int) throws(EngineError) -> UInt64 {
        let part = try take(width)
        var value: UInt64 = 0
        for index in 0..<width { value |= UInt64(part[index]) << UInt64(8 * index) }
        return value
    }

    /// A count or length, at most `limit`.
    mutating func varint(atMost limit: Int = Int.max) throws(EngineError) -> Int {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 63 {
            let byte = try byte()
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 {
                guard value <= UInt64(limit) else { throw Self.damaged("a count of \(value) where at most \(limit) can be") }
                return Int(value)
            }
            shift += 7
        }
        throw Self.damaged("a number does not end")
    }

    mutating func take(_ count: Int) throws(EngineError) -> UnsafeRawBufferPointer {
        guard count >= 0, count <= remaining else { throw Self.truncated }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<(position + count)])
    }

    static let truncated = EngineError(.model, "damaged archive: it ends too early")
    static func damaged(_ what: String) -> EngineError { EngineError(.model, "damaged archive: \(what)") }
}

/// Appends bit fields, the first in the lowest bits of the first byte.
struct BitWriter {
    private(set) var bytes: [UInt8] = []
    private var buffer: UInt64 = 0
    private var filled: UInt64 = 0

    init(reservingBytes count: Int) { bytes.reserveCapacity(count) }

    /// Appends the lowest `length` bits of `value`, at most 32; higher bits of `value` must be zero.
    @inline(__always)
    mutating func append(_ value: UInt32, length: UInt8) {
        buffer |= UInt64(value) << filled
        filled += UInt64(length)
        if filled >= 32 {
            withUnsafeBytes(of: UInt32(truncatingIfNeeded: buffer).littleEndian) { bytes.append(contentsOf: $0) }
            buffer >>= 32
            filled -= 32
        }
    }

    /// Fills the last byte with zero bits.
    mutating func finish() -> [UInt8] {
        while filled > 0 {
            bytes.append(UInt8(truncatingIfNeeded: buffer))
            buffer >>= 8
            filled = filled > 8 ? filled - 8 : 0
        }
        return bytes
    }
}

/// Reads bit fields from memory, sixty-four bits at a time while it can. Past the end it reads zeros; `consumed` tells.
struct BitReader {
    private let base: UnsafeRawPointer?
    private let count: Int
    private var next = 0
    private(set) var buffer: UInt64 = 0
    private(set) var available = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        base = bytes.baseAddress
        count = bytes.count
    }

    /// Bits taken so far.
    var consumed: Int { next * 8 - available }

    /// Makes at least 56 bits available.
    @inline(__always)
    mutating func refill() {
        if let base, next + 8 <= count {
            buffer |= UInt64(littleEndian: base.loadUnaligned(fromByteOffset: next, as: UInt64.self)) << UInt64(available)
            next += (63 - available) >> 3
            available |= 56
        } else {
            while available <= 56 {
                if let base, next < count { buffer |= UInt64(base.load(fromByteOffset: next, as: UInt8.self)) << UInt64(available) }
                next += 1
                available += 8
            }
        }
    }

    /// Drops bits, at most as many as are available.
    @inline(__always)
    mutating func drop(_ bits: Int) {
        buffer >>= UInt64(bits)
        available -= bits
    }
}
