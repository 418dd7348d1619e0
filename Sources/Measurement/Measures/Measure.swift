import Datasets
import Metrics

/// A quantity of a model that is shown, compared, plotted, stored and demanded.
///
/// A measure is described once. Panes, axes, tables, documents, reports, requirements and `Docs/Measures.md` are derived from it. Adding one: a
/// declaration in the file of its family, and a line in `Measure.all`.
public struct Measure: Sendable, Identifiable {
    public enum Direction: String, Sendable, Codable {
        case higher, lower
        /// Neither end is better.
        case neither
    }

    /// How the number comes about.
    public enum Kind: String, Sendable, Codable {
        /// Counted on the file or the graph.
        case counted
        /// Timed, or scored on samples.
        case measured
        /// Predicted from part of what there is to know.
        case estimated
        /// From a model of the hardware.
        case modeled
    }

    /// How two values of the measure are compared.
    public enum Comparison: Hashable, Sendable {
        /// By their ratio: `-74.0 %`, `3.85x smaller`. The words say which way it went.
        case ratio(less: String, more: String)
        /// By their difference in percentage points.
        case points
        /// By their difference in the measure's own unit.
        case difference
    }

    /// Where a measure is shown. A document has all of them.
    public enum Place: Int, Sendable, Comparable {
        case document, table, pane

        public static func < (a: Place, b: Place) -> Bool { a.rawValue < b.rawValue }
    }

    /// Where its values come from.
    package enum Source: Sendable {
        case metric(MetricKind)
        case latency
        case training
        case figures(@Sendable (ModelFigures) -> Figure?)
    }

    /// Stable, in kebab case: on the command line, in the palette, in settings.
    public let id: String
    /// The one name it has everywhere, as inside a sentence: `packed archive`.
    public let name: String
    /// The end of that name, for columns of nine characters: `Archive`.
    public let shortTitle: String
    /// What exactly the number says.
    public let explanation: String
    /// The unit of the values, for documents: `byte`, `ms`, `dB`; `1` for plain numbers.
    public let unit: String
    public let format: MeasureFormat
    public let direction: Direction
    public let kind: Kind
    /// What values are possible.
    public let range: ClosedRange<Double>
    /// The part of `range` that a gauge shows; nothing where the baseline gives the scale.
    public let scale: ClosedRange<Double>?
    /// The smallest difference that is worth a look: axes span at least twice as much.
    public let resolution: Double
    public let comparison: Comparison
    public let place: Place
    /// The key in documents of `--json`, one name for each level.
    public let documentKey: [String]
    /// The key in stored trials. Never changes: trials outlive versions.
    public let storedKey: String
    package let source: Source

    package init(
        _ id: String, name: String, shortTitle: String? = nil, explanation: String, unit: String, format: MeasureFormat, direction: Direction = .lower,
        kind: Kind = .counted, range: ClosedRange<Double> = 0...(.infinity), scale: ClosedRange<Double>? = nil, resolution: Double = 0,
        comparison: Comparison, place: Place = .pane, documentKey: [String], storedKey: String? = nil, source: Source
    ) {
        self.id = id
        self.name = name
        self.shortTitle = shortTitle ?? name.capitalizedFirst
        self.explanation = explanation
        self.unit = unit
        self.format = format
        self.direction = direction
        self.kind = kind
        self.range = range
        self.scale = scale
        self.resolution = resolution
        self.comparison = comparison
        self.place = place
        self.documentKey = documentKey
        self.storedKey = storedKey ?? documentKey.last ?? id
        self.source = source
    }

    /// For headings: the name with a capital in front.
    public var title: String { name.capitalizedFirst }

    /// The metric of a data set that this is; `nil` for every other measure.
    public var metric: MetricKind? {
        if case .metric(let kind) = source { return kind }
        return nil
    }

    public var isLatency: Bool {
        if case .latency = source { return true }
        return false
    }

    /// Whether it can be read off a model's figures, without labeled data and without a clock.
    public var isOfFigures: Bool {
        if case .figures = source { return true }
        return false
    }

    /// The number in a model's figures; `nil` where it is not known, or is none of them.
    public func figure(in figures: ModelFigures) -> Figure? {
        guard case .figures(let read) = source else { return nil }
        return read(figures)
    }

    /// The title, or what is left of it in a narrow column.
    public func title(fitting width: Int) -> String { title.count <= width ? title : shortTitle }
}

extension Measure: Hashable {
    public static func == (a: Measure, b: Measure) -> Bool { a.id == b.id }
    public func hash(into hasher: inout Hasher) { hasher.combine(id) }
}

extension String {
    fileprivate var capitalizedFirst: String { prefix(1).uppercased() + dropFirst() }
}
