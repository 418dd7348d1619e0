import EngineSupport
import ModelGraph
import Techniques

/// A weight as integers on uniform grids.
package struct QuantizedWeight: Sendable {
    package var layout: ScaleLayout
    /// True width of a code, 1…8. Codes are kept one to a byte whatever their width.
    package var bits: Int
    /// int8 (symmetric grids, zero point 0; of 1 bit: −1 and 1) or uint8.
    package var codes: Tensor
    /// Scales, of `layout.scaleDims`.
    package var scales: Tensor
    /// Zero points, of the codes' type and the scales' shape; `nil` where all are 0.
    var zeroPoints: Tensor?
    /// What each code stands for before scaling, where values are not evenly spaced; codes are then uint8.
    package var codebook: [Float]?

    package init(layout: ScaleLayout, bits: Int, codes: Tensor, scales: Tensor, zeroPoints: Tensor? = nil, codebook: [Float]? = nil) {
        self.layout = layout
        self.bits = bits
        self.codes = codes
        self.scales = scales
        self.zeroPoints = zeroPoints
        self.codebook = codebook
    }

    var isSymmetric: Bool { codes.elementType == .int8 }
}

/// What a weight is quantized to.
package struct WeightFormat: Hashable, Sendable {
    /// Which values a scale spans.
    package enum Levels: Hashable, Sendable {
        /// Evenly spaced ones; of a width of 1 bit only −1 and 1.
        case uniform
        /// −1, 0 and 1, with the threshold of Li, Zhang and Liu ("Ternary Weight Networks", arXiv:1605.04711).
        case ternary
    }

    /// How far scales reach.
    package enum Range: Hashable, Sendable {
        /// From the smallest to the largest weight under the scale.
        case minmax
        /// As far as the squared error of the weights under the scale is least: the outermost saturate.
        case leastSquares
    }

    var bits: Int
    /// Symmetric grids use int8 codes −q…q with q = 2^(bits−1) − 1; others uint8 codes 0…2^bits − 1.
    var symmetric: Bool
    /// Overrides the code range, for formats with unusual ones (7-bit weights of x86 without VNNI).
    var codes: ClosedRange<Int>
    var levels = Levels.uniform
    var range = Range.minmax

    /// - Parameter bits: 1…8. One bit is always symmetric: codes −1 and 1 (XNOR-Net, arXiv:1603.05279).
    package init(bits: Int, symmetric: Bool, codes: ClosedRange<Int>? = nil, levels: Levels = .uniform, range: Range = .minmax) {
        self.bits = levels == .ternary ? 2 : bits
        self.symmetric = symmetric || bits == 1 || levels == .ternary
        self.levels = levels
        self.range = range
        let reach = (1 << (self.bits - 1)) - 1
        self.codes = codes ?? (self.symmetric ? -max(reach, 1)...max(reach, 1) : 0...((1 << bits) - 1))
    }

    var isBinary: Bool { bits == 1 }
}

enum WeightQuantizer {
    /// Rounds a weight in the shape in which it is quantized.
    static func quantize(
        _ view: WeightView, layout: ScaleLayout? = nil, format: WeightFormat, rounding: CodeRounding, memo: LayerMemo
    ) throws -> QuantizedWeight {
        try quantize(view.tensor, layout: layout ?? view.layout, format: format, rounding: rounding, order: view.order, memo: memo)
    }

    /// Changes scales, given the range of the weights under each.
    typealias ScaleAdjustment = (_ scales: inout [Float], _ ranges: [(low: Float, high: Float)]) -> Void

    /// Rounds a float32 weight to the points of grids that cover each scale's own range. Remembered by content.
    /// - Parameters:
    ///   - layout: which elements share a scale; its shape is one of as many elements as the tensor has (a convolution's
    ///     kernel as a matrix).
    ///   - rounding: how each element finds its point.
    ///   - order: where the elements stand as a matrix, for roundings that look at a whole row.
    ///   - adjust: changes the scales that cover each range, for formats that ask more of them.
    /// - Throws: `EngineError` if the tensor is not float32; errors of `rounding`.
    static func quantize(
        _ tensor: Tensor, layout: ScaleLayout, format: WeightFormat, rounding: CodeRounding = .nearest, order: MatrixOrder? = nil,
        adjust: ScaleAdjustment? = nil, memo: LayerMemo
    ) throws -> QuantizedWeight {
        let key = "quantize \(tensor.storage.contentHash) \(layout) \(format) \(rounding.key)"
        func compute() throws -> [Tensor] {
            let made: [Tensor]? = try tensor.withFloats { (values: UnsafeBufferPointer<Float>) -> [Tensor] in
                try Self.encoded(values, layout: layout, format: format, rounding: rounding, order: order, adjust: adjust, content: tensor.storage)
            }
            guard let made else { throw EngineError(.technique, "tensor '\(tensor.name)': \(tensor.elementType) cannot be quantized") }
            tensor.storage.releasePages()
            return made
        }
        // An adjustment depends on more than the weight, so its results are not remembered.
        let made = try adjust == nil ? memo.tensors(key, compute: compute) : compute()
        return QuantizedWeight(
            layout: layout, bits: format.bits, codes: made[0], scales: made[1], zeroPoints: made.count > 2 ? made[2] : nil)
    }

