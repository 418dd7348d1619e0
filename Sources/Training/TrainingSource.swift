import Datasets
import EngineSupport
import Measurement
import Metrics
import ModelGraph
import OnnxRuntime
import Techniques

/// What training needs beside the model: samples to learn from, a measure of success, the runtime.
public struct TrainingSource: Sendable {
    /// Samples to learn from, in a fixed order; never those of the validation or test split.
    public let samples: SampleSet
    /// Labels of the samples, in their order; `nil` where there are none.
    public let labels: [Int]?
    public let library: RuntimeLibrary
    /// What `evaluate` measures.
    public let metric: MetricKind
    /// The metric of a model over the validation split.
    public var evaluate: @Sendable (Model, Cancellation) throws -> AccuracyEstimate
    /// Where finished trainings and checkpoints are kept; `nil` to keep none.
    public let store: TrainingStore?
    /// Whether a training that is not in the store may be run now. Otherwise its step leaves the weights that it would start from.
    public var mayTrain = true
    /// The model to learn from in place of the one before the recipe; `nil` for none.
    public var teacher: Model?
    public var demand = Demand.none
    /// Stop each training after so many steps, for previews; `nil` for no limit.
    public var maximumSteps: Int?
    /// What to say of the samples; `nil` for nothing.
    public var remark: String?
    public var control = TrainingControl()
    public var progress: @Sendable (TrainingProgress) -> Void = { _ in }

    /// What is wanted of the store.
    public enum Demand: Sendable {
        /// Take what is there: a finished training, else a checkpoint to go on from.
        case none
        /// There must be a checkpoint or a finished training.
        case checkpoint
        /// Train from the start.
        case anew
    }

    public init(
        samples: SampleSet, labels: [Int]?, library: RuntimeLibrary, store: TrainingStore?, metric: MetricKind = .top1,
        evaluate: @escaping @Sendable (Model, Cancellation) throws -> AccuracyEstimate
    ) {
        self.samples = samples
        self.labels = labels
        self.library = library
        self.store = store
        self.metric = metric
        self.evaluate = evaluate
    }
}

extension RewriteContext {
    public init(training: TrainingSource) {
        self.init()
        self.training = training
    }

    /// What techniques that learn train on; `nil` without a split for it, or without runtime.
    public var training: TrainingSource? {
        get { facets[TrainingSource.self] }
        set { facets[TrainingSource.self] = newValue }
    }
}
