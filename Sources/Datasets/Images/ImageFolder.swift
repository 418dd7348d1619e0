import EngineSupport
import Foundation
import ModelGraph

/// A folder with one sub-folder of images per class, or of images alone (then without labels).
struct ImageFolder: Sendable {
    let path: String
    /// Names of the sub-folders in text order; empty if the images lie in the folder itself.
    let classNames: [String]
    /// Paths, by class and then by name, in text order.
    let files: [String]
    /// Index into `classNames` per file.
    let classOfFile: [Int]

    /// Lists the images; does not read them. Files that are not PNG or JPEG by name, and hidden ones, are passed over.
    init(path: String) throws(EngineError) {
        self.path = path
        let entries = try Self.list(path)
        var classNames: [String] = []
        var files: [String] = []
        var classOfFile: [Int] = []
        for folder in entries where InputFile.isDirectory(path + "/" + folder) {
            let images = try Self.list(path + "/" + folder).filter(Self.isImage)
            guard !images.isEmpty else { continue }
            files += images.map { "\(path)/\(folder)/\($0)" }
            classOfFile += Array(repeating: classNames.count, count: images.count)
            classNames.append(folder)
        }
        if classNames.isEmpty {
            files = entries.filter(Self.isImage).map { "\(path)/\($0)" }
            classOfFile = []
        }
        guard !files.isEmpty else { throw EngineError(.data, "\(path): no PNG or JPEG images, in sub-folders or in the folder itself") }
        self.classNames = classNames
        self.files = files
        self.classOfFile = classOfFile
    }

    static func isImage(_ name: String) -> Bool {
        guard let dot = name.lastIndex(of: ".") else { return false }
        return ImageDecoding.extensions.contains(name[name.index(after: dot)...].lowercased())
    }

    /// Names without hidden ones, in the order of their bytes, which does not depend on the locale.
    static func list(_ path: String) throws(EngineError) -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: path).filter { !$0.hasPrefix(".") }
                .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        } catch {
            throw EngineError(.data, InputFile.exists(path) ? "\(path): the folder cannot be read" : "\(path): no such folder")
        }
    }
}

/// Images decoded when their samples are asked for.
struct ImageSource: SampleSource {
    let folder: ImageFolder
    let targets: Targets?
    let inputs: [SampleInput]
    let preprocessing: Preprocessing

    var rowCount: Int { folder.files.count }
    var place: String { folder.path }

    /// - Throws: `EngineError` if the first image cannot be read or no sample shape follows from what is declared.
    init(folder: ImageFolder, targets: Targets?, input wanted: ModelInputDescription, preprocessing: Preprocessing) throws {
        self.folder = folder
        self.targets = targets
        self.preprocessing = preprocessing
        let first = try ImageDecoding.decode(path: folder.files[0])
        let raw = (channels: first.channels, height: first.height, width: first.width)
        let shape = try PixelPipeline.sampleShape(preprocessing, wanted: wanted, raw: raw, place: folder.path)
        let type = wanted.type ?? .float32
        guard type.isFloatingPoint else {
            throw EngineError(.data, "\(folder.path): images give real numbers, input '\(wanted.name.shortened)' takes \(type)")
        }
        _ = try DataLimits.byteCount(shape: shape, type: type, file: folder.path)
        try preprocessing.checkChannels(of: shape, where: folder.path)
        inputs = [SampleInput(name: wanted.name, type: type, shape: shape)]
    }

    func prepare(_ rows: ArraySlice<Int>, input: Int, into out: UnsafeMutableRawBufferPointer) throws {
        let sample = inputs[input]
        let pipeline = PixelPipeline(preprocessing, shape: sample.shape)
        var scratch = [Float](repeating: 0, count: sample.elementCount)
        for (index, row) in rows.enumerated() {
            let image = try ImageDecoding.decode(path: folder.files[row])
            guard let to = out.baseAddress.map({ $0 + index * sample.bytesPerSample }) else { continue }
            try scratch.withUnsafeMutableBufferPointer { floats in
                guard let base = floats.baseAddress else { return }
                try pipeline.apply(image, into: base, place: folder.files[row])
                ElementConversion.store(UnsafeBufferPointer(floats), as: sample.type, into: to)
            }
        }
    }

    /// The files as they lie on disk: no decoding.
    func combineContent(of rows: [Int], into digest: inout ContentHash) throws {
        digest.combine("\(preprocessing.canonicalText) \(inputs[0].shape)")
        for row in rows {
            try InputFile.read(folder.files[row], limit: DataLimits.imageFileBytes).withUnsafeBytes { digest.combine(bytes: $0) }
        }
    }

    func location(of rows: Range<Int>) -> SampleLocation { .files(Set(folder.files[rows].compactMap { FileIdentity(path: $0) })) }
}
