import Datasets
import Metrics

extension Measure {
    /// Every measure, in the order in which panes, tables and documentation have them.
    public static let all: [Measure] =
        MetricKind.allCases.map(metric) + [
            .file, .packed, .gzip, .encoding,
            .macs, .flops, .latency, .energy, .peakActivations, .memory,
            .parameters, .nonZeros, .sparsity,
            .trained, .trainingMemory, .trainingTime,
        ]

    /// The measures of one data set: its metric instead of all of them.
    /// - Parameter metric: `nil` without data; top-1 then stands for what there would be.
    public static func all(metric: MetricKind?, atLeast place: Place = .document) -> [Measure] {
        all.filter { ($0.metric == nil || $0.metric == metric ?? .top1) && $0.place >= place }
    }

    /// The measure with an id. `accuracy` is the data set's metric, whatever it is.
    public static func named(_ id: String, metric: MetricKind?) -> Measure? {
        id == accuracyID ? .metric(metric ?? .top1) : all.first { $0.id == id }
    }

    /// What scripts and settings call the data set's metric.
    public static let accuracyID = "accuracy"
}
