import Measurement
import Recipes

/// What the engine said of recipes, and what it is asked about the present one.
public struct RecipeAnswers: Sendable {
    /// Figures predicted for the present recipe.
    public var prediction: ModelFigures?
    /// The same of the recipes that come with the program, by their names.
    var presetFigures: [String: ModelFigures] = [:]
    /// Presets whose figures are still to be asked for.
    var presetsToPredict: [Recipe] = []
    public var results = RecipeResults()
    public var evaluation = Evaluation()
    public var latencyRun: LatencyRun?
    /// The recipe whose latency was asked for last without the user, so that a failure or a cancellation is not repeated.
    public var timedUnasked: String?
    /// What was asked to be foreseen last.
    var foreseenFor: ForeseenKey?
    /// Times of the baseline's operators, once it was timed.
    public var baselineOperators: [OperatorTime] = []
    /// Under which conditions latency is measured.
    public var conditions = LatencyConditions()
    /// Numbers the requests: answers to older ones are dropped.
    public var lastGeneration = 0
    /// Shown, marked stale, until the present recipe has its own.
    public var staleAccuracy: AccuracyEstimate?
    public var staleLatency: LatencyFigures?

    public init() {}
}

/// The evaluation of the present recipe.
public struct Evaluation: Sendable {
    public enum Status: Sendable, Equatable {
        case idle, running, settled, cancelled
        case failed(String)
    }
    public var generation = 0
    public var canonical = ""
    public var status = Status.idle
    public var started = 0.0
    public var finished = 0.0

    public init() {}
}

/// A latency measurement under way.
public struct LatencyRun: Sendable {
    public var generation: Int
    public var canonical: String
    public var started: Double
    /// The user asked for it and is told of the result.
    public var isExplicit: Bool
    /// It waits for other programs to leave the processor alone.
    public var isWaiting = false
}
