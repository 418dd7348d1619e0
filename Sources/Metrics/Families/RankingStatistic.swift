/// Area under a curve over ranked samples, mean over columns (classes or labels). Samples of equal score count as one step, as in scikit-learn.
///
/// Columns are sorted once; a value then takes one pass over each.
struct RankingStatistic: PooledStatistic {
    enum Area: Sendable {
        /// Of the true positive rate over the false positive rate. Columns without positives or without negatives are left out.
        case receiverOperating
        /// Of precision over recall, without interpolation. Columns without positives are left out.
        case precision
    }

    let samples: Int
    private let area: Area
    private let columns: Int
    /// Column by column from the highest score: sample · 4 + (2 if positive) + (1 if the last of its score).
    private let order: [UInt32]

    /// - Parameter entry: score and truth of a column and a sample.
    init(samples: Int, columns: Int, area: Area, entry: (_ column: Int, _ sample: Int) -> (Double, Bool)) {
        self.samples = samples
        self.columns = columns
        self.area = area
        var order: [UInt32] = []
        order.reserveCapacity(samples * columns)
        for column in 0..<columns {
            let entries = (0..<samples).map { sample in
                let (score, isPositive) = entry(column, sample)
                return (score: score.isNaN ? -.infinity : score, code: UInt32(sample) << 2 | (isPositive ? 2 : 0))
            }.sorted { ($0.score, $1.code) > ($1.score, $0.code) }
            for index in entries.indices {
                let isLast = index + 1 == entries.count || entries[index + 1].score != entries[index].score
                order.append(entries[index].code | (isLast ? 1 : 0))
            }
        }
        self.order = order
    }

    var work: Int { 2 * order.count }

    func value(counts: [Int32]?) -> Double {
        if let counts, counts.count < samples { return .nan }
        var (sum, found) = (0.0, 0)
        order.withUnsafeBufferPointer { order in
            for column in 0..<columns {
                let part = UnsafeBufferPointer(rebasing: order[(column * samples)..<((column + 1) * samples)])
                let area = counts.map { $0.withUnsafeBufferPointer { Self.area(part, $0, self.area) } } ?? Self.area(part, nil, self.area)
                if !area.isNaN { (sum, found) = (sum + area, found + 1) }
            }
        }
        return found > 0 ? sum / Double(found) : .nan
    }

    private static func area(_ order: UnsafeBufferPointer<UInt32>, _ counts: UnsafeBufferPointer<Int32>?, _ area: Area) -> Double {
        // Above the step, and in it.
        var (positives, negatives, ties, others) = (0, 0, 0, 0)
        // Of the curve twice; of precision weighted with positives.
        var (doubled, weighted) = (0, 0.0)
        for code in order {
            let weight = counts.map { Int($0[Int(code >> 2)]) } ?? 1
            let isPositive = Int(code >> 1 & 1)
            ties += weight * isPositive
            others += weight * (1 - isPositive)
            if code & 1 == 1 {
                switch area {
                case .receiverOperating: doubled += others * (2 * positives + ties)
                case .precision: if ties > 0 { weighted += Double(ties) * Double(positives + ties) / Double(positives + ties + negatives + others) }
                }
                positives += ties
                negatives += others
                (ties, others) = (0, 0)
            }
        }
        switch area {
        case .receiverOperating: return positives > 0 && negatives > 0 ? Double(doubled) / (2 * Double(positives) * Double(negatives)) : .nan
        case .precision: return positives > 0 ? weighted / Double(positives) : .nan
        }
    }
}
