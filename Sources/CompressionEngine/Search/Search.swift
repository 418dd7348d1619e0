import Dispatch
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes
import Synchronization
import Techniques

/// Looks for the recipe that meets a goal and makes its objective best.
///
/// What cannot meet the goal by sizes, which are known without running anything, is left out for free. The others run on a growing part of the
/// validation samples, beside the baseline on the same ones, and are dropped when it is clear that they lose too much: looks at 256 samples and
/// each doubling, with three standard errors at each, so that of recipes which hold the goal at most 1 in 100 is dropped (nine looks of 0.135 %). First come techniques alone and in
/// combinations that go together, each climbed by bisection; then bits, ranks or zeros by layer from measured sensitivities; then neighbors of
/// the best, until the budget is spent or nothing better comes. The same seed tries the same recipes in the same order, and
/// answers that are stored are not asked for again, so that a search that was ended goes on where it was.
public final class Search {
    public struct Options: Sendable {
        /// Seconds at most.
        public var budget = 600.0
        /// Techniques that may be used; `nil` for all that need no training.
        public var techniques: Set<String>?
        public var seed: UInt64 = 0
        /// Recipes tried one after the other without a better one, after which a search ends.
        public var patience = 60

        public init() {}
    }

    private let session: EngineSession
    private let goal: SearchGoal
    private let options: Options
    private let space: SearchSpace
    private let ledger: TrialLedger?
    private let store: TrialStore?
    private let outer: Cancellation
    /// Ended by whoever started the search, or by the budget.
    private let work = Cancellation()
    private let update: (SearchEvent) -> Void

    private var predictor: Predictor?
    private var before: ModelFigures
    private var baseline: AccuracyEstimate?
    private var trials: [SearchTrial] = []
    private var seen: Set<String> = []
    private var result: SearchResult
    /// Tries since something better came.
    private var idle = 0
    private var generator: SeededGenerator

    /// - Throws: `EngineError` without data or runtime, or where the metric is not the data set's.
    public init(
        _ session: EngineSession, goal: SearchGoal, options: Options = Options(), store: TrialStore? = nil, cancellation: Cancellation,
        update: @escaping (SearchEvent) -> Void = { _ in }
    ) throws {
        guard session.validation != nil else { throw EngineError(.data, "a search needs a data set: give one with --data") }
        guard session.canEvaluate else {
            throw EngineError(.runtime, session.info.runtimeProblem ?? session.info.cannotRun ?? "a search needs ONNX Runtime to run the model")
        }
        for id in options.techniques ?? [] where TechniqueRegistry.technique(id) == nil { throw EngineError(.recipe, "there is no technique '\(id)'") }
        self.session = session
        self.goal = goal
        self.options = options
        self.store = store
        self.update = update
        outer = cancellation
        ledger = store.map { TrialLedger(store: $0, modelHash: session.info.modelHash, dataHash: session.evaluationHash, runtime: session.info.runtimeVersion ?? "") }
        space = SearchSpace(allowed: options.techniques, hasCalibration: session.calibration != nil, countsEntropy: goal.needsSlowSizes)
        before = try session.baselineFigures(slowSizes: goal.needsSlowSizes, cancellation: cancellation)
        result = SearchResult(goal: goal)
        generator = SeededGenerator(seed: options.seed &+ 0x5EA8C4)
    }

    /// Runs until the budget is spent, nothing better comes, or it is interrupted.
    /// - Throws: `EngineError` where the baseline itself cannot be scored; whatever happens to a candidate ends that candidate.
    public func run() throws -> SearchResult {
        let began = Date()
        let timer = DispatchSource.makeTimerSource()
        let work = work
        timer.schedule(deadline: .now() + options.budget)
        timer.setEventHandler { work.cancel() }
        timer.resume()
        defer { timer.cancel() }
        do {
            try outer.withHook({ work.cancel() }) { try phases() }
        } catch let error as EngineError where error.kind == .cancelled {
            result.end = outer.isCancelled ? .interrupted : .budget
        }
        result.seconds = Date().timeIntervalSince(began)
        result.conclude(trials)
        return result
    }

