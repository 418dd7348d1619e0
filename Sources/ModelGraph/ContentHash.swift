import CXxhash

/// A 128-bit content hash for finding results again: XXH3 (Yann Collet), fast, well mixed, not cryptographic. It tells accidental differences apart,
/// not forged ones.
///
/// `ContentHash(of:)` is XXH3's own hash of the bytes, as `xxhsum -H2` prints it. What is combined after that goes in piece by piece: each
/// piece's hash is hashed with the hash so far, so that pieces cannot run into each other.
public struct ContentHash: Hashable, Sendable, CustomStringConvertible {
    public private(set) var high: UInt64
    public private(set) var low: UInt64

    /// Of nothing yet.
    public init() { (high, low) = (0, 0) }

    public init(of bytes: UnsafeRawBufferPointer) { self.init(XXH3_128bits(bytes.baseAddress, bytes.count)) }

    public init(of text: String) {
        var text = text
        self = text.withUTF8 { ContentHash(of: UnsafeRawBufferPointer($0)) }
    }

    /// Of bytes that are looked at slice by slice, calling `passed` with the number of bytes done after each.
    /// - Parameter step: bytes of a slice, at least 1.
    init(of bytes: UnsafeRawBufferPointer, every step: Int, passed: (Int) -> Void) {
        guard bytes.count > step, let base = bytes.baseAddress, let state = XXH3_createState() else {
            self.init(of: bytes)
            passed(bytes.count)
            return
        }
        defer { XXH3_freeState(state) }
        XXH3_128bits_reset(state)
        var done = 0
        while done < bytes.count {
            let end = min(done + step, bytes.count)
            XXH3_128bits_update(state, base + done, end - done)
            done = end
            passed(done)
        }
        self.init(XXH3_128bits_digest(state))
    }

    private init(_ hash: XXH128_hash_t) { (high, low) = (hash.high64, hash.low64) }

    public mutating func combine(bytes: UnsafeRawBufferPointer) {
        let piece = ContentHash(of: bytes)
        fold(piece.high, piece.low, kind: UInt64(bytes.count))
    }

    public mutating func combine(_ text: String) {
        var text = text
        text.withUTF8 { combine(bytes: UnsafeRawBufferPointer($0)) }
    }

    public mutating func combine(_ number: Int) { fold(UInt64(bitPattern: Int64(number)), 0, kind: .max) }

    public mutating func combine(_ other: ContentHash) { fold(other.high, other.low, kind: .max - 1) }

    /// - Parameter kind: the number of bytes a piece has, or what no number of bytes is.
    private mutating func fold(_ a: UInt64, _ b: UInt64, kind: UInt64) {
        let words = (high.littleEndian, low.littleEndian, a.littleEndian, b.littleEndian, kind.littleEndian)
        self = withUnsafeBytes(of: words) { ContentHash(of: $0) }
    }

    /// 32 hexadecimal digits, most significant first.
    public var description: String {
        func hex(_ value: UInt64) -> String {
            let text = String(value, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        return hex(high) + hex(low)
    }

    /// With the name of the hash in front, for files that outlive the program: `xxh3-` and the digits.
    public var tagged: String { Self.tag + description }

    /// What `tagged` begins with. Hashes without it are from earlier builds and can be compared with none of today's.
    public static let tag = "xxh3-"
}
