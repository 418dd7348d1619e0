import CompressionEngine
import Measurement
import TerminalCells

/// A quantity of a model that is shown, compared and plotted.
public enum Measure: String, CaseIterable, Sendable, Codable {
    case accuracy
    case file, packed, gzip, encoding
    case macs, latency
    case energy, memory
    case parameters
    case nonZeros = "non-zeros"
    case trained
    case trainingMemory = "training-memory"
    case trainingTime = "training-time"

    public var title: String {
        switch self {
        case .accuracy: "Accuracy"
        case .file: "ONNX file"
        case .packed: "Archive"
        case .gzip: "Gzip"
        case .encoding: "Encoding"
        case .macs: "MACs"
        case .latency: "Latency"
        case .energy: "Energy"
        case .memory: "Memory"
        case .parameters: "Weights"
        case .nonZeros: "Non-zero"
        case .trained: "Trained"
        case .trainingMemory: "Training memory"
        case .trainingTime: "Training time"
        }
    }

    /// What exactly the number says.
    public var explanation: String {
        switch self {
        case .accuracy: "Share of validation samples answered right, with its 95 % interval; the difference is paired on the same samples."
        case .file: "Bytes of the ONNX file that export writes. Zeros in a dense tensor make it no smaller."
        case .packed: "Bytes of lathe's archive: sparse indices, codebooks and code tables counted."
        case .gzip: "Bytes of the ONNX file after gzip: what a compressed transfer sends."
        case .encoding: "Bits that the techniques' encodings need in theory, in bytes. No file of this size exists."
        case .macs: "Multiply-accumulates of one inference; FLOPs = 2 × MACs. Bias, activations and pooling are not counted."
        case .latency: "Median time of one inference, baseline and candidate measured in turns. Not inferred from MACs."
        case .energy: "Arithmetic and memory traffic priced at 45 nm figures: a model, never a measurement here."
        case .memory: "Weights in memory plus the largest sum of live activations, at batch 1."
        case .parameters: "Trainable parameters stored, zeros included."
        case .nonZeros: "Parameters that are not zero."
        case .trained: "Parameters that the recipe's trainings change, the largest of them."
        case .trainingMemory: "Weights, gradients and optimizer states that a training keeps, the largest of them."
        case .trainingTime: "Time of all epochs of the recipe's trainings on this machine."
        }
    }

    public var format: NumberFormat {
        switch self {
        case .accuracy: .percent(digits: 2)
        case .file, .packed, .gzip, .encoding, .memory, .trainingMemory: .bytes
        case .macs, .parameters, .nonZeros, .trained: .count
        case .trainingTime: .fixed(digits: 1, unit: "s")
        case .latency: .milliseconds
        case .energy: .si(unit: "J")
        }
    }

    /// The number with every digit, for the status line.
    func exactText(_ value: Double) -> String {
        switch self {
        case .file, .packed, .gzip, .encoding, .memory, .trainingMemory: Grouping.text(value) + " bytes"
        case .macs, .parameters, .nonZeros, .trained: Grouping.text(value)
        case .trainingTime: format.text(value)
        case .accuracy: NumberFormat.percent(digits: 3).text(value)
        case .latency: NumberFormat.fixed(digits: 4, unit: "ms").text(value)
        case .energy: format.text(value)
        }
    }

    /// More is better only for accuracy.
    public var higherIsBetter: Bool { self == .accuracy }

    /// The number in a model's figures; accuracy, latency and what a training took are not among them.
    public func figure(in figures: ModelFigures) -> Measurement.Figure? {
        switch self {
        case .accuracy, .latency, .trained, .trainingMemory, .trainingTime: nil
        case .file: figures.serializedBytes
        case .packed: figures.packedBytes
        case .gzip: figures.transferBytes
        case .encoding: figures.theoreticalBytes
        case .macs: figures.macs
        // Picojoules become joules, so that the unit's prefix can be chosen for reading.
        case .energy: figures.energyPicojoules.map { .init($0.value * 1e-12, $0.provenance) }
        case .memory: figures.memoryBytes
        case .parameters: figures.parameters
        case .nonZeros: figures.nonZeros
        }
    }

    /// Measures a stored trial has.
    public static let ofTrials: [Measure] = [.accuracy, .file, .packed, .gzip, .macs, .latency, .energy, .parameters, .trained, .trainingMemory, .trainingTime]

    public func value(of trial: TrialRecord) -> Double? {
        switch self {
        case .accuracy: trial.accuracy
        case .file: trial.serializedBytes
        case .packed: trial.packedBytes
        case .gzip: trial.transferBytes
        case .macs: trial.macs
        case .latency: trial.latencyMilliseconds
        case .energy: trial.energyPicojoules.map { $0 * 1e-12 }
        case .parameters: trial.parameters
        case .trained: trial.trainedParameters
        case .trainingMemory: trial.trainingBytes
        case .trainingTime: trial.trainingSeconds
        case .encoding, .memory, .nonZeros: nil
        }
    }
}

/// Numbers with their digits in groups of three: `1,724,336`.
enum Grouping {
    static func text(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 9e15 else { return "\(value)" }
        return text(Int(value.rounded()))
    }

    static func text(_ value: Int) -> String {
        let digits = String(value.magnitude)
        var result = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { result.append(",") }
            result.append(digit)
        }
        return (value < 0 ? "-" : "") + result
    }
}

extension Provenance {
    var standing: TerminalCells.Figure.Standing {
        switch self {
        case .measured: .measured
        case .estimated: .estimated
        case .modeled: .modeled
        }
    }
}
