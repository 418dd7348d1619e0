import EngineSupport

/// The IDX format of the MNIST family: two zero bytes, a type, a rank, big-endian 32-bit dimensions, big-endian data.
/// Plain or gzip.
struct IDXFile: Sendable {
    let path: String
    let type: SampleType
    /// Rows first.
    let shape: [Int]

    /// Reads the header only.
    /// - Throws: `EngineError` in one line if the file is not IDX or its dimensions cannot be true of its size.
    init(path: String) throws {
        try self.init(reader: GzipReader(path: path))
    }

    private init(reader: GzipReader) throws {
        path = reader.path
        let magic = try reader.readExactly(4, "the IDX header")
        guard magic[0] == 0, magic[1] == 0, let type = Self.types[magic[2]], magic[3] >= 1 else {
            throw EngineError(.data, "\(path): not an IDX file (it begins \(magic.map { String($0, radix: 16) }.joined(separator: " ")))")
        }
        self.type = type
        let dimensions = try reader.readExactly(4 * Int(magic[3]), "the IDX header")
        shape = (0..<Int(magic[3])).map { axis in
            dimensions[4 * axis..<4 * axis + 4].reduce(0) { $0 << 8 | Int($1) }
        }
        let headerBytes = 4 + dimensions.count
        let payload = try DataLimits.byteCount(shape: shape, type: type, file: path)
        if reader.isPlain {
            guard reader.fileBytes == headerBytes + payload else {
                throw EngineError(
                    .data, "\(path): the header says \(shape.shapeText) of \(type), \(headerBytes + payload) bytes; the file has \(reader.fileBytes)")
            }
        } else if (headerBytes + payload) / DataLimits.deflateExpansion > reader.fileBytes {
            throw EngineError(.data, "\(path): the header says \(shape.shapeText) of \(type), more than \(reader.fileBytes) bytes of gzip can hold")
        }
    }

    /// Decompresses and decodes everything.
    func decode() throws -> RawArray {
        let reader = try GzipReader(path: path)
        // The file may have changed since the header was read.
        let again = try IDXFile(reader: reader)
        guard again.type == type, again.shape == shape else { throw EngineError(.data, "\(path): changed while it was in use") }
        let byteCount = try DataLimits.byteCount(shape: shape, type: type, file: path)
        let memory = try SampleMemory(byteCount: byteCount, what: path)
        let got = try reader.read(into: memory.mutableBytes)
        guard got == byteCount else {
            throw EngineError(.data, "\(path): ends after \(got) of \(byteCount) bytes of data")
        }
        // Reading past the end makes zlib verify the checksum.
        var extra: UInt8 = 0
        let more = try withUnsafeMutableBytes(of: &extra) { try reader.read(into: $0) }
        guard more == 0 else { throw EngineError(.data, "\(path): more data than the header's \(shape.shapeText)") }
        ByteOrder.swap(memory.mutableBytes, width: type.byteWidth, from: .big)
        return RawArray(type: type, shape: shape, memory: memory)
    }

    private static let types: [UInt8: SampleType] = [
        0x08: .uint8, 0x09: .int8, 0x0B: .int16, 0x0C: .int32, 0x0D: .float32, 0x0E: .float64,
    ]
}

/// Byte order of multi-byte elements in a file.
enum ByteOrder: Sendable {
    case little, big

    static var native: ByteOrder { Int32(1).littleEndian == 1 ? .little : .big }

    /// Turns elements of `width` bytes from `order` to the machine's, in place. `bytes` is aligned to `width`.
    static func swap(_ bytes: UnsafeMutableRawBufferPointer, width: Int, from order: ByteOrder) {
        guard order != native else { return }
        func swapAll<T: FixedWidthInteger>(_: T.Type) {
            let elements = bytes.bindMemory(to: T.self)
            for index in elements.indices { elements[index] = elements[index].byteSwapped }
        }
        switch width {
        case 2: swapAll(UInt16.self)
        case 4: swapAll(UInt32.self)
        case 8: swapAll(UInt64.self)
        default: break
        }
    }
}
