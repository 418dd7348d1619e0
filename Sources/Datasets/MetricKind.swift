/// What is measured over a split.
public enum MetricKind: String, Sendable, Codable, Hashable, CaseIterable {
    /// The largest output is the label's.
    case top1
    /// The label's output is among the five largest.
    case top5
    /// The largest output is the one that is largest in the original model. Needs no labels.
    case agreement
    /// Cosine between the outputs and the original model's, mean over samples. Needs no labels.
    case cosine
    /// Signal-to-quantization-noise ratio of the outputs against the original model's in decibels, mean over samples. Needs no labels.
    case sqnr

    /// For headings: `top-1`, `SQNR`, …
    public var title: String {
        switch self {
        case .top1: "top-1"
        case .top5: "top-5"
        case .agreement: "agreement"
        case .cosine: "cosine"
        case .sqnr: "SQNR"
        }
    }

    /// The metric that documents and stored results name by its title.
    public init?(title: String) {
        guard let found = Self.allCases.first(where: { $0.title == title }) else { return nil }
        self = found
    }

    public var needsLabels: Bool { self == .top1 || self == .top5 }

    /// Whether a sample is either right or wrong, so that the mean is a proportion.
    public var isProportion: Bool { self != .cosine && self != .sqnr }
}
