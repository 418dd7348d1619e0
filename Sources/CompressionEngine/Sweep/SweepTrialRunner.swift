import EngineSupport
import Foundation
import Measurement
import Metrics
import ModelGraph
import Recipes

/// Tries one recipe. What comes of it depends on the recipe and the sweep alone, never on what other trials found, so that any number of workers finds the
/// same (times aside).
struct SweepTrialRunner {
    /// What was found, without who found it.
    struct Outcome {
        var state: SweepResult.State
        var reason: String?
        /// Without steps that were passed over.
        var recipe: Recipe
        var figures: ModelFigures?
        var accuracy: AccuracyEstimate?
        var latency: LatencyFigures?
    }

    private let session: EngineSession
    private let description: SweepDescription
    private let goal: SearchGoal
    private let threads: Int
    private let before: ModelFigures
    private let predictor: Predictor?
    /// Samples to run.
    private let samples: Int

    /// Scores the original.
    /// - Throws: `EngineError` where it cannot be scored.
    init(_ session: EngineSession, _ description: SweepDescription, threads: Int, cancellation: Cancellation) throws {
        (self.session, self.description, self.threads) = (session, description, threads)
        goal = try description.searchGoal()
        let count = session.validation?.count ?? 0
        samples = min(description.samples ?? count, count)
        before = try session.baselineFigures(slowSizes: goal.needsSlowSizes, cancellation: cancellation)
        predictor = try? session.predictor(cancellation: cancellation)
        try cancellation.check()
        try session.baselineScores(limit: samples, workers: threads, cancellation: cancellation)
    }

    /// - Throws: `EngineError.cancelled` alone; whatever else happens is the outcome.
    func run(_ recipe: Recipe, cancellation: Cancellation) throws -> Outcome {
        do {
            return try measured(recipe, cancellation)
        } catch {
            try cancellation.check()
            return Outcome(state: .failed, reason: Self.line(error), recipe: recipe)
        }
    }

    /// Files of results have one line for a reason, whatever a runtime says.
    private static func line(_ error: any Error) -> String {
        "\(error)".split(whereSeparator: { $0.isNewline || $0 == "\t" }).joined(separator: " ").prefix(500).description
    }

    private func measured(_ recipe: Recipe, _ cancellation: Cancellation) throws -> Outcome {
        if let figures = try predictor?.figures(for: recipe), let reason = hopeless(figures) { return Outcome(state: .rejected, reason: reason, recipe: recipe) }
        let applied = try session.apply(recipe, cancellation: cancellation)
        guard applied.model.contentHash != session.model.contentHash else { return Outcome(state: .unchanged, reason: "gives the original model", recipe: recipe) }
        var recipe = recipe
        let skipped = Set(applied.reports.indices.filter { applied.reports[$0].skipped != nil })
        if !skipped.isEmpty, applied.reports.count == recipe.activeSteps.count {
            recipe.steps = recipe.activeSteps.enumerated().filter { !skipped.contains($0.offset) }.map(\.element)
        }
        var outcome = Outcome(state: .complete, recipe: recipe)
        var figures = try session.figures(of: applied.model, slowSizes: goal.needsSlowSizes, profiling: false, cancellation: cancellation)
        figures.live = nil
        outcome.figures = figures
        for (demand, excess) in zip(goal.demands, trial(outcome).excess) where demand.measure.isOfFigures {
            // Near the limit it may be the nearest there is.
            if let excess, excess > 0.1 { return outcome.ended(.rejected, Self.beyond(demand)) }
        }
        if goal.needsLatency {
            outcome.latency = try session.latency(
                of: applied.model, batch: description.latencyBatch, threads: description.latencyThreads, seconds: description.latencySeconds, operators: false,
                cancellation: cancellation
            ).0
            if let demand = clearlyTooSlow(outcome.latency) { return outcome.ended(.dropped, Self.beyond(demand)) }
        }
        let (accuracy, missed) = try raced(applied.model, cancellation)
        outcome.accuracy = accuracy
        return missed.map { outcome.ended(.dropped, "clearly misses the limit on \($0.measure.name) after \(accuracy.seen) samples") } ?? outcome
    }

    private static func beyond(_ demand: Demand) -> String { "\(demand.measure.name) is beyond the limit" }

    private func trial(_ outcome: Outcome) -> SearchTrial {
        var trial = SearchTrial(
            recipe: outcome.recipe,
            findings: Demand.Findings(accuracy: outcome.accuracy, before: before, after: outcome.figures ?? before, latency: outcome.latency), excess: [])
        trial.judge(by: goal)
        return trial
    }

    /// Why predicted sizes are beyond what the goal allows; `nil` where they are not.
    private func hopeless(_ figures: ModelFigures) -> String? {
        let found = Demand.Findings(accuracy: nil, before: before, after: figures)
        for demand in goal.demands where demand.measure.isOfFigures {
            guard let value = demand.value(found), !demand.isMet(value) else { continue }
            // Predictions of entropy are rougher than those of what is counted.
            let slack = [Measure.packed, .gzip, .encoding].contains(demand.measure) ? 1.2 : 1.03
            if demand.isAtLeast ? value * slack < demand.number : value > demand.number * slack { return Self.beyond(demand) + ", as predicted" }
        }
        return nil
    }

    private func clearlyTooSlow(_ latency: LatencyFigures?) -> Demand? {
        guard let latency else { return nil }
        return goal.demands.first { demand in
            demand.measure.isLatency
                && (demand.quantity == .ratio ? latency.ratioInterval.low : latency.ratioInterval.low * latency.baseline) > demand.number * 1.1
        }
    }

    /// Runs a model on the samples; if the sweep races, as far as it is not clear that it misses a limit.
    private func raced(_ model: Model, _ cancellation: Cancellation) throws -> (AccuracyEstimate, missed: Demand?) {
        let demands = description.races ? goal.metricDemands : []
        var missed: Demand?
        let estimate = try session.scored(model, limit: samples, workers: threads, cancellation: cancellation) { estimate in
            missed = demands.first { SearchRunner.isClearlyMissed($0, estimate) }
            return missed == nil
        }.estimate
        return (estimate, missed)
    }
}

extension SweepTrialRunner.Outcome {
    fileprivate func ended(_ state: SweepResult.State, _ reason: String) -> Self {
        var ended = self
        (ended.state, ended.reason) = (state, reason)
        return ended
    }
}
