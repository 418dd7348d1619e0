import CompressionEngine
import Measurement

/// What is known of the opened model and its data.
public struct ModelFacts: Sendable {
    public enum Phase: Sendable, Equatable {
        case opening(phase: String, fraction: Double?)
        case ready
        case failed(String)
    }

    public var phase = Phase.opening(phase: "starting", fraction: nil)
    public var info: SessionInfo?
    public var layerNames = LayerNames()
    public var baseline: ModelFigures?
    /// Summaries are ready, so that every knob is answered at once.
    public var isPrepared = false
    public var baselineAccuracy: AccuracyEstimate?
    /// What looks wrong about it, a line each.
    public var baselineRemarks: [String] = []
    /// Why the baseline has no accuracy, where it was tried.
    public var baselineProblem: String?
    /// When the baseline's evaluation began and ended.
    public var baselineRun: (started: Double, finished: Double?)?
    /// `[technique][layer position]`: why a technique does not apply to a layer.
    public var refusals: [String: [Int: String]] = [:]

    public init() {}
}
