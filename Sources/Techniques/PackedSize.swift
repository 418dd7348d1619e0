import Archive
import Foundation

/// Predicts a layer's share of the packed archive from what is known of it: O(1) on the key-press path.
///
/// Weights are taken as independent, so that runs of zeros are geometric; real masks cluster and pack a little better.
public enum PackedSize {
    /// Bits of the layer's weights and bias in the archive, codebook, code tables and directory included.
    public static func bits(of state: LayerState) -> Double { estimate(state) }

    /// As `bits(of:)`.
    public static func estimate(_ state: LayerState) -> Double {
        guard state.weightCount > 0 else { return 0 }
        let values = ValueModel(state)
        var best = min(state.weightCount * state.weightBits, values.denseBits(state.weightCount, density: state.density))
        if state.density < 0.95 {
            for bits in state.coding.indexBits.map({ $0...$0 }) ?? 2...8 {
                best = min(best, sparseBits(state, values, indexBits: bits))
            }
        }
        // A directory entry and a block's head, for weights and bias.
        let directory = 8.0 * (state.biasCount > 0 ? 32 : 16)
        return best + state.biasCount * 32 * ValueModel.continuousShare(bits: 32) + directory
    }

    private static func sparseBits(_ state: LayerState, _ values: ValueModel, indexBits: Int) -> Double {
        let nonZeros = state.nonZeroCount
        let fillers = TheoreticalSize.expectedFillers(nonZeros: nonZeros, density: state.density, indexBits: indexBits)
        guard fillers.isFinite else { return .infinity }
        let stored = nonZeros + fillers
        let stepBits = state.coding.coder != .fixed ? stepEntropy(density: state.density, indexBits: indexBits) : Double(indexBits)
        let table = state.coding.coder != .fixed ? Double(1 << indexBits) * 4 : 0
        return stored * stepBits + table + values.bits(stored, zeroShare: stored > 0 ? fillers / stored : 0)
    }

    /// Entropy of a stored distance: distance s with probability p·qˢ, the greatest also standing for every filler.
    static func stepEntropy(density p: Double, indexBits: Int) -> Double {
        guard p > 0, p < 1 else { return 0 }
        let q = 1 - p
        let last = (1 << indexBits) - 1
        var entropy = 0.0
        var probability = p
        for _ in 0..<last {
            if probability > 0 { entropy -= probability * log2(probability) }
            probability *= q
        }
        let rest = pow(q, Double(last))
        if rest > 0 { entropy -= rest * log2(rest) }
        return entropy
    }

    /// How the archive codes the values of a layer.
    private struct ValueModel {
        /// Bits of a non-zero value, coded on its own.
        private var valueBits: Double
        /// Codebook entries without zero; `nil` for continuous values.
        private var entries: Double?
        private var elementBits: Double
        private var entropyCoded: Bool
        /// Huffman codes: a whole bit at least for every value.
        private var wholeBits: Bool

        init(_ state: LayerState) {
            entropyCoded = state.coding.coder != .fixed
            wholeBits = state.coding.coder == .huffman
            // Sub-byte weights are packed, and coded by the byte.
            elementBits = max(state.weightBits, 0.01)
            if let distinct = state.distinctValues, distinct < state.weightCount / 2, distinct <= 65536 {
                entries = max(distinct, 1)
                let entropy = state.valueEntropy ?? log2(max(distinct, 1))
                // Whole bits cost Huffman codes a few percent over the entropy.
                valueBits = entropyCoded ? entropy + (wholeBits ? 0.03 : 0.002) : TheoreticalSize.indexWidth(entries: distinct + 1)
            } else {
                valueBits = elementBits * (entropyCoded ? Self.continuousShare(bits: elementBits) : 1)
                // Only large values are left after pruning: their exponents differ less.
                if entropyCoded, elementBits >= 16, state.density < 0.5 { valueBits -= 1 }
            }
        }

        /// What byte planes leave of weights: sign and exponent are far from uniform, mantissas are not.
        static func continuousShare(bits: Double) -> Double {
            switch bits {
            case 32...: 0.84
            case 16: 0.85
            case 8: 0.88
            default: 0.95
            }
        }

        /// Bits of `count` values of which a share are zeros, in the better of mixed and dense form.
        func bits(_ count: Double, zeroShare: Double) -> Double {
            guard count > 0 else { return 0 }
            guard let entries else {
                guard entropyCoded else { return count * elementBits }
                // Every byte of an element tells zeros from others again.
                return count * ((1 - zeroShare) * valueBits + elementBits / 8 * Self.binaryEntropy(zeroShare))
            }
            let codebook = (entries + (zeroShare > 0 ? 1 : 0)) * elementBits + 8 * 12
            guard entropyCoded else { return count * valueBits + codebook }
            let entropy = (1 - zeroShare) * valueBits + Self.binaryEntropy(zeroShare)
            return count * (entries > 1 || zeroShare > 0 ? max(entropy, wholeBits ? 1 : 0) : 0) + codebook
        }

        func denseBits(_ count: Double, density: Double) -> Double { bits(count, zeroShare: 1 - density) }

        private static func binaryEntropy(_ share: Double) -> Double {
            share > 0 && share < 1 ? -share * log2(share) - (1 - share) * log2(1 - share) : 0
        }
    }
}
