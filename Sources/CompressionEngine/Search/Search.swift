import Dispatch
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes
import Techniques
import Training

/// Looks for the recipe that meets a goal and makes its objective best, or for the front of several objectives.
///
/// What cannot meet the goal by sizes, which are known without running anything, is left out for free. The others run on a growing part of the
/// validation samples, beside the baseline on the same ones, and are dropped when it is clear that they lose too much: looks at 256 samples and
/// each doubling, with three standard errors at each, so that of recipes which hold the goal at most 1 in 100 is dropped (nine looks of 0.135 %). First
/// comes what is stored of this model, then techniques alone and in combinations that go together, each climbed by bisection; then bits, ranks or zeros
/// by layer from sensitivities; then whatever way has been winning (`SearchProposals`), until the budget is spent or nothing better comes; trainings,
/// where they are allowed, are first tried for some steps. The same seed tries the same recipes in the same order, and answers that are stored are not
/// asked for again, so that a search that was ended goes on where it was.
public final class Search {
    let session: EngineSession
    let goal: SearchGoal
    let request: SearchRequest
    let space: SearchSpace
    let runner: SearchRunner
    let store: TrialStore?
    private let outer: Cancellation
    /// Ended by whoever started the search, or by the budget.
    let work = Cancellation()
    let update: (SearchEvent) -> Void

    private(set) var archive: SearchArchive
    private var seen: Set<String> = []
    private(set) var result: SearchResult
    /// Tries since something better came.
    private var idle = 0
    private var generator: SeededGenerator
    /// Of what is clearly too slow.
    private var fastest: SearchTrial?
    private var nearest: [(excess: Double, recipe: Recipe)] = []
    /// Pauses the search, or ends it with what it has.
    private let control: TrainingControl?
    private let began = ContinuousClock.now
    private var pausedSeconds = 0.0
    /// Ends the work when the budget is spent.
    private var timer: (any DispatchSourceTimer)?

    /// - Throws: `EngineError` without data or runtime, or where the metric is not the data set's.
    public init(
        _ session: EngineSession, _ request: SearchRequest, store: TrialStore? = nil, control: TrainingControl? = nil, cancellation: Cancellation,
        update: @escaping (SearchEvent) -> Void = { _ in }
    ) throws {
        guard session.validation != nil else { throw EngineError(.data, "a search needs a data set: give one with --data") }
        guard session.canEvaluate else {
            throw EngineError(.runtime, session.info.runtimeProblem ?? session.info.cannotRun ?? "a search needs ONNX Runtime to run the model")
        }
        if let techniques = request.techniques { try SearchRequest.check(techniques) }
        if request.mayTrain { _ = try session.trainingSource(store: nil) }
        self.session = session
        self.request = request
        goal = request.goal
        self.store = store
        self.control = control
        self.update = update
        outer = cancellation
        space = SearchSpace(
            allowed: request.techniques, hasCalibration: session.calibration != nil, countsEntropy: request.goal.needsSlowSizes, countsFile: request.goal.needsFile,
            mayTrain: request.mayTrain)
        runner = try SearchRunner(session, request, store: store, control: control, work: work)
        archive = SearchArchive(request.goal)
        result = SearchResult(goal: request.goal)
        generator = SeededGenerator(seed: request.seed &+ 0x5EA8C4)
    }

    /// Seconds that are left of the budget.
    var secondsLeft: Double { request.budget + pausedSeconds - (ContinuousClock.now - began) / .seconds(1) }

    /// Runs until the budget is spent, nothing better comes, or it is interrupted.
    /// - Throws: `EngineError` where the baseline itself cannot be scored; whatever happens to a candidate ends that candidate.
    public func run() throws -> SearchResult {
        let work = work
        let timer = DispatchSource.makeTimerSource()
        self.timer = timer
        timer.schedule(deadline: .now() + request.budget)
        timer.setEventHandler { work.cancel() }
        timer.resume()
        defer { timer.cancel() }
        do {
            try outer.withHook({ work.cancel() }) { try phases() }
        } catch let error as EngineError where error.kind == .cancelled {
            result.end = outer.isCancelled || control?.shouldFinish == true ? .interrupted : .budget
        }
        if var fastest, !archive.trials.contains(where: { !$0.recipe.steps.isEmpty }) {
            // Nothing else was tried: by how much the fastest fails is worth knowing.
            fastest.isDropped = true
            _ = archive.add(fastest)
        }
        result.conclude(archive)
        if !outer.isCancelled { try finish() }
        result.seconds = (ContinuousClock.now - began) / .seconds(1)
        return result
    }

