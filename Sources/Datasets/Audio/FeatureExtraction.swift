import EngineSupport
import Foundation

/// The front end: samples of a fixed number to [rows, frames]. Formulas are librosa's and torchaudio's.
struct FeatureExtraction: Sendable {
    /// Bins, bands or coefficients.
    let rows: Int
    let frames: Int
    private let features: SoundFeatures
    private let sampleCount: Int
    /// As long as the transform.
    private let window: [Float]
    /// For each band the first bin and the weights from there.
    private let bands: [(first: Int, weights: [Float])]
    /// Coefficients × bands.
    private let cosines: [Float]

    /// - Parameters:
    ///   - sampleCount: samples of a clip.
    ///   - rate: samples per second.
    /// - Throws: `EngineError` if no frame fits.
    init(_ features: SoundFeatures, sampleCount: Int, rate: Int, place: String) throws(EngineError) {
        self.features = features
        self.sampleCount = sampleCount
        let length = features.transformLength
        let half = length / 2
        let padded = sampleCount + (features.isCentered ? 2 * half : 0)
        guard padded >= length else { throw EngineError(.data, "\(place): clips of \(sampleCount) samples are shorter than n_fft, \(length)") }
        guard !features.isCentered || features.padding == .zeros || sampleCount > half else {
            throw EngineError(.data, "\(place): clips of \(sampleCount) samples are too short to reflect half of n_fft, \(length); 'padding: zeros' or 'center: false' help")
        }
        frames = 1 + (padded - length) / features.hop
        let bins = half + 1
        switch features.kind {
        case .stft: rows = bins
        case .mel, .logMel: rows = features.bands
        case .mfcc: rows = features.coefficients
        }
        window = Self.window(features)
        let highest = features.highest ?? Double(rate) / 2
        guard features.kind == .stft || features.lowest < highest else {
            throw EngineError(.data, "\(place): fmin, \(features.lowest) Hz, is not below half of the sample rate, \(highest) Hz")
        }
        bands = features.kind == .stft ? [] : Self.bands(features, bins: bins, rate: Double(rate), highest: highest)
        var cosines: [Float] = []
        if features.kind == .mfcc {
            let count = Double(features.bands)
            for coefficient in 0..<features.coefficients {
                let weight = ((coefficient == 0 ? 1 : 2) / count).squareRoot()
                for band in 0..<features.bands { cosines.append(Float(weight * cos(.pi * Double(coefficient) * (Double(band) + 0.5) / count))) }
            }
        }
        self.cosines = cosines
    }

    /// - Parameters:
    ///   - samples: as many as were declared.
    ///   - out: rows × frames.
    func apply(_ samples: [Float], transform: SpectralTransform, into out: UnsafeMutablePointer<Float>) {
        let length = features.transformLength
        let signal = padded(samples)
        let bins = length / 2 + 1
        let values = features.kind == .stft ? bins : features.bands
        var frame = [Float](repeating: 0, count: length)
        var powers = [Float](repeating: 0, count: bins)
        var spectra = [Float](repeating: 0, count: values * frames)
        for position in 0..<frames {
            let start = position * features.hop
            for index in 0..<length { frame[index] = signal[start + index] * window[index] }
            frame.withUnsafeBufferPointer { frame in
                powers.withUnsafeMutableBufferPointer { powers in
                    if let from = frame.baseAddress, let to = powers.baseAddress { transform.powers(of: from, into: to) }
                }
            }
            if features.power == 1 {
                for bin in 0..<bins { powers[bin] = powers[bin].squareRoot() }
            }
            if features.kind == .stft {
                for bin in 0..<bins { spectra[bin * frames + position] = powers[bin] }
            } else {
                for (band, filter) in bands.enumerated() {
                    var sum: Float = 0
                    for (index, weight) in filter.weights.enumerated() { sum += powers[filter.first + index] * weight }
                    spectra[band * frames + position] = sum
                }
            }
        }
        takeLogarithms(&spectra)
        guard features.kind == .mfcc else {
            for index in spectra.indices { out[index] = spectra[index] }
            return
        }
        for row in 0..<rows {
            for position in 0..<frames {
                var sum: Float = 0
                for band in 0..<values { sum += cosines[row * values + band] * spectra[band * frames + position] }
                out[row * frames + position] = sum
            }
        }
    }

