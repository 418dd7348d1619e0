import CSndfile
import EngineSupport
import Foundation

/// A recording, its channels mixed to one.
struct Sound: Sendable {
    /// Samples per second.
    var rate: Int
    /// From −1 to 1, as a rule.
    var samples: [Float]
}

/// WAV and FLAC through libsndfile; told apart by their content, not by their names.
enum SoundDecoding {
    static let extensions: Set<String> = ["wav", "flac"]

    /// Integers are divided by their type's largest magnitude; channels are averaged.
    /// - Throws: `EngineError` in one line naming the file.
    static func decode(path: String) throws -> Sound {
        let input = try InputFile(path: path)
        defer { input.close() }
        try checkLength(input)
        var info = SF_INFO()
        guard let file = sf_open_fd(input.descriptor, Int32(SFM_READ), &info, 0) else {
            throw EngineError(.data, "\(path): not a readable WAV or FLAC file: \(reason(nil))")
        }
        defer { sf_close(file) }
        let channels = Int(info.channels)
        guard channels >= 1, channels <= DataLimits.soundChannels, info.samplerate >= 1, info.frames >= 0 else {
            throw EngineError(.data, "\(path): \(channels) channels of \(info.samplerate) Hz, expected 1 to \(DataLimits.soundChannels) channels")
        }
        guard info.frames <= DataLimits.soundFrames else {
            throw EngineError(.data, "\(path): \(info.frames) samples, at most \(DataLimits.soundFrames >> 20) Mi are read")
        }
        var samples: [Float] = []
        let step = 1 << 14
        var part = [Float](repeating: 0, count: step * channels)
        while true {
            let got = Int(part.withUnsafeMutableBufferPointer { sf_readf_float(file, $0.baseAddress, sf_count_t(step)) })
            guard got > 0 else { break }
            // The header may say less than there is.
            guard samples.count + got <= DataLimits.soundFrames else { throw EngineError(.data, "\(path): more samples than its header says") }
            if channels == 1 {
                samples.append(contentsOf: part[..<got])
            } else {
                for frame in 0..<got {
                    var sum: Float = 0
                    for channel in 0..<channels { sum += part[frame * channels + channel] }
                    samples.append(sum / Float(channels))
                }
            }
        }
        guard sf_error(file) == 0 else { throw EngineError(.data, "\(path): damaged: \(reason(file))") }
        guard samples.count == Int(info.frames) else { throw EngineError(.data, "\(path): ends after \(samples.count) of \(info.frames) samples") }
        return Sound(rate: Int(info.samplerate), samples: samples)
    }

    /// libsndfile makes do with what is there of a WAV file. Writers into a pipe leave an impossible length.
    private static func checkLength(_ input: InputFile) throws {
        var start = [UInt8](repeating: 0, count: 8)
        let got = start.withUnsafeMutableBytes { pread(input.descriptor, $0.baseAddress, $0.count, 0) }
        guard got == 8, start.starts(with: "RIFF".utf8) else { return }
        let length = start[4...].reversed().reduce(0) { $0 << 8 | Int($1) }
        guard length > 0x7FFF_0000 || length + 8 <= input.byteCount + 1 else {
            throw EngineError(.data, "\(input.path): ends after \(input.byteCount) of \(length + 8) bytes")
        }
    }

    private static func reason(_ file: OpaquePointer?) -> String {
        String(cString: sf_strerror(file)).split(whereSeparator: \.isNewline).joined(separator: " ")
    }
}
