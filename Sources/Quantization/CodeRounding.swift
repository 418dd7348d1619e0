import EngineSupport
import ModelGraph

/// How weights find their points on the grid.
enum CodeRounding: Sendable {
    /// The nearest point, ties to the even code.
    case nearest
    /// The point below or above, with probabilities that make the mean right.
    case stochastic(seed: UInt64)
    /// Chosen together, so that the layer's outputs change least.
    case reconstruction(Reconstruction)

    /// What tells one rounding from another, for memoisation.
    var key: String {
        switch self {
        case .nearest: ""
        case .stochastic(let seed): "stochastic \(seed)"
        case .reconstruction(let reconstruction): reconstruction.key
        }
    }
}

/// Rounds up with the probability that a value lies above the point below it.
struct RoundingNoise {
    private var generator: SeededGenerator

    /// Different weights get different noise from the same seed.
    init(seed: UInt64, content: ContentHash) { generator = SeededGenerator(seed: seed ^ content.low) }

    mutating func encode(
        _ base: UnsafePointer<Float>, layout: ScaleLayout, codes: ClosedRange<Int>, scales: [Float], zeroPoints: [Int32],
        into out: UnsafeMutablePointer<UInt8>
    ) {
        let (first, last) = (Float(codes.lowerBound), Float(codes.upperBound))
        layout.forEachRun { run in
            for index in run.offset..<(run.offset + run.count) {
                let scale = run.scalePerElement ? run.scale + index - run.offset : run.scale
                let exact = base[index] / scales[scale] + Float(zeroPoints[scale])
                // 24 bits: as many as a float has, so that the draw is below 1.
                let draw = Float(generator.next() >> 40) * 0x1p-24
                // NaN gets the smallest code, as in nearest rounding.
                let code = exact > first ? min((exact + draw).rounded(.down), last) : first
                out[index] = UInt8(truncatingIfNeeded: Int(max(code, first)))
            }
        }
    }
}

/// Scales and codes of weights that take only −α and α, or −α, 0 and α.
enum SignScales {
    /// Grids with α as scale, and the thresholds that tell codes apart.
    ///
    /// Two values: α = mean |w| (Rastegari et al., XNOR-Net, section 3.1). Three: a weight is zero up to Δ = 0.7 · mean |w|, and α
    /// is the mean magnitude of the others (Li, Zhang and Liu, section 2.2). Exact zeros, pruned or filled in, are left out
    /// of the means.
    static func grids(
        _ values: UnsafeBufferPointer<Float>, layout: ScaleLayout, ternary: Bool
    ) -> (grids: [AffineGrid], thresholds: [Float]) {
        let means = meanMagnitudes(values, layout: layout, above: [Float](repeating: 0, count: layout.scaleCount))
        let thresholds = ternary ? means.map { Float(0.7 * $0) } : [Float](repeating: 0, count: means.count)
        let scales = ternary ? meanMagnitudes(values, layout: layout, above: thresholds) : means
        return (scales.map { AffineGrid(scale: $0 >= Double(Float.leastNormalMagnitude) && $0.isFinite ? Float($0) : 1, zeroPoint: 0) }, thresholds)
    }

    private static func meanMagnitudes(_ values: UnsafeBufferPointer<Float>, layout: ScaleLayout, above thresholds: [Float]) -> [Double] {
        var sums = [Double](repeating: 0, count: layout.scaleCount)
        var counts = sums
        layout.forEachRun { run in
            for index in 0..<run.count {
                let scale = run.scalePerElement ? run.scale + index : run.scale
                let magnitude = abs(values[run.offset + index])
                if magnitude > thresholds[scale] {
                    sums[scale] += Double(magnitude)
                    counts[scale] += 1
                }
            }
        }
        return zip(sums, counts).map { $1 > 0 ? $0 / $1 : 0 }
    }

    static func encode(
        _ base: UnsafePointer<Float>, layout: ScaleLayout, thresholds: [Float], binary: Bool, into out: UnsafeMutablePointer<UInt8>
    ) {
        layout.forEachRun { run in
            for index in 0..<run.count {
                let value = base[run.offset + index]
                let threshold = thresholds[run.scalePerElement ? run.scale + index : run.scale]
                let code: Int8 = binary ? (value < 0 ? -1 : 1) : value > threshold ? 1 : value < -threshold ? -1 : 0
                out[run.offset + index] = UInt8(bitPattern: code)
            }
        }
    }
}
