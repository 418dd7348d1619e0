import Metrics

/// How a number came about. Drawn differently everywhere.
public enum Provenance: String, Sendable, Codable {
    /// Counted on the very model that is exported, or timed on it.
    case measured
    /// Predicted from prepared summaries, or from part of the data; a measurement will replace it.
    case estimated
    /// From a model of the hardware; no measurement here can replace it (energy).
    case modeled
}

/// A number with where it is from.
public struct Figure: Hashable, Sendable {
    public var value: Double
    public var provenance: Provenance

    public init(_ value: Double, _ provenance: Provenance) {
        self.value = value
        self.provenance = provenance
    }
}

/// Everything about a model that does not need labeled data. `nil` means not known yet, which is not zero.
public struct ModelFigures: Sendable {
    /// Trainable parameters: weights and biases, BatchNormalization's scale, shift, mean and variance counted.
    public var parameters: Figure
    public var nonZeros: Figure
    /// Multiply-accumulates of one inference at batch 1. FLOPs = 2 × MACs.
    public var macs: Figure?
    /// Bits of the encodings that the techniques stand for, in bytes.
    public var theoreticalBytes: Figure?
    /// The ONNX file.
    public var serializedBytes: Figure
    /// The ONNX file after gzip.
    public var transferBytes: Figure?
    /// lathe's packed archive.
    public var packedBytes: Figure?
    /// Largest sum of live intermediate tensors at batch 1, in bytes.
    public var peakActivationBytes: Figure?
    /// Weights in memory plus peak activations, in bytes.
    public var memoryBytes: Figure?
    /// Energy of one inference in picojoules (45 nm model), always modeled.
    public var energyPicojoules: Figure?
    /// What latency is expected of a recipe's model, before it was timed.
    public var latency: LatencyPrediction?
    public var layers: [LayerFigures]
    /// Of a model that decides sample by sample how much of itself to run: which ways samples take, and what is to be expected; `nil` for
    /// others and without data.
    public var live: LiveFigures?

    public init(parameters: Figure, nonZeros: Figure, serializedBytes: Figure, layers: [LayerFigures] = []) {
        self.parameters = parameters
        self.nonZeros = nonZeros
        self.serializedBytes = serializedBytes
        self.layers = layers
    }
}

/// One layer's share.
public struct LayerFigures: Sendable, Identifiable {
    /// `Layer.id` in the model the figures are of.
    public var id: String
    public var kind: String
    public var opType: String
    public var weightShape: [Int]
    public var weightType: String
    public var parameters: Double
    public var nonZeros: Double
    public var macs: Double?
    /// Bytes of its tensors in the ONNX file.
    public var serializedBytes: Double
    /// Bytes in the packed archive.
    public var packedBytes: Double?
    /// Bits per stored weight.
    public var weightBits: Double
    /// Elements of its output at batch 1.
    public var outputElements: Double?
    /// Median run time in milliseconds at batch 1, from the runtime's profiler.
    public var milliseconds: Double?

    public init(
        id: String, kind: String, opType: String, weightShape: [Int], weightType: String, parameters: Double, nonZeros: Double,
        serializedBytes: Double, weightBits: Double
    ) {
        self.id = id
        self.kind = kind
        self.opType = opType
        self.weightShape = weightShape
        self.weightType = weightType
        self.parameters = parameters
        self.nonZeros = nonZeros
        self.serializedBytes = serializedBytes
        self.weightBits = weightBits
    }

    public var sparsity: Double { parameters > 0 ? 1 - nonZeros / parameters : 0 }
}

/// Interleaved timing of candidate against baseline. Milliseconds.
public struct LatencyFigures: Sendable {
    public var baselineMedian: Double
    public var baselineP90: Double
    public var candidateMedian: Double
    public var candidateP90: Double
    /// Ratio of the medians, candidate / baseline, with its 95 % bootstrap interval over paired rounds, and the p90 of
    /// the rounds' own ratios.
    public var ratio: Double
    public var ratioP90: Double
    public var ratioInterval: Interval
    public var batch: Int
    public var threads: Int
    public var rounds: Int
    /// Instruction set, for example `AVX512-VNNI`.
    public var instructionSet: String
    public var runtimeVersion: String
    /// What made the machine noisy during measurement, if anything.
    public var warning: String?
    /// Where times depend on the sample: mean time of a call over `samples` different ones, of baseline and candidate. The ratio and its interval are then
    /// those of the means.
    public var means: Means?

    /// The time of one call that stands for the model: the median, or the mean where times depend on the sample.
    public var baseline: Double { means?.baseline ?? baselineMedian }
    public var candidate: Double { means?.candidate ?? candidateMedian }

    /// Whether the interval of the ratio leaves 1 out, and on which side.
    public var verdict: Verdict { ratioInterval.high < 1 ? .better : ratioInterval.low > 1 ? .worse : .unclear }

    public struct Means: Sendable {
        public var baseline: Double
        public var candidate: Double
        public var samples: Int
    }

    public init(
        baselineMedian: Double, baselineP90: Double, candidateMedian: Double, candidateP90: Double, ratio: Double, ratioP90: Double,
        ratioInterval: Interval, batch: Int, threads: Int, rounds: Int, instructionSet: String, runtimeVersion: String,
        warning: String? = nil
    ) {
        self.baselineMedian = baselineMedian
        self.baselineP90 = baselineP90
        self.candidateMedian = candidateMedian
        self.candidateP90 = candidateP90
        self.ratio = ratio
        self.ratioP90 = ratioP90
        self.ratioInterval = ratioInterval
        self.batch = batch
        self.threads = threads
        self.rounds = rounds
        self.instructionSet = instructionSet
        self.runtimeVersion = runtimeVersion
        self.warning = warning
    }
}
