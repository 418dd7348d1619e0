import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes
import Techniques
import Training

/// Makes a recipe's model and finds out what a goal asks of it, as cheaply as it can be known that it does not hold.
final class SearchRunner {
    enum Outcome {
        case tried(SearchTrial, isKnown: Bool)
        /// Beyond what the goal allows, or than what there is, by what is counted.
        case tooLarge
        /// Timed and nothing else.
        case tooSlow(SearchTrial)
        case unchanged
        /// Not of the form that is asked for.
        case otherForm
    }

    /// How far a training goes.
    enum Training: Hashable {
        /// So many steps of each, nothing is kept.
        case steps(Int)
        /// As the recipe says; kept like one made by hand.
        case whole
    }

    let session: EngineSession
    let goal: SearchGoal
    /// Sizes of the original.
    let before: ModelFigures
    private let request: SearchRequest
    private let ledger: TrialLedger?
    private let control: TrainingControl?
    private let work: Cancellation
    private(set) var baseline: AccuracyEstimate?
    private(set) var predictor: Predictor?
    /// Scores by sample of what was run to its end, for what the choice among many is worth.
    private(set) var outcomes: [String: SampleScores] = [:]

    init(_ session: EngineSession, _ request: SearchRequest, store: TrialStore?, control: TrainingControl?, work: Cancellation) throws {
        self.session = session
        self.request = request
        goal = request.goal
        self.control = control
        self.work = work
        ledger = store.map { TrialLedger(store: $0, modelHash: session.info.modelHash, dataHash: session.evaluationHash, runtime: session.info.runtimeVersion ?? "") }
        before = try session.baselineFigures(slowSizes: goal.needsSlowSizes, cancellation: work)
    }

    /// Runs the original.
    func prepare() throws {
        try session.baselineScores(cancellation: work)
        baseline = session.baselineEstimate()
        predictor = try session.predictor(cancellation: work)
    }

    /// Recipes that have a complete result for this model and data, the least loss first.
    var stored: [Recipe] {
        let known = ((try? ledger?.all()) ?? []).filter { $0.figures.isComplete && $0.figures.accuracy != nil && !$0.recipe.learns && !$0.recipe.steps.isEmpty }
        let measure = baseline?.measure ?? .top1
        return known.sorted {
            ($0.pinned ? 0 : 1, measure.loss(ofChange: $0.figures.accuracy ?? 0), $0.id) < ($1.pinned ? 0 : 1, measure.loss(ofChange: $1.figures.accuracy ?? 0), $1.id)
        }
        .map { Recipe(steps: $0.recipe.activeSteps) }
    }

    /// The model as it is.
    func untouched() -> SearchTrial {
        let same = baseline.map { estimate in
            var same = estimate
            (same.baseline, same.difference, same.differenceInterval) = (estimate.value, 0, nil)
            return same
        }
        var trial = SearchTrial(recipe: Recipe(), findings: Demand.Findings(accuracy: same, before: before, after: before), excess: [])
        trial.judge(by: goal)
        return trial
    }

    // MARK: - Before anything runs

    /// Findings of a recipe as far as they are predicted; `nil` where nothing can be said.
    func predicted(_ recipe: Recipe) -> Demand.Findings? {
        guard let figures = try? predictor?.figures(for: recipe) else { return nil }
        return Demand.Findings(accuracy: nil, before: before, after: figures)
    }

    /// By how much a prediction may be off: those of entropy are rougher than those of what is counted.
    private static func slack(_ measure: Measure) -> Double { [.packed, .gzip, .encoding].contains(measure) ? 1.2 : 1.03 }

    /// Whether predicted sizes are beyond what the goal allows, or worse than the best there is.
    func isHopeless(_ found: Demand.Findings, _ archive: SearchArchive) -> Bool {
        for demand in goal.figureDemands {
            guard let value = demand.value(found), !demand.isMet(value) else { continue }
            let slack = Self.slack(demand.measure)
            if demand.isAtLeast ? value * slack < demand.number : value > demand.number * slack { return true }
        }
        return archive.beats(goal.scores(found), slack: goal.axes.map(Self.slack))
    }

