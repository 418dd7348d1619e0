import Measurement
import Recipes

/// A recipe that a search tried, and what was found.
public struct SearchTrial: Sendable {
    public var recipe: Recipe
    public var findings: Demand.Findings
    /// Samples behind its accuracy were cut short: it was clear that it cannot hold the goal.
    public var isDropped = false
    /// By how much each demand is missed, 0 where it holds, in shares of the limit; `nil` where the number is not known.
    public var excess: [Double?]
    /// What is made best, less being better; `nil` where it is not known.
    public var score: Double?

    public init(recipe: Recipe, findings: Demand.Findings, excess: [Double?]) {
        self.recipe = recipe
        self.findings = findings
        self.excess = excess
    }

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
    /// The one that meets the goal and is best; `nil` if none meets it.
    public var best: SearchTrial?
    /// All that meet the goal and are not beaten in both the objective and the metric, the best first.
    public var front: [SearchTrial] = []
    /// For each demand that nothing met together with the others: what comes nearest.
    public var misses: [(demand: Demand, trial: SearchTrial)] = []
    /// Recipes that were run.
    public var tried = 0
    /// Recipes that were left out for sizes that are known without running anything.
    public var rejected = 0
    /// Recipes whose run was cut short.
    public var dropped = 0
    /// Recipes that do not apply to the model, or failed.
    public var failed = 0
    /// Recipes whose answers were stored.
    public var known = 0
    public var end = End.settled
    public var seconds = 0.0

    public init(goal: SearchGoal) { self.goal = goal }

    /// Finds the front, and where nothing meets the goal what comes nearest.
    mutating func conclude(_ trials: [SearchTrial]) {
        let feasible = trials.filter(\.isFeasible).sorted(by: SearchTrial.isBetter)
        var least = Double.infinity
        front = feasible.filter { trial in
            let loss = trial.findings.accuracy?.loss ?? 0
            defer { least = min(least, loss) }
            return loss < least
        }
        guard best == nil else { return }
        // Those that were cut short are known by part of the samples; better than nothing.
        let whole = trials.filter { !$0.isDropped }
        let known = whole.contains { !$0.recipe.steps.isEmpty } ? whole : trials
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
