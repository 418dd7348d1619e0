import Datasets

// The metric of a data set: one measure for each.
extension Measure {
    /// The measure of a metric.
    public static func metric(_ kind: MetricKind) -> Measure {
        switch kind {
        case .top1: top1
        case .top5: top5
        case .agreement: agreement
        case .cosine: cosine
        case .sqnr: sqnr
        }
    }

    public static let top1 = proportion(
        .top1, name: "top-1 accuracy", shortTitle: "Accuracy",
        explanation: "Share of samples whose largest output is the label's, with its 95 % interval; the difference is paired on the same samples.")

    public static let top5 = proportion(
        .top5, name: "top-5 accuracy", shortTitle: "Top-5",
        explanation: "Share of samples whose label is among the five largest outputs, with its 95 % interval; the difference is paired on the same samples.")

    public static let agreement = proportion(
        .agreement, name: "agreement",
        explanation: "Share of samples whose largest output is the original model's, with its 95 % interval. Needs no labels.")

    public static let cosine = metric(
        .cosine, name: "cosine", explanation: "Cosine between the outputs and the original model's, mean over samples; 1 is equal. Needs no labels.", unit: "1",
        format: .fixed(digits: 5, unit: ""), range: -1...1, scale: 0...1, resolution: 0.0002, comparison: .difference)

    public static let sqnr = metric(
        .sqnr, name: "SQNR",
        explanation: "Signal-to-quantization-noise ratio of the outputs in decibels, mean over samples; 20 dB more is a tenth of the error, 150 dB is equal. Needs no labels.",
        unit: "dB", format: .fixed(digits: 1, unit: "dB"), range: -OutputComparison.sqnrCeiling...OutputComparison.sqnrCeiling, scale: 0...100, resolution: 0.5,
        comparison: .difference)

    private static func proportion(_ kind: MetricKind, name: String, shortTitle: String? = nil, explanation: String) -> Measure {
        metric(
            kind, name: name, shortTitle: shortTitle, explanation: explanation, unit: "1", format: .percent(digits: 2), range: 0...1, scale: 0...1, resolution: 0.002,
            comparison: .points)
    }

    private static func metric(
        _ kind: MetricKind, name: String, shortTitle: String? = nil, explanation: String, unit: String, format: MeasureFormat, range: ClosedRange<Double>,
        scale: ClosedRange<Double>, resolution: Double, comparison: Comparison
    ) -> Measure {
        Measure(
            kind.rawValue, name: name, shortTitle: shortTitle, explanation: explanation, unit: unit, format: format, direction: .higher, kind: .measured, range: range,
            scale: scale, resolution: resolution, comparison: comparison, documentKey: ["accuracy"], source: .metric(kind))
    }

    /// Whether an axis should hold the baseline. Not where the original is equal to itself by definition and that stands far from everything else:
    /// the ceiling of decibels would press a curve flat.
    public var baselineBelongsOnAxis: Bool { self != .sqnr }

    /// The smallest loss that colors a map of losses; below it differences are noise at usual sample counts.
    public var visibleLoss: Double { resolution * 5 }
}
