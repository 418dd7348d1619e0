import Measurement
import Recipes

/// A recipe that a search tried, and what was found.
public struct SearchTrial: Sendable {
    public var recipe: Recipe
    public var findings: Demand.Findings
    /// Samples behind its accuracy were cut short: it was clear that it cannot hold the goal, or that others are better.
    public var isDropped = false
    /// By how much each demand is missed, 0 where it holds, in shares of the limit; `nil` where the number is not known.
    public var excess: [Double?]
    /// Where it stands on the goal's axes, less being better; `nil` where it is not known.
    public var scores: [Double?] = []

    public init(recipe: Recipe, findings: Demand.Findings, excess: [Double?]) {
        self.recipe = recipe
        self.findings = findings
        self.excess = excess
    }

    /// Holds what was found against the goal.
    mutating func judge(by goal: SearchGoal) {
        excess = goal.demands.map { demand in demand.value(findings).map(demand.excess) }
        scores = goal.scores(findings)
    }

    /// What is made best first, less being better.
    public var score: Double? { scores.first ?? nil }
    /// Whether every demand holds, on all samples.
    public var isFeasible: Bool { !isDropped && excess.allSatisfy { $0 == 0 } }

    /// What holds the goal before what does not; then by objective, or by how far it is from the goal.
    static func isBetter(_ one: SearchTrial, _ other: SearchTrial) -> Bool {
        if one.isFeasible != other.isFeasible { return one.isFeasible }
        if !one.isFeasible { return one.distance < other.distance }
        guard let first = one.score, let second = other.score, first != second else { return (one.findings.accuracy?.loss ?? 0) < (other.findings.accuracy?.loss ?? 0) }
        return first < second
    }

    /// How far it is from that.
    var distance: Double { excess.reduce(0) { $0 + ($1 ?? 1) } + (isDropped ? 1e-3 : 0) }

    /// Whether it is nowhere worse than another and somewhere better.
    func dominates(_ other: SearchTrial) -> Bool {
        var isSomewhereBetter = false
        for (own, others) in zip(scores, other.scores) {
            guard let own, let others, own <= others else { return false }
            if own < others { isSomewhereBetter = true }
        }
        return isSomewhereBetter
    }
}

extension SearchGoal {
    /// Whether the limits on the metric hold, on all samples.
    func keepsMetric(_ trial: SearchTrial) -> Bool { !trial.isDropped && zip(demands, trial.excess).allSatisfy { $0.measure.metric == nil || $1 == 0 } }

    /// Whether all limits but those on the metric hold.
    func keepsSizes(_ trial: SearchTrial) -> Bool { zip(demands, trial.excess).allSatisfy { $0.measure.metric != nil || $1 == 0 } }
}

/// What a search has tried, and which of it is best.
struct SearchArchive {
    let goal: SearchGoal
    private(set) var trials: [SearchTrial] = []
    /// Of those that hold the goal, those that no other dominates.
    private(set) var front: [SearchTrial] = []
    private(set) var best: SearchTrial?

    init(_ goal: SearchGoal) { self.goal = goal }

    /// - Returns: whether it brings the search on: a better one, another point of a front that was asked for, or a nearer miss where nothing holds.
    mutating func add(_ trial: SearchTrial) -> Bool {
        let nearest = best == nil ? trials.map(\.distance).min() : nil
        trials.append(trial)
        guard trial.isFeasible else { return nearest.map { trial.distance < $0 } ?? false }
        // One of the same place says nothing new.
        let isOnFront = !front.contains { $0.dominates(trial) || $0.scores == trial.scores }
        if isOnFront {
            front.removeAll { trial.dominates($0) }
            front.append(trial)
        }
        if goal.isFront {
            if isOnFront { best = Self.nearestToIdeal(front) }
            return isOnFront
        }
        guard best.map({ SearchTrial.isBetter(trial, $0) }) ?? true else { return false }
        best = trial
        return true
    }

    /// The point of a front that is nearest to what would be best on every axis, each axis over the front's own span.
    static func nearestToIdeal(_ front: [SearchTrial]) -> SearchTrial? {
        guard let axes = front.first?.scores.count else { return nil }
        let spans = (0..<axes).map { axis -> (low: Double, span: Double) in
            let values = front.compactMap { $0.scores[axis] }
            let low = values.min() ?? 0
            return (low, max((values.max() ?? low) - low, 1e-300))
        }
        func distance(_ trial: SearchTrial) -> Double {
            zip(trial.scores, spans).reduce(0) { sum, entry in
                let part = ((entry.0 ?? .infinity) - entry.1.low) / entry.1.span
                return sum + part * part
            }
        }
        return front.min { distance($0) < distance($1) }
    }

