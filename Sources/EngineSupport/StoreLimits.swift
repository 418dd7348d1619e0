/// How much of earlier work is kept on disk. What goes is made again when it is asked for.
public struct StoreLimits: Hashable, Sendable {
    /// Unpinned results of each model and its data.
    public var trialsPerModel = 20_000
    /// Unpinned results of all models together.
    public var trials = 200_000
    /// Bytes of finished trainings and checkpoints.
    public var trainingBytes = 4_000_000_000

    public init() {}
}
