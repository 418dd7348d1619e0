import EngineSupport

/// Average precision of each label. Contribution: number of labels that the sample has, those labels, then each label's score.
struct LabelRankings: MetricComputation {
    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let row = try outputs.scored(.multilabelAP).values
        let set = try target.labelSet(.multilabelAP, of: row.count)
        let own = set.indices.filter { set[$0] }
        return [Double(own.count)] + own.map(Double.init) + row.indices.map { row[$0].isNaN ? (set[$0] ? -.infinity : .infinity) : Double(row[$0]) }
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic {
        var columns = 0
        let parsed = contributions.map { contribution -> (own: Set<Int>, start: Int) in
            let count = max(0, contribution.whole(0) ?? 0)
            columns = max(columns, contribution.count - 1 - count)
            return (Set((0..<count).compactMap { contribution.whole(1 + $0) }), 1 + count)
        }
        return RankingStatistic(samples: contributions.count, columns: columns, area: .precision) { column, sample in
            (contributions[sample].at(parsed[sample].start + column), parsed[sample].own.contains(column))
        }
    }
}

/// F1 of each label. Contribution: number of labels, then for each that is true or said: label · 4, + 2 if said, + 1 if true.
///
/// A label is said where its score is above the threshold; without one above one half, or above 0 where one of the row's scores lies outside
/// 0 ... 1 and they are no probabilities therefore.
struct LabelDecisions: MetricComputation {
    let threshold: Double?

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let row = try outputs.scored(.multilabelF1).values
        let set = try target.labelSet(.multilabelF1, of: row.count)
        let limit = threshold ?? (row.contains { $0 < 0 || $0 > 1 } ? 0 : 0.5)
        var result = [Double(row.count)]
        for index in row.indices {
            let isSaid = row[index].isNaN ? !set[index] : Double(row[index]) > limit
            if isSaid || set[index] { result.append(Double(index * 4 + (isSaid ? 2 : 0) + (set[index] ? 1 : 0))) }
        }
        return result
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic { ClassCountStatistic(labelDecisions: contributions) }
}
