import ModelGraph

/// A weight as integers on uniform grids.
struct QuantizedWeight: Sendable {
    var layout: ScaleLayout
    /// True width of a code, 1…8. Codes are kept one to a byte whatever their width.
    var bits: Int
    /// int8 (symmetric grids, zero point 0) or uint8.
    var codes: Tensor
    /// Scales, of `layout.scaleDims`.
    var scales: Tensor
    /// Zero points, of the codes' type and the scales' shape; `nil` where all are 0.
    var zeroPoints: Tensor?

    var isSymmetric: Bool { zeroPoints == nil }
}

/// What a weight is quantised to.
struct WeightFormat: Hashable, Sendable {
    var bits: Int
    /// Symmetric grids use int8 codes −q…q with q = 2^(bits−1) − 1; others uint8 codes 0…2^bits − 1.
    var symmetric: Bool
    /// Overrides the code range, for formats with unusual ones (7-bit weights of x86 without VNNI).
    var codes: ClosedRange<Int>

    init(bits: Int, symmetric: Bool, codes: ClosedRange<Int>? = nil) {
        self.bits = bits
        self.symmetric = symmetric
        let reach = (1 << (bits - 1)) - 1
        self.codes = codes ?? (symmetric ? -max(reach, 1)...max(reach, 1) : 0...((1 << bits) - 1))
    }
}

enum WeightQuantizer {
    /// Changes scales, given the range of the weights under each.
    typealias ScaleAdjustment = (_ scales: inout [Float], _ ranges: [(low: Float, high: Float)]) -> Void

    /// Rounds a float32 weight to the nearest points of grids that cover each scale's own range. Remembered by content.
    /// - Parameters:
    ///   - dims: another shape of as many elements to see the tensor in (a convolution's kernel as a matrix).
    ///   - adjust: changes the scales that cover each range, for formats that ask more of them.
    /// - Throws: `EngineError` if the tensor is not float32.
    static func quantize(
        _ tensor: Tensor, layout: ScaleLayout, format: WeightFormat, adjust: ScaleAdjustment? = nil, memo: LayerMemo
    ) throws -> QuantizedWeight {
        let key = "quantize \(tensor.storage.contentHash) \(layout) \(format)"
        func compute() throws -> [Tensor] {
            let made: [Tensor]? = tensor.withFloats { (values: UnsafeBufferPointer<Float>) -> [Tensor] in
                Self.encoded(values, layout: layout, format: format, adjust: adjust)
            }
            guard let made else { throw EngineError(.technique, "tensor '\(tensor.name)': \(tensor.elementType) cannot be quantised") }
            tensor.storage.releasePages()
            return made
        }
        // An adjustment depends on more than the weight, so its results are not remembered.
        let made = try adjust == nil ? memo.tensors(key, compute: compute) : compute()
        return QuantizedWeight(
            layout: layout, bits: format.bits, codes: made[0], scales: made[1], zeroPoints: made.count > 2 ? made[2] : nil)
    }

    private static func encoded(
        _ values: UnsafeBufferPointer<Float>, layout: ScaleLayout, format: WeightFormat, adjust: ScaleAdjustment?
    ) -> [Tensor] {
        let count = layout.scaleCount
        let ranges = Self.ranges(values, layout: layout)
        let grids = ranges.map { AffineGrid(minimum: $0.low, maximum: $0.high, codes: format.codes, symmetric: format.symmetric) }
        var scales = grids.map(\.scale)
        adjust?(&scales, ranges)
        let zeroPoints = grids.map { Int32(truncatingIfNeeded: $0.zeroPoint) }
        let storage = TensorStorage(byteCount: values.count) { memory in
            guard let out = memory.baseAddress?.assumingMemoryBound(to: UInt8.self), let base = values.baseAddress else { return }
            scales.withUnsafeBufferPointer { scales in
                zeroPoints.withUnsafeBufferPointer { zeroPoints in
                    layout.forEachRun { run in
                        if run.scalePerElement {
                            QuantizationKernels.encode(
                                base + run.offset, count: run.count, scales: scales.baseAddress! + run.scale,
                                zeroPoints: zeroPoints.baseAddress! + run.scale, codes: format.codes, into: out + run.offset)
                        } else {
                            QuantizationKernels.encode(
                                base + run.offset, count: run.count,
                                grid: AffineGrid(scale: scales[run.scale], zeroPoint: Int(zeroPoints[run.scale])), codes: format.codes,
                                into: out + run.offset)
                        }
                    }
                }
            }
        }
        let type: ElementType = format.symmetric ? .int8 : .uint8
        // The storage has one byte per element by construction.
        guard let codes = try? Tensor(name: "", elementType: type, dims: layout.dims, storage: storage) else { return [] }
        var made = [codes, Tensor(name: "", floats: scales, dims: layout.scaleDims)]
        if !format.symmetric { made.append(Tensor(name: "", uint8s: zeroPoints.map { UInt8(truncatingIfNeeded: $0) }, dims: layout.scaleDims)) }
        precondition(scales.count == count)
        return made
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
        guard let codes = weight.codes.floats(), let scales = weight.scales.floats() else { return [] }
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