    // MARK: - One recipe

    /// - Parameter training: how far to train where the recipe has steps that learn.
    /// - Throws: what the recipe's steps throw; `EngineError.cancelled`.
    func run(_ recipe: Recipe, _ archive: SearchArchive, training: Training = .whole, evenIfTooLarge: Bool = false) throws -> Outcome {
        let applied: AppliedModel
        if recipe.learns {
            let isWhole = training == .whole
            var source = try session.trainingSource(store: isWhole ? session.trainings : nil)
            if case .steps(let steps) = training { source.maximumSteps = steps }
            if let control { source.control = control }
            applied = try session.apply(recipe, training: source, cancellation: work)
        } else {
            applied = try session.apply(recipe, cancellation: work)
        }
        guard applied.model.contentHash != session.model.contentHash else { return .unchanged }
        guard request.form.holds(applied.model) else { return .otherForm }
        var trial = SearchTrial(recipe: Self.withoutSkipped(recipe, applied), findings: Demand.Findings(accuracy: nil, before: before, after: before), excess: [])
        var figures = try session.figures(of: applied.model, slowSizes: goal.needsSlowSizes, profiling: false, cancellation: work)
        trial.findings.after = figures
        trial.judge(by: goal)
        // Far from what the goal allows: not worth a run. Near it, it may be the nearest there is.
        if !evenIfTooLarge, zip(goal.demands, trial.excess).contains(where: { $0.measure.isOfFigures && ($1 ?? 0) > 0.1 }) { return .tooLarge }
        if archive.beats(trial.scores, slack: goal.axes.map { _ in 1.001 }) { return .tooLarge }
        if goal.needsLatency {
            trial.findings.latency = try timed(applied.model, seconds: 0.4)
            trial.judge(by: goal)
            if isClearlyTooSlow(trial, archive) { return .tooSlow(trial) }
        }
        let known = recipe.learns ? nil : try storedAccuracy(trial.recipe)
        if let known {
            trial.findings.accuracy = known
        } else {
            let (accuracy, isDropped) = try raced(applied.model, besides: archive.leastLoss(besides: trial.scores), name: trial.recipe.canonical)
            (trial.findings.accuracy, trial.isDropped) = (accuracy, isDropped)
        }
        trial.judge(by: goal)
        // The best of many short timings is one that was lucky.
        if goal.needsLatency, trial.isFeasible, !archive.beats(trial.scores, slack: goal.axes.map { _ in 1 }) {
            trial.findings.latency = try timed(applied.model, seconds: 2)
            trial.judge(by: goal)
        }
        if known == nil, !trial.isDropped, let accuracy = trial.findings.accuracy, accuracy.isComplete, !recipe.learns || training == .whole {
            figures.live = nil
            try? ledger?.record(trial.recipe, figures, accuracy, latency: trial.findings.latency, trainings: applied.reports.compactMap(\.training))
        }
        return .tried(trial, isKnown: known != nil)
    }

    /// Steps that were passed over are no part of what was found.
    private static func withoutSkipped(_ recipe: Recipe, _ applied: AppliedModel) -> Recipe {
        let skipped = Set(applied.reports.indices.filter { applied.reports[$0].skipped != nil })
        guard !skipped.isEmpty, applied.reports.count == recipe.activeSteps.count else { return recipe }
        var recipe = recipe
        recipe.steps = recipe.activeSteps.enumerated().filter { !skipped.contains($0.offset) }.map(\.element)
        return recipe
    }

    private func timed(_ model: Model, seconds: Double) throws -> LatencyFigures {
        try session.latency(of: model, seconds: seconds, operators: false, cancellation: work).0
    }

