import ModelGraph

/// Finds for every scale how far its grid should reach so that the weights' squared error is least: what saturates costs
/// less than what a finer step gains.
struct ClippingSearch {
    private let values: UnsafeBufferPointer<Float>
    private let layout: ScaleLayout
    private let format: WeightFormat
    private let ranges: [(low: Float, high: Float)]

    init(_ values: UnsafeBufferPointer<Float>, layout: ScaleLayout, format: WeightFormat, ranges: [(low: Float, high: Float)]) {
        self.values = values
        self.layout = layout
        self.format = format
        self.ranges = ranges
    }

    /// The best grid of each scale among those that reach 20 … 100 % of its weights' range, to one percent: coarse steps over
    /// all, then fine ones around each scale's own best. O(26 · weights).
    func grids() -> [AffineGrid] {
        var best = [Int](repeating: 100, count: ranges.count)
        var least = errors(best)
        func consider(_ percent: [Int]) {
            let errors = errors(percent)
            for index in best.indices where errors[index] < least[index] { (best[index], least[index]) = (percent[index], errors[index]) }
        }
        for percent in stride(from: 95, through: 20, by: -5) { consider([Int](repeating: percent, count: ranges.count)) }
        let coarse = best
        for step in [-4, -3, -2, -1, 1, 2, 3, 4] { consider(coarse.map { min($0 + step, 100) }) }
        return zip(ranges, best).map(grid)
    }

    private func grid(_ range: (low: Float, high: Float), _ percent: Int) -> AffineGrid {
        let share = Float(percent) / 100
        return AffineGrid(minimum: range.low * share, maximum: range.high * share, codes: format.codes, symmetric: format.symmetric)
    }

    /// Squared error under each scale.
    private func errors(_ percent: [Int]) -> [Double] {
        let grids = zip(ranges, percent).map(grid)
        var errors = [Double](repeating: 0, count: grids.count)
        guard let base = values.baseAddress else { return errors }
        let scales = grids.map(\.scale)
        let lows = grids.map { Float(format.codes.lowerBound - $0.zeroPoint) }
        let highs = grids.map { Float(format.codes.upperBound - $0.zeroPoint) }
        var squares = [Float](repeating: 0, count: 1024)
        squares.withUnsafeMutableBufferPointer { squares in
            layout.forEachRun { run in
                for start in stride(from: 0, to: run.count, by: 1024) {
                    let count = min(1024, run.count - start)
                    let from = base + run.offset + start
                    if run.scalePerElement {
                        let first = run.scale + start
                        for index in 0..<count {
                            squares[index] = Self.squaredError(from[index], scales[first + index], lows[first + index], highs[first + index])
                        }
                        for index in 0..<count { errors[first + index] += Double(squares[index]) }
                    } else {
                        let (scale, low, high) = (scales[run.scale], lows[run.scale], highs[run.scale])
                        for index in 0..<count { squares[index] = Self.squaredError(from[index], scale, low, high) }
                        var sum = 0.0
                        for index in 0..<count { sum += Double(squares[index]) }
                        errors[run.scale] += sum
                    }
                }
            }
        }
        return errors
    }

    @inline(__always)
    private static func squaredError(_ value: Float, _ scale: Float, _ low: Float, _ high: Float) -> Float {
        var code = value / scale
        code = code > low ? code : low
        code = code < high ? code : high
        let rounded = (code + QuantizationKernels.roundingOffset) - QuantizationKernels.roundingOffset
        let difference = value - rounded * scale
        return difference * difference
    }
}
