import EngineSupport
import Foundation
import ModelGraph

/// Bits of encodings as the literature counts them: fixed widths, no entropy coding, no graph, no file format.
public enum TheoreticalSize {
    /// Fillers that relative indices of `indexBits` bits need for `nonZeros` weights spread at random with a share
    /// `density` of all: nnz · q^S / (1 − q^S), q = 1 − density, S = 2^indexBits. Real masks cluster and need fewer.
    public static func expectedFillers(nonZeros: Double, density: Double, indexBits: Int) -> Double {
        guard density > 0, density < 1 else { return 0 }
        let reach = pow(1 - density, Double(1 << indexBits))
        return nonZeros * reach / (1 - reach)
    }

    /// Sparse matrix with relative indices (Deep Compression): (nnz + fillers) · (value bits + index bits).
    public static func sparseBits(nonZeros: Double, fillers: Double, valueBits: Double, indexBits: Int) -> Double {
        (nonZeros + fillers) * (valueBits + Double(indexBits))
    }

    /// A codebook of `entries` values of `bits` bits.
    public static func codebookBits(entries: Double, bits: Double = 32) -> Double { entries * bits }

    /// Bits of an index into a codebook: ⌈log₂ entries⌉, at least 1.
    public static func indexWidth(entries: Double) -> Double { entries > 2 ? log2(entries).rounded(.up) : 1 }

    /// Bits of a tensor in the smallest of: as it is; indices into a codebook; zeros left out with relative indices; both.
    /// Fillers are counted on the tensor itself.
    /// - Parameter indexBits: bits of a relative index; `nil` takes the best of 2…8.
    public static func bits(of tensor: Tensor, indexBits: Int? = nil) -> Double {
        let bytes = tensor.storage.bytes
        let width = TensorCoding.width(of: tensor.elementType)
        let count = bytes.count / width
        let plain = Double(bytes.count) * 8
        guard count > 1, tensor.elementType.isFloatingPoint || tensor.elementType.isQuantized else { return plain }
        defer { tensor.storage.releasePages() }
        let elementBits = Double(width) * 8
        let counts = PatternCounts(bytes, width: width, limit: min(1 << 16, max(count / 2, 2)))
        var best = plain
        var valueBits = elementBits
        var codebook = 0.0
        if let counts {
            let entries = Double(counts.patterns.count)
            let shared = Double(count) * indexWidth(entries: entries) + codebookBits(entries: entries, bits: elementBits)
            if shared < best {
                best = shared
                valueBits = indexWidth(entries: entries)
                codebook = codebookBits(entries: entries, bits: elementBits)
            }
        }
        let gaps = GapCounts(bytes, width: width, skipping: 0)
        guard gaps.kept < count else { return best }
        for bits in indexBits.map({ $0...$0 }) ?? 2...8 {
            let stored = Double(gaps.kept + gaps.fillers(indexBits: bits))
            best = min(best, stored * (valueBits + Double(bits)) + codebook, stored * (elementBits + Double(bits)))
        }
        return best
    }

    /// Bits of all constants of a model. What the model declares about index bits is followed.
    public static func bits(of model: Model, cancellation: Cancellation = Cancellation()) throws -> Double {
        let rules = CodingDeclaration(model)?.byTensor ?? [:]
        var tensors: [Tensor] = []
        model.forEachInitializer { _, tensor in tensors.append(tensor) }
        let bits = try Parallel.map(tensors) { tensor in
            try cancellation.check()
            return Self.bits(of: tensor, indexBits: rules[tensor.name]?.indexBits)
        }
        return bits.reduce(0, +)
    }
}
