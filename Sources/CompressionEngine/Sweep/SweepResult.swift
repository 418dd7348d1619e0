import Foundation
import Measurement
import Metrics
import Recipes

/// What one trial of a sweep came to: a file in `done`.
public struct SweepResult: Codable, Sendable, Identifiable {
    public enum State: String, Codable, Sendable, CaseIterable {
        /// Measured on all samples of the sweep.
        case complete
        /// Cut short: it clearly misses the goal.
        case dropped
        /// Left out for its sizes, which are known without running it.
        case rejected
        /// Gives the original model.
        case unchanged
        /// Does not apply, or ended in an error.
        case failed
    }

    public var schema = "lathe.sweep-result/1"
    public var id: Int
    /// Canonical text of what was to be tried.
    public var recipe: String
    /// Canonical text without steps that were passed over; `nil` where it is the same.
    public var applied: String?
    public var state: State
    /// Why it failed or was left out, in one line.
    public var reason: String?
    public var figures: TrialFigures?
    /// The original's metric on the same samples, and the difference to it.
    public var baseline: Double?
    public var difference: Double?
    public var differenceInterval: Interval?
    /// Time of the original in milliseconds, measured in turns with the model's.
    public var baselineLatency: Double?
    /// Earlier claims that ended with their worker.
    public var strikes = 0
    public var worker: String
    public var host: String
    /// Processor, instruction set and cores: latencies of different machines are not compared.
    public var machine: String
    public var threads: Int
    public var version: String
    public var runtime: String
    /// Seconds since 1970 by the worker's own clock, and seconds it took.
    public var began: Double
    public var seconds = 0.0

    /// What was tried, without steps that were passed over.
    /// - Throws: `EngineError` of a recipe that this version cannot read.
    public func appliedRecipe() throws -> Recipe { try Recipe(canonical: applied ?? recipe) }

    /// As a search has it; `nil` where nothing was measured.
    func trial(_ goal: SearchGoal, baseline: TrialFigures) -> SearchTrial? {
        guard state == .complete || state == .dropped, let figures, let recipe = try? appliedRecipe() else { return nil }
        var trial = SearchTrial(
            recipe: recipe, findings: Demand.Findings(accuracy: accuracy(figures), before: baseline.modelFigures, after: figures.modelFigures, latency: latency(figures)),
            excess: [])
        trial.judge(by: goal)
        trial.isDropped = state == .dropped
        return trial
    }

    private func accuracy(_ figures: TrialFigures) -> AccuracyEstimate? {
        guard let metric = figures.metric, let value = figures.accuracy, let seen = figures.seen, let interval = figures.accuracyInterval else { return nil }
        // All samples of the sweep are all there are, as far as it is concerned.
        var estimate = AccuracyEstimate(metric: metric, seen: seen, total: state == .complete ? seen : max(seen, figures.total ?? seen), value: value, interval: interval)
        (estimate.baseline, estimate.difference, estimate.differenceInterval) = (baseline, difference, differenceInterval)
        return estimate
    }

    private func latency(_ figures: TrialFigures) -> LatencyFigures? {
        guard let time = figures[.latency], let before = baselineLatency, let ratio = figures.latencyRatio, let interval = figures.latencyRatioInterval else { return nil }
        return LatencyFigures(
            baselineMedian: before, baselineP90: before, candidateMedian: time, candidateP90: figures.latencyP90 ?? time, ratio: ratio, ratioP90: ratio, ratioInterval: interval,
            batch: figures.latencyBatch ?? 1, threads: figures.latencyThreads ?? 1, rounds: 0, instructionSet: "", runtimeVersion: runtime)
    }
}

extension TrialFigures {
    /// Figures as they were recorded; of the layers nothing is known.
    var modelFigures: ModelFigures {
        func figure(_ measure: Measure) -> Figure? { self[measure].map { Figure($0, .measured) } }
        var figures = ModelFigures(
            parameters: figure(.parameters) ?? Figure(.nan, .measured), nonZeros: figure(.nonZeros) ?? Figure(.nan, .measured),
            serializedBytes: figure(.file) ?? Figure(.nan, .measured))
        figures.macs = figure(.macs)
        figures.theoreticalBytes = figure(.encoding)
        figures.transferBytes = figure(.gzip)
        figures.packedBytes = figure(.packed)
        figures.peakActivationBytes = figure(.peakActivations)
        figures.memoryBytes = figure(.memory)
        figures.energyPicojoules = figure(.energy)
        return figures
    }
}
