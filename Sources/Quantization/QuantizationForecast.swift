import Foundation
import ModelGraph
import Techniques

/// Predicts what rounding to a grid does to a layer's weights, from its prepared histogram.
package enum QuantizationForecast {
    struct Codes {
        /// Fraction of weights whose code is not zero.
        var density: Double
        /// Distinct non-zero codes.
        var distinct: Double
        /// Entropy of a non-zero code in bits.
        var entropy: Double
    }

    /// Rough bytes of a node with short names, and of an initializer beside its elements.
    package static let nodeBytes = 70.0
    package static let initializerBytes = 40.0

    /// Codes of a layer's weights on the grids of a format.
    static func codes(_ summary: LayerSummary, format: WeightFormat, granularity: Granularity, groupSize: Int) -> Codes {
        let total = Double(summary.histogram.reduce(0, +))
        guard total > 0, summary.maximumMagnitude > 0 else { return Codes(density: 0, distinct: 1, entropy: 0) }
        if format.isBinary { return Codes(density: 1, distinct: 2, entropy: 1) }
        if format.levels == .ternary {
            let kept = 1 - summary.fraction(below: 0.7 * summary.meanMagnitude)
            return Codes(density: kept, distinct: 2, entropy: 1)
        }
        return codes(summary, bits: format.bits, granularity: granularity, groupSize: groupSize, clipped: format.range == .leastSquares)
    }

    /// Codes of a layer's weights on symmetric grids of `bits` bits.
    /// - Parameter clipped: the grids reach only as far as the squared error is least.
    static func codes(_ summary: LayerSummary, bits: Int, granularity: Granularity, groupSize: Int, clipped: Bool = false) -> Codes {
        let reach = Double(max((1 << (bits - 1)) - 1, 1))
        let total = Double(summary.histogram.reduce(0, +))
        guard total > 0, summary.maximumMagnitude > 0 else { return Codes(density: 0, distinct: 1, entropy: 0) }
        var range = typicalRange(summary, granularity: granularity, groupSize: groupSize)
        if clipped, (2...8).contains(bits) { range = min(range, Double(summary.standardDeviation) * normalReach[bits - 2]) }
        let step = max(range, Double(summary.maximumMagnitude) / 4096) / reach
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

    /// How far the best grid of 2^bits − 1 values reaches for normally distributed weights, in standard deviations, for 2 to 8
    /// bits (Max, "Quantizing for Minimum Distortion", 1960, in between interpolated).
    private static let normalReach = [1.22, 1.95, 2.47, 2.95, 3.4, 3.8, 4.2]

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

    /// Bits of each of them: a table gathered as integer rows has float16.
    static func scaleBits(_ layer: Layer, granularity: Granularity) -> Double { layer.kind == .embedding && granularity == .channel ? 16 : 32 }

    /// Writes the forecast of codes into a layer's state; what earlier steps zeroed stays zero.
    static func apply(_ codes: Codes, to state: inout LayerState) {
        state.density = min(state.density, codes.density)
        state.distinctValues = min(state.distinctValues ?? .infinity, codes.distinct)
        state.valueEntropy = min(state.valueEntropy ?? .infinity, codes.entropy)
    }

    /// Normalization's four constants per channel become one bias, where there was none.
    static func foldNormalization(into state: inout LayerState, _ summary: LayerSummary) {
        let outputs = Double(summary.outputNormsL2.count)
        guard summary.layer.kind == .conv, outputs > 0, state.attachedCount >= 4 * outputs else { return }
        state.attachedCount -= 4 * outputs
        if state.biasCount == 0 { state.biasCount = outputs }
    }

    /// Predicts what `WeightStorageWriter` will make of a layer's weights.
    package static func apply(_ request: WeightStorageWriter.Request, to state: inout LayerState, _ summary: LayerSummary) {
        let made =
            request.values.map { codes(summary, values: $0, request) }
            ?? codes(summary, format: request.format, granularity: request.granularity, groupSize: request.groupSize)
        apply(made, to: &state)
        // Signs have no zero: what was pruned comes back.
        if request.format.isBinary, request.values == nil { state.density = 1 }
        guard request.storage != .simulated else { return }
        if request.storage == .dequantize, summary.layer.kind != .embedding { state.form = .dequantized }
        let count = state.weightCount
        state.weightBits = storedBits(summary.layer, request, count: count)
        let scales = scaleCount(summary.layer, weightCount: count, granularity: request.granularity, groupSize: request.groupSize)
        let zeroBits = request.format.symmetric ? 0 : 8.0
        let bits = request.values?.bits ?? request.format.bits
        let nodes = state.weightBits < 8 && !usesKernel(summary.layer, request) ? Double(UnpackedStorage.nodeBytes(bits: bits)) : 2 * nodeBytes
        let codebook = request.values.map { Double($0.entries.count) * 32 + (nodeBytes + initializerBytes) * 8 } ?? 0
        let gathers = request.storage == .dequantize || (request.storage == .auto && bits == 8)
        let scaleBits = gathers ? scaleBits(summary.layer, granularity: request.granularity) : 32
        state.overheadBits += scales * (scaleBits + zeroBits) + codebook + (nodes + 2 * initializerBytes) * 8
    }

    private static func usesKernel(_ layer: Layer, _ request: WeightStorageWriter.Request) -> Bool {
        guard request.storage == .matmulnbits || (request.storage == .auto && layer.kind == .embedding), [2, 4, 8].contains(request.format.bits),
            layer.weightShape.count == 2
        else { return false }
        return layer.kind == .matMul || layer.kind == .gemm || layer.kind == .embedding
    }

    /// Bits of a weight in the file, as `WeightStorageWriter` will choose.
    private static func storedBits(_ layer: Layer, _ request: WeightStorageWriter.Request, count: Double) -> Double {
        let bits = request.values?.bits ?? request.format.bits
        if request.storage == .dequantize { return layer.kind == .embedding || bits > 4 ? 8 : 4 }
        if usesKernel(layer, request) || bits == 8 { return Double(bits) }
        let saved = count - Double(BitPlanes.byteCount(Int(count), bits: bits))
        return saved > Double(UnpackedStorage.nodeBytes(bits: bits)) ? Double(bits) : 8
    }

    /// Codes of a layer's weights in a set of values that are not evenly spaced, from its histogram.
    private static func codes(_ summary: LayerSummary, values: ValueSet, _ request: WeightStorageWriter.Request) -> Codes {
        let total = Double(summary.histogram.reduce(0, +))
        guard total > 0, summary.maximumMagnitude > 0 else { return Codes(density: 0, distinct: 1, entropy: 0) }
        let range = Float(typicalRange(summary, granularity: request.granularity, groupSize: request.groupSize))
        let codebook = Codebook(centroids: values.entries, zero: false) { $0 }
        let binWidth = 2 * summary.maximumMagnitude / Float(summary.histogram.count)
        // Points closer than the entries around zero are.
        let parts = 16
        let points = (0..<(summary.histogram.count * parts)).map { (-summary.maximumMagnitude + binWidth * (Float($0) + 0.5) / Float(parts)) / range }
        var counts = [Double](repeating: 0, count: values.entries.count)
        for (point, entry) in points.withUnsafeBufferPointer({ codebook.assign($0) }).enumerated() {
            counts[Int(entry)] += Double(summary.histogram[point / parts]) / Double(parts)
        }
        if let zero = values.entries.firstIndex(of: 0) { counts[zero] = 0 }
        let nonZero = counts.reduce(0, +)
        guard nonZero > 0 else { return Codes(density: 0, distinct: 1, entropy: 0) }
        let entropy = counts.reduce(0.0) { $1 > 0 ? $0 - $1 / nonZero * log2($1 / nonZero) : $0 }
        return Codes(density: nonZero / total, distinct: Double(counts.count { $0 > 0 }), entropy: entropy)
    }
}

extension LayerSummary {
    /// Mean |w|, from the quantiles.
    fileprivate var meanMagnitude: Float {
        magnitudeQuantiles.isEmpty ? 0 : magnitudeQuantiles.reduce(0, +) / Float(magnitudeQuantiles.count)
    }
}
