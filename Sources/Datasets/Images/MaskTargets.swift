import EngineSupport
import ModelGraph

/// Masks of images, decoded when asked for and brought to the model's input as the images are.
enum MaskTargets {
    /// - Parameters:
    ///   - folder: of the masks; each has the path of its image below `images`, ending in png.
    ///   - shape: of the model's input.
    /// - Throws: `EngineError` if an image has no mask.
    static func targets(folder: String, images: [String], below root: String, preprocessing: Preprocessing, shape: [Int]) throws -> Targets {
        let masks = try images.map { image in
            let path = folder + stem(image).dropFirst(root.count) + ".png"
            guard InputFile.exists(path) else { throw EngineError(.data, "\(image): its mask \(path) is missing") }
            return path
        }
        let (_, height, width) = PixelPipeline.split(shape, layout: preprocessing.layout)
        let decoding = MaskDecoding(colors: preprocessing.colors, unknown: preprocessing.unknownColor)
        return Targets(
            kind: .classes, shape: [height, width],
            read: { row in
                let path = masks[row]
                let mask = try decoding.decode(path: path)
                let size = try ImageDecoding.size(path: images[row])
                guard abs(mask.height * size.width - mask.width * size.height) * 50 <= size.height * mask.width else {
                    throw EngineError(.data, "\(path): \(mask.height) × \(mask.width) pixels, its image has \(size.height) × \(size.width)")
                }
                let placement = try ImagePlacement(height: mask.height, width: mask.width, preprocessing, outHeight: height, outWidth: width, place: path)
                return .classes(placement.apply(mask.classes, outside: preprocessing.unknownColor ?? 255), shape: [height, width])
            },
            mix: { rows, digest in
                digest.combine("\(preprocessing.colors) \(preprocessing.unknownColor.map { "\($0)" } ?? "-")")
                for row in rows { try InputFile.read(masks[row], limit: DataLimits.imageFileBytes).withUnsafeBytes { digest.combine(bytes: $0) } }
            })
    }

    /// A path without its extension.
    static func stem(_ path: String) -> Substring {
        guard let dot = path.lastIndex(of: "."), !path[dot...].contains("/") else { return path[...] }
        return path[..<dot]
    }
}