    private func phases() throws {
        update(.phase("scoring the original model"))
        try session.baselineScores(cancellation: work)
        baseline = session.baselineEstimate()
        predictor = try session.predictor(cancellation: work)
        // The model as it is may hold the goal already.
        var untouched = SearchTrial(recipe: Recipe(), findings: Demand.Findings(accuracy: baseline.map(Self.unchanged), before: before, after: before), excess: [])
        judge(&untouched)
        if !goal.needsLatency { note(untouched) }
        var climbed: [(ladder: SearchLadder, best: Double)] = []
        for ladder in space.ladders() {
            guard let ladder = ordered(ladder) else { continue }
            update(.phase(ladder.name))
            if let best = try climb(ladder.rungs) { climbed.append((ladder, best)) }
        }
        try byLayer()
        update(.phase("neighbors of the best"))
        try wander()
    }

    /// The original beside itself.
    private static func unchanged(_ estimate: AccuracyEstimate) -> AccuracyEstimate {
        var same = estimate
        (same.baseline, same.difference, same.differenceInterval) = (estimate.value, 0, nil)
        return same
    }

    // MARK: - Climbing

    /// Rungs that change something, the mildest first by what they are predicted to come to; `nil` if none can be of use.
    private func ordered(_ ladder: SearchLadder) -> SearchLadder? {
        guard let predictor else { return ladder }
        let rated = ladder.rungs.enumerated().compactMap { index, recipe -> (recipe: Recipe, score: Double, index: Int)? in
            guard let figures = try? predictor.figures(for: recipe) else { return nil }
            return (recipe, goal.score(Demand.Findings(accuracy: nil, before: before, after: figures)) ?? Double(-index), index)
        }
        let rungs = rated.sorted { ($1.score, $0.index) < ($0.score, $1.index) }
        return rungs.isEmpty ? nil : SearchLadder(name: ladder.name, rungs: rungs.map(\.recipe))
    }

    /// Finds the strongest rung that holds what the metric is to hold, by bisection.
    /// - Returns: its score.
    @discardableResult
    private func climb(_ rungs: [Recipe]) throws -> Double? {
        var (low, high) = (0, rungs.count)
        var best: Double?
        while low < high {
            let middle = low + (high - low) / 2
            let found = try attempt(rungs[middle])
            guard let found else {
                // Too large, or does not apply: what is stronger may do.
                low = middle + 1
                continue
            }
            let holds = !found.isDropped && zip(goal.demands, found.excess).allSatisfy { $0.measure.metric == nil || $1 == 0 }
            if holds {
                if let score = found.score { best = min(best ?? score, score) }
                low = middle + 1
            } else {
                high = middle
            }
        }
        return best
    }

    // MARK: - By layer

    /// What each layer loses when it alone is changed, and from that a value for each layer.
    private func byLayer() throws {
        let measures: [Measure: AllocationMeasure] = Dictionary(uniqueKeysWithValues: AllocationMeasure.allCases.map { ($0.measure, $0) })
        let measure = measures[goal.objective] ?? .size
        guard measure != .latency else { return }
        // The techniques of the best so far, each once.
        var used: [String] = []
        for trial in trials.filter({ !$0.isDropped }).sorted(by: SearchTrial.isBetter) {
            for step in trial.recipe.activeSteps where !used.contains(step.technique) { used.append(step.technique) }
        }
        let choices: [String: [ParameterValue]] = [
            "weight-quantization": [8, 6, 5, 4, 3, 2].map { .integer($0) }, "gptq": [8, 6, 5, 4, 3, 2].map { .integer($0) },
            "sparsegpt": [0.3, 0.5, 0.6, 0.7, 0.8, 0.9].map { .real($0) }, "structured-pruning": [0.1, 0.2, 0.3, 0.5, 0.7].map { .real($0) },
            "activation-aware-svd": [0.7, 0.5, 0.35, 0.25].map { .real($0) },
        ]
        let share = options.budget / 5
        for technique in used.filter({ choices[$0] != nil }).prefix(3) {
            let step =
                (trials.filter { !$0.isDropped }.sorted(by: SearchTrial.isBetter).lazy.flatMap(\.recipe.activeSteps).first { $0.technique == technique })
                ?? SearchSpace.step(technique)
            var plain = step
            plain.overrides = []
            plain.layers = .all
            update(.phase("\(technique) by layer"))
            let samples = min(session.validation?.count ?? 512, 512)
            // A model of many layers would take the whole budget.
            let limited = Cancellation()
            let timer = DispatchSource.makeTimerSource()
            timer.schedule(deadline: .now() + share)
            timer.setEventHandler { limited.cancel() }
            timer.resume()
            defer { timer.cancel() }
            var last: SensitivityGrid?
            do {
                let request = try SensitivityRequest(step: plain, values: choices[technique] ?? [], samples: samples)
                _ = try work.withHook({ limited.cancel() }) {
                    try SensitivityAnalysis(session, store: store, cancellation: limited).run(request) { last = $0 }
                }
            } catch {
                try work.check()
                // What is known by then is used, if every layer has a value.
                guard let grid = last, grid.cells.allSatisfy({ $0.contains { $0?.loss != nil } || $0.allSatisfy { $0 != nil } }) else { continue }
            }
            guard let last, let allocation = try? Allocation(last, measure: measure) else { continue }
            try climb(allocation.path.indices.dropFirst().map { Recipe(steps: coded(allocation.recipe(at: $0, of: session.layers)).steps) })
        }
    }

