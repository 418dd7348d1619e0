import EngineSupport
import Foundation
import ModelGraph
import Synchronization

/// Recordings decoded when their samples are asked for.
struct SoundSource: SampleSource {
    let files: [String]
    let place: String
    let targets: Targets?
    let inputs: [SampleInput]
    private let preprocessing: Preprocessing
    private let pipeline: SoundPipeline

    var rowCount: Int { files.count }

    /// - Parameter place: the folder or table, for messages.
    /// - Throws: `EngineError` if the first recording cannot be read or no sample shape follows from what is declared.
    init(files: [String], place: String, targets: Targets?, input wanted: ModelInputDescription, preprocessing: Preprocessing) throws {
        guard let path = files.first else { throw EngineError(.data, "\(place): no recordings") }
        self.files = files
        self.place = place
        self.targets = targets
        self.preprocessing = preprocessing
        let type = wanted.type ?? .float32
        guard type.isFloatingPoint else {
            throw EngineError(.data, "\(place): recordings give real numbers, input '\(wanted.name.shortened)' takes \(type)")
        }
        pipeline = try SoundPipeline(preprocessing, first: SoundDecoding.decode(path: path), input: wanted, place: place)
        _ = try DataLimits.byteCount(shape: pipeline.shape, type: type, file: place)
        try preprocessing.checkChannels(of: pipeline.shape, where: place)
        inputs = [SampleInput(name: wanted.name, type: type, shape: pipeline.shape)]
    }

    func prepare(_ rows: ArraySlice<Int>, input: Int, into out: UnsafeMutableRawBufferPointer) throws {
        let sample = inputs[input]
        let transform = try pipeline.transform()
        let layout = FloatLayout(preprocessing, shape: sample.shape)
        var scratch = [Float](repeating: 0, count: sample.elementCount)
        var scaled = scratch
        for (index, row) in rows.enumerated() {
            let sound = try SoundDecoding.decode(path: files[row])
            guard let to = out.baseAddress.map({ $0 + index * sample.bytesPerSample }) else { continue }
            try scratch.withUnsafeMutableBufferPointer { floats in
                guard let base = floats.baseAddress else { return }
                try pipeline.apply(sound, transform: transform, into: base, place: files[row])
                scaled.withUnsafeMutableBufferPointer { scaled in
                    if let target = scaled.baseAddress { layout.apply(base, type: .float32, transposed: 0, into: target) }
                    ElementConversion.store(UnsafeBufferPointer(scaled), as: sample.type, into: to)
                }
            }
        }
    }

    /// The files as they lie on disk: no decoding.
    func combineContent(of rows: [Int], into digest: inout ContentHash) throws {
        digest.combine("\(preprocessing.canonicalText) \(inputs[0].shape) \(pipeline.rate)")
        for row in rows {
            try InputFile.read(files[row]).withUnsafeBytes { digest.combine(bytes: $0) }
        }
    }

    func place(of row: Int) -> String { files[row] }

    func location(of rows: Range<Int>) -> SampleLocation { .files(Set(files[rows].compactMap { FileIdentity(path: $0) })) }
}

/// Rate, length, front end and shape, settled once.
struct SoundPipeline: Sendable {
    /// Of a sample.
    let shape: [Int]
    /// Samples per second after resampling.
    let rate: Int
    private let sampleCount: Int
    private let cut: SoundPreprocessing.Cut
    /// Whether recordings may be cut and filled up.
    private let isLengthDeclared: Bool
    private let extraction: FeatureExtraction?
    private let transformLength: Int?
    /// Whether frames come before rows.
    private let isTransposed: Bool
    private let resamplers = Resamplers()

    /// Resamplers by the rate they take.
    private final class Resamplers: Sendable {
        let made = Mutex<[Int: Resampler]>([:])
    }