    private func isClearlyTooSlow(_ trial: SearchTrial, _ archive: SearchArchive) -> Bool {
        guard let latency = trial.findings.latency else { return false }
        for demand in goal.demands where demand.measure.isLatency {
            let least = demand.quantity == .ratio ? latency.ratioInterval.low : latency.ratioInterval.low * latency.baseline
            if least > demand.number * 1.1 { return true }
        }
        var scores = trial.scores
        for (axis, measure) in goal.axes.enumerated() where measure.isLatency { scores[axis] = latency.ratioInterval.low }
        return archive.beats(scores, slack: goal.axes.map { $0.isLatency ? 1.02 : 1 })
    }

    /// Accuracy that was found before, by whatever front end.
    private func storedAccuracy(_ recipe: Recipe) throws -> AccuracyEstimate? {
        guard let ledger, let figures = try? ledger.figures(of: recipe), figures.isComplete, let value = figures.accuracy, let interval = figures.accuracyInterval,
            let metric = figures.metric, metric == baseline?.metric, let total = figures.total, let before = baseline?.value
        else { return nil }
        var estimate = AccuracyEstimate(metric: metric, seen: total, total: total, value: value, interval: interval)
        (estimate.baseline, estimate.difference) = (before, value - before)
        return estimate
    }

    /// Runs a model on growing parts of the samples until all are seen or it is clear that it loses too much.
    /// - Parameter most: a loss that is to be undercut besides.
    private func raced(_ model: Model, besides most: Double?, name: String) throws -> (AccuracyEstimate, isDropped: Bool) {
        var demands = goal.metricDemands
        if let most, let metric = goal.metric { demands.append(Demand(.metric(metric), .drop, most)) }
        var isDropped = false
        let (scores, estimate) = try session.scored(model, cancellation: work) { estimate in
            isDropped = demands.contains { Self.isClearlyMissed($0, estimate) }
            return !isDropped
        }
        // A hundred megabytes at most; what is pooled has no scores by sample to choose by.
        if scores.isComplete, scores.contributions.isEmpty, scores.scores.count * (outcomes.count + 1) < 25_000_000 { outcomes[name] = scores }
        return (estimate, isDropped)
    }

    /// By three standard errors where intervals are of 1.96.
    static func isClearlyMissed(_ demand: Demand, _ estimate: AccuracyEstimate) -> Bool {
        let widen = 3 / 1.96
        if demand.quantity == .drop {
            guard let loss = estimate.loss, let interval = estimate.lossInterval else { return false }
            return loss - (loss - interval.low) * widen > demand.number
        }
        let (value, interval) = (estimate.value, estimate.interval)
        return demand.isAtLeast ? value + (interval.high - value) * widen < demand.number : value - (value - interval.low) * widen > demand.number
    }

    // MARK: - In the end

    /// The recipe without what has no effect: steps, and values of single layers.
    func simplified(_ recipe: Recipe, cancellation: Cancellation) throws -> Recipe {
        guard !recipe.learns, let model = try? session.apply(recipe, cancellation: cancellation).model.contentHash else { return recipe }
        var recipe = recipe
        func take(_ other: Recipe) throws {
            guard other != recipe, let found = try? session.apply(other, cancellation: cancellation).model.contentHash else { return try cancellation.check() }
            if found == model { recipe = other }
        }
        for place in recipe.steps.indices.reversed() where recipe.steps.count > 1 {
            // A code changes the archive, not the graph.
            if TechniqueRegistry.technique(recipe.steps[place].technique)?.descriptor.produces.contains(.coding) == true { continue }
            var other = recipe
            other.steps.remove(at: place)
            try take(other)
        }
        for place in recipe.steps.indices {
            for entry in recipe.steps[place].overrides.indices.reversed() {
                var other = recipe
                other.steps[place].overrides.remove(at: entry)
                try take(other)
            }
            for name in recipe.steps[place].parameters.explicit.keys.sorted() {
                var other = recipe
                other.steps[place].parameters[name] = nil
                try take(other)
            }
        }
        return recipe
    }
}
