import CLapack
import EngineSupport
import LinearAlgebra

/// Zeroes weights of a layer one column after the other and lets the columns that follow make up for it, so that the layer's
/// outputs on given inputs change as little as possible (Frantar and Alistarh 2023, algorithm 1).
struct OptimalBrainSurgeon {
    /// Which weights go.
    enum Selection {
        /// A fraction of all; chosen within blocks of columns from the weights as they are by then.
        case fraction(Double)
        /// All but the n best of each row in each range of columns; the ranges follow one another and cover all columns.
        case pattern(n: Int, blocks: [Range<Int>])
    }

    /// Columns between two updates of all that follow, and in which a fraction is chosen. The paper's 128 for wide layers; less for
    /// narrow ones, which else would be chosen from at once, before any weight has moved.
    static func blockWidth(_ columns: Int) -> Int { min(max(columns / 8, 32), 128) }

    private let columns: Int
    /// U, upper triangular, with (H + λ)⁻¹ = Uᵀ·U.
    private let factor: [Double]

    /// - Parameters:
    ///   - gram: mean of x·xᵀ, columns × columns, from which element `offset` on.
    ///   - order: the gram's columns in the order in which they are taken.
    ///   - damping: λ as a fraction of the mean diagonal; raised where that does not make the matrix definite.
    /// - Returns: `nil` if the inputs are not finite.
    init?(gram: [Float], offset: Int, columns: Int, order: [Int], damping: Double) {
        var hessian = [Double](repeating: 0, count: columns * columns)
        for row in 0..<columns {
            let source = offset + order[row] * columns
            for column in 0..<columns { hessian[row * columns + column] = Double(gram[source + order[column]]) }
        }
        let mean = (0..<columns).reduce(0) { $0 + hessian[$1 * columns + $1] } / Double(columns)
        guard mean.isFinite else { return nil }
        // Inputs that never came leave the weights to the damping alone: the smallest go.
        var added = mean > 0 ? damping * mean : 1
        var found: [Double]?
        for _ in 0..<6 where found == nil {
            var damped = hessian
            for index in 0..<columns { damped[index * columns + index] += added }
            found = PositiveDefinite.factorOfInverse(damped, size: columns)
            added *= 10
        }
        guard let found else { return nil }
        self.columns = columns
        factor = found
    }

    /// Fractions of several matrices of one layer add up exactly.
    struct Budget {
        fileprivate var seen = 0
        fileprivate var removed = 0

        init() {}
    }

    /// Prunes in place. Weights that are zero stay zero and count.
    /// - Parameter weights: rows × columns, the columns in the order the surgeon was made with.
    func prune(_ weights: inout [Double], rows: Int, _ selection: Selection, budget: inout Budget, cancellation: Cancellation) throws(EngineError) {
        let gone = weights.map { $0 == 0 }
        for (start, end) in parts(selection) {
            try cancellation.check()
            let width = end - start
            var block = [Double](repeating: 0, count: rows * width)
            var mask = [Bool](repeating: false, count: rows * width)
            for row in 0..<rows {
                for column in 0..<width {
                    block[row * width + column] = weights[row * columns + start + column]
                    mask[row * width + column] = gone[row * columns + start + column]
                }
            }
            if case .fraction(let fraction) = selection { choose(fraction, block, &mask, rows, start, width, &budget) }
            var errors = [Double](repeating: 0, count: rows * width)
            for column in 0..<width {
                if case .pattern(let n, let blocks) = selection, let range = blocks.first(where: { $0.lowerBound == start + column }) {
                    choose(n, range, block, &mask, rows, start, width)
                }
                let diagonal = factor[(start + column) * columns + start + column]
                factor.withUnsafeBufferPointer { factor in
                    let line = (start + column) * columns + start
                    block.withUnsafeMutableBufferPointer { block in
                        for row in 0..<rows where mask[row * width + column] {
                            let base = row * width
                            let error = block[base + column] / diagonal
                            if error != 0 { for other in column..<width { block[base + other] -= error * factor[line + other] } }
                            errors[base + column] = error
                            block[base + column] = 0
                        }
                    }
                }
            }
            for row in 0..<rows { for column in 0..<width { weights[row * columns + start + column] = block[row * width + column] } }
            passOn(errors, &weights, rows: rows, start: start, end: end)
        }
    }

    /// Runs of columns, none ending inside a range of a pattern.
    private func parts(_ selection: Selection) -> [(Int, Int)] {
        var parts: [(Int, Int)] = []
        let width = Self.blockWidth(columns)
        switch selection {
        case .fraction:
            for start in stride(from: 0, to: columns, by: width) { parts.append((start, min(start + width, columns))) }
        case .pattern(_, let blocks):
            var start = 0
            for block in blocks where block.upperBound - start >= width || block.upperBound == columns {
                parts.append((start, block.upperBound))
                start = block.upperBound
            }
        }
        return parts
    }

    /// What removing a weight costs: its square by that of the factor's diagonal, the part of the inverse that is left.
    private func cost(_ weight: Double, _ column: Int) -> Double {
        let diagonal = factor[column * columns + column]
        return weight * weight / (diagonal * diagonal)
    }

    private func choose(_ fraction: Double, _ block: [Double], _ mask: inout [Bool], _ rows: Int, _ start: Int, _ width: Int, _ budget: inout Budget) {
        budget.seen += block.count
        let wanted = Int((fraction * Double(budget.seen)).rounded()) - budget.removed
        let already = mask.count { $0 }
        if wanted > already {
            let open = mask.indices.filter { !mask[$0] }
            let costs = open.map { cost(block[$0], start + $0 % width) }
            let order = open.indices.sorted { (costs[$0], $0) < (costs[$1], $1) }
            for index in order.prefix(wanted - already) { mask[open[index]] = true }
        }
        budget.removed += max(min(wanted, mask.count), already)
    }

    private func choose(_ n: Int, _ range: Range<Int>, _ block: [Double], _ mask: inout [Bool], _ rows: Int, _ start: Int, _ width: Int) {
        guard range.count > n else { return }
        for row in 0..<rows {
            let order = range.map { column -> (Double, Int) in
                let place = row * width + column - start
                return (mask[place] ? -1 : cost(block[place], column), place)
            }.sorted { ($0.0, $0.1) < ($1.0, $1.1) }
            for (_, place) in order.prefix(range.count - n) { mask[place] = true }
        }
    }

    /// Takes errors · U[start..<end, end...] from the columns behind a block.
    private func passOn(_ errors: [Double], _ weights: inout [Double], rows: Int, start: Int, end: Int) {
        guard end < columns, rows > 0 else { return }
        var (m, n, k) = (Int32(columns - end), Int32(rows), Int32(end - start))
        var stride = Int32(columns)
        var (minus, one) = (-1.0, 1.0)
        factor.withUnsafeBufferPointer { factor in
            weights.withUnsafeMutableBufferPointer { weights in
                guard let factor = factor.baseAddress, let weights = weights.baseAddress else { return }
                // Column-major this is Wᵀ -= Uᵀ·Eᵀ.
                dgemm_("N", "N", &m, &n, &k, &minus, factor + start * columns + end, &stride, errors, &k, &one, weights + end, &stride)
            }
        }
    }
}
