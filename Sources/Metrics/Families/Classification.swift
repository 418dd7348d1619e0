import EngineSupport

/// Whether the label is among the k largest. Contribution: 1 or 0.
struct TopClasses: MetricComputation {
    let kind: MetricKind
    let k: Int
    let single: SingleReading

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let row = try outputs.scored(kind).values
        let label = try target.label(kind, scores: row.count, single)
        if row.count == 1 { return [single.predicted(row[0]) == label ? 1 : 0] }
        return [ClassScores.isInTop(k, row, label: label) ? 1 : 0]
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic { SampleRatio(contributions, isMean: true, isProportion: true) }
}

/// Balanced accuracy, F1 and recall. Contribution: label and predicted class (−1: none, as no score was a number).
struct ClassConfusions: MetricComputation {
    let kind: MetricKind
    let positive: Int
    let single: SingleReading

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let row = try outputs.scored(kind).values
        let label = try target.label(kind, scores: row.count, single)
        return [Double(label), Double(row.count == 1 ? single.predicted(row[0]) : ClassScores.largest(row))]
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic {
        if kind == .recall {
            let positives = contributions.map { $0.at(0) == Double(positive) }
            return SampleRatio(
                numerators: zip(contributions, positives).map { $1 && $0.at(1) == Double(positive) ? 1 : 0 }, denominators: positives.map { $0 ? 1 : 0 }, isProportion: true)
        }
        return ConfusionStatistic(contributions, kind: kind)
    }
}

/// Recalls and F1 of classes from labels and predictions, as scikit-learn has them with `zero_division=0`.
struct ConfusionStatistic: PooledStatistic {
    private let kind: MetricKind
    /// From 0 without gaps; predicted −1: none.
    private let labels: [Int32]
    private let predicted: [Int32]
    private let classes: Int

    init(_ contributions: [[Double]], kind: MetricKind) {
        self.kind = kind
        var numbers: [Double: Int32] = [:]
        func number(_ value: Double) -> Int32 {
            if let known = numbers[value] { return known }
            let next = Int32(numbers.count)
            numbers[value] = next
            return next
        }
        labels = contributions.map { number($0.at(0).isNaN ? -1 : $0.at(0)) }
        predicted = contributions.map { $0.at(1) >= 0 ? number($0.at(1)) : -1 }
        classes = numbers.count
    }

    var samples: Int { labels.count }
    var work: Int { 2 * labels.count + 3 * classes }

    func value(counts: [Int32]?) -> Double {
        // Of each class: samples that have it, that are predicted as it, and both.
        var sums = [Int](repeating: 0, count: 3 * classes)
        sums.withUnsafeMutableBufferPointer { sums in
            labels.withUnsafeBufferPointer { labels in
                predicted.withUnsafeBufferPointer { predicted in
                    func add(_ index: Int, _ weight: Int) {
                        let (label, guess) = (Int(labels[index]), Int(predicted[index]))
                        sums[3 * label] += weight
                        if guess >= 0 { sums[3 * guess + 1] += weight }
                        if guess == label { sums[3 * label + 2] += weight }
                    }
                    if let counts {
                        for index in 0..<min(counts.count, labels.count) where counts[index] > 0 { add(index, Int(counts[index])) }
                    } else {
                        for index in labels.indices { add(index, 1) }
                    }
                }
            }
        }
        var (sum, weights) = (0.0, 0.0)
        for index in 0..<classes {
            let (had, said, right) = (Double(sums[3 * index]), Double(sums[3 * index + 1]), Double(sums[3 * index + 2]))
            switch kind {
            case .balancedAccuracy:
                if had > 0 { (sum, weights) = (sum + right / had, weights + 1) }
            case .f1Weighted:
                if had > 0 { (sum, weights) = (sum + had * 2 * right / (had + said), weights + had) }
            default:
                if had + said > 0 { (sum, weights) = (sum + 2 * right / (had + said), weights + 1) }
            }
        }
        return weights > 0 ? sum / weights : .nan
    }
}

