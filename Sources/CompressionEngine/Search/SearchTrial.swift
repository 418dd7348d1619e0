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
}

/// How a search goes.
public enum SearchEvent: Sendable {
    case phase(String)
    /// Something was tried.
    case tried(SearchTrial)
    /// The best so far.
    case best(SearchTrial)
}
