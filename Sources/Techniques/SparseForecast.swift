import Foundation
import ModelGraph

extension LayerState {
    /// Bits of the layer's weights in the ONNX file.
    public var fileBits: Double { bitsWithoutZeros ?? weightCount * weightBits }

    /// The same of a layer whose zeros the file leaves out, zeros taken to be spread evenly; `nil` where it does not, or where dense is smaller.
    public var bitsWithoutZeros: Double? {
        guard let sparseForm, weightCount > 0 else { return nil }
        let dense = weightCount * weightBits
        let kept = nonZeroCount
        // Codes below a byte are taken out of their bytes first.
        let elementBits = max(weightBits, 8)
        guard sparseForm != .indices else {
            let stored = kept * (elementBits + 64) + 8 * 40
            return stored < dense ? stored : nil
        }
        var valueBits = elementBits
        var codebook = 0.0
        if let distinct = distinctValues, distinct < 256 {
            let bits = max(log2(distinct + 1).rounded(.up), 1)
            let entries = (distinct + 1) * elementBits + 8 * 64
            if bits < elementBits, kept * bits + entries < kept * elementBits { (valueBits, codebook) = (bits, entries) }
        }
        // Runs of zeros are geometric: a filler after every full distance.
        let stored = (2...8).map { bits -> Double in
            let reach = pow(1 - density, Double(1 << bits - 1))
            return reach < 1 ? kept / (1 - reach) * (Double(bits) + valueBits) : .infinity
        }
        let (eight, least) = (stored[6], stored.min() ?? .infinity)
        // As `SparsePlan`: bytes are taken apart only where that gains something.
        var best = eight - least > min(eight / 10, 8 * 65_536) ? least : eight
        // Where nothing is left, a filler every 255 places at most.
        if kept < 1 { best = 0 }
        // A node and two small constants for each weight.
        let bits = best + codebook + 8 * 90
        return bits < dense ? bits : nil
    }
}
