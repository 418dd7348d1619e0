import Datasets
import EngineSupport
import Measurement
import Metrics
import ModelGraph
import Recipes
import Techniques
import Training

/// What a front end needs of the engine. Calls return at once unless they say otherwise; results come as events, from
/// any thread, each with the generation of the request it answers.
public protocol ExplorerEngine: Sendable {
    /// Starts reading the model and the data. `send` receives every later event.
    func open(_ request: OpenRequest, send: @escaping @Sendable (EngineEvent) -> Void)

    /// What a recipe will do to sizes and compute, from prepared summaries: O(layers), safe on the terminal thread.
    /// `nil` until `EngineEvent.prepared`.
    func predict(_ recipe: Recipe) -> ModelFigures?

    /// Rewrites, counts and evaluates a recipe, replacing any evaluation under way. Answers: `rewritten`, then
    /// `accuracy` repeatedly until complete, then `settled`; or `failed`.
    func evaluate(_ recipe: Recipe, generation: Int)

    /// Ends the baseline's evaluation. Answers `baselineFailed`, unless it is over.
    func cancelBaseline()
    /// Scores the baseline again after `baselineFailed`.
    func evaluateBaseline()

    /// Times the recipe's model against the baseline. Answers `latency`, or `failed`. Queued behind evaluations, and dropped with the next one.
    func measureLatency(_ recipe: Recipe, request: LatencyRequest, generation: Int)

    /// Fills in the what-if curve of one parameter of one step over its range, in the background, nearest values first.
    /// Answers `whatIf` per point. Replaces the curve under way. Pauses while an evaluation runs.
    func traceWhatIf(_ recipe: Recipe, step: Int, parameter: String, generation: Int)

    /// Evaluates recipes that may be asked for next, the likeliest first, while nothing else is to do. Replaces those of before. Answers `foreseen`.
    func foresee(_ recipes: [Recipe])

    /// Writes recipe, model, archive (if asked) and report. Answers `jobUpdated` and `exported` or `failed`.
    func export(_ recipe: Recipe, request: ExportRequest, job: Int)

    /// Measures what a technique costs layer by layer. Answers `jobUpdated` and `sensitivity` after every cell.
    func analyze(_ request: SensitivityRequest, job: Int)

    /// Gives each layer its own value by measured sensitivities. Answers `jobUpdated` and `allocated`.
    func allocate(_ grid: SensitivityGrid, measure: AllocationMeasure, goal: AllocationGoal, job: Int)

    /// Looks for the recipe that meets a goal. Answers `jobUpdated`, `trials` as they come in, and `searched`.
    func search(_ request: SearchRequest, title: String, job: Int)

    /// Trains what a recipe's steps learn. Answers `jobUpdated` and `training` as it goes, then `trained` or `failed`.
    /// - Parameter steps: a preview: stop after so many steps, and keep nothing.
    func train(_ recipe: Recipe, steps: Int?, job: Int)

    /// Pauses a training or lets it go on; ends one early with the best state so far.
    func control(_ command: TrainingCommand, job: Int)

    /// Cancels a job by number, or the evaluation and the curve under way (`nil`).
    func cancel(job: Int?)

    /// Pins, names or unpins a stored trial.
    func setPinned(_ pinned: Bool, trial: String)

    /// The shell command that does the same as a recipe headless.
    func equivalentCommand(for recipe: Recipe, recipePath: String) -> String

    /// Weight histogram of a layer of the baseline and, if rewritten already, of the recipe's model: counts over equal
    /// bins of `range`. `nil` until prepared.
    func weightHistogram(layer: String, recipe: Recipe) -> WeightHistogram?

    /// Stops everything; returns once workers have stopped or after two seconds.
    func close()
}

/// How latency is to be measured.
public struct LatencyRequest: Sendable, Hashable {
    public var conditions: LatencyConditions
    /// The user asked for it: measured again although known, and at once although the machine is busy.
    public var isExplicit: Bool

    public init(conditions: LatencyConditions = LatencyConditions(), isExplicit: Bool = false) {
        self.conditions = conditions
        self.isExplicit = isExplicit
    }
}

public struct OpenRequest: Sendable {
    public var modelPath: String
    public var dataPath: String?
    public var recipePath: String?
    public var runtimePath: String?
    /// A model that steps which learn take as their teacher, in place of the one before the recipe.
    public var teacherPath: String?
    /// How much of earlier work is kept on disk.
    public var limits = StoreLimits()