    /// With the archive's coding, where the archive counts.
    private func coded(_ recipe: Recipe) -> Recipe {
        guard space.countsEntropy, !recipe.steps.isEmpty else { return recipe }
        return Recipe(steps: recipe.steps + [SearchSpace.step("range-coding", optional: true)])
    }

    // MARK: - Neighbors

    private func wander() throws {
        idle = 0
        var misses = 0
        while idle < options.patience, misses < 40 * options.patience {
            try work.check()
            let parents = trials.filter { !$0.recipe.steps.isEmpty && ($0.isFeasible || !$0.isDropped) }.sorted(by: SearchTrial.isBetter).prefix(8)
            guard !parents.isEmpty else { return }
            // The better, the more often.
            let parent = parents[parents.startIndex + min(generator.below(parents.count), generator.below(parents.count))]
            var child = space.neighbor(of: parent.recipe, layers: session.layers, &generator)
            for _ in 0..<generator.below(3) { child = child.flatMap { space.neighbor(of: $0, layers: session.layers, &generator) ?? $0 } }
            guard let child, !seen.contains(child.canonical), try attempt(child) != nil else {
                misses += 1
                continue
            }
        }
    }

    // MARK: - One recipe

    /// Tries a recipe unless it was tried, does not apply, or cannot be of use.
    /// - Throws: `EngineError.cancelled` alone.
    private func attempt(_ recipe: Recipe) throws -> SearchTrial? {
        try work.check()
        guard seen.insert(recipe.canonical).inserted else { return trials.first { $0.recipe.canonical == recipe.canonical } }
        do {
            if let figures = try predictor?.figures(for: recipe), isHopeless(figures) {
                result.rejected += 1
                return nil
            }
            let trial = try measured(recipe)
            guard let trial else {
                result.rejected += 1
                return nil
            }
            result.tried += 1
            note(trial)
            return trial
        } catch let error as EngineError where error.kind == .cancelled {
            throw error
        } catch {
            try work.check()
            result.failed += 1
            return nil
        }
    }

    /// Whether predicted sizes are beyond what the goal allows, or worse than the best there is.
    private func isHopeless(_ figures: ModelFigures) -> Bool {
        let found = Demand.Findings(accuracy: nil, before: before, after: figures)
        // Predictions of entropy are rougher than those of what is counted.
        func slack(_ measure: Measure) -> Double { [.packed, .gzip, .encoding].contains(measure) ? 1.2 : 1.03 }
        for demand in goal.figureDemands {
            guard let value = demand.value(found), !demand.isMet(value) else { continue }
            if demand.isAtLeast ? value * slack(demand.measure) < demand.number : value > demand.number * slack(demand.measure) { return true }
        }
        guard goal.objective.isOfFigures, let best = result.best?.score, let score = goal.score(found), best > 0 else { return false }
        return score > best * slack(goal.objective)
    }

