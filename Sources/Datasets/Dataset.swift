import Metrics

/// Labeled or unlabeled samples in disjoint splits, with what to measure on them.
public struct Dataset: Sendable {
    public let name: String
    /// Path it was opened from.
    public let path: String
    public package(set) var metric: MetricKind
    public package(set) var metricOptions: MetricOptions
    /// Whether nobody asked for this metric, so that another may suit the model better.
    package let isMetricAssumed: Bool
    /// Inputs of the model that are the same in every call, by name.
    public let constants: [String: [Double]]
    /// Where samples are sequences that the model takes step by step: outputs of one step that are inputs of the next, the input's name by the output's.
    public let carry: [String: String]
    /// Names of the classes; empty if unknown.
    public let classes: [String]
    /// Remarks for the user: what was assumed or left out, one line each.
    public let notes: [String]
    /// What explorers look at: always there.
    public let validation: DatasetSplit
    /// For calibrating quantizers; never overlaps with another split.
    public let calibration: DatasetSplit?
    /// Read once, at export.
    public let test: DatasetSplit?
    /// For recovery training.
    public let train: DatasetSplit?

    public func split(_ name: SplitName) -> DatasetSplit? {
        switch name {
        case .train: train
        case .calibration: calibration
        case .validation: validation
        case .test: test
        }
    }

    /// Splits there are, in the order train, calibration, validation, test.
    public var splits: [DatasetSplit] { SplitName.allCases.compactMap { split($0) } }
}