    public init(modelPath: String, dataPath: String? = nil, recipePath: String? = nil, runtimePath: String? = nil, teacherPath: String? = nil) {
        self.teacherPath = teacherPath
        self.modelPath = modelPath
        self.dataPath = dataPath
        self.recipePath = recipePath
        self.runtimePath = runtimePath
    }
}

public struct ExportRequest: Sendable {
    /// Folder and base name: `<folder>/<name>.onnx`, `.recipe.yaml`, `.report.md`, `.lathe`.
    public var folder: String
    public var name: String
    public var includeArchive: Bool
    public var overwrite: Bool

    public init(folder: String, name: String, includeArchive: Bool, overwrite: Bool = false) {
        self.folder = folder
        self.name = name
        self.includeArchive = includeArchive
        self.overwrite = overwrite
    }
}

/// What can be done to a running training, beside canceling it.
public enum TrainingCommand: Sendable, Hashable {
    case pause, goOn, finish
}

/// Facts about the opened model and data.
public struct SessionInfo: Sendable {
    public var modelPath: String
    public var modelName: String
    public var modelHash: String
    /// Bytes of the model's file and its external data.
    public var fileBytes: Int
    public var opset: Int
    public var producer: String
    public var inputs: [String]
    public var outputs: [String]
    public var layers: [Layer]
    public var dataName: String?
    /// The file that declares them.
    public var dataPath: String?
    public var metric: MetricKind?
    public var validationCount: Int
    public var calibrationCount: Int
    public var testCount: Int
    /// `nil` when the runtime is missing; `runtimeProblem` then says why.
    public var runtimeVersion: String?
    public var runtimeProblem: String?
    /// Why the runtime does not run this model; `nil` while it does.
    public var cannotRun: String?
    public var warnings: [String]
    /// What makes every number of this model doubtful, a line each; part of `warnings`, and said by every command.
    public var alarms: [String] = []
    /// What was assumed about the data, a line each; part of `warnings`.
    public var dataNotes: [String] = []
    /// Names of the classes; empty if unknown.
    public var classes: [String] = []

    public init(modelPath: String, modelName: String, modelHash: String, opset: Int, producer: String, layers: [Layer]) {
        self.modelPath = modelPath
        self.modelName = modelName
        self.modelHash = modelHash
        self.opset = opset
        self.producer = producer
        self.layers = layers
        fileBytes = 0
        inputs = []
        outputs = []
        validationCount = 0
        calibrationCount = 0
        testCount = 0
        warnings = []
    }

    /// What is missing for calibration, in words, where something is.
    package var calibrationNeed: String {
        guard runtimeVersion != nil else { return "needs ONNX Runtime" }
        guard let dataName else { return "needs calibration data (--data)" }
        return "needs calibration data, and that split of \(dataName) is empty: its \(validationCount + testCount) samples went to validation"
            + (testCount > 0 ? " and test" : "") + "; give more, or splits of their own in a declaration"
    }
}

