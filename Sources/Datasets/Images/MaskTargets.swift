import EngineSupport
import ModelGraph

/// Masks of images, decoded when asked for and brought to the model's input as the images are.
enum MaskTargets {
    /// - Parameters:
    ///   - folder: of the masks; each has the path of its image below `root`, ending in png, with another suffix where names differ.
    ///   - shape: of the model's input.
    /// - Throws: `EngineError` if an image has no mask.
    static func targets(_ folder: DatasetDeclaration.Masks, images: [String], below root: String, preprocessing: Preprocessing, shape: [Int]) throws -> Targets {
        let masks = try images.map { image in
            guard let path = path(folder, of: image, below: root) else { throw EngineError(.data, "\(image): its name does not end in the suffix '\(folder.suffix)'") }
            guard InputFile.exists(path) else {
                let remedy = folder.suffix.isEmpty && folder.maskSuffix.isEmpty ? "; 'suffix' and 'mask_suffix' say how names of images and masks end" : ""
                throw EngineError(.data, "\(image): its mask \(path) is missing\(remedy)")
            }
            return path
        }
        let (_, height, width) = PixelPipeline.split(shape, layout: preprocessing.layout)
        let decoding = MaskDecoding(colors: preprocessing.colors, unknown: preprocessing.unknownColor)
        return Targets(
            kind: .classes, shape: [height, width], files: masks,
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

    /// The mask of an image; `nil` if the image's name has not the suffix.
    static func path(_ masks: DatasetDeclaration.Masks, of image: String, below root: String) -> String? {
        let name = stem(image).dropFirst(root.count)
        guard name.hasSuffix(masks.suffix) else { return nil }
        return masks.folder + name.dropLast(masks.suffix.count) + masks.maskSuffix + ".png"
    }

    /// A path without its extension.
    static func stem(_ path: String) -> Substring {
        guard let dot = path.lastIndex(of: "."), !path[dot...].contains("/") else { return path[...] }
        return path[..<dot]
    }
}
