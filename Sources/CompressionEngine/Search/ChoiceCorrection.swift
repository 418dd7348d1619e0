import EngineSupport
import Measurement
import Metrics

/// What the best of many loses, once it is accounted for that it was chosen on the samples it is measured on.
public struct CorrectedLoss: Sendable {
    /// In the metric's unit.
    public var value: Double
    /// Recipes that were chosen among.
    public var choices: Int
}

/// The bias of choosing: samples are drawn with replacement, the best recipe is chosen by the draw as it was by all, and scored on the samples that were
/// not drawn; the mean over the draws is what a best recipe that is chosen so loses on samples it was not chosen by (bootstrap bias correction:
/// Tsamardinos, Greasidou and Borboudakis, Bootstrapping the out-of-sample predictions for efficient and accurate cross-validation, Machine Learning 107, 2018).
enum ChoiceCorrection {
    private static let draws = 200
    /// Recipes that are looked at: the best by the objective, which alone may be chosen.
    private static let most = 60

    /// - Parameters:
    ///   - trials: each with its scores by sample.
    ///   - baseline: scores of the original.
    /// - Returns: `nil` where the metric is no mean over samples, or there is nothing to choose among.
    static func correct(_ trials: [(trial: SearchTrial, scores: SampleScores)], baseline: SampleScores, goal: SearchGoal, seed: UInt64) -> CorrectedLoss? {
        guard let metric = goal.metric, metric.aggregation != .pooled, !goal.isFront, goal.objective.metric == nil else { return nil }
        let measure = Measure.metric(metric)
        let limits = goal.metricDemands
        guard !limits.isEmpty, !trials.isEmpty else { return nil }
        // Who misses another limit was never a choice.
        let open = trials.filter { entry in zip(goal.demands, entry.trial.excess).allSatisfy { $0.measure.metric != nil || $1 == 0 } && entry.trial.score != nil }
            .sorted { ($0.trial.score ?? 0) < ($1.trial.score ?? 0) }
        let count = baseline.scores.count
        guard count > 1, open.count > 1 else { return nil }
        // A recipe beyond the limits by far is chosen in no draw; after enough that hold them surely nothing dearer is.
        var shortlist: [(score: Double, losses: [Float])] = []
        var sure = 0
        for entry in open {
            guard entry.scores.scores.count == count, shortlist.count < most, sure < 10 else { continue }
            if entry.trial.isFeasible { sure += 1 }
            let losses = zip(entry.scores.scores, baseline.scores).map { Float(measure.loss(ofChange: Double($0 - $1))) }
            shortlist.append((entry.trial.score ?? 0, losses))
        }
        guard shortlist.count > 1 else { return nil }
        let original = baseline.scores.reduce(0) { $0 + Double($1) } / Double(count)
        var generator = SeededGenerator(seed: seed &+ 0xC0FFEE)
        var (sum, counted) = (0.0, 0)
        for _ in 0..<draws {
            var drawn = [Float](repeating: 0, count: count)
            for _ in 0..<count { drawn[generator.below(count)] += 1 }
            let left = drawn.count { $0 == 0 }
            guard left > 0 else { continue }
            func isKept(_ loss: Double) -> Bool {
                limits.allSatisfy { demand in
                    demand.isMet(demand.quantity == .drop ? loss : original - (measure.direction == .lower ? -loss : loss))
                }
            }
            // The shortlist is in order of the objective: the first that holds is chosen.
            guard
                let chosen = shortlist.first(where: { entry in
                    isKept(zip(entry.losses, drawn).reduce(0.0) { $0 + Double($1.0 * $1.1) } / Double(count))
                })
            else { continue }
            sum += zip(chosen.losses, drawn).reduce(0.0) { $0 + ($1.1 == 0 ? Double($1.0) : 0) } / Double(left)
            counted += 1
        }
        return counted > draws / 2 ? CorrectedLoss(value: sum / Double(counted), choices: shortlist.count) : nil
    }
}
