import CompressionEngine
import EngineSupport
import Measurement
import Recipes

/// What is known about one recipe.
public struct RecipeResult: Sendable {
    /// Counted on the rewritten model.
    public var figures: ModelFigures?
    public var accuracy: AccuracyEstimate?
    public var latency: LatencyFigures?
    public var operators: [OperatorTime] = []
    /// What each step did: layers it refused, remarks.
    public var reports: [StepReport] = []
    public var problem: String?
    /// What to take in its place, where it has ruined the model.
    public var rescue: Rescue?
    /// Found before it was asked for: not stored as a trial yet.
    public var isForeseen = false

    public init() {}
}

/// Results by recipe, so that going back shows them at once. Keeps the most recently used.
public struct RecipeResults: Sendable {
    private var entries: BoundedCache<String, RecipeResult>

    public init(capacity: Int = 400) { entries = BoundedCache(maximumCount: capacity) }

    public subscript(canonical: String) -> RecipeResult? { entries[canonical] }

    /// Drops all latencies, because they are to be measured under other conditions.
    public mutating func forgetLatencies() {
        for canonical in entries.keys {
            entries[canonical]?.latency = nil
            entries[canonical]?.operators = []
        }
    }

    /// Drops what is known of a recipe, because it has changed.
    public mutating func forget(_ canonical: String) { entries[canonical] = nil }

    public mutating func update(_ canonical: String, _ change: (inout RecipeResult) -> Void) {
        change(&entries[canonical, default: RecipeResult()])
    }
}

extension ModelFigures {
    /// These figures, with what they do not know yet taken from a prediction.
    func completed(by prediction: ModelFigures?) -> ModelFigures {
        guard let prediction else { return self }
        var figures = self
        figures.macs = macs ?? prediction.macs
        figures.theoreticalBytes = theoreticalBytes ?? prediction.theoreticalBytes
        figures.transferBytes = transferBytes ?? prediction.transferBytes
        figures.packedBytes = packedBytes ?? prediction.packedBytes
        figures.peakActivationBytes = peakActivationBytes ?? prediction.peakActivationBytes
        figures.memoryBytes = memoryBytes ?? prediction.memoryBytes
        figures.energyPicojoules = energyPicojoules ?? prediction.energyPicojoules
        // Timed later than counted.
        if live?.milliseconds == nil { figures.live = prediction.live ?? live }
        return figures
    }
}
