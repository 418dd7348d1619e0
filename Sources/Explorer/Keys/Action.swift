/// Everything a key, the mouse or the palette can do. The raw value is the action's name in the palette, in the
/// configuration and in session logs.
public enum Action: String, CaseIterable, Sendable, Codable {
    // Program
    case quit, interrupt, suspend, back, help, palette, filter
    case nextMatch = "next-match"
    case previousMatch = "previous-match"
    case messages
    case copyCommand = "copy-command"
    case toggleMouse = "toggle-mouse"
    case cycleGlyphs = "cycle-glyphs"
    case cycleColors = "cycle-colors"
    // Moving about
    case up, down, left, right, first, last
    case pageUp = "page-up"
    case pageDown = "page-down"
    case halfPageUp = "half-page-up"
    case halfPageDown = "half-page-down"
    case nextPane = "next-pane"
    case previousPane = "previous-pane"
    case zoom
    case viewExplore = "view-explore"
    case viewLayers = "view-layers"
    case viewPareto = "view-pareto"
    case viewHistory = "view-history"
    case viewJobs = "view-jobs"
    case viewExport = "view-export"
    // Recipe
    case undo, redo
    case toggle
    case decrease, increase
    case decreaseMuch = "decrease-much"
    case increaseMuch = "increase-much"
    case type
    case reset
    case moveEarlier = "move-earlier"
    case moveLater = "move-later"
    case removeStep = "remove-step"
    case clearRecipe = "clear-recipe"
    case resumeSession = "resume-session"
    // Measuring and comparing
    case measureLatency = "measure-latency"
    case evaluate
    case pin
    case compare
    case classChanges = "class-changes"
    case takeRescue = "take-suggestion"
    case train
    case previewRecovery = "preview-recovery"
    case curveMeasure = "curve-measure"
    case curveOverlay = "curve-overlay"
    case axisX = "axis-x"
    case axisY = "axis-y"
    // Layers
    case previousTechnique = "previous-technique"
    case nextTechnique = "next-technique"
    case previousParameter = "previous-parameter"
    case nextParameter = "next-parameter"
    case sortNext = "sort-next"
    case sortPrevious = "sort-previous"
    case sortReverse = "sort-reverse"
    case search
    case target
    case analyzeSensitivity = "analyze-sensitivity"
    case allocate
    case applyCell = "apply-cell"
    case histogramLeft = "histogram-left"
    case histogramRight = "histogram-right"
    // Trials and history
    case restore
    case rename
    case markDifference = "mark-difference"
    // Jobs
    case cancelJob = "cancel-job"
    case pauseJob = "pause-job"
    case finishJob = "finish-job"
    case copyDetail = "copy-detail"
    // Export
    case startExport = "start-export"

    /// Whether the action belongs in help and palette; `interrupt` is a key, not a wish.
    public var view: ViewID? {
        switch self {
        case .viewExplore: .explore
        case .viewLayers: .layers
        case .viewPareto: .pareto
        case .viewHistory: .history
        case .viewJobs: .jobs
        case .viewExport: .export
        default: nil
        }
    }
}