    private func phases() throws {
        update(.phase("scoring the original model"))
        try runner.prepare()
        // The model as it is may hold the goal already.
        if !goal.needsLatency { note(runner.untouched()) }
        if request.architecture != nil { return try searchArchitecture() }
        update(.phase("stored results"))
        // What is known costs no run, but its model is made, and timed where latency counts.
        for recipe in runner.stored.prefix(200) where space.isAllowed(recipe) && secondsLeft > 0.85 * request.budget { _ = try attempt(recipe) }
        var ladders = space.ladders().compactMap(ordered)[...]
        // Those that most people want come first; the others wait for their turn among other ways.
        for ladder in ladders.prefix(SearchSpace.first) {
            update(.phase(ladder.name))
            try climb(ladder.rungs)
        }
        ladders = ladders.dropFirst(SearchSpace.first)
        try byLayer()
        try giveBack()
        try runNearest()
        // Without training the rest is worth less than with it.
        if request.mayTrain {
            try wander(&ladders, until: { self.secondsLeft < 0.65 * self.request.budget })
            try train()
        }
        try wander(&ladders, until: { false })
    }

    // MARK: - Climbing

    /// Rungs that can be predicted, the mildest first by what they are predicted to come to; `nil` if there are none.
    private func ordered(_ ladder: SearchLadder) -> SearchLadder? {
        let rated = ladder.rungs.enumerated().compactMap { index, recipe -> (recipe: Recipe, score: Double, index: Int)? in
            guard let found = runner.predicted(recipe) else { return nil }
            return (recipe, (goal.scores(found).first ?? nil) ?? Double(-index), index)
        }
        let rungs = rated.sorted { ($1.score, $0.index) < ($0.score, $1.index) }
        return rungs.isEmpty ? nil : SearchLadder(name: ladder.name, rungs: rungs.map(\.recipe))
    }

    /// Finds the strongest rung that holds what the metric is to hold, by bisection. Where a front is wanted the milder ones are tried too, halving by halving.
    func climb(_ rungs: [Recipe]) throws {
        var parts = [0..<rungs.count]
        while !parts.isEmpty {
            let part = parts.removeFirst()
            guard !part.isEmpty else { continue }
            let middle = part.lowerBound + part.count / 2
            let (milder, stronger) = (part.lowerBound..<middle, middle + 1..<part.upperBound)
            let found = try attempt(rungs[middle])
            // Too large, or does not apply: what is stronger may do.
            let holds = found.map(goal.keepsMetric) ?? true
            if holds {
                parts.append(stronger)
                if goal.isFront { parts.append(milder) }
            } else {
                parts = parts.map { $0.clamped(to: 0..<middle) }
                parts.append(milder)
            }
        }
    }

    // MARK: - Whatever wins

    private func wander(_ ladders: inout ArraySlice<SearchLadder>, until isOver: () -> Bool) throws {
        update(.phase("recipes near the best"))
        var proposals = SearchProposals(goal, space, layers: session.layers)
        idle = 0
        var misses = 0
        while idle < request.patience || !ladders.isEmpty, misses < 40 * request.patience, !isOver() {
            try work.check()
            if archive.parents(1).isEmpty, ladders.isEmpty { return }
            let way = proposals.way(ladders.isEmpty ? [.neighbor, .crossing, .guided] : SearchProposals.Way.allCases, &generator)
            let before = archive.trials.count
            var won = false
            switch way {
            case .ladder:
                guard let ladder = ladders.popFirst() else { continue }
                update(.phase(ladder.name))
                let idleBefore = idle
                try climb(ladder.rungs)
                won = idle < idleBefore + archive.trials.count - before
                update(.phase("recipes near the best"))
            case .neighbor, .crossing, .guided:
                let recipe: Recipe?
                switch way {
                case .neighbor: recipe = proposals.neighbor(archive, &generator)
                case .crossing: recipe = proposals.crossing(archive, &generator)
                default:
                    recipe = proposals.guided(archive, &generator) { candidate in
                        guard !seen.contains(candidate.canonical), let found = runner.predicted(candidate), !runner.isHopeless(found, archive) else { return nil }
                        return found
                    }
                }
                guard let recipe, !seen.contains(recipe.canonical), try attempt(recipe) != nil else {
                    misses += 1
                    if way != .neighbor { proposals.learn(way, won: false) }
                    continue
                }
                won = idle == 0
            }
            proposals.learn(way, won: won)
        }
    }

    // MARK: - One recipe