    private func measured(_ recipe: Recipe) throws -> SearchTrial? {
        let applied = try session.apply(recipe, cancellation: work)
        guard applied.model.contentHash != session.model.contentHash else { return nil }
        // Steps that were passed over are no part of what was found.
        var recipe = recipe
        let skipped = Set(applied.reports.indices.filter { applied.reports[$0].skipped != nil })
        if !skipped.isEmpty, applied.reports.count == recipe.activeSteps.count {
            recipe.steps = recipe.activeSteps.enumerated().filter { !skipped.contains($0.offset) }.map(\.element)
            guard !recipe.steps.isEmpty, seen.insert(recipe.canonical).inserted else { return nil }
        }
        var figures = try session.figures(of: applied.model, slowSizes: goal.needsSlowSizes, profiling: false, cancellation: work)
        var trial = SearchTrial(recipe: recipe, findings: Demand.Findings(accuracy: nil, before: before, after: figures), excess: [])
        judge(&trial)
        // Far from what the goal allows: not worth a run. Near it, it may be the nearest there is.
        if zip(goal.demands, trial.excess).contains(where: { $0.measure.isOfFigures && ($1 ?? 0) > 0.1 }) { return nil }
        if goal.objective.isOfFigures, let best = result.best?.score, let score = trial.score, best > 0, score > best * 1.001, trial.excess.contains(where: { ($0 ?? 0) == 0 }) {
            return nil
        }
        if goal.needsLatency {
            trial.findings.latency = try session.latency(of: applied.model, seconds: 0.4, operators: false, cancellation: work).0
            judge(&trial)
            if isClearlyTooSlow(trial) { return nil }
        }
        if let known = try stored(recipe) {
            result.known += 1
            trial.findings.accuracy = known
        } else {
            let (accuracy, isDropped) = try raced(applied.model)
            (trial.findings.accuracy, trial.isDropped) = (accuracy, isDropped)
            if !isDropped, accuracy.isComplete {
                figures.live = nil
                try? ledger?.record(recipe, figures, accuracy, latency: trial.findings.latency, trainings: [])
            }
        }
        if trial.isDropped { result.dropped += 1 }
        judge(&trial)
        return trial
    }

    private func isClearlyTooSlow(_ trial: SearchTrial) -> Bool {
        guard let latency = trial.findings.latency else { return false }
        for demand in goal.demands where demand.measure.isLatency {
            let least = demand.quantity == .ratio ? latency.ratioInterval.low : latency.ratioInterval.low * latency.baseline
            if least > demand.number * 1.1 { return true }
        }
        if goal.objective.isLatency, let best = result.best?.score { return latency.ratioInterval.low > best * 1.02 }
        return false
    }

    /// Accuracy that was found before, by whatever front end.
    private func stored(_ recipe: Recipe) throws -> AccuracyEstimate? {
        guard let ledger, let figures = try? ledger.figures(of: recipe), figures.isComplete, let value = figures.accuracy, let interval = figures.accuracyInterval,
            let metric = figures.metric, metric == baseline?.metric, let total = figures.total, let before = baseline?.value
        else { return nil }
        var estimate = AccuracyEstimate(metric: metric, seen: total, total: total, value: value, interval: interval)
        (estimate.baseline, estimate.difference) = (before, value - before)
        return estimate
    }

    /// Runs a model on growing parts of the samples until all are seen or it is clear that it loses too much.
    private func raced(_ model: Model) throws -> (AccuracyEstimate, isDropped: Bool) {
        let race = Cancellation()
        let demands = goal.metricDemands
        let state = Mutex<(next: Int, last: AccuracyEstimate?)>((256, nil))
        do {
            let estimate = try work.withHook({ race.cancel() }) {
                try session.evaluate(model, cancellation: race) { estimate in
                    // Between looks nothing is decided, or chance would have its way in the end.
                    let isLook = state.withLock { state in
                        guard estimate.seen >= state.next, !estimate.isComplete, !estimate.isBiased else { return false }
                        while state.next <= estimate.seen { state.next *= 2 }
                        return true
                    }
                    guard isLook, demands.contains(where: { Self.isClearlyMissed($0, estimate) }) else { return }
                    state.withLock { $0.last = estimate }
                    race.cancel()
                }
            }
            return (estimate, false)
        } catch let error as EngineError where error.kind == .cancelled {
            try work.check()
            guard let last = state.withLock({ $0.last }) else { throw error }
            return (last, true)
        }
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

    private func judge(_ trial: inout SearchTrial) {
        trial.excess = goal.demands.map { demand in demand.value(trial.findings).map(demand.excess) }
        trial.score = goal.score(trial.findings)
    }

    private func note(_ trial: SearchTrial) {
        trials.append(trial)
        update(.tried(trial))
        if trial.isFeasible, result.best.map({ SearchTrial.isBetter(trial, $0) }) ?? true {
            result.best = trial
            idle = 0
            update(.best(trial))
        } else {
            idle += 1
        }
    }
}
