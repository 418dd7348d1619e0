/// A uniform grid of integers on the real line: value = scale · (code − zero point).
struct AffineGrid: Hashable, Sendable {
    /// Distance between neighboring values; positive.
    var scale: Float
    /// The code that means exactly 0.
    var zeroPoint: Int

    /// The grid whose codes cover [minimum, maximum] and 0.
    ///
    /// Computed in double precision and rounded once, as `onnxruntime.quantization.compute_scale_zp` does, so that both
    /// give the same bits for the same range.
    /// - Parameters:
    ///   - codes: smallest and largest code.
    ///   - symmetric: widens the range to [−m, m], which puts the zero point in the middle of the codes.
    init(minimum: Float, maximum: Float, codes: ClosedRange<Int>, symmetric: Bool) {
        var low = min(minimum, 0)
        var high = max(maximum, 0)
        if symmetric {
            high = max(-low, high)
            low = -high
        }
        let width = Double(high) - Double(low)
        let step = width / Double(codes.upperBound - codes.lowerBound)
        guard step >= Double(Float.leastNormalMagnitude), step.isFinite else {
            // Nothing but zeros (or no usable range): any scale does.
            scale = 1
            zeroPoint = symmetric ? (codes.lowerBound + codes.upperBound) / 2 : min(max(0, codes.lowerBound), codes.upperBound)
            return
        }
        scale = Float(step)
        if symmetric {
            zeroPoint = Int((Double(codes.lowerBound + codes.upperBound) / 2).rounded(.toNearestOrEven))
        } else {
            let exact = Double(codes.lowerBound) - Double(low) / step
            zeroPoint = min(max(Int(exact.rounded(.toNearestOrEven)), codes.lowerBound), codes.upperBound)
        }
    }

    init(scale: Float, zeroPoint: Int) {
        self.scale = scale
        self.zeroPoint = zeroPoint
    }
}

/// Inner loops of quantization over contiguous floats. They vectorize: no branch, no call, no array access.
enum QuantizationKernels {
    /// Adding and taking away 1.5 · 2²³ rounds a float of magnitude below 2²² to the nearest integer, ties to even; the
    /// low bits of the sum's pattern are then that integer in two's complement. (The baseline x86-64 instruction set has
    /// no rounding instruction; a call per element would cost ten times as much.)
    static let roundingOffset: Float = 12_582_912

    /// Smallest and largest element; NaN is passed over.
    static func extremes(_ values: UnsafePointer<Float>, count: Int, low: inout Float, high: inout Float) {
        var lows = SIMD8<Float>(repeating: low)
        var highs = SIMD8<Float>(repeating: high)
        let vectors = count / 8
        let wide = UnsafeRawPointer(values)
        for index in 0..<vectors {
            let vector = wide.loadUnaligned(fromByteOffset: index * 32, as: SIMD8<Float>.self)
            lows.replace(with: vector, where: vector .< lows)
            highs.replace(with: vector, where: vector .> highs)
        }
        low = lows.min()
        high = highs.max()
        for index in (vectors * 8)..<count {
            let value = values[index]
            if value < low { low = value }
            if value > high { high = value }
        }
    }

    /// Element-wise smallest and largest against running vectors of the same length.
    static func extremes(
        _ values: UnsafePointer<Float>, count: Int, lows: UnsafeMutablePointer<Float>, highs: UnsafeMutablePointer<Float>
    ) {
        for index in 0..<count {
            let value = values[index]
            lows[index] = value < lows[index] ? value : lows[index]
            highs[index] = value > highs[index] ? value : highs[index]
        }
    }

    /// Codes of `count` values on one grid: round(value / scale) + zero point, clamped. NaN gets the smallest code.
    static func encode(
        _ values: UnsafePointer<Float>, count: Int, grid: AffineGrid, codes: ClosedRange<Int>, into out: UnsafeMutablePointer<UInt8>
    ) {
        // Clamping before rounding keeps the trick's precondition and gives the same result: the bounds are integers.
        let low = Float(codes.lowerBound - grid.zeroPoint)
        let high = Float(codes.upperBound - grid.zeroPoint)
        let zero = UInt32(truncatingIfNeeded: grid.zeroPoint)
        let scale = grid.scale
        for index in 0..<count {
            var code = values[index] / scale
            code = code > low ? code : low
            code = code < high ? code : high
            out[index] = UInt8(truncatingIfNeeded: (code + roundingOffset).bitPattern &+ zero)
        }
    }

    /// The same with a grid for each element: `scales` and `zeroPoints` run along with the values.
    static func encode(
        _ values: UnsafePointer<Float>, count: Int, scales: UnsafePointer<Float>, zeroPoints: UnsafePointer<Int32>,
        codes: ClosedRange<Int>, into out: UnsafeMutablePointer<UInt8>
    ) {
        let first = Float(codes.lowerBound)
        let last = Float(codes.upperBound)
        for index in 0..<count {
            let zero = zeroPoints[index]
            let low = first - Float(zero)
            let high = last - Float(zero)
            var code = values[index] / scales[index]
            code = code > low ? code : low
            code = code < high ? code : high
            out[index] = UInt8(truncatingIfNeeded: (code + roundingOffset).bitPattern &+ UInt32(bitPattern: zero))
        }
    }
}
