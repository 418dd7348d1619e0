import CompressionEngine
import EngineSupport
import Measurement
import Recipes
import TerminalCells

/// What the terminal can do, found once at the start.
public struct Capabilities: Hashable, Sendable {
    /// The richest glyphs and colors the terminal shows; the user may choose less.
    public var theme: Theme
    /// Text can be put on the system's clipboard (OSC 52).
    public var canCopy: Bool
    public var hasMouse: Bool

    public init(theme: Theme = Theme(), canCopy: Bool = false, hasMouse: Bool = true) {
        self.theme = theme
        self.canCopy = canCopy
        self.hasMouse = hasMouse
    }
}

/// The whole state of the explorer. `update` changes it, `ExplorerView.frame` draws it; both are pure.
public struct ExplorerModel: Sendable {
    // Set at the start.
    public let keyMap: KeyMap
    public let capabilities: Capabilities
    public let request: OpenRequest
    /// Where the session is logged; shown with the equivalent command.
    public var logPath: String?

    // The terminal.
    public var theme: Theme
    public var isMouseOn: Bool
    public var size: Size
    /// Seconds since the session began.
    public var now: Double = 0
    /// Counts frames of the spinner.
    public var tick = 0

    // The opened model and data.
    public enum Phase: Sendable, Equatable {
        case opening(phase: String, fraction: Double?)
        case ready
        case failed(String)
    }
    public var phase = Phase.opening(phase: "starting", fraction: nil)
    public var info: SessionInfo?
    public var baseline: ModelFigures?
    /// Summaries are ready, so that every knob is answered at once.
    public var isPrepared = false
    public var baselineAccuracy: AccuracyEstimate?
    /// When the baseline's evaluation began and ended.
    public var baselineRun: (started: Double, finished: Double?)?
    /// `[technique][layer position]`: why a technique does not apply to a layer.
    public var refusals: [String: [Int: String]] = [:]

    // The recipe.
    public var session: RecipeSession
    /// Figures predicted for the present recipe.
    public var prediction: ModelFigures?
    public var results = RecipeResults()
    public var evaluation = Evaluation()
    public var latencyRun: LatencyRun?
    public var lastGeneration = 0
    /// Shown, marked stale, until the present recipe has its own.
    public var staleAccuracy: AccuracyEstimate?
    public var staleLatency: LatencyFigures?

    // What-if curves.
    package var curves = BoundedCache<CurveKey, WhatIfCurve>(maximumCount: 64)
    public var curveRequest: (generation: Int, key: CurveKey)?

    /// Loss of accuracy by layer and value, as far as it was measured.
    public var sensitivity: SensitivityGrid?
    /// The value under the cursor of its map.
    public var heatColumn = 0
    /// Jobs that analyze or allocate.
    var analysisJobs: Set<Int> = []

    /// Trainings by canonical recipe: running, finished, previewed.
    public var trainings: [String: Training] = [:]
    /// Recipes that jobs train.
    var trainingJobs: [Int: String] = [:]
    var pausedJobs: Set<Int> = []

    // Trials.
    public var trials: [TrialRecord] = []
    public var axes = TrialAxes()
    /// The trial under the cursor.
    public var trialCursor: String?

    // Jobs and messages.
    public var jobs: [Job] = []
    public var lastJob = 0
    public var messages: [LoggedMessage] = []
    public var notice: Notice?

    // What is looked at.
    public var view = ViewID.explore
    public var focus: [ViewID: Pane] = [:]
    public var isZoomed = false
    public var lists: [Pane: ListState] = [:]
    /// First line in view of panes that hold text.
    public var textOffsets: [Pane: Int] = [:]
    public var filters: [Pane: String] = [:]
    public var overlay: Overlay?
    public var layerSort = LayerSort()
    public var trialSort = TrialSort()
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
    /// What the update under way wants done.
    var effects: [Effect] = []

    public init(
        request: OpenRequest, catalog: TechniqueCatalog = .registered, keyMap: KeyMap = KeyMap(), capabilities: Capabilities = Capabilities(),
        size: Size, settings: ExplorerSettings = ExplorerSettings(), logPath: String? = nil
    ) {
        self.keyMap = keyMap
        self.capabilities = capabilities
        self.request = request
        self.size = size
        self.logPath = logPath
        theme = settings.theme(capabilities.theme)
        isMouseOn = settings.mouse && capabilities.hasMouse
        session = RecipeSession(catalog: catalog)
        view = settings.view
        export = ExportForm(modelPath: request.modelPath)
    }

    public var catalog: TechniqueCatalog { session.editor.catalog }
    public var recipe: Recipe { session.recipe }
    /// No step is switched on: the present model is the baseline.
    public var isBaseline: Bool { !recipe.steps.contains(where: \.enabled) }
    public var pane: Pane { focus[view] ?? view.panes[0] }
    public var result: RecipeResult? { results[recipe.canonical] }
}

/// The evaluation of the present recipe.
public struct Evaluation: Sendable {
    public enum Status: Sendable, Equatable {
        case idle, running, settled, cancelled
        case failed(String)
    }
    public var generation = 0
    public var canonical = ""
    public var status = Status.idle
    public var started = 0.0
    public var finished = 0.0

    public init() {}
}

/// A latency measurement under way.
public struct LatencyRun: Sendable {
    public var generation: Int
    public var canonical: String
    public var started: Double
}

/// A job of this session.
public struct Job: Sendable, Identifiable {
    public var update: JobUpdate
    public var files: [String] = []
    public var id: Int { update.id }
    public var isRunning: Bool { update.state == .running || update.state == .waiting }
}

/// A line of the message log.
public struct LoggedMessage: Sendable, Hashable {
    public enum Kind: Sendable, Hashable { case info, warning, failure }
    public var time: Double
    public var kind: Kind
    public var text: String
}

/// A message shown for a few seconds.
public struct Notice: Sendable, Hashable {
    public var kind: Toast.Kind
    public var text: String
    public var until: Double
}

/// What the two axes of the trade-off show.
public struct TrialAxes: Sendable, Hashable {
    public var x = Measure.file
    /// The data set's metric at first.
    public var y = Measure.top1
}
