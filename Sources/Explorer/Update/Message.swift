import CompressionEngine
import Measurement
import Recipes
import TerminalCells

/// What can happen to the explorer.
public enum Message: Sendable {
    case key(Key)
    case paste(String)
    /// `target` is what the last frame drew under the pointer.
    case mouse(MouseEvent, target: HitTarget?)
    case resize(Size)
    case engine(EngineEvent)
    /// Time has passed; sent while something moves.
    case tick
    // Answers to effects.
    case predicted(canonical: String, ModelFigures?)
    case histogram(layer: String, canonical: String, WeightHistogram?)
    /// `shown`: on request, in a box; otherwise for the export view.
    case command(String, shown: Bool)
    case copied(String, Bool)
    /// Which of the files to be written exist already.
    case existing([String])
    /// Lines that libraries wrote to standard output or error.
    case captured([String])

    var isKey: Bool { if case .key = self { true } else { false } }
}

/// What `update` wants done. The runtime does it; nothing else has effects.
public enum Effect: Sendable {
    /// Answered at once by `Message.predicted`.
    case predict(Recipe)
    case evaluate(Recipe, generation: Int)
    case evaluateBaseline
    case cancelBaseline
    case measureLatency(Recipe, LatencyRequest, generation: Int)
    case foresee([Recipe])
    case traceWhatIf(Recipe, step: Int, parameter: String, generation: Int)
    case checkFiles([String])
    case export(Recipe, ExportRequest, job: Int)
    case analyze(SensitivityRequest, job: Int)
    case search(SearchRequest, title: String, job: Int)
    case allocate(SensitivityGrid, AllocationMeasure, AllocationGoal, job: Int)
    /// With a number of steps a preview.
    case train(Recipe, steps: Int?, job: Int)
    case control(TrainingCommand, job: Int)
    case cancel(job: Int?)
    case setPinned(Bool, trial: String)
    /// Answered at once by `Message.histogram`.
    case histogram(layer: String, Recipe)
    /// Answered at once by `Message.command`.
    case equivalentCommand(Recipe, recipePath: String, shown: Bool)
    case copy(String)
    case setMouse(Bool)
    case setColors(ColorTier)
    case suspend
    case quit
    case log(SessionLine)
}

/// What a place on the screen stands for, for the mouse.
public enum HitTarget: Sendable, Hashable {
    case pane(Pane)
    /// A row of a pane's list, by its index in that list.
    case row(Pane, Int)
    /// A place on the slider of parameter number `row`, 0…1 from left to right.
    case slider(row: Int, share: Double)
    case view(ViewID)
    case trial(String)
    case layerColumn(LayerColumn)
    case button(Int)
}
