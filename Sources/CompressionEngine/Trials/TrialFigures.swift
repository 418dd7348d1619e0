import Datasets
import Measurement
import Metrics
import Techniques

/// Numbers of one trial, stored as JSON: one key for each measure that is known, and what belongs to the metric and to latency besides. Keys may be
/// added: older files lack them, newer ones' are ignored.
public struct TrialFigures: Sendable, Hashable {
    /// By `Measure.storedKey`.
    private var values: [String: Double] = [:]
    /// Which metric `accuracy` is of.
    public var metric: MetricKind?
    /// Samples evaluated, and samples in the split.
    public var seen: Int?
    public var total: Int?
    public var accuracyInterval: Interval?
    public var latencyP90: Double?
    /// Candidate / baseline.
    public var latencyRatio: Double?
    public var latencyRatioInterval: Interval?
    /// Samples and threads of a call.
    public var latencyBatch: Int?
    public var latencyThreads: Int?
    /// Anything else, by name.
    public var other: [String: Double]?

    public init() {}

    /// The value of a measure; `nil` where it is not known. A metric has a value only where it is the one that was measured.
    public subscript(measure: Measure) -> Double? {
        get {
            if let asked = measure.metric, let metric, metric != asked { return nil }
            return values[measure.storedKey]
        }
        set {
            values[measure.storedKey] = newValue
            if let asked = measure.metric, newValue != nil { metric = asked }
        }
    }

    /// The metric's value, whichever it is.
    public var accuracy: Double? { values[Measure.top1.storedKey] }

    /// Whether every sample of the split was evaluated.
    public var isComplete: Bool { seen != nil && seen == total }

    /// Takes over what is known of a model. What is not known yet, the slow sizes for one, stays as an earlier run found it.
    public mutating func record(_ figures: ModelFigures) {
        for measure in Measure.all where measure.isOfFigures {
            if let figure = measure.figure(in: figures) { self[measure] = figure.value }
        }
    }

    public mutating func record(_ accuracy: AccuracyEstimate) {
        self[accuracy.measure] = accuracy.value
        (seen, total, accuracyInterval) = (accuracy.seen, accuracy.total, accuracy.interval)
    }

    public mutating func record(_ latency: LatencyFigures) {
        self[.latency] = latency.candidate
        (latencyP90, latencyRatio, latencyRatioInterval) = (latency.candidateP90, latency.ratio, latency.ratioInterval)
        (latencyBatch, latencyThreads) = (latency.batch, latency.threads)
    }

    public mutating func record(_ trainings: [TrainingSummary]) {
        guard !trainings.isEmpty else { return }
        self[.trained] = trainings.map { Double($0.trainedParameters) }.max()
        self[.trainingMemory] = trainings.map { Double($0.bytes) }.max()
        self[.trainingTime] = trainings.reduce(0) { $0 + $1.seconds }
    }
}

extension TrialFigures: Codable {
    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(_ name: String) { stringValue = name }
        init?(stringValue: String) { self.init(stringValue) }
        init?(intValue: Int) { nil }
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        for key in Set(Measure.all.map(\.storedKey)) { values[key] = try container.decodeIfPresent(Double.self, forKey: Key(key)) }
        // Files name the metric by its title.
        metric = try container.decodeIfPresent(String.self, forKey: Key("metric")).flatMap(MetricKind.init(title:))
        seen = try container.decodeIfPresent(Int.self, forKey: Key("seen"))
        total = try container.decodeIfPresent(Int.self, forKey: Key("total"))
        accuracyInterval = try container.decodeIfPresent(Interval.self, forKey: Key("accuracyInterval"))
        latencyP90 = try container.decodeIfPresent(Double.self, forKey: Key("latencyP90"))
        latencyRatio = try container.decodeIfPresent(Double.self, forKey: Key("latencyRatio"))
        latencyRatioInterval = try container.decodeIfPresent(Interval.self, forKey: Key("latencyRatioInterval"))
        latencyBatch = try container.decodeIfPresent(Int.self, forKey: Key("latencyBatch"))
        latencyThreads = try container.decodeIfPresent(Int.self, forKey: Key("latencyThreads"))
        other = try container.decodeIfPresent([String: Double].self, forKey: Key("other"))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        for (key, value) in values { try container.encode(value, forKey: Key(key)) }
        try container.encodeIfPresent(metric?.title, forKey: Key("metric"))
        try container.encodeIfPresent(seen, forKey: Key("seen"))
        try container.encodeIfPresent(total, forKey: Key("total"))
        try container.encodeIfPresent(accuracyInterval, forKey: Key("accuracyInterval"))
        try container.encodeIfPresent(latencyP90, forKey: Key("latencyP90"))
        try container.encodeIfPresent(latencyRatio, forKey: Key("latencyRatio"))
        try container.encodeIfPresent(latencyRatioInterval, forKey: Key("latencyRatioInterval"))
        try container.encodeIfPresent(latencyBatch, forKey: Key("latencyBatch"))
        try container.encodeIfPresent(latencyThreads, forKey: Key("latencyThreads"))
        try container.encodeIfPresent(other, forKey: Key("other"))
    }
}
