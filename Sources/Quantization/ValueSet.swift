import EngineSupport
import ModelGraph
import Techniques

/// Values in [−1, 1] that weights take before scaling, not evenly spaced: dense where weights are.
struct ValueSet: Hashable, Sendable {
    let title: String
    /// Bits of an index.
    let bits: Int
    /// Ascending and distinct, at most 2^bits.
    let entries: [Float]

    /// NormalFloat: 16 quantiles of the normal distribution with an exact zero (Dettmers et al., QLoRA, arXiv:2305.14314, appendix E).
    static let normalFloat = ValueSet(
        title: "NF4", bits: 4,
        entries: [
            -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
            -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
            0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
        ])

    /// Four-bit floats of two exponent bits and one of mantissa (E2M1 of the Open Compute Project's microscaling formats): 0, ½, 1, 1½, 2, 3, 4, 6, over 6.
    static let float4 = ValueSet(title: "FP4", magnitudes: [0.5, 1, 1.5, 2, 3, 4, 6], bits: 4)

    /// Zero and ±2⁰, ±2⁻¹, …: products become shifts (Zhou et al., Incremental Network Quantization, arXiv:1702.03044, section 3).
    static func powersOfTwo(bits: Int) -> ValueSet {
        ValueSet(title: "powers of two", magnitudes: (0..<((1 << (bits - 1)) - 1)).map { Float(sign: .plus, exponent: -$0, significand: 1) }, bits: bits)
    }

    /// Sums of two terms, one of 0, 2⁰, 2⁻², …, the other of 0, 2⁻¹, 2⁻³, … (Li, Dong and Wang, Additive Powers-of-Two, arXiv:1909.13144,
    /// section 2.2): finer at the outer end than powers of two.
    static func additivePowersOfTwo(bits: Int) -> ValueSet {
        let widths = (first: bits / 2, second: (bits - 1) / 2)
        func terms(_ width: Int, from exponent: Int) -> [Float] {
            [0] + (0..<((1 << width) - 1)).map { Float(sign: .plus, exponent: -(exponent + 2 * $0), significand: 1) }
        }
        let second = terms(widths.second, from: 1)
        let sums = terms(widths.first, from: 0).flatMap { a in second.map { a + $0 } }.filter { $0 > 0 }
        return ValueSet(title: "sums of powers of two", magnitudes: sums, bits: bits)
    }

    /// Zero and `magnitudes` of either sign, scaled so that the largest is 1.
    private init(title: String, magnitudes: [Float], bits: Int) {
        let largest = magnitudes.max() ?? 1
        let positive = Set(magnitudes.map { $0 / largest }).sorted()
        self.init(title: title, bits: bits, entries: positive.reversed().map { -$0 } + [0] + positive)
    }

    private init(title: String, bits: Int, entries: [Float]) {
        self.title = title
        self.bits = bits
        self.entries = entries
    }

    // MARK: - Quantizing

    /// The nearest entries of a weight, each scale's largest magnitude (or less, for `.leastSquares`) standing for 1. Remembered by content.
    /// - Throws: `EngineError` if the weight is not float32.
    func quantize(_ view: WeightView, range: WeightFormat.Range, memo: LayerMemo) throws -> QuantizedWeight {
        let layout = view.layout
        let key = "codebook \(view.tensor.storage.contentHash) \(layout) \(self) \(range)"
        let made = try memo.tensors(key) {
            let made = view.tensor.withFloats { encoded($0, layout: layout, range: range) }
            guard let made else { throw EngineError(.technique, "tensor '\(view.tensor.name)': \(view.tensor.elementType) cannot be quantized") }
            return [
                Tensor(name: "", uint8s: made.codes, dims: layout.dims), Tensor(name: "", floats: made.scales, dims: layout.scaleDims),
            ]
        }
        return QuantizedWeight(layout: layout, bits: bits, codes: made[0], scales: made[1], zeroPoints: nil, codebook: entries)
    }

    private func encoded(
        _ values: UnsafeBufferPointer<Float>, layout: ScaleLayout, range: WeightFormat.Range
    ) -> (codes: [UInt8], scales: [Float]) {
        let codebook = Codebook(centroids: entries, zero: false) { $0 }
        let largest = WeightQuantizer.ranges(values, layout: layout).map { max(-$0.low, $0.high) }
        func scales(_ percent: [Int]) -> [Float] {
            zip(largest, percent).map { magnitude, share in
                let scale = magnitude * Float(share) / 100
                return scale >= Float.leastNormalMagnitude && scale.isFinite ? scale : 1
            }
        }
        func codes(_ scales: [Float]) -> [UInt8] {
            let scaled = [Float](unsafeUninitializedCapacity: values.count) { out, initialized in
                layout.forEachRun { run in
                    for index in 0..<run.count {
                        out[run.offset + index] = values[run.offset + index] / scales[run.scalePerElement ? run.scale + index : run.scale]
                    }
                }
                initialized = values.count
            }
            return scaled.withUnsafeBufferPointer { codebook.assign($0) }
        }
        var best = [Int](repeating: 100, count: largest.count)
        guard range == .leastSquares else { return (codes(scales(best)), scales(best)) }
        func errors(_ percent: [Int]) -> [Double] {
            let scales = scales(percent)
            let codes = codes(scales)
            var errors = [Double](repeating: 0, count: scales.count)
            layout.forEachRun { run in
                for index in 0..<run.count {
                    let scale = run.scalePerElement ? run.scale + index : run.scale
                    let difference = Double(values[run.offset + index] - entries[Int(codes[run.offset + index])] * scales[scale])
                    errors[scale] += difference * difference
                }
            }
            return errors
        }
        var least = errors(best)
        for percent in stride(from: 95, through: 30, by: -5) {
            for (index, error) in errors([Int](repeating: percent, count: largest.count)).enumerated() where error < least[index] {
                (best[index], least[index]) = (percent, error)
            }
        }
        return (codes(scales(best)), scales(best))
    }
}
