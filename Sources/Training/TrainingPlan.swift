import Differentiation
import Foundation

/// Everything that decides how a model is trained; two equal plans on equal models and data give equal weights.
public struct TrainingPlan: Sendable, Hashable {
    public enum Schedule: String, Sendable, Hashable, CaseIterable {
        /// The same rate throughout.
        case constant
        /// Half a cosine from the rate to 0 (Loshchilov and Hutter 2017).
        case cosine
        /// A tenth of the rate after a half, and again after three quarters of the steps.
        case step
        /// Up over the first fifth and down to nothing, both by half a cosine (Smith 2018).
        case oneCycle = "one-cycle"
    }

    /// What BatchNormalization normalizes by while training.
    public enum BatchNorm: String, Sendable, Hashable, CaseIterable {
        /// The statistics that stand in the model; they do not change.
        case frozen
        /// The batch's own; the model's statistics follow as a moving average.
        case batch
    }

    public enum Keep: String, Sendable, Hashable, CaseIterable {
        /// Weights after the epoch with the best validation accuracy; the start counts as epoch 0.
        case best
        case last
    }

    /// Passes over the training samples.
    public var epochs = 5
    /// Stop after so many steps in all; `nil` for no limit.
    public var maximumSteps: Int?
    /// Samples of a step.
    public var batch = 128
    /// Samples that are run at once, 0 to choose; a batch is cut into shards of this size, and batch statistics are those of a shard.
    public var shard = 0
    public var optimizer = Optimizer(.adamw)
    public var rate: Float = 1e-3
    public var schedule = Schedule.cosine
    /// Share of the steps over which the rate rises from nothing.
    public var warmup: Float = 0
    /// Cross-entropy: probability mass spread over all classes.
    public var smoothing: Float = 0
    public var batchNorm = BatchNorm.batch
    public var keep = Keep.best
    /// Epochs without a better validation accuracy after which training ends; 0 for never.
    public var patience = 0
    public var augmentation = Augmentation()
    public var distillation: Distillation?
    /// Weight of the labels' loss beside the teacher's, 0…1.
    public var labelWeight: Float = 1
    /// Numbers are learned by Huber's loss.
    public var countsLargeErrorsLess = false
    public var scope = TrainedScope.all
    /// Factor on the learning rate per layer away from the output (discriminative rates, Howard and Ruder 2018).
    public var rateDecay: Float = 1
    /// Share of the steps over which layers are freed one after another, from the output back (gradual unfreezing, Howard and Ruder 2018); 0 for
    /// all from the first.
    public var unfreezing: Float = 0
    /// Strength of penalties: magnitudes of weights, norms of filters, BatchNormalization's scales.
    public var l1: Float = 0
    public var groupLasso: Float = 0
    public var scalePenalty: Float = 0
    /// Whether zeros of sparse weights stay zero and shared values stay shared.
    public var keepsStructure = true
    /// How far from the student a peer starts, 0…1, that is trained beside it and with which it exchanges what they know; `nil` for no peer.
    public var peer: Float?
    /// Weights that are zeroed while training goes on; `nil` for none.
    public var pruning: MaskSchedule?
    /// Further scores of the model that learn what its own do: those of early exits.
    public var exits: [String] = []
    /// Names of weights whose zeros are a start and no structure, sorted.
    public var unstructured: [String] = []
    public var seed: UInt64 = 0

    public init() {}

    /// Text that is equal for equal plans.
    public var canonical: String {
        // What came later is left out where it is off, so that earlier trainings are found again.
        func text(_ plan: TrainingPlan) -> String { "\(plan)".replacing("countsLargeErrorsLess: false, ", with: "") }
        guard case .named(let names) = scope else { return text(self) }
        // A set prints in another order in every process.
        var plain = self
        plain.scope = .all
        return "\(text(plain)) of \(names.sorted())"
    }

    /// Learning rate of step `step` of `total`, counted from 0.
    public func rate(step: Int, of total: Int) -> Float {
        let total = max(total, 1)
        let position = Float(step) / Float(total)
        let rising = Int((warmup * Float(total)).rounded())
        if step < rising { return rate * Float(step + 1) / Float(rising) }
        let rest = Float(step - rising) / Float(max(total - rising, 1))
        switch schedule {
        case .constant: return rate
        case .cosine: return rate * 0.5 * (1 + cos(.pi * rest))
        case .step: return rate * (rest < 0.5 ? 1 : rest < 0.75 ? 0.1 : 0.01)
        case .oneCycle:
            // From a 25th of the peak up, and down to a 10,000th of the start.
            func between(_ from: Float, _ to: Float, _ share: Float) -> Float { to + (from - to) * 0.5 * (1 + cos(.pi * share)) }
            let top: Float = 0.2
            return position < top ? between(rate / 25, rate, position / top) : between(rate, rate / 250_000, (position - top) / (1 - top))
        }
    }
}

/// Which weights are trained.
public enum TrainedScope: Sendable, Hashable {
    case all
    /// Only the last layer (feature extraction).
    case head
    /// The layers nearest the output, a share of all in 0…1.
    case last(share: Float)
    /// Biases and normalizations only (Ben Zaken et al. 2022, BitFit).
    case biasesAndNorms
    /// Weights of these names.
    case named(Set<String>)
}

/// How training images are varied, so that no image comes twice the same.
public struct Augmentation: Sendable, Hashable {
    /// Largest shift in each direction, in pixels.
    public var shift = 0
    /// Whether half of the images are mirrored left to right.
    public var flip = false
    public init(shift: Int = 0, flip: Bool = false) {
        self.shift = shift
        self.flip = flip
    }

    public var isNone: Bool { shift == 0 && !flip }
}

/// What a student learns from a teacher's outputs.
public struct Distillation: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// Softened probabilities (Hinton, Vinyals and Dean 2015).
        case soft(temperature: Float)
        /// The scores themselves (Ba and Caruana 2014).
        case logits
    }

    public var kind: Kind
    public var weight: Float
    /// Pairs of values, the student's and the teacher's, whose difference is penalized too (Romero et al. 2015).
    public var features: [FeaturePair] = []

    public struct FeaturePair: Sendable, Hashable {
        public var student: String
        public var teacher: String
        public var weight: Float
        public var asAttention: Bool

        package init(student: String, teacher: String, weight: Float, asAttention: Bool) {
            self.student = student
            self.teacher = teacher
            self.weight = weight
            self.asAttention = asAttention
        }
    }

    public init(_ kind: Kind, weight: Float = 1) {
        self.kind = kind
        self.weight = weight
    }
}