/// ROC AUC and average precision. Contribution: label and the probability of each class, or, of two classes or one number, label and score of
/// the positive class; one that is not a number is minus infinity for the label's class and infinity for others, the worst either way.
struct ClassRankings: MetricComputation {
    let kind: MetricKind
    let positive: Int

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let label = try target.label(kind)
        let row = try outputs.scored(kind).values
        guard row.count != 0 else { throw EngineError(.data, "metric \(kind.rawValue): an output without values") }
        if row.count <= 2 {
            try SampleTarget.check(label, kind, scores: row.count, .score(above: nil))
            guard positive == 0 || positive == 1 else { throw EngineError(.data, "metric \(kind.rawValue): positive class \(positive), expected 0 or 1 of two classes") }
            var score = row.count == 1 ? (positive == 1 ? Double(row[0]) : -Double(row[0])) : ClassScores.probabilities(row)[positive]
            let isPositive = label == positive
            if score.isNaN { score = isPositive ? -.infinity : .infinity }
            return [isPositive ? 1 : 0, score]
        }
        guard row.indices.contains(label) else {
            throw EngineError(.label, "metric \(kind.rawValue): label \(label), expected 0 to \(row.count - 1) as the output has \(row.count) scores")
        }
        var result = [Double(label)] + ClassScores.probabilities(row)
        if result[1].isNaN {
            for index in row.indices { result[index + 1] = index == label ? -.infinity : .infinity }
        }
        return result
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic {
        let width = contributions.first?.count ?? 0
        let area: RankingStatistic.Area = kind == .rocAUC ? .receiverOperating : .precision
        if width == 2 {
            return RankingStatistic(samples: contributions.count, columns: 1, area: area) { _, sample in (contributions[sample].at(1), contributions[sample].at(0) == 1) }
        }
        return RankingStatistic(samples: contributions.count, columns: max(0, width - 1), area: area) { column, sample in
            (contributions[sample].at(column + 1), contributions[sample].at(0) == Double(column))
        }
    }
}

/// Contribution: −ln of the label's probability.
struct LogLoss: MetricComputation {
    let single: SingleReading

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let label = try target.label(.logLoss)
        let row = try outputs.scored(.logLoss).values
        if row.count == 1 {
            let probability = single.probability(row[0])
            return [ClassScores.negativeLog(probability: label == 1 ? probability : label == 0 ? 1 - probability : 0)]
        }
        guard row.indices.contains(label) else {
            throw EngineError(.label, "metric log-loss: label \(label), expected 0 to \(row.count - 1) as the output has \(row.count) scores")
        }
        return [ClassScores.negativeLog(row, label: label)]
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic { SampleRatio(contributions, isMean: true) }
}

/// Expected calibration error (Guo et al. 2017): bins (a, b] of equal width over the largest probability. Contribution: the largest probability,
/// and 1 where it is the label's; without numbers sure and wrong.
struct CalibrationError: MetricComputation {
    let bins: Int
    let single: SingleReading

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let row = try outputs.scored(.calibrationError).values
        let label = try target.label(.calibrationError, scores: row.count, single)
        if row.count == 1 {
            let probability = single.probability(row[0])
            if probability.isNaN { return [1, 0] }
            return [max(probability, 1 - probability), (probability > 0.5 ? 1 : 0) == label ? 1 : 0]
        }
        let probabilities = ClassScores.probabilities(row)
        guard let first = probabilities.first, !first.isNaN, let largest = probabilities.max() else { return [1, 0] }
        return [largest, ClassScores.largest(row) == label ? 1 : 0]
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic { CalibrationStatistic(contributions, bins: bins) }
}

struct CalibrationStatistic: PooledStatistic {
    private let bins: Int
    private let bin: [Int32]
    /// Confidence minus correctness of each sample.
    private let gap: [Double]

    init(_ contributions: [[Double]], bins: Int) {
        self.bins = bins
        gap = contributions.map { $0.at(0) - $0.at(1) }
        bin = contributions.map { contribution in
            let place = (contribution.at(0) * Double(bins)).rounded(.up) - 1
            return place > 0 ? Int32(min(place, Double(bins - 1))) : 0
        }
    }

    var samples: Int { gap.count }
    var work: Int { gap.count + bins }

    func value(counts: [Int32]?) -> Double { gaps(counts: counts).reduce(0) { $0 + abs($1) } }

    /// Confidence minus accuracy of each bin, times its share of the samples.
    func gaps(counts: [Int32]?) -> [Double] {
        var sums = [Double](repeating: 0, count: bins)
        var total = 0
        for index in 0..<(counts.map { min($0.count, gap.count) } ?? gap.count) {
            let weight = counts.map { Int($0[index]) } ?? 1
            total += weight
            sums[Int(bin[index])] += Double(weight) * gap[index]
        }
        return total > 0 ? sums.map { $0 / Double(total) } : [.nan]
    }
}
