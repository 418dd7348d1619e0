import CImage
import EngineSupport

/// Classes of pixels from PNG masks: gray levels, palette indices, or colors by a list.
struct MaskDecoding: Sendable {
    /// Red, green, blue of each class; empty: the stored numbers are classes.
    let colors: [[UInt8]]
    /// Class of other colors; `nil`: an error.
    let unknown: Int32?

    struct Mask {
        var height: Int
        var width: Int
        var classes: [Int32]
    }

    /// - Throws: `EngineError` in one line naming the file.
    func decode(path: String) throws -> Mask {
        let bytes = try InputFile.read(path, limit: DataLimits.imageFileBytes)
        guard bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]) else { throw EngineError(.data, "\(path): not a PNG image, as masks must be") }
        guard colors.isEmpty else { return try colored(ImageDecoding.png(bytes, path), path) }
        guard let context = spng_ctx_new(0) else { throw EngineError(.data, "\(path): no memory to decode") }
        defer { spng_ctx_free(context) }
        func check(_ code: Int32) throws {
            guard code == 0 else { throw EngineError(.data, "\(path): damaged PNG: \(String(cString: spng_strerror(code)))") }
        }
        return try bytes.withUnsafeBytes { file in
            try check(spng_set_chunk_limits(context, 64 << 20, 64 << 20))
            try check(spng_set_png_buffer(context, file.baseAddress, file.count))
            var header = spng_ihdr()
            try check(spng_get_ihdr(context, &header))
            let (height, width, depth) = (Int(header.height), Int(header.width), Int(header.bit_depth))
            try ImageDecoding.checkSize(width, height, path)
            let channels: Int
            switch UInt32(header.color_type) {
            case UInt32(SPNG_COLOR_TYPE_GRAYSCALE.rawValue), UInt32(SPNG_COLOR_TYPE_INDEXED.rawValue): channels = 1
            case UInt32(SPNG_COLOR_TYPE_GRAYSCALE_ALPHA.rawValue): channels = 2
            default: throw EngineError(.data, "\(path): a mask in color; 'colors' under 'preprocessing' lists the color of each class")
            }
            // As in the file, 16 bits in the machine's order.
            let format = Int32(SPNG_FMT_PNG.rawValue)
            var size = 0
            try check(spng_decoded_image_size(context, format, &size))
            let rowBytes = (width * depth * channels + 7) / 8
            guard [1, 2, 4, 8, 16].contains(depth), size == rowBytes * height else { throw EngineError(.data, "\(path): damaged PNG: odd size") }
            var raw = [UInt8](repeating: 0, count: size)
            try check(raw.withUnsafeMutableBytes { spng_decode_image(context, $0.baseAddress, size, format, 0) })
            let classes = [Int32](unsafeUninitializedCapacity: height * width) { out, initialized in
                raw.withUnsafeBytes { raw in
                    for row in 0..<height {
                        let start = row * rowBytes
                        let target = row * width
                        switch depth {
                        case 16: for x in 0..<width { out[target + x] = Int32(raw.loadUnaligned(fromByteOffset: start + 2 * x * channels, as: UInt16.self)) }
                        case 8: for x in 0..<width { out[target + x] = Int32(raw[start + x * channels]) }
                        default:
                            // Packed, first pixel in the upper bits. Only gray and palettes have it.
                            let mask = UInt8((1 << depth) - 1)
                            for x in 0..<width {
                                let bit = x * depth
                                out[target + x] = Int32(raw[start + bit / 8] >> UInt8(8 - depth - bit % 8) & mask)
                            }
                        }
                    }
                }
                initialized = height * width
            }
            return Mask(height: height, width: width, classes: classes)
        }
    }

    private func colored(_ image: PixelImage, _ path: String) throws -> Mask {
        func key(_ red: UInt8, _ green: UInt8, _ blue: UInt8) -> UInt32 { UInt32(red) << 16 | UInt32(green) << 8 | UInt32(blue) }
        let table = Dictionary(colors.enumerated().map { (key($1[0], $1[1], $1[2]), Int32($0)) }, uniquingKeysWith: { first, _ in first })
        var classes = [Int32](repeating: 0, count: image.height * image.width)
        var last: (key: UInt32, value: Int32)?
        for index in classes.indices {
            let (red, green, blue) = (image.pixels[index * 3], image.pixels[index * 3 + 1], image.pixels[index * 3 + 2])
            let color = key(red, green, blue)
            if let last, last.key == color {
                classes[index] = last.value
                continue
            }
            guard let value = table[color] ?? unknown else {
                throw EngineError(
                    .data, "\(path): color [\(red), \(green), \(blue)] at \(index % image.width), \(index / image.width) is not among 'colors'; 'ignore' gives others a class")
            }
            last = (color, value)
            classes[index] = value
        }
        return Mask(height: image.height, width: image.width, classes: classes)
    }
}