public enum EngineEvent: Sendable {
    /// Phase of opening, with a fraction if known.
    case opening(phase: String, fraction: Double?)
    /// The model is parsed: layers can be shown. `refusals[technique][layer position]` says why a technique does not apply.
    case opened(SessionInfo, baseline: ModelFigures, refusals: [String: [Int: String]], recipe: Recipe?)
    /// The baseline's figures with its shapes, so MACs and memory; techniques are not predicted yet.
    case counted(baseline: ModelFigures)
    /// Summaries are ready (or more complete than before): `predict` answers.
    case prepared(baseline: ModelFigures)
    /// The baseline's accuracy on the validation split so far.
    case baselineAccuracy(AccuracyEstimate)
    /// The baseline has no accuracy, and so nothing else has: a metric command that fails, data that do not fit.
    case baselineFailed(String)
    /// What looks wrong about the baseline's accuracy, a line each: likely mistakes of the declaration.
    case baselineRemarks([String])
    case rewritten(generation: Int, ModelFigures, reports: [StepReport])
    case accuracy(generation: Int, AccuracyEstimate)
    /// Times of a model against the baseline. Also the answer to an evaluation, where a model that runs in the same way was timed before.
    case latency(generation: Int, LatencyFigures, operators: [OperatorTime])
    /// Where the baseline's time goes, found with the first measurement of any model.
    case baselineOperators([OperatorTime])
    /// A recipe near one that has ruined the model, and which does not.
    case rescue(of: Recipe, Rescue)
    /// Timing waits until other programs leave the processor alone.
    case latencyWaits(generation: Int)
    /// Everything about a recipe that nobody has asked for yet.
    case foreseen(Recipe, ModelFigures, reports: [StepReport], AccuracyEstimate)
    /// Everything asked for under this generation is done.
    case settled(generation: Int)
    case whatIf(generation: Int, WhatIfPoint)
    /// Figures predicted at the values of a what-if curve, before anything was run.
    case whatIfForecast(generation: Int, [WhatIfForecast])
    case trials([TrialRecord])
    case jobUpdated(JobUpdate)
    case exported(job: Int, files: [String])
    /// The sensitivities so far.
    case sensitivity(job: Int, SensitivityGrid)
    /// How the training of a recipe goes.
    case training(job: Int, TrainingProgress)
    /// A recipe is trained; evaluating it now gives its own numbers.
    case trained(job: Int, Recipe)
    /// What a short training of so many steps recovered, estimated on part of the validation split.
    case recovered(job: Int, Recipe, AccuracyEstimate, steps: Int)
    /// The recipe that an allocation found; whether it meets its goal, by measurement.
    case allocated(job: Int, Recipe, isMet: Bool)
    /// What a search has found: the best so far, and at the end all of it.
    case foundSoFar(job: Int, SearchTrial)
    case searched(job: Int, SearchResult)
    /// `generation` is that of the request that failed, `job` that of a job.
    case failed(generation: Int?, job: Int?, message: String)
    /// A file of the model is no longer what was opened. Everything goes on with the model as it was.
    case sourceChanged(path: String)
    /// A remark for the message log.
    case remark(String)
}

/// What is predicted at one value of a what-if curve.
public struct WhatIfForecast: Sendable {
    public var value: ParameterValue
    /// Without those of layers.
    public var figures: ModelFigures

    public init(value: ParameterValue, figures: ModelFigures) {
        self.value = value
        self.figures = figures
    }
}

/// One point of a what-if curve.
public struct WhatIfPoint: Sendable {
    public var step: Int
    public var parameter: String
    public var value: ParameterValue
    public var accuracy: AccuracyEstimate?
    public var serializedBytes: Double?
    /// What is expected of samples at this value of a live parameter.
    public var live: LiveFigures?
    /// Why there is no number at this value.
    public var problem: String?

    public init(step: Int, parameter: String, value: ParameterValue) {
        self.step = step
        self.parameter = parameter
        self.value = value
    }
}

/// A stored result.
public struct TrialRecord: Sendable, Identifiable {
    /// Content address.
    public var id: String
    public let recipe: Recipe
    /// Hash of the recipe: equal for recipes that do the same.
    public let recipeHash: ContentHash
    public var created: Double
    public var figures: TrialFigures
    public var pinned = false

    public init(id: String, recipe: Recipe, created: Double, figures: TrialFigures = TrialFigures()) {
        self.id = id
        self.recipe = recipe
        recipeHash = recipe.contentHash
        self.created = created
        self.figures = figures
    }
}

/// Where a job stands.
public struct JobUpdate: Sendable, Identifiable {
    public enum State: Sendable, Equatable {
        case waiting, running, finished, cancelled
        case failed(String)
    }

    public var id: Int
    public var title: String
    public var phase: String
    /// Fraction done; `nil` while unknown.
    public var fraction: Double?
    public var elapsedSeconds: Double
    public var remainingSeconds: Double?
    public var state: State

    public init(id: Int, title: String, phase: String, fraction: Double?, elapsedSeconds: Double, remainingSeconds: Double?, state: State) {
        self.id = id
        self.title = title
        self.phase = phase
        self.fraction = fraction
        self.elapsedSeconds = elapsedSeconds
        self.remainingSeconds = remainingSeconds
        self.state = state
    }
}

/// Counts of weights over equal bins.
public struct WeightHistogram: Sendable {
    public var range: ClosedRange<Double>
    public var baseline: [Int]
    public var current: [Int]?

    public init(range: ClosedRange<Double>, baseline: [Int], current: [Int]?) {
        self.range = range
        self.baseline = baseline
        self.current = current
    }
}
