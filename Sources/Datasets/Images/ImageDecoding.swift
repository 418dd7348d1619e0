import CImage
import EngineSupport
import Foundation

/// An 8-bit image, interleaved: height × width × channels, red first.
struct PixelImage: Sendable {
    var height: Int
    var width: Int
    var channels: Int
    var pixels: [UInt8]
}

/// PNG through libspng, JPEG through libjpeg-turbo; told apart by their first bytes, not by their names.
enum ImageDecoding {
    static let extensions: Set<String> = ["png", "jpg", "jpeg"]

    /// Three channels; gray images have them equal, transparency is dropped, 16-bit channels keep their upper byte.
    /// EXIF orientation is not applied.
    /// - Throws: `EngineError` in one line naming the file.
    static func decode(path: String) throws -> PixelImage {
        let bytes = try InputFile.read(path, limit: DataLimits.imageFileBytes)
        if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]) { return try png(bytes, path) }
        if bytes.starts(with: [0xFF, 0xD8, 0xFF]) { return try jpeg(bytes, path) }
        throw EngineError(.data, "\(path): neither a PNG nor a JPEG image")
    }

    /// Height and width, from the header.
    static func size(path: String) throws -> (height: Int, width: Int) {
        let bytes = try InputFile.read(path, limit: DataLimits.imageFileBytes)
        if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]) { return try pngSize(bytes, path) }
        if bytes.starts(with: [0xFF, 0xD8, 0xFF]) { return try jpegSize(bytes, path) }
        throw EngineError(.data, "\(path): neither a PNG nor a JPEG image")
    }

    static func checkSize(_ width: Int, _ height: Int, _ path: String) throws {
        guard width > 0, height > 0, width.multipliedReportingOverflow(by: height).overflow == false,
            width * height <= DataLimits.imagePixels
        else { throw EngineError(.data, "\(path): \(width) × \(height) pixels, at most \(DataLimits.imagePixels >> 20) Mi are read") }
    }

    static func png(_ bytes: [UInt8], _ path: String) throws -> PixelImage {
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
            try checkSize(Int(header.width), Int(header.height), path)
            let format = Int32(SPNG_FMT_RGB8.rawValue)
            var size = 0
            try check(spng_decoded_image_size(context, format, &size))
            guard size == Int(header.width) * Int(header.height) * 3 else { throw EngineError(.data, "\(path): damaged PNG: odd size") }
            var pixels = [UInt8](repeating: 0, count: size)
            try check(pixels.withUnsafeMutableBytes { spng_decode_image(context, $0.baseAddress, size, format, 0) })
            return PixelImage(height: Int(header.height), width: Int(header.width), channels: 3, pixels: pixels)
        }
    }

    private static func jpeg(_ bytes: [UInt8], _ path: String) throws -> PixelImage {
        guard let handle = tjInitDecompress() else { throw EngineError(.data, "\(path): no memory to decode") }
        defer { tjDestroy(handle) }
        func check(_ code: Int32) throws {
            guard code == 0 else { throw EngineError(.data, "\(path): damaged JPEG: \(String(cString: tjGetErrorStr2(handle)))") }
        }
        return try bytes.withUnsafeBufferPointer { file in
            var width: Int32 = 0
            var height: Int32 = 0
            var subsampling: Int32 = 0
            var colors: Int32 = 0
            try check(tjDecompressHeader3(handle, file.baseAddress, UInt(file.count), &width, &height, &subsampling, &colors))
            try checkSize(Int(width), Int(height), path)
            var pixels = [UInt8](repeating: 0, count: Int(width) * Int(height) * 3)
            // A warning means missing or wrong data: a label would be judged on a half-gray image. Few scans: no decoding bombs.
            let flags = TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS
            try check(
                pixels.withUnsafeMutableBufferPointer {
                    tjDecompress2(handle, file.baseAddress, UInt(file.count), $0.baseAddress, width, 0, height, Int32(TJPF_RGB.rawValue), flags)
                })
            return PixelImage(height: Int(height), width: Int(width), channels: 3, pixels: pixels)
        }
    }

    private static func pngSize(_ bytes: [UInt8], _ path: String) throws -> (height: Int, width: Int) {
        guard let context = spng_ctx_new(0) else { throw EngineError(.data, "\(path): no memory to decode") }
        defer { spng_ctx_free(context) }
        return try bytes.withUnsafeBytes { file in
            var header = spng_ihdr()
            for code in [spng_set_chunk_limits(context, 64 << 20, 64 << 20), spng_set_png_buffer(context, file.baseAddress, file.count), spng_get_ihdr(context, &header)]
            where code != 0 { throw EngineError(.data, "\(path): damaged PNG: \(String(cString: spng_strerror(code)))") }
            try checkSize(Int(header.width), Int(header.height), path)
            return (Int(header.height), Int(header.width))
        }
    }

    private static func jpegSize(_ bytes: [UInt8], _ path: String) throws -> (height: Int, width: Int) {
        guard let handle = tjInitDecompress() else { throw EngineError(.data, "\(path): no memory to decode") }
        defer { tjDestroy(handle) }
        return try bytes.withUnsafeBufferPointer { file in
            var (width, height, subsampling, colors): (Int32, Int32, Int32, Int32) = (0, 0, 0, 0)
            guard tjDecompressHeader3(handle, file.baseAddress, UInt(file.count), &width, &height, &subsampling, &colors) == 0 else {
                throw EngineError(.data, "\(path): damaged JPEG: \(String(cString: tjGetErrorStr2(handle)))")
            }
            try checkSize(Int(width), Int(height), path)
            return (Int(height), Int(width))
        }
    }
}