    private static func encoded(
        _ values: UnsafeBufferPointer<Float>, layout: ScaleLayout, format: WeightFormat, rounding: CodeRounding, order: MatrixOrder?,
        adjust: ScaleAdjustment?, content: TensorStorage
    ) throws -> [Tensor] {
        let ranges = Self.ranges(values, layout: layout)
        var grids: [AffineGrid]
        var thresholds: [Float] = []
        if format.isBinary || format.levels == .ternary {
            (grids, thresholds) = SignScales.grids(values, layout: layout, ternary: format.levels == .ternary)
        } else if format.range == .leastSquares {
            grids = ClippingSearch(values, layout: layout, format: format, ranges: ranges).grids()
        } else {
            grids = ranges.map { AffineGrid(minimum: $0.low, maximum: $0.high, codes: format.codes, symmetric: format.symmetric) }
        }
        if let adjust {
            var scales = grids.map(\.scale)
            adjust(&scales, ranges)
            for index in grids.indices { grids[index].scale = scales[index] }
        }
        let scales = grids.map(\.scale)
        let zeroPoints = grids.map { Int32(truncatingIfNeeded: $0.zeroPoint) }
        let storage = try TensorStorage(byteCount: values.count) { memory in
            guard let out = memory.baseAddress?.assumingMemoryBound(to: UInt8.self), let base = values.baseAddress else { return }
            if !thresholds.isEmpty {
                SignScales.encode(base, layout: layout, thresholds: thresholds, binary: format.isBinary, into: out)
                return
            }
            switch rounding {
            case .nearest: encodeNearest(base, layout: layout, codes: format.codes, scales: scales, zeroPoints: zeroPoints, into: out)
            case .stochastic(let seed):
                var noise = RoundingNoise(seed: seed, content: content.contentHash)
                noise.encode(base, layout: layout, codes: format.codes, scales: scales, zeroPoints: zeroPoints, into: out)
            case .reconstruction(let reconstruction):
                guard let order else { throw EngineError(.technique, "a weight that is no single matrix cannot be reconstructed") }
                try reconstruction.encode(base, layout: layout, order: order, codes: format.codes, scales: scales, zeroPoints: zeroPoints, into: out)
            }
        }
        let type: ElementType = format.symmetric ? .int8 : .uint8
        // The storage has one byte per element by construction.
        guard let codes = try? Tensor(name: "", elementType: type, dims: layout.dims, storage: storage) else { return [] }
        var made = [codes, Tensor(name: "", floats: scales, dims: layout.scaleDims)]
        if !format.symmetric { made.append(Tensor(name: "", uint8s: zeroPoints.map { UInt8(truncatingIfNeeded: $0) }, dims: layout.scaleDims)) }
        precondition(scales.count == layout.scaleCount)
        return made
    }

    private static func encodeNearest(
        _ base: UnsafePointer<Float>, layout: ScaleLayout, codes: ClosedRange<Int>, scales: [Float], zeroPoints: [Int32],
        into out: UnsafeMutablePointer<UInt8>
    ) {
        scales.withUnsafeBufferPointer { scales in
            zeroPoints.withUnsafeBufferPointer { zeroPoints in
                layout.forEachRun { run in
                    if run.scalePerElement {
                        QuantizationKernels.encode(
                            base + run.offset, count: run.count, scales: scales.baseAddress! + run.scale,
                            zeroPoints: zeroPoints.baseAddress! + run.scale, codes: codes, into: out + run.offset)
                    } else {
                        QuantizationKernels.encode(
                            base + run.offset, count: run.count,
                            grid: AffineGrid(scale: scales[run.scale], zeroPoint: Int(zeroPoints[run.scale])), codes: codes,
                            into: out + run.offset)
                    }
                }
            }
        }
    }

    /// Smallest and largest element under each scale.
    static func ranges(_ values: UnsafeBufferPointer<Float>, layout: ScaleLayout) -> [(low: Float, high: Float)] {
        let count = layout.scaleCount
        var lows = [Float](repeating: .infinity, count: count)
        var highs = [Float](repeating: -.infinity, count: count)
        guard let base = values.baseAddress else { return [(low: Float, high: Float)](repeating: (0, 0), count: count) }
        lows.withUnsafeMutableBufferPointer { lows in
            highs.withUnsafeMutableBufferPointer { highs in
                layout.forEachRun { run in
                    if run.scalePerElement {
                        QuantizationKernels.extremes(
                            base + run.offset, count: run.count, lows: lows.baseAddress! + run.scale, highs: highs.baseAddress! + run.scale)
                    } else {
                        QuantizationKernels.extremes(base + run.offset, count: run.count, low: &lows[run.scale], high: &highs[run.scale])
                    }
                }
            }
        }
        return zip(lows, highs).map { $0 <= $1 ? (low: $0, high: $1) : (low: 0, high: 0) }
    }

    /// The values the codes stand for, in the shape of `layout.dims`.
    static func dequantize(_ weight: QuantizedWeight) -> [Float] {
        guard var codes = weight.codes.floats(), let scales = weight.scales.floats() else { return [] }
        if let codebook = weight.codebook { codes = codes.map { codebook[Int($0)] } }
        let zeroPoints = weight.zeroPoints?.floats() ?? [Float](repeating: 0, count: scales.count)
        var values = codes
        weight.layout.forEachRun { run in
            for index in 0..<run.count {
                let scale = run.scalePerElement ? run.scale + index : run.scale
                values[run.offset + index] = (codes[run.offset + index] - zeroPoints[scale]) * scales[scale]
            }
        }
        return values
    }
}
