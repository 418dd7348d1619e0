/// Codes of any width packed without waste: bit planes of 4, 2 and 1 bits (6 = 4 + 2), each in bytes.
///
/// Within a plane of width b a byte holds 8/b codes, that many equal parts of the tensor apart: the low bits of all bytes
/// hold the first part. One shift then unpacks a whole part, and concatenation joins the parts.
package enum BitPlanes {
    package struct Plane {
        /// Bits per code in this plane.
        package var width: Int
        /// Position of these bits in the whole code.
        package var shift: Int

        package init(width: Int, shift: Int) {
            self.width = width
            self.shift = shift
        }
    }

    /// Planes of a code of 1…7 bits, lowest bits first.
    package static func planes(bits: Int) -> [Plane] {
        var planes: [Plane] = []
        var shift = 0
        for width in [4, 2, 1] where bits & width != 0 {
            planes.append(Plane(width: width, shift: shift))
            shift += width
        }
        return planes
    }

    /// Bytes of one plane for `count` codes.
    static func byteCount(_ count: Int, width: Int) -> Int { (count + 8 / width - 1) / (8 / width) }

    /// Bytes of all planes.
    package static func byteCount(_ count: Int, bits: Int) -> Int { planes(bits: bits).reduce(0) { $0 + byteCount(count, width: $1.width) } }

    /// One plane of `codes`, each of which is first raised by `offset` (to make signed codes unsigned).
    package static func pack(_ codes: UnsafeRawBufferPointer, plane: Plane, offset: Int) -> TensorStorage {
        let parts = 8 / plane.width
        let partLength = byteCount(codes.count, width: plane.width)
        let mask = UInt8((1 << plane.width) - 1)
        let shift = UInt8(plane.shift)
        let offset = UInt8(truncatingIfNeeded: offset)
        return TensorStorage(byteCount: partLength) { memory in
            guard let out = memory.baseAddress?.assumingMemoryBound(to: UInt8.self),
                let source = codes.baseAddress?.assumingMemoryBound(to: UInt8.self)
            else { return }
            for part in 0..<parts {
                let start = part * partLength
                let count = min(partLength, codes.count - start)
                guard count > 0 else { break }
                let position = UInt8(part * plane.width)
                for index in 0..<count {
                    out[index] |= (((source[start + index] &+ offset) >> shift) & mask) << position
                }
            }
        }
    }
}

/// Codes packed as runtimes with sub-byte types and block kernels want them: neighbors share a byte, first code lowest.
package enum AdjacentPacking {
    /// Packs rows of `rowLength` codes; each row starts on a byte.
    package static func pack(_ codes: UnsafeRawBufferPointer, rowLength: Int, bits: Int, offset: Int) -> TensorStorage {
        let perByte = 8 / bits
        let rows = rowLength > 0 ? codes.count / rowLength : 0
        let rowBytes = (rowLength + perByte - 1) / perByte
        let mask = UInt8(truncatingIfNeeded: (1 << bits) - 1)
        let offset = UInt8(truncatingIfNeeded: offset)
        return TensorStorage(byteCount: rows * rowBytes) { memory in
            guard let out = memory.baseAddress?.assumingMemoryBound(to: UInt8.self),
                let source = codes.baseAddress?.assumingMemoryBound(to: UInt8.self)
            else { return }
            for row in 0..<rows {
                let from = source + row * rowLength
                let to = out + row * rowBytes
                let whole = rowLength / perByte
                for byte in 0..<whole {
                    var value: UInt8 = 0
                    for part in 0..<perByte { value |= ((from[byte * perByte + part] &+ offset) & mask) << UInt8(part * bits) }
                    to[byte] = value
                }
                for rest in (whole * perByte)..<rowLength {
                    to[whole] |= ((from[rest] &+ offset) & mask) << UInt8((rest - whole * perByte) * bits)
                }
            }
        }
    }
}
