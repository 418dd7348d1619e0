import CompressionEngine

/// What runs beside the present recipe, and what came of it.
public struct TaskState: Sendable {
    public var jobs: [Job] = []
    public var lastJob = 0
    /// Loss of accuracy by layer and value, as far as it was measured.
    public var sensitivity: SensitivityGrid?
    /// The value under the cursor of its map.
    public var heatColumn = 0
    /// Jobs that analyze or allocate.
    var analysisJobs: Set<Int> = []
    /// The search that runs, and the best that one has found and nobody has taken yet.
    var searchJob: Int?
    public var found: SearchTrial?
    /// The goal that was typed last.
    var goal = ""
    /// The same as limits, which stay on screen.
    public var target: SearchGoal?
    /// Trainings by canonical recipe: running, finished, previewed.
    public var trainings: [String: Training] = [:]
    /// Recipes that jobs train.
    var trainingJobs: [Int: String] = [:]
    var pausedJobs: Set<Int> = []

    public init() {}
}

/// A job of this session.
public struct Job: Sendable, Identifiable {
    public var update: JobUpdate
    public var files: [String] = []
    public var id: Int { update.id }
    public var isRunning: Bool { update.state == .running || update.state == .waiting }
}
