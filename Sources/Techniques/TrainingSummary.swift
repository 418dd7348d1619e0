/// Mean loss of an epoch and what the validation split says after it.
public struct TrainingEpoch: Sendable, Codable, Hashable {
    /// Counted from 1; 0 is the start.
    public var number: Int
    /// `nil` for the start.
    public var loss: Double?
    public var accuracy: Double
    public var seconds: Double

    public init(number: Int, loss: Double?, accuracy: Double, seconds: Double) {
        self.number = number
        self.loss = loss
        self.accuracy = accuracy
        self.seconds = seconds
    }
}

/// What is said of a finished training.
public struct TrainingSummary: Sendable, Codable, Hashable {
    public var epochs: [TrainingEpoch]
    public var kept: Int
    public var steps: Int
    public var trainedParameters: Int
    public var bytes: Int
    /// Median time of a step when it was trained.
    public var stepMilliseconds: Double
    public var notes: [String]

    public init(epochs: [TrainingEpoch], kept: Int, steps: Int, trainedParameters: Int, bytes: Int, stepMilliseconds: Double, notes: [String]) {
        self.epochs = epochs
        self.kept = kept
        self.steps = steps
        self.trainedParameters = trainedParameters
        self.bytes = bytes
        self.stepMilliseconds = stepMilliseconds
        self.notes = notes
    }

    /// Of all epochs, looking at the validation split included.
    public var seconds: Double { epochs.reduce(0) { $0 + $1.seconds } }
}
