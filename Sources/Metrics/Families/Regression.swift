import EngineSupport
import Foundation

/// Mean absolute error and root of the mean squared error over all numbers. Contribution: sum of the errors of the sample, and their number.
/// Infinite where the output is not a number.
struct NumberErrors: MetricComputation {
    let kind: MetricKind

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let (output, truth) = try NumberPairs.compared(outputs, target, kind)
        var sum = 0.0
        for index in output.indices {
            let error = Double(output[index]) - Double(truth[index])
            sum += error.isNaN ? .infinity : kind == .mae ? abs(error) : error * error
        }
        return [sum, Double(output.count)]
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic { SampleRatio(contributions, form: kind == .rmse ? .root : .plain) }
}

/// Coefficient of determination and correlations: of each number over samples, mean over the numbers of a sample. Contribution: outputs, then
/// what is right.
struct NumberPairs: MetricComputation {
    let kind: MetricKind

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let (output, truth) = try Self.compared(outputs, target, kind)
        return output.map(Double.init) + truth.map(Double.init)
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic {
        let columns = (contributions.first?.count ?? 0) / 2
        let pairs = (0..<columns).map { column in
            (contributions.map { $0.at(column) }, contributions.map { $0.at(columns + column) })
        }
        return switch kind {
        case .r2: DeterminationStatistic(pairs)
        case .pearson: PearsonStatistic(pairs)
        default: SpearmanStatistic(pairs)
        }
    }

    /// An output and what is right, which have to be equally many numbers.
    static func compared(_ outputs: [OutputView], _ target: SampleTarget, _ kind: MetricKind) throws(EngineError) -> (UnsafeBufferPointer<Float>, [Float]) {
        let view = try outputs.scored(kind)
        let (truth, shape) = try target.numbers(kind)
        guard truth.count == view.values.count, !truth.isEmpty else {
            throw EngineError(
                .data, "metric \(kind.rawValue): output \(view.name) of shape \(view.shape) against labels of shape \(shape); labels of classes would be whole numbers")
        }
        return (view.values, try arranged(truth, shape, as: view, kind))
    }

    /// The right numbers in the order of the output's: pictures with their channels behind are turned to those that have them in front, and the other
    /// way round. A flat list is taken as it is.
    private static func arranged(_ truth: [Float], _ shape: [Int], as view: OutputView, _ kind: MetricKind) throws(EngineError) -> [Float] {
        let (wanted, given) = (view.shape.filter { $0 != 1 }, shape.filter { $0 != 1 })
        guard wanted != given, wanted.count > 1, given.count > 1 else { return truth }
        func turned(_ order: [Int]) throws(EngineError) -> [Float] {
            try OutputTransforms.apply([.transpose(order)], values: truth, shape: given, name: "label").values
        }
        if given.count == 3, [given[2], given[0], given[1]] == wanted { return try turned([2, 0, 1]) }
        if given.count == 3, [given[1], given[2], given[0]] == wanted { return try turned([1, 2, 0]) }
        throw EngineError(
            .data, "metric \(kind.rawValue): output \(view.name) of shape \(view.shape) against labels of shape \(shape): the same extents are expected, in the same order")
    }
}

/// Contribution: cosine of the pair's two outputs (0 where one is zero or not finite), and the pair's score.
struct PairSimilarity: MetricComputation {
    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let (score, _) = try target.numbers(.similarity)
        guard score.count == 1 else { throw target.mismatch(.similarity, expected: "one number per pair") }
        let first = try outputs.scored(.similarity)
        let (one, other): (UnsafeBufferPointer<Float>, UnsafeBufferPointer<Float>)
        if outputs.count == 2 {
            try outputs[1].check(.similarity)
            (one, other) = (first.values, outputs[1].values)
        } else {
            guard first.shape.count > 1, first.shape[0] == 2 else {
                throw EngineError(.data, "metric similarity: output \(first.name) of shape \(first.shape), expected the two embeddings of a pair, [2, numbers]")
            }
            guard first.shape.count(where: { $0 != 1 }) <= 2 else {
                throw EngineError(
                    .data,
                    "metric similarity: output \(first.name) of shape \(first.shape) has a vector for each token: pool them, with 'transform: {mean: 1}', or score another output")
            }
            let half = first.values.count / 2
            (one, other) = (UnsafeBufferPointer(rebasing: first.values[..<half]), UnsafeBufferPointer(rebasing: first.values[half...]))
        }
        guard one.count == other.count, !one.isEmpty else { throw EngineError(.data, "metric similarity: embeddings of \(one.count) and \(other.count) numbers") }
        var (product, left, right) = (0.0, 0.0, 0.0)
        for index in one.indices {
            let (x, y) = (Double(one[index]), Double(other[index]))
            product += x * y
            left += x * x
            right += y * y
        }
        // Of equal vectors exactly 1, so that they share a rank.
        let cosine = product / (left * right).squareRoot()
        return [cosine.isFinite ? max(-1, min(1, cosine)) : 0, Double(score[0])]
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic { SpearmanStatistic([(contributions.map { $0.at(0) }, contributions.map { $0.at(1) })]) }
}
