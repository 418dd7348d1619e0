/// A 128-bit content hash for finding results again. Not cryptographic: it tells accidental differences apart, not
/// forged ones. Two lanes of 64-bit multiply-and-rotate mixing over 16-byte blocks with a final avalanche (the
/// finalizer's constants are those of SplitMix64, Steele, Lea and Flood 2014).
public struct ContentHash: Hashable, Sendable, CustomStringConvertible {
    public private(set) var high: UInt64
    public private(set) var low: UInt64

    public init() {
        high = 0x6A09_E667_F3BC_C908
        low = 0xBB67_AE85_84CA_A73B
    }

    public init(of bytes: UnsafeRawBufferPointer) {
        self.init()
        combine(bytes: bytes)
    }

    public init(of text: String) {
        self.init()
        combine(text)
    }

    public mutating func combine(bytes: UnsafeRawBufferPointer) { combine(bytes: bytes, every: bytes.count) { _ in } }

    /// The same, calling `passed` with the number of bytes done about every `step` bytes.
    mutating func combine(bytes: UnsafeRawBufferPointer, every step: Int, passed: (Int) -> Void) {
        var offset = 0
        while offset + 16 <= bytes.count {
            let end = min(bytes.count - 15, offset + max(step, 16))
            while offset < end {
                mix(bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self), bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
                offset += 16
            }
            passed(offset)
        }
        var tail: (UInt64, UInt64) = (0, 0)
        for (index, byte) in bytes[offset...].enumerated() {
            if index < 8 { tail.0 |= UInt64(byte) << UInt64(8 * index) } else { tail.1 |= UInt64(byte) << UInt64(8 * (index - 8)) }
        }
        mix(tail.0, tail.1)
        mix(UInt64(bytes.count), 0x9E37_79B9_7F4A_7C15)
    }

    public mutating func combine(_ text: String) {
        var text = text
        text.withUTF8 { combine(bytes: UnsafeRawBufferPointer($0)) }
    }

    public mutating func combine(_ number: Int) { mix(UInt64(bitPattern: Int64(number)), 1) }

    public mutating func combine(_ other: ContentHash) { mix(other.high, other.low) }

    private mutating func mix(_ a: UInt64, _ b: UInt64) {
        high = ((high ^ a) &* 0x9E37_79B9_7F4A_7C15).rotated(by: 29) &+ low
        low = ((low ^ b) &* 0xC2B2_AE3D_27D4_EB4F).rotated(by: 31) ^ high
    }

    public var description: String {
        func hex(_ value: UInt64) -> String {
            let text = String(value, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        return hex(Self.avalanche(high ^ low.rotated(by: 17))) + hex(Self.avalanche(low))
    }

    private static func avalanche(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

extension UInt64 {
    fileprivate func rotated(by count: UInt64) -> UInt64 { (self << count) | (self >> (64 - count)) }
}
