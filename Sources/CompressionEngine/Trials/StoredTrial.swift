import Foundation
import Measurement

/// A result that was stored.
public struct StoredTrial: Sendable, Hashable, Identifiable {
    public var key: TrialKey
    public var figures: TrialFigures
    /// Seconds since 1970.
    public var created: Double
    /// A name the user gave it; empty if none.
    public var label: String
    public var isPinned: Bool
    /// Address of the trial it was branched from.
    public var parent: String?

    public init(
        key: TrialKey, figures: TrialFigures, created: Double = Date().timeIntervalSince1970, label: String = "", isPinned: Bool = false,
        parent: String? = nil
    ) {
        self.key = key
        self.figures = figures
        self.created = created
        self.label = label
        self.isPinned = isPinned
        self.parent = parent
    }

    /// The content address.
    public var id: String { key.address }
}

/// Numbers of one trial, stored as JSON. Fields may be added: older files lack them, newer ones' are ignored.
public struct TrialFigures: Sendable, Hashable, Codable {
    // Accuracy.
    public var metric: String?
    /// Samples evaluated, and samples in the split.
    public var seen: Int?
    public var total: Int?
    public var accuracy: Double?
    public var accuracyInterval: Interval?
    // Size, in bytes.
    public var theoreticalBytes: Double?
    public var serializedBytes: Double?
    public var transferBytes: Double?
    public var packedBytes: Double?
    // Compute and memory.
    public var parameters: Double?
    public var nonZeros: Double?
    public var macs: Double?
    public var peakActivationBytes: Double?
    public var memoryBytes: Double?
    public var energyPicojoules: Double?
    // Training, over all steps that learn: parameters that were trained at most, bytes of weights, gradients and states at most, seconds.
    public var trainedParameters: Double?
    public var trainingBytes: Double?
    public var trainingSeconds: Double?
    // Latency, in milliseconds.
    public var latencyMedian: Double?
    public var latencyP90: Double?
    public var latencyRatio: Double?
    public var latencyRatioInterval: Interval?
    /// Anything else, by name.
    public var other: [String: Double]?

    public init() {}
}
