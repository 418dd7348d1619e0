import CZlib
import EngineSupport

/// One compression with zlib, fed piece by piece. Nothing of the output is kept.
final class Deflater {
    enum Wrapper: Int32 {
        /// zlib header and Adler-32 checksum.
        case zlib = 15
        /// gzip header and CRC-32.
        case gzip = 31
    }

    private var stream = z_stream()
    private let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    private let cancellation: Cancellation?

    /// - Throws: `EngineError` if zlib cannot start (out of memory).
    init(level: Int32, wrapper: Wrapper, cancellation: Cancellation? = nil) throws {
        self.cancellation = cancellation
        guard deflateInit2_(&stream, level, Z_DEFLATED, wrapper.rawValue, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
        else { throw EngineError(.model, "zlib cannot be started") }
    }

    deinit {
        deflateEnd(&stream)
        room.deallocate()
    }

    /// Lets matches reach back into bytes that are not compressed themselves, at most 32 KB. Before the first `feed`.
    func prime(_ window: UnsafeRawBufferPointer) throws {
        let base = window.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard deflateSetDictionary(&stream, base, UInt32(window.count)) == Z_OK else { throw EngineError(.model, "zlib failed") }
    }

    /// Compresses more bytes and hands out what is ready.
    /// - Throws: `EngineError.cancelled`.
    func feed(_ bytes: UnsafeRawBufferPointer, output: (UnsafeRawBufferPointer) -> Void) throws {
        var offset = 0
        // Slices of a megabyte, so that canceling takes effect within some ten milliseconds.
        while offset < bytes.count {
            try cancellation?.check()
            let count = min(bytes.count - offset, 1 << 20)
            let slice = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)])
            stream.next_in = UnsafeMutablePointer(mutating: slice.baseAddress?.assumingMemoryBound(to: UInt8.self))
            stream.avail_in = UInt32(count)
            try run(Z_NO_FLUSH, output)
            offset += count
        }
    }

    /// Ends the stream and hands out the rest.
    func finish(output: (UnsafeRawBufferPointer) -> Void) throws { try run(Z_FINISH, output) }

    private func run(_ flush: Int32, _ output: (UnsafeRawBufferPointer) -> Void) throws {
        repeat {
            stream.next_out = room.baseAddress?.assumingMemoryBound(to: UInt8.self)
            stream.avail_out = UInt32(room.count)
            guard deflate(&stream, flush) != Z_STREAM_ERROR else { throw EngineError(.model, "zlib failed") }
            output(UnsafeRawBufferPointer(rebasing: room[0..<(room.count - Int(stream.avail_out))]))
        } while stream.avail_out == 0
    }
}

/// DEFLATE on whole runs of bytes.
enum Deflate {
    /// The bytes compressed in zlib's format.
    static func compress(_ bytes: UnsafeRawBufferPointer, level: Int32, cancellation: Cancellation? = nil) throws -> [UInt8] {
        let deflater = try Deflater(level: level, wrapper: .zlib, cancellation: cancellation)
        var out: [UInt8] = []
        try deflater.feed(bytes) { out.append(contentsOf: $0) }
        try deflater.finish { out.append(contentsOf: $0) }
        return out
    }

    /// Expands zlib's format into memory of exactly the right size.
    /// - Throws: `EngineError` if the bytes are damaged or do not give exactly `output.count` bytes.
    static func expand(_ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) throws(EngineError) {
        var stream = z_stream()
        guard inflateInit2_(&stream, 15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw EngineError(.model, "zlib cannot be started")
        }
        defer { inflateEnd(&stream) }
        var taken = 0
        var made = 0
        while true {
            let incoming = min(bytes.count - taken, 1 << 30)
            let room = min(output.count - made, 1 << 30)
            stream.next_in = UnsafeMutablePointer(mutating: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self).advanced(by: taken))
            stream.avail_in = UInt32(incoming)
            stream.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self).advanced(by: made)
            stream.avail_out = UInt32(room)
            let status = inflate(&stream, Z_NO_FLUSH)
            taken += incoming - Int(stream.avail_in)
            made += room - Int(stream.avail_out)
            if status == Z_STREAM_END { break }
            // No progress means input that ends early or that holds more than was declared.
            guard status == Z_OK, incoming > Int(stream.avail_in) || room > Int(stream.avail_out) else {
                throw ByteReader.damaged("a compressed part does not expand as declared")
            }
        }
        guard made == output.count, taken == bytes.count else { throw ByteReader.damaged("a compressed part does not expand as declared") }
    }

    /// CRC-32 as in gzip and PNG.
    static func crc32(_ bytes: UnsafeRawBufferPointer, after start: UInt32 = 0) -> UInt32 {
        guard !bytes.isEmpty else { return start }
        return UInt32(truncatingIfNeeded: crc32_z(UInt(start), bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count))
    }
}
