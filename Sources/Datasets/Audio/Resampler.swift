import EngineSupport
import Foundation

/// From one sample rate to another by a windowed sinc in polyphase form: the filter and the places of SciPy's `resample_poly` with its
/// defaults (Kaiser window of 5.0, ten zero crossings either side).
struct Resampler: Sendable {
    private let up: Int
    private let down: Int
    /// Of odd length; its middle lies on the output sample.
    private let taps: [Double]

    /// - Throws: `EngineError` if the ratio of the rates has no small terms.
    init(from rate: Int, to newRate: Int, place: String) throws(EngineError) {
        var (a, b) = (rate, newRate)
        while b != 0 { (a, b) = (b, a % b) }
        let (up, down) = (newRate / a, rate / a)
        let larger = max(up, down)
        guard larger <= 1 << 16 else { throw EngineError(.data, "\(place): \(rate) Hz cannot be resampled to \(newRate) Hz: no common divisor") }
        (self.up, self.down) = (up, down)
        let half = 10 * larger
        var taps = (-half...half).map { (place: Int) -> Double in
            let x = Double(place) / Double(larger)
            let sinc = place == 0 ? 1 : sin(.pi * x) / (.pi * x)
            let edge = Double(place) / Double(half)
            return sinc * Self.bessel(5 * max(0, 1 - edge * edge).squareRoot())
        }
        // Unity gain for what does not change, after zeros are put between samples.
        let gain = Double(up) / taps.reduce(0, +)
        for index in taps.indices { taps[index] *= gain }
        self.taps = taps
    }

    /// Samples that come out of `count`.
    func length(of count: Int) -> Int {
        let (product, overflow) = count.multipliedReportingOverflow(by: up)
        return overflow ? Int.max : product / down + (product % down == 0 ? 0 : 1)
    }

    func callAsFunction(_ samples: [Float]) -> [Float] {
        let count = length(of: samples.count)
        let (up, down, half) = (up, down, taps.count / 2)
        return [Float](unsafeUninitializedCapacity: count) { out, initialized in
            taps.withUnsafeBufferPointer { taps in
                samples.withUnsafeBufferPointer { samples in
                    for position in 0..<count {
                        // Of the raised signal, in which sample n stands at n · up.
                        let center = position * down
                        let first = max(0, (center - half + up - 1) / up)
                        let last = min(samples.count - 1, (center + half) / up)
                        var sum = 0.0
                        var tap = center + half - first * up
                        var index = first
                        while index <= last {
                            sum += Double(samples[index]) * taps[tap]
                            tap -= up
                            index += 1
                        }
                        out[position] = Float(sum)
                    }
                }
            }
            initialized = count
        }
    }

    /// Modified Bessel function of the first kind and order 0.
    private static func bessel(_ x: Double) -> Double {
        var (sum, term, k) = (1.0, 1.0, 1.0)
        while term > sum * 1e-17 {
            term *= (x / (2 * k)) * (x / (2 * k))
            sum += term
            k += 1
        }
        return sum
    }
}
