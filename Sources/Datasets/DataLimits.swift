import EngineSupport
import Foundation

/// What a data file may claim before it is believed. Files come from anywhere; their headers are checked against these
/// and against the file's own size before memory is asked for.
enum DataLimits {
    /// Bytes of one decoded array.
    static let arrayBytes = 8 << 30
    /// Bytes of a file read whole (declarations are held to far less).
    static let fileBytes = 4 << 30
    static let declarationBytes = 1 << 20
    static let imageFileBytes = 256 << 20
    /// Pixels of one image, about 8 × a 13-megapixel photograph.
    static let imagePixels = 100 << 20
    static let rank = 8
    static let archiveEntries = 4096
    static let emptyRows = 1 << 20
    /// Bytes of a JSON file of annotations; COCO's largest has 450 MB.
    static let annotationBytes = 1 << 30
    /// Boxes of one image.
    static let boxes = 1 << 16
    /// Samples of one recording, 46 minutes of 48 kHz.
    static let soundFrames = 1 << 27
    static let soundChannels = 256
    /// Deflate cannot expand by more than 1032 : 1; a header that claims more is wrong.
    static let deflateExpansion = 1032

    /// - Returns: the bytes of an array of this shape.
    /// - Throws: `EngineError` in one line, naming `file`, if the shape is impossible or larger than `arrayBytes`.
    static func byteCount(shape: [Int], type: SampleType, file: String) throws(EngineError) -> Int {
        guard shape.count <= rank else { throw EngineError(.data, "\(file): \(shape.count) dimensions, at most \(rank) are read") }
        guard let count = shape.elementCount, count <= arrayBytes / type.byteWidth else {
            throw EngineError(.data, "\(file): shape \(shape.shapeText) of \(type) is larger than \(arrayBytes >> 30) GiB")
        }
        // Rows of nothing cost no bytes in the file, but memory here.
        guard count > 0 || (shape.max() ?? 0) <= emptyRows else { throw EngineError(.data, "\(file): shape \(shape.shapeText) of \(type) has rows of nothing") }
        return count * type.byteWidth
    }

    /// - Throws: `EngineError` if `needed` bytes of prepared samples would not fit this machine's memory.
    static func checkMemory(_ needed: Int, what: String) throws(EngineError) {
        let physical = Int(clamping: ProcessInfo.processInfo.physicalMemory)
        guard needed <= physical / 10 * 8 else {
            let gibibytes = { (bytes: Int) in String(format: "%.1f GiB", Double(bytes) / Double(1 << 30)) }
            throw EngineError(
                .data, "\(what) needs \(gibibytes(needed)) of memory and this machine has \(gibibytes(physical)); give a smaller 'range'")
        }
    }
}
