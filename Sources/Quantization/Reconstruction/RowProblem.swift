import CLapack
import ModelGraph

/// Some rows of a weight, with their grids, while they are rounded. Everything is stored input by input (columns × rows), in the
/// order of the objective's columns: what happens to a column happens to all rows at once.
struct RowProblem {
    private let columns: Int
    private let rows: Int
    private let columnOrder: [Int]
    private var weights: [Float]
    private var scales: [Float]
    private var zeroPoints: [Float]
    /// Whole numbers.
    private var codes: [Float]
    private let low: Float
    private let high: Float

    init(
        _ base: UnsafePointer<Float>, rows range: Range<Int>, layout: ScaleLayout, order: MatrixOrder, columnOrder: [Int],
        codes bounds: ClosedRange<Int>, scales allScales: [Float], zeroPoints allZeros: [Int32]
    ) {
        columns = order.columns
        rows = range.count
        self.columnOrder = columnOrder
        (low, high) = (Float(bounds.lowerBound), Float(bounds.upperBound))
        let count = columns * rows
        weights = [Float](repeating: 0, count: count)
        scales = weights
        zeroPoints = weights
        codes = weights
        for (position, column) in columnOrder.enumerated() {
            for (index, row) in range.enumerated() {
                let offset = order.offset(row, column)
                let scale = layout.scaleIndex(of: offset)
                // NaN would spread over the row.
                weights[position * rows + index] = base[offset].isFinite ? base[offset] : 0
                scales[position * rows + index] = allScales[scale]
                zeroPoints[position * rows + index] = Float(allZeros[scale])
            }
        }
    }

    func write(rows range: Range<Int>, order: MatrixOrder, into out: UnsafeMutablePointer<UInt8>) {
        for (position, column) in columnOrder.enumerated() {
            for (index, row) in range.enumerated() {
                out[order.offset(row, column)] = UInt8(truncatingIfNeeded: Int(codes[position * rows + index]))
            }
        }
    }

    @inline(__always)
    private func nearest(_ weight: Float, _ scale: Float, _ zero: Float) -> Float {
        var code = weight / scale + zero
        code = code > low ? code : low
        code = code < high ? code : high
        return (code + QuantizationKernels.roundingOffset) - QuantizationKernels.roundingOffset
    }

    mutating func roundToNearest() {
        for index in weights.indices { codes[index] = nearest(weights[index], scales[index], zeroPoints[index]) }
    }

    // MARK: - Error feedback

    /// GPTQ, algorithm 1: after a column is rounded, its error e = (w − q) / R[j][j] is taken off the columns behind it in
    /// proportion to row j of R. Columns go in blocks, whose effect on all later ones is one product of matrices.
    mutating func roundWithFeedback(_ objective: Objective) {
        let n = columns
        let block = 128
        var working = weights
        var errors = [Float](repeating: 0, count: block * rows)
        for start in stride(from: 0, to: n, by: block) {
            let end = min(start + block, n)
            for column in start..<end {
                let pivot = objective.inverseFactor[column * n + column]
                for row in 0..<rows {
                    let index = column * rows + row
                    // What was pruned stays zero; the others make up for it too.
                    let code = weights[index] == 0 ? zeroPoints[index] : nearest(working[index], scales[index], zeroPoints[index])
                    codes[index] = code
                    errors[(column - start) * rows + row] = (working[index] - (code - zeroPoints[index]) * scales[index]) / pivot
                }
                for later in (column + 1)..<max(end, column + 1) {
                    let factor = objective.inverseFactor[column * n + later]
                    for row in 0..<rows { working[later * rows + row] -= factor * errors[(column - start) * rows + row] }
                }
            }
            guard end < n else { break }
            // Column-major: later (rows × m) −= errors (rows × b) · R[block, later] (b × m).
            var (r, m, b, ld) = (Int32(rows), Int32(n - end), Int32(end - start), Int32(n))
            var (minus, one): (Float, Float) = (-1, 1)
            working.withUnsafeMutableBufferPointer { working in
                objective.inverseFactor.withUnsafeBufferPointer { factor in
                    sgemm_(
                        "N", "T", &r, &m, &b, &minus, errors, &r, factor.baseAddress! + start * n + end, &ld, &one,
                        working.baseAddress! + end * rows, &r)
                }
            }
        }
    }

    // MARK: - Coordinate descent

    /// Changes one code after the other to the value that makes the objective least, given all others, until nothing changes.
    /// - Parameter upOrDownOnly: each code stays one of the two around its weight.
    mutating func descend(_ objective: Objective, sweeps: Int, upOrDownOnly: Bool) {
        let n = columns
        var errors = [Float](repeating: 0, count: n)
        // H · (w − q): half the slope of the objective.
        var slope = errors
        for row in 0..<rows {
            for _ in 0..<sweeps {
                for column in 0..<n {
                    let index = column * rows + row
                    errors[column] = weights[index] - (codes[index] - zeroPoints[index]) * scales[index]
                }
                objective.gram.withUnsafeBufferPointer { gram in
                    for column in 0..<n {
                        var sum = SIMD8<Float>(repeating: 0)
                        let line = gram.baseAddress! + column * n
                        let whole = n / 8 * 8
                        errors.withUnsafeBufferPointer { errors in
                            for k in stride(from: 0, to: whole, by: 8) {
                                let a = UnsafeRawPointer(line + k).loadUnaligned(as: SIMD8<Float>.self)
                                let b = UnsafeRawPointer(errors.baseAddress! + k).loadUnaligned(as: SIMD8<Float>.self)
                                sum += a * b
                            }
                        }
                        var rest = sum.sum()
                        for k in whole..<n { rest += line[k] * errors[k] }
                        slope[column] = rest
                    }
                }
                var changed = false
                for column in 0..<n {
                    let index = column * rows + row
                    let (scale, zero, code) = (scales[index], zeroPoints[index], codes[index])
                    let curvature = objective.gram[column * n + column]
                    guard curvature > 0, weights[index] != 0 else { continue }
                    var (least, most) = (low, high)
                    if upOrDownOnly {
                        let exact = min(max(weights[index] / scale + zero, low), high)
                        least = exact.rounded(.down)
                        most = min(least + 1, high)
                    }
                    let target = min(max((code + slope[column] / (curvature * scale)).rounded(), least), most)
                    let step = (target - code) * scale
                    guard step != 0, step.isFinite, step * (step * curvature - 2 * slope[column]) < 0 else { continue }
                    codes[index] = target
                    changed = true
                    objective.gram.withUnsafeBufferPointer { gram in
                        let line = gram.baseAddress! + column * n
                        slope.withUnsafeMutableBufferPointer { slope in for k in 0..<n { slope[k] -= step * line[k] } }
                    }
                }
                if !changed { break }
            }
        }
    }
}
