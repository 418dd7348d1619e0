import CKissFFT
import EngineSupport

/// The Fourier transform of real numbers, through KissFFT. Not for several threads at once.
final class SpectralTransform {
    let length: Int
    /// Of even lengths; `nil` for odd ones.
    private let real: kiss_fftr_cfg?
    private let complex: kiss_fft_cfg?
    private var spectrum: [kiss_fft_cpx]
    private var widened: [kiss_fft_cpx]

    init(length: Int) throws(EngineError) {
        self.length = length
        let isEven = length.isMultiple(of: 2)
        real = isEven ? kiss_fftr_alloc(Int32(length), 0, nil, nil) : nil
        complex = isEven ? nil : kiss_fft_alloc(Int32(length), 0, nil, nil)
        spectrum = Array(repeating: kiss_fft_cpx(), count: length)
        widened = isEven ? [] : spectrum
        guard real != nil || complex != nil else { throw EngineError(.data, "no memory for a Fourier transform of \(length) samples") }
    }

    deinit {
        free(real.map { UnsafeMutableRawPointer($0) })
        free(complex.map { UnsafeMutableRawPointer($0) })
    }

    /// |X(k)|² for k = 0 … length / 2.
    func powers(of frame: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>) {
        let (real, complex, length) = (real, complex, length)
        spectrum.withUnsafeMutableBufferPointer { spectrum in
            if let real {
                kiss_fftr(real, frame, spectrum.baseAddress)
            } else if let complex {
                widened.withUnsafeMutableBufferPointer { widened in
                    for index in 0..<length { widened[index] = kiss_fft_cpx(r: frame[index], i: 0) }
                    kiss_fft(complex, widened.baseAddress, spectrum.baseAddress)
                }
            }
            for index in 0...length / 2 { out[index] = spectrum[index].r * spectrum[index].r + spectrum[index].i * spectrum[index].i }
        }
    }
}
