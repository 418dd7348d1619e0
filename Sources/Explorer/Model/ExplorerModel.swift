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
    /// Processor cores of the machine.
    public let cores: Int
    /// Where the session is logged; shown with the equivalent command.
    public var logPath: String?
    /// The last session of this model, until it is taken up.
    public var earlier: EarlierSession?

    // The terminal.
    public var theme: Theme
    public var isMouseOn: Bool
    /// Latency is measured without being asked for.
    public let measuresLatency: Bool
    public var size: Size
    /// Seconds since the session began.
    public var now: Double = 0
    /// Counts frames of the spinner.
    public var tick = 0

    /// The opened model and data.
    public var facts = ModelFacts()
    /// The recipe and its history.
    public var session: RecipeSession
    /// What the engine said of recipes, and what it is asked.
    public var answers = RecipeAnswers()
    /// Curves over parameters.
    public var whatIf = WhatIfState()
    /// What runs beside: exports, analyses, trainings.
    public var tasks = TaskState()
    /// Stored results.
    public var board = TrialBoard()
    /// What was said to the user.
    public var feed = MessageFeed()
    /// What is looked at, and how.
    public var ui: InterfaceState
    /// What the update under way wants done.
    var effects: [Effect] = []

    public init(
        request: OpenRequest, catalog: TechniqueCatalog = .registered, keyMap: KeyMap = KeyMap(), capabilities: Capabilities = Capabilities(),
        size: Size, settings: ExplorerSettings = ExplorerSettings(), logPath: String? = nil,
        cores: Int = 1
    ) {
        self.cores = cores
        self.keyMap = keyMap
        self.capabilities = capabilities
        self.request = request
        self.size = size
        self.logPath = logPath
        theme = settings.theme(capabilities.theme)
        isMouseOn = settings.mouse && capabilities.hasMouse
        measuresLatency = settings.measuresLatency
        session = RecipeSession(catalog: catalog)
        ui = InterfaceState(view: settings.view, export: ExportForm(modelPath: request.modelPath))
        // More than fifty names are no place to begin.
        if catalog.descriptors.count > 30 { ui.foldedGroups = [.withCalibration, .trains] }
    }

    public var catalog: TechniqueCatalog { session.editor.catalog }
    public var recipe: Recipe { session.recipe }
    /// No step is switched on: the present model is the baseline.
    public var isBaseline: Bool { !recipe.steps.contains(where: \.enabled) }
    public var pane: Pane { ui.focus[ui.view] ?? ui.view.panes[0] }
    public var result: RecipeResult? { answers.results[recipe.canonical] }
}