    /// Tries a recipe unless it was tried, does not apply, or cannot be of use.
    /// - Parameter isLast: whether it is run whatever its sizes are.
    /// - Throws: `EngineError.cancelled` alone.
    @discardableResult
    func attempt(_ recipe: Recipe, training: SearchRunner.Training = .whole, isLast: Bool = false) throws -> SearchTrial? {
        try work.check()
        try pause()
        // A short training is another answer than a whole one.
        let name = recipe.canonical + (training == .whole ? "" : "\(training)") + (isLast ? " last" : "")
        guard seen.insert(name).inserted else { return archive.trials.first { $0.recipe.canonical == recipe.canonical } }
        do {
            if !isLast, let found = runner.predicted(recipe), runner.isHopeless(found, archive) {
                result.rejected += 1
                if archive.best == nil, !recipe.learns { keep(recipe, found) }
                return nil
            }
            switch try runner.run(recipe, archive, training: training, evenIfTooLarge: isLast) {
            case .tried(let trial, let isKnown):
                // Without what was passed over it may have been tried before.
                guard trial.recipe == recipe || seen.insert(trial.recipe.canonical).inserted else { return archive.trials.first { $0.recipe.canonical == trial.recipe.canonical } }
                result.tried += 1
                if isKnown { result.known += 1 }
                if trial.isDropped { result.dropped += 1 }
                if recipe.learns { result.trainings += 1 }
                // What was trained for some steps is nothing that can be taken.
                if training == .whole { note(trial) }
                return trial
            case .tooLarge: result.rejected += 1
            case .tooSlow(let trial):
                result.slow += 1
                if (trial.findings.latency?.ratio ?? .infinity) < (fastest?.findings.latency?.ratio ?? .infinity) { fastest = trial }
            case .unchanged: result.idle += 1
            case .otherForm: result.failed += 1
            }
            return nil
        } catch let error as EngineError where error.kind == .cancelled {
            throw error
        } catch {
            try work.check()
            result.failed += 1
            return nil
        }
    }

    /// Remembers what is nearest to the limits among what is ruled out by its sizes.
    private func keep(_ recipe: Recipe, _ found: Demand.Findings) {
        let excess = goal.figureDemands.reduce(0) { sum, demand in sum + (demand.value(found).map(demand.excess) ?? 1) }
        nearest.append((excess, recipe))
        nearest = Array(nearest.sorted { $0.excess < $1.excess }.prefix(3))
    }

    /// Where nothing holds the limits on sizes, what is nearest to them, run to be told.
    private func runNearest() throws {
        guard archive.best == nil, !archive.trials.contains(where: { !$0.recipe.steps.isEmpty && !$0.isDropped }) else { return }
        update(.phase("what is nearest"))
        for (_, recipe) in nearest { try attempt(recipe, isLast: true) }
    }

    /// Waits while the search is paused; the budget waits too.
    private func pause() throws {
        guard let control else { return }
        if control.isPaused {
            update(.phase("paused"))
            timer?.schedule(deadline: .distantFuture)
            let since = ContinuousClock.now
            try control.wait(work)
            pausedSeconds += (ContinuousClock.now - since) / .seconds(1)
            timer?.schedule(deadline: .now() + max(0, secondsLeft))
            update(.phase("going on"))
        }
        if control.shouldFinish { throw EngineError(.cancelled, "ended early") }
    }

    private func note(_ trial: SearchTrial) {
        let had = archive.best
        let isProgress = archive.add(trial)
        update(.tried(trial))
        idle = isProgress ? 0 : idle + 1
        if isProgress, let best = archive.best, best.recipe != had?.recipe { update(.best(best)) }
    }

    // MARK: - The end

    /// What is told of the best: a recipe without idle parts, the test split, what choosing is worth. All of it is bounded work, after the budget.
    private func finish() throws {
        guard var best = result.best else { return }
        update(.phase("the best once more"))
        let trials = archive.trials.compactMap { trial in runner.outcomes[trial.recipe.canonical].map { (trial, $0) } }
        if let baseline = try? session.baselineScores(cancellation: outer) {
            result.correctedLoss = ChoiceCorrection.correct(trials, baseline: baseline, goal: goal, seed: request.seed)
        }
        do {
            let simpler = try runner.simplified(best.recipe, cancellation: outer)
            if let place = result.front.firstIndex(where: { $0.recipe == best.recipe }) { result.front[place].recipe = simpler }
            best.recipe = simpler
            result.best = best
            if session.info.testCount > 0 {
                let training = best.recipe.learns ? try session.trainingSource() : nil
                let applied = try session.apply(best.recipe, training: training, cancellation: outer)
                result.test = try session.evaluate(applied.model, split: .test, cancellation: outer)
            }
        } catch {
            // What is found stands.
            if outer.isCancelled { result.end = .interrupted }
        }
    }
}
