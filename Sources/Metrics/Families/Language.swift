import EngineSupport

/// Accuracy, cross-entropy and perplexity over tokens.
///
/// Outputs are scores [T, V] (or [V, T]), targets the T ids of tokens; those that equal `ignore` do not count. Shifted predictions are for the
/// next token: output t is compared with target t + 1. Where that is not said, T + 1 targets for T outputs are the next ones, and so are
/// T targets of which the first counts and all behind one that does not are ignored as well (padding); where ignored ones lie between, tokens
/// are masked ones that are predicted in their place. Contribution: sum over tokens, and their number.
struct TokenScores: MetricComputation {
    let kind: MetricKind
    let ignore: Int
    let isShifted: Bool?

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let view = try outputs.scored(kind)
        let (truth, _) = try target.classes(kind)
        var steps = truth.count
        if isShifted != false, truth.count > 1, !view.shape.contains(truth.count), view.shape.contains(truth.count - 1) { steps -= 1 }
        let scores = try StepScores(view, steps: steps, kind: kind)
        guard scores.classes > 1 else {
            throw EngineError(.data, "metric \(kind.rawValue): output \(view.name) of shape \(view.shape), expected scores for each of \(steps) tokens, [\(steps), vocabulary]")
        }
        let shift = steps < truth.count || isShifted == true ? 1 : 0
        for label in truth.dropFirst(shift).prefix(steps) where Int(label) != ignore && label >= 0 {
            try SampleTarget.check(Int(label), kind, scores: scores.classes, .classNumber, remedy: "; 'ignore: \(label)' leaves it out")
        }
        var (sum, count) = (0.0, 0)
        scores.values.withUnsafeBufferPointer { values in
            for step in 0..<steps where step + shift < truth.count {
                let label = Int(truth[step + shift])
                if label == ignore || label < 0 { continue }
                let row = UnsafeBufferPointer(rebasing: values[(step * scores.classes)..<((step + 1) * scores.classes)])
                count += 1
                if kind == .tokenAccuracy {
                    sum += ClassScores.largest(row) == label ? 1 : 0
                } else {
                    sum += ClassScores.negativeLog(row, label: label)
                }
            }
        }
        return [sum, Double(count)]
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic { SampleRatio(contributions, form: kind == .perplexity ? .exponential : .plain) }
}
