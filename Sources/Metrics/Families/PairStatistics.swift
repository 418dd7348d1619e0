import Foundation

/// Of outputs and truths, column by column.
typealias NumberColumns = [(outputs: [Double], truths: [Double])]

/// 1 − squared errors / squared distances from the mean, mean over columns; of a column that does not vary 1 where it is met and else 0. Minus
/// infinity where an output is not a number.
struct DeterminationStatistic: PooledStatistic {
    let samples: Int
    private let columns: [(squares: [Double], truths: [Double])]

    init(_ columns: NumberColumns) {
        samples = columns.first?.truths.count ?? 0
        self.columns = columns.map { outputs, truths in
            let center = truths.isEmpty ? 0 : truths.reduce(0, +) / Double(truths.count)
            let squares = zip(outputs, truths).map { output, truth in
                let square = (output - truth) * (output - truth)
                return square.isNaN ? Double.infinity : square
            }
            return (squares, truths.map { $0 - center })
        }
    }

    var work: Int { 2 * samples * columns.count }

    func value(counts: [Int32]?) -> Double {
        if let counts, counts.count < samples { return .nan }
        var sum = 0.0
        for (squares, truths) in columns {
            var (total, errors, first, second) = (0.0, 0.0, 0.0, 0.0)
            for index in 0..<samples {
                let weight = counts.map { Double($0[index]) } ?? 1
                if weight == 0 { continue }
                total += weight
                errors += weight * squares[index]
                first += weight * truths[index]
                second += weight * truths[index] * truths[index]
            }
            if total < 2 { return .nan }
            // Rounding must not make a spread of what does not vary.
            let spread = second - first * first / total
            let isConstant = spread <= 1e-14 * second
            sum += isConstant ? (errors == 0 ? 1 : 0) : 1 - errors / spread
        }
        return columns.isEmpty ? .nan : sum / Double(columns.count)
    }
}

/// Pearson's correlation, mean over the columns in which both sides vary.
struct PearsonStatistic: PooledStatistic {
    let samples: Int
    private let columns: NumberColumns

    init(_ columns: NumberColumns) {
        samples = columns.first?.truths.count ?? 0
        self.columns = columns.map { (Self.centered($0.outputs), Self.centered($0.truths)) }
    }

    var work: Int { 3 * samples * columns.count }

    func value(counts: [Int32]?) -> Double {
        if let counts, counts.count < samples { return .nan }
        var (sum, found) = (0.0, 0)
        for (outputs, truths) in columns {
            var moments = PairMoments()
            for index in 0..<samples {
                let weight = counts.map { Double($0[index]) } ?? 1
                if weight != 0 { moments.add(outputs[index], truths[index], weight) }
            }
            let correlation = moments.correlation
            // What is not a number makes the whole value none; what does not vary is left out.
            if moments.isFinite, correlation.isNaN { continue }
            (sum, found) = (sum + correlation, found + 1)
        }
        return found > 0 ? sum / Double(found) : .nan
    }

    private static func centered(_ values: [Double]) -> [Double] {
        let center = values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
        return values.map { $0 - center }
    }
}

/// Sums for a correlation.
struct PairMoments {
    private var weight = 0.0, x = 0.0, y = 0.0, xx = 0.0, yy = 0.0, xy = 0.0

    @inline(__always)
    mutating func add(_ left: Double, _ right: Double, _ weight: Double) {
        self.weight += weight
        x += weight * left
        y += weight * right
        xx += weight * left * left
        yy += weight * right * right
        xy += weight * left * right
    }

    var isFinite: Bool { (xx + yy).isFinite }

    /// Not a number where one side does not vary.
    var correlation: Double {
        guard weight > 1 else { return .nan }
        let (left, right) = (xx - x * x / weight, yy - y * y / weight)
        guard left > 1e-14 * xx, right > 1e-14 * yy else { return .nan }
        return max(-1, min(1, (xy - x * y / weight) / (left.squareRoot() * right.squareRoot())))
    }
}

/// Spearman's rank correlation with mean ranks of ties, mean over the columns in which both sides vary. Sorted once; a value ranks what is drawn
/// in one pass.
struct SpearmanStatistic: PooledStatistic {
    let samples: Int
    private let columns: [(outputs: Ranking, truths: Ranking)]

    init(_ columns: NumberColumns) {
        samples = columns.first?.truths.count ?? 0
        self.columns = columns.map { (Ranking($0.outputs), Ranking($0.truths)) }
    }

    var work: Int { 6 * samples * columns.count }

    func value(counts: [Int32]?) -> Double {
        if let counts, counts.count < samples { return .nan }
        let weights = counts ?? [Int32](repeating: 1, count: samples)
        var (sum, found) = (0.0, 0)
        var ranks = ([Double](repeating: 0, count: samples), [Double](repeating: 0, count: samples))
        for (outputs, truths) in columns {
            if outputs.hasNaN || truths.hasNaN { return .nan }
            outputs.rank(weights, into: &ranks.0)
            truths.rank(weights, into: &ranks.1)
            var moments = PairMoments()
            for index in 0..<samples where weights[index] > 0 { moments.add(ranks.0[index], ranks.1[index], Double(weights[index])) }
            let correlation = moments.correlation
            if !correlation.isNaN { (sum, found) = (sum + correlation, found + 1) }
        }
        return found > 0 ? sum / Double(found) : .nan
    }

    /// Samples in ascending order of a number.
    private struct Ranking: Sendable {
        /// Sample · 2 + 1 where it is the last of its number.
        private let order: [UInt32]
        let hasNaN: Bool

        init(_ values: [Double]) {
            hasNaN = values.contains { $0.isNaN }
            let sorted = hasNaN ? [] : values.indices.sorted { (values[$0], $0) < (values[$1], $1) }
            order = sorted.indices.map { place in
                let isLast = place + 1 == sorted.count || values[sorted[place + 1]] != values[sorted[place]]
                return UInt32(sorted[place]) << 1 | (isLast ? 1 : 0)
            }
        }

        /// Ranks around 0, each the mean of its ties'.
        func rank(_ weights: [Int32], into ranks: inout [Double]) {
            let middle = Double(ranks.count + 1) / 2
            order.withUnsafeBufferPointer { order in
                weights.withUnsafeBufferPointer { weights in
                    ranks.withUnsafeMutableBufferPointer { ranks in
                        var (start, before, ties) = (0, 0, 0)
                        for place in order.indices {
                            ties += Int(weights[Int(order[place] >> 1)])
                            if order[place] & 1 == 1 {
                                let rank = Double(before) + Double(ties + 1) / 2 - middle
                                for index in start...place { ranks[Int(order[index] >> 1)] = rank }
                                before += ties
                                (start, ties) = (place + 1, 0)
                            }
                        }
                    }
                }
            }
        }
    }
}
