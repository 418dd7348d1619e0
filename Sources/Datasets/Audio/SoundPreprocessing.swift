/// How a recording becomes numbers of one shape.
public struct SoundPreprocessing: Sendable, Hashable {
    /// Which part of a longer recording is kept.
    public enum Cut: String, Sendable, CaseIterable {
        case middle, start
    }

    /// Samples per second; recordings with others are resampled. `nil`: all must have those of the first.
    public var sampleRate: Int?
    /// Shorter recordings are followed by zeros, longer ones cut.
    public var seconds: Double?
    public var cut = Cut.middle
    /// `nil`: samples themselves, from −1 to 1.
    public var features: SoundFeatures?

    public init() {}
}

/// A front end: from samples to spectra, frame by frame, as librosa and torchaudio define it.
public struct SoundFeatures: Sendable, Hashable {
    public enum Kind: String, Sendable, CaseIterable {
        /// Magnitudes of the short-time Fourier transform to the power of `power`: [bins, frames].
        case stft
        /// Those summed up over bands: [mels, frames].
        case mel
        case logMel = "log-mel"
        /// Cosine transform of the logarithms: [coefficients, frames].
        case mfcc
    }

    public enum Window: String, Sendable, CaseIterable {
        case hann, hamming
        case rectangle = "none"
    }

    public enum Logarithm: String, Sendable, CaseIterable {
        case ln, log10
        /// Decibels.
        case db
    }

    public enum MelScale: String, Sendable, CaseIterable {
        case htk, slaney
    }

    public enum Norm: String, Sendable, CaseIterable {
        /// Each band has the same area.
        case slaney
        case none
    }

    /// What stands before the first and behind the last sample where frames are centered.
    public enum Padding: String, Sendable, CaseIterable {
        case reflect
        case zeros
    }

    public var kind = Kind.logMel
    /// Samples of a transform.
    public var transformLength = 0
    /// Samples of a frame; the window is centered in the transform.
    public var windowLength = 0
    /// Samples from frame to frame.
    public var hop = 0
    public var window = Window.hann
    /// Whether frame t is centered at sample t · hop; else it begins there.
    public var isCentered = true
    public var padding = Padding.reflect
    /// 1: magnitudes, 2: powers.
    public var power = 2
    public var bands = 0
    /// Hertz.
    public var lowest = 0.0
    /// Hertz; `nil`: half of the sample rate.
    public var highest: Double?
    public var scale = MelScale.htk
    public var norm = Norm.none
    /// `nil`: none, except for log-mel and MFCC, which have their own.
    public var logarithm: Logarithm?
    /// Smaller values count as this before the logarithm.
    public var floor = 1e-10
    /// Added before the logarithm.
    public var offset = 0.0
    /// Of decibels: what lies further below the largest value of the clip counts as this much below.
    public var range: Double?
    /// Of MFCC.
    public var coefficients = 0

    public init() {}
}
