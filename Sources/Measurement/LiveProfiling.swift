import EngineSupport
import ModelGraph
import OnnxRuntime

// Some models decide, sample by sample, how much of themselves to run. What comes of turning the value that they decide by follows from a profile:
// what every part of the model says of every sample, found once.

/// Finds out once what any value of a model's live parameter needs to know.
public protocol LiveProfiler: Sendable {
    /// Equal for models that differ in the parameter's value only.
    var key: ContentHash { get }

    /// The model without branches: every sample runs through everything.
    var straightened: Model { get }

    /// Gives values that only the model itself has the shapes of those they stand for in `straightened`.
    func complete(_ shapes: inout ValueShapes)

    /// The graphs of the model, main graph and branches, whose layers are run and counted.
    var paths: [GraphPath] { get }

    /// Runs the samples of a split that `known` has not seen.
    /// - Parameter keep: called with the profile so far and the fraction done, so that a run that is cancelled is not lost.
    /// - Returns: the profile of all samples.
    /// - Throws: `EngineError`.
    func profile(continuing known: (any LiveProfile)?, in setting: ProfileSetting, keep: (any LiveProfile, Double) -> Void) throws -> any LiveProfile

    /// The profile with the time of every way through the model, measured in turns with the baseline.
    func timed(_ profile: any LiveProfile, in setting: ProfileSetting) throws -> any LiveProfile

    /// What the model does at the value that it has.
    func figures(from profile: any LiveProfile) -> LiveFigures?
}

/// What is known of a model at any value of its live parameter.
public protocol LiveProfile: Sendable {
    /// Whether it is of all samples of the split.
    var isComplete: Bool { get }
    /// Whether it knows how long samples take.
    var isTimed: Bool { get }
    /// What the model does at a value of the parameter, in O(samples) and without running it; `nil` before the first sample.
    func figures(at value: Double) -> LiveFigures?
}

/// What a model is profiled on, and against.
public struct ProfileSetting: Sendable {
    public var baseline: Model
    public var samples: SampleSet
    public var library: RuntimeLibrary
    /// How the baseline fares on each sample; empty where nothing is scored.
    public var baselineScores: [Float] = []
    /// The baseline's outputs where there are no labels.
    public var reference: AccuracyEvaluation.ReferenceOutputs?
    /// Whether a sample's output does not depend on who else is in its batch.
    public var samplesAreIndependent = true
    /// Of the profiled model at batch 1; `nil` while unknown.
    public var shapes: ValueShapes?
    public var cancellation: Cancellation

    public init(baseline: Model, samples: SampleSet, library: RuntimeLibrary, cancellation: Cancellation) {
        self.baseline = baseline
        self.samples = samples
        self.library = library
        self.cancellation = cancellation
    }
}
