import EngineSupport
import Foundation
import ModelGraph

/// Images decoded when their samples are asked for.
struct ImageSource: SampleSource {
    let files: [String]
    let place: String
    var targets: Targets?
    let inputs: [SampleInput]
    let preprocessing: Preprocessing

    var rowCount: Int { files.count }

    /// - Parameter place: the folder or table, for messages.
    /// - Throws: `EngineError` if the first image cannot be read or no sample shape follows from what is declared.
    init(files: [String], place: String, targets: Targets?, input wanted: ModelInputDescription, preprocessing: Preprocessing) throws {
        self.files = files
        self.place = place
        self.targets = targets
        self.preprocessing = preprocessing
        guard let path = files.first else { throw EngineError(.data, "\(place): no images") }
        let first = try ImageDecoding.decode(path: path)
        let raw = (channels: first.channels, height: first.height, width: first.width)
        let shape = try PixelPipeline.sampleShape(preprocessing, wanted: wanted, raw: raw, place: place)
        let type = wanted.type ?? .float32
        // Pixels are whole numbers as long as nothing is done to them.
        guard type.isFloatingPoint || type == .uint8 && preprocessing.keepsValues else {
            throw EngineError(
                .data,
                "\(place): \(type == .uint8 ? "scale, mean and std give" : "images give") real numbers, input '\(wanted.name.shortened)' takes \(type)")
        }
        _ = try DataLimits.byteCount(shape: shape, type: type, file: place)
        try preprocessing.checkChannels(of: shape, where: place)
        inputs = [SampleInput(name: wanted.name, type: type, shape: shape)]
    }

    func prepare(_ rows: ArraySlice<Int>, input: Int, into out: UnsafeMutableRawBufferPointer) throws {
        let sample = inputs[input]
        let pipeline = PixelPipeline(preprocessing, shape: sample.shape)
        var scratch = [Float](repeating: 0, count: sample.elementCount)
        for (index, row) in rows.enumerated() {
            let image = try ImageDecoding.decode(path: files[row])
            guard let to = out.baseAddress.map({ $0 + index * sample.bytesPerSample }) else { continue }
            try scratch.withUnsafeMutableBufferPointer { floats in
                guard let base = floats.baseAddress else { return }
                try pipeline.apply(image, into: base, place: files[row])
                ElementConversion.store(UnsafeBufferPointer(floats), as: sample.type, into: to)
            }
        }
    }

    /// The files as they lie on disk: no decoding.
    func combineContent(of rows: [Int], into digest: inout ContentHash) throws {
        digest.combine("\(preprocessing.canonicalText) \(inputs[0].shape)")
        for row in rows {
            try InputFile.read(files[row], limit: DataLimits.imageFileBytes).withUnsafeBytes { digest.combine(bytes: $0) }
        }
    }

    func place(of row: Int) -> String { files[row] }

    func location(of rows: Range<Int>) -> SampleLocation { .files(Set(files[rows].compactMap { FileIdentity(path: $0) })) }
}