    private func takeLogarithms(_ spectra: inout [Float]) {
        guard let logarithm = features.logarithm else { return }
        let (floor, offset) = (Float(features.floor), Float(features.offset))
        let decibels: Float = features.power == 1 ? 20 : 10
        for index in spectra.indices {
            let value = max(floor, spectra[index] + offset)
            switch logarithm {
            case .ln: spectra[index] = log(value)
            case .log10: spectra[index] = log10(value)
            case .db: spectra[index] = decibels * log10(value)
            }
        }
        if let range = features.range, let largest = spectra.max() {
            let lowest = largest - Float(range)
            for index in spectra.indices { spectra[index] = max(spectra[index], lowest) }
        }
    }

    private func padded(_ samples: [Float]) -> [Float] {
        guard features.isCentered else { return samples }
        let half = features.transformLength / 2
        guard features.padding == .reflect else {
            let zeros = [Float](repeating: 0, count: half)
            return zeros + samples + zeros
        }
        // Without the sample at the edge.
        let before = (0..<half).map { samples[half - $0] }
        let after = (0..<half).map { samples[samples.count - 2 - $0] }
        return before + samples + after
    }

    /// Periodic, in the middle of the transform.
    private static func window(_ features: SoundFeatures) -> [Float] {
        var window = [Float](repeating: 0, count: features.transformLength)
        let (count, start) = (features.windowLength, (features.transformLength - features.windowLength) / 2)
        for index in 0..<count {
            let turn = cos(2 * .pi * Double(index) / Double(count))
            window[start + index] =
                switch features.window {
                case .hann: Float(0.5 - 0.5 * turn)
                case .hamming: Float(0.54 - 0.46 * turn)
                case .rectangle: 1
                }
        }
        return window
    }

    /// Triangles over frequencies in hertz, whose corners are evenly spaced in mel.
    private static func bands(_ features: SoundFeatures, bins: Int, rate: Double, highest: Double) -> [(first: Int, weights: [Float])] {
        let (low, high) = (mel(features.lowest, features.scale), mel(highest, features.scale))
        let corners = (0...features.bands + 1).map { hertz(low + (high - low) * Double($0) / Double(features.bands + 1), features.scale) }
        return (0..<features.bands).map { band in
            let (left, center, right) = (corners[band], corners[band + 1], corners[band + 2])
            let gain = features.norm == .slaney ? 2 / (right - left) : 1
            let weights = (0..<bins).map { (bin: Int) -> Float in
                let frequency = Double(bin) * rate / Double(features.transformLength)
                return Float(gain * max(0, min((frequency - left) / (center - left), (right - frequency) / (right - center))))
            }
            guard let first = weights.firstIndex(where: { $0 > 0 }), let last = weights.lastIndex(where: { $0 > 0 }) else { return (0, []) }
            return (first, Array(weights[first...last]))
        }
    }

    private static func mel(_ hertz: Double, _ scale: SoundFeatures.MelScale) -> Double {
        switch scale {
        case .htk: 2595 * log10(1 + hertz / 700)
        case .slaney: hertz < 1000 ? hertz * 3 / 200 : 15 + log(hertz / 1000) * 27 / log(6.4)
        }
    }

    private static func hertz(_ mel: Double, _ scale: SoundFeatures.MelScale) -> Double {
        switch scale {
        case .htk: 700 * (pow(10, mel / 2595) - 1)
        case .slaney: mel < 15 ? mel * 200 / 3 : 1000 * exp((mel - 15) * log(6.4) / 27)
        }
    }
}