    init(_ preprocessing: Preprocessing, first: Sound, input wanted: ModelInputDescription, place: String) throws {
        let sound = preprocessing.sound
        rate = sound.sampleRate ?? first.rate
        cut = sound.cut
        let extents = preprocessing.shape.map { $0.map { Optional($0) } } ?? wanted.shape.map { Array($0.dropFirst()) }
        // Without a front end the model's own length is as good as declared.
        let modelLength = sound.features == nil ? extents.flatMap { Self.fixedLength($0) } : nil
        isLengthDeclared = sound.seconds != nil || modelLength != nil
        if let seconds = sound.seconds {
            sampleCount = Int((seconds * Double(rate)).rounded())
        } else if let modelLength {
            sampleCount = modelLength
        } else if first.rate == rate {
            sampleCount = first.samples.count
        } else {
            sampleCount = try Resampler(from: first.rate, to: rate, place: place).length(of: first.samples.count)
        }
        guard sampleCount > 0, sampleCount <= DataLimits.soundFrames else {
            throw EngineError(.data, "\(place): \(sampleCount) samples a clip, expected 1 to \(DataLimits.soundFrames >> 20) Mi; 'seconds' says how long clips are")
        }
        extraction = try sound.features.map { [rate, sampleCount] in try FeatureExtraction($0, sampleCount: sampleCount, rate: rate, place: place) }
        transformLength = sound.features?.transformLength
        let natural = extraction.map { [$0.rows, $0.frames] } ?? [sampleCount]
        guard let extents else {
            (shape, isTransposed) = (natural, false)
            return
        }
        if let found = Self.fit(natural, extents) {
            (shape, isTransposed) = (found, false)
        } else if let found = Self.fit(natural.reversed(), extents) {
            (shape, isTransposed) = (found, natural.count > 1)
        } else {
            let text = "[" + extents.map { $0.map(String.init) ?? "?" }.joined(separator: ", ") + "]"
            throw EngineError(.data, "\(place): \(extraction == nil ? "clips" : "features") have shape \(natural.shapeText), expected \(text) for input '\(wanted.name.shortened)'")
        }
    }

    func transform() throws -> SpectralTransform? { try transformLength.map { try SpectralTransform(length: $0) } }

    /// - Parameter transform: from `transform()`; one a thread.
    func apply(_ sound: Sound, transform: SpectralTransform?, into out: UnsafeMutablePointer<Float>, place: String) throws {
        let samples = try clip(sound, place: place)
        guard let extraction, let transform else {
            for index in samples.indices { out[index] = samples[index] }
            return
        }
        guard isTransposed else { return extraction.apply(samples, transform: transform, into: out) }
        let (rows, frames) = (extraction.rows, extraction.frames)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: rows * frames) { plane in
            guard let base = plane.baseAddress else { return }
            extraction.apply(samples, transform: transform, into: base)
            for row in 0..<rows {
                for frame in 0..<frames { out[frame * rows + row] = base[row * frames + frame] }
            }
        }
    }

    /// Resampled, cut or filled up with zeros.
    private func clip(_ sound: Sound, place: String) throws -> [Float] {
        var samples = sound.samples
        if sound.rate != rate {
            let resampler = try resamplers.made.withLock { made in
                if let known = made[sound.rate] { return known }
                let resampler = try Resampler(from: sound.rate, to: rate, place: place)
                // A few rates are common, thousands are hostile.
                if made.count < 16 { made[sound.rate] = resampler }
                return resampler
            }
            guard resampler.length(of: samples.count) <= DataLimits.soundFrames else {
                throw EngineError(.data, "\(place): more than \(DataLimits.soundFrames >> 20) Mi samples at \(rate) Hz")
            }
            samples = resampler(samples)
        }
        if samples.count == sampleCount { return samples }
        guard isLengthDeclared else {
            throw EngineError(.data, "\(place): \(samples.count) samples, the first recording has \(sampleCount); 'seconds' under 'preprocessing' gives all one length")
        }
        if samples.count < sampleCount { return samples + [Float](repeating: 0, count: sampleCount - samples.count) }
        let start = cut == .middle ? (samples.count - sampleCount) / 2 : 0
        return Array(samples[start..<start + sampleCount])
    }

    /// The only dimension that is not 1.
    private static func fixedLength(_ extents: [Int?]) -> Int? {
        let rest = extents.filter { $0 != 1 }
        guard rest.count == 1, let length = rest[0] else { return nil }
        return length
    }

    /// `natural` with dimensions of 1 put in where `extents` have them; `nil` if it does not fit.
    private static func fit(_ natural: [Int], _ extents: [Int?]) -> [Int]? {
        var shape = extents.map { $0 ?? 0 }
        var open = extents.indices.filter { extents[$0] != 1 }
        // Free dimensions more than there are to fill: the first of them are 1.
        while open.count > natural.count, let free = open.firstIndex(where: { extents[open[$0]] == nil }) { shape[open.remove(at: free)] = 1 }
        // A dimension of the samples may be 1 itself.
        if open.count < natural.count { return natural.elementsEqual(shape) ? natural : nil }
        guard open.count == natural.count else { return nil }
        for (axis, count) in zip(open, natural) {
            guard extents[axis] == nil || extents[axis] == count else { return nil }
            shape[axis] = count
        }
        return shape
    }
}