    /// Whether a model of which not all is known cannot be better than what there is.
    /// - Parameter slack: factor by which what is known may be off.
    func beats(_ scores: [Double?], slack: [Double]) -> Bool {
        func isWorse(_ score: Double, than other: Double, _ slack: Double) -> Bool { score > other + abs(other) * (slack - 1) }
        guard goal.isFront else {
            guard let best = best?.score, let score = scores.first ?? nil else { return false }
            return isWorse(score, than: best, slack[0])
        }
        return front.contains { other in
            scores.indices.allSatisfy { axis in
                guard let there = other.scores[axis] else { return false }
                if let score = scores[axis] { return isWorse(score, than: there, slack[axis]) }
                // What loses nothing leaves nothing to gain.
                return goal.axes[axis].metric != nil && there <= 0
            }
        }
    }

    /// The least loss among trials of the front that are nowhere else worse: who loses clearly more is of no use.
    func leastLoss(besides scores: [Double?]) -> Double? {
        guard goal.isFront, let metric = goal.axes.firstIndex(where: { $0.metric != nil }) else { return nil }
        return front.filter { other in
            scores.indices.allSatisfy { axis in
                guard axis != metric else { return true }
                guard let score = scores[axis], let there = other.scores[axis] else { return false }
                return there <= score
            }
        }.compactMap { $0.scores[metric] }.min()
    }

    /// From which others may come: those of the front, or the best and the nearest.
    func parents(_ most: Int) -> [SearchTrial] {
        let usable = trials.filter { !$0.recipe.steps.isEmpty && ($0.isFeasible || !$0.isDropped) }
        if goal.isFront {
            let on = front.filter { !$0.recipe.steps.isEmpty }
            if on.count >= min(3, most) { return on }
        }
        return Array(usable.sorted(by: SearchTrial.isBetter).prefix(most))
    }
}

/// What a search came to.
public struct SearchResult: Sendable {
    public enum End: String, Sendable {
        /// Nothing better was found for a while.
        case settled
        case budget
        case interrupted
    }

    public var goal: SearchGoal
    /// The one that meets the goal and is best; of a front the one nearest to what would be best on every axis. `nil` if none meets the goal.
    public var best: SearchTrial?
    /// All that meet the goal and that no other beats on all axes (`SearchGoal.axes`), the best by the first first.
    public var front: [SearchTrial] = []
    /// For each demand that nothing met together with the others: what comes nearest.
    public var misses: [(demand: Demand, trial: SearchTrial)] = []
    /// Recipes that were run.
    public var tried = 0
    /// Recipes that were left out for sizes that are known without running anything.
    public var rejected = 0
    /// Recipes that were left out since they are clearly too slow.
    public var slow = 0
    /// Recipes whose run was cut short.
    public var dropped = 0
    /// Recipes that do not apply to the model, or failed.
    public var failed = 0
    /// Recipes that change nothing.
    public var idle = 0
    /// Recipes whose answers were stored.
    public var known = 0
    /// Trainings that were run, short ones too.
    public var trainings = 0
    /// What the best loses once the choice among many is accounted for; `nil` where that cannot be said.
    public var correctedLoss: CorrectedLoss?
    /// The best on the test split, by which nothing was chosen; `nil` without one.
    public var test: AccuracyEstimate?
    public var end = End.settled
    public var seconds = 0.0

    public init(goal: SearchGoal) { self.goal = goal }

    /// Finds the front, and where nothing meets the goal what comes nearest.
    mutating func conclude(_ archive: SearchArchive) {
        best = archive.best
        front = archive.front.sorted(by: SearchTrial.isBetter)
        guard best == nil else { return }
        // Those that were cut short are known by part of the samples; better than nothing. The original is no miss but where nothing else was tried.
        let tried = archive.trials.filter { !$0.recipe.steps.isEmpty }
        let whole = tried.filter { !$0.isDropped }
        let known = !whole.isEmpty ? whole : !tried.isEmpty ? tried : archive.trials
        for (index, demand) in goal.demands.enumerated() {
            let others = known.filter { trial in trial.excess.enumerated().allSatisfy { $0.offset == index || $0.element == 0 } }
            if let nearest = others.min(by: { ($0.excess[index] ?? .infinity) < ($1.excess[index] ?? .infinity) }), nearest.excess[index] != nil {
                misses.append((demand, nearest))
            }
        }
        // Nothing holds all but one: the nearest to all.
        if misses.isEmpty, let nearest = known.min(by: { $0.distance < $1.distance }),
            let worst = nearest.excess.enumerated().max(by: { ($0.element ?? 0) < ($1.element ?? 0) })
        {
            misses.append((goal.demands[worst.offset], nearest))
        }
    }
}

/// How a search goes.
public enum SearchEvent: Sendable {
    case phase(String)
    /// Something was tried.
    case tried(SearchTrial)
    /// The best so far.
    case best(SearchTrial)
}
