import CompressionEngine
import Measurement
import TerminalCells

/// A second measure of the what-if curve.
public enum CurveOverlay: Sendable, Equatable {
    case none, metric
    case measure(Measure)
}

/// What is looked at, and how: nothing here changes what the engine does.
public struct InterfaceState: Sendable {
    public var view = ViewID.explore
    public var focus: [ViewID: Pane] = [:]
    public var isZoomed = false
    public var lists: [Pane: ListState] = [:]
    /// First line in view of panes that hold text.
    public var textOffsets: [Pane: Int] = [:]
    public var filters: [Pane: String] = [:]
    /// Groups of techniques of which only the steps in the recipe are listed.
    public var foldedGroups: Set<TechniqueGroup> = []
    public var overlay: Overlay?
    public var layerSort = LayerSort()
    /// What the what-if curve is of; `nil` for the data set's metric.
    public var curveMeasure: Measure?
    /// What is laid over the what-if curve with a scale of its own: nothing, the data set's metric, or a measure that is predicted.
    public var curveOverlay = CurveOverlay.none
    /// Whether the map of sensitivities shows latency instead of losses.
    public var heatShowsLatency = false
    public var histogram: (layer: String, canonical: String, value: WeightHistogram?)?
    /// The bin whose exact count is shown.
    public var histogramCursor: Int?
    /// The state compared with the present one in History; its parent when nil.
    public var differenceBase: Int?
    /// Compare with this state instead of the baseline.
    public var comparedState: Int?
    public var export: ExportForm
    /// The shell command for the export as it is filled in.
    public var exportCommand: String?
    var exportCommandKey = ""

    init(view: ViewID, export: ExportForm) {
        self.view = view
        self.export = export
    }
}
