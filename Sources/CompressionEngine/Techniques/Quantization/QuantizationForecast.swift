import Foundation
import ModelGraph

/// Foretells what rounding to a grid does to a layer's weights, from its prepared histogram.
enum QuantizationForecast {
    struct Codes {
        /// Fraction of weights whose code is not zero.
        var density: Double
        /// Distinct non-zero codes.
        var distinct: Double
        /// Entropy of a non-zero code in bits.
        var entropy: Double
    }

    /// Rough bytes of a node with short names, and of an initializer beside its elements.
    static let nodeBytes = 70.0
    static let initializerBytes = 40.0

    /// Codes of a layer's weights on symmetric grids of `bits` bits.
    static func codes(_ summary: LayerSummary, bits: Int, granularity: Granularity, groupSize: Int) -> Codes {
        let reach = Double(max((1 << (bits - 1)) - 1, 1))
        let total = Double(summary.histogram.reduce(0, +))
        guard total > 0, summary.maximumMagnitude > 0 else { return Codes(density: 0, distinct: 1, entropy: 0) }
        let step = typicalRange(summary, granularity: granularity, groupSize: groupSize) / reach
        let binWidth = 2 * Double(summary.maximumMagnitude) / Double(summary.histogram.count)
        var counts: [Int: Double] = [:]
        for (bin, count) in summary.histogram.enumerated() where count > 0 {
            // A bin wider than a step spreads over several codes.
            let low = -Double(summary.maximumMagnitude) + Double(bin) * binWidth
            let parts = max(Int((binWidth / step).rounded(.up)), 1)
            for part in 0..<parts {
                let value = low + binWidth * (Double(part) + 0.5) / Double(parts)
                let code = Int(min(max((value / step).rounded(.toNearestOrEven), -reach), reach))
                counts[code, default: 0] += Double(count) / Double(parts)
            }
        }
        let zeros = counts[0] ?? 0
        counts[0] = nil
        let nonZero = total - zeros
        guard nonZero > 0 else { return Codes(density: 0, distinct: 1, entropy: 0) }
        let entropy = counts.values.reduce(0.0) { $0 - $1 / nonZero * log2($1 / nonZero) }
        return Codes(density: nonZero / total, distinct: Double(counts.count), entropy: max(entropy, 0))
    }

    /// The range that a typical scale covers, as a magnitude.
    private static func typicalRange(_ summary: LayerSummary, granularity: Granularity, groupSize: Int) -> Double {
        let whole = Double(summary.maximumMagnitude)
        switch granularity {
        case .tensor:
            return whole
        case .channel:
            // A channel's largest weight goes with its norm.
            guard let largest = summary.outputNormsL2.max(), largest > 0 else { return whole }
            let mean = summary.outputNormsL2.reduce(0) { $0 + Double($1) } / Double(summary.outputNormsL2.count)
            return max(whole * mean / Double(largest), whole / 64)
        case .group:
            // Expected largest of n normal draws.
            let expected = Double(summary.standardDeviation) * (2 * log(Double(max(groupSize, 2)))).squareRoot()
            return min(max(expected, whole / 64), whole)
        }
    }

    /// Scales a layer's weights come with.
    static func scaleCount(_ layer: Layer, weightCount: Double, granularity: Granularity, groupSize: Int) -> Double {
        switch granularity {
        case .tensor: return Double(1 + layer.otherWeights.count)
        case .channel:
            if layer.kind == .embedding { return Double(layer.weightShape[0]) }
            let outputs = Double(layer.weightShape[layer.outputAxis])
            switch layer.kind {
            case .lstm, .gru, .rnn: return outputs * Double(layer.weightShape[0]) * Double(1 + layer.otherWeights.count)
            default: return outputs
            }
        case .group: return (weightCount / Double(max(groupSize, 1))).rounded(.up)
        }
    }

    /// Writes the forecast of codes into a layer's state; what earlier steps zeroed stays zero.
    static func apply(_ codes: Codes, to state: inout LayerState) {
        state.density = min(state.density, codes.density)
        state.distinctValues = min(state.distinctValues ?? .infinity, codes.distinct)
        state.valueEntropy = min(state.valueEntropy ?? .infinity, codes.entropy)
    }
}
