import Datasets
import EngineSupport
import Metrics
import ModelGraph
import OnnxRuntime

/// The metric that labels and outputs suggest where a declaration names none.
public struct MetricGuess: Sendable, Hashable {
    public var metric: MetricKind
    /// How sequences are read, where that is not to be seen from the metric.
    public var decoding: MetricOptions.Decoding?
    /// Why, as the end of a sentence.
    public var reason: String

    /// Samples whose labels are looked at.
    private static let looked = 256

    /// - Parameters:
    ///   - output: one sample's, without the batch; `nil` where it is not known.
    ///   - isOpen: whether the output's extents hang on the input's.
    /// - Throws: `EngineError` if a file of labels is damaged.
    package static func metric(_ samples: PreparedSamples, output: [Int]?, isOpen: Bool, ofTokens: Bool, isProbability: Bool, isSequence: Bool = false) throws -> MetricGuess? {
        guard let targets = samples.targets else { return nil }
        let some = try (0..<min(looked, samples.count)).map { try samples.target($0) }
        let extents = output?.filter { $0 != 1 } ?? []
        switch targets.kind {
        case .boxes: return MetricGuess(metric: .detectionMAP, reason: "labels are boxes")
        case .text: return MetricGuess(metric: .characterErrorRate, reason: "labels are texts")
        case .label:
            let largest = targets.labels?.max() ?? 0
            // Few different ones are classes that do not fit, and that is said.
            if output != nil, extents.isEmpty, !isProbability, Set(targets.labels ?? []).count > 10 {
                return MetricGuess(metric: .mae, reason: "labels go up to \(largest) and the output is one number")
            }
            return MetricGuess(metric: .top1, reason: "labels are classes")
        case .numbers:
            let shape = targets.shape ?? []
            let isBinary = some.allSatisfy { if case .numbers(let values, _) = $0 { values.allSatisfy { $0 == 0 || $0 == 1 } } else { false } }
            if shape.count == 1, isBinary, extents.count <= 1 { return MetricGuess(metric: .multilabelAP, reason: "labels are rows of 0 and 1") }
            if shape.count >= 3 || shape.count == 2 && extents.count == 2 { return MetricGuess(metric: .psnr, reason: "labels are images") }
            return MetricGuess(metric: .rmse, reason: "labels are numbers")
        case .classes:
            let shape = targets.shape ?? []
            if shape.count >= 2 { return MetricGuess(metric: .meanIoU, reason: "labels are maps of classes") }
            let steps = shape.first ?? 0
            let isBinary = some.allSatisfy { if case .classes(let values, _) = $0 { values.allSatisfy { $0 == 0 || $0 == 1 } } else { false } }
            if isBinary, extents == [steps], !isOpen, !isSequence { return MetricGuess(metric: .multilabelAP, reason: "labels are rows of 0 and 1, one for each output") }
            if let output, output.count >= 2, extents.count == 2, !output.contains(steps) {
                return MetricGuess(metric: .characterErrorRate, decoding: .ctc, reason: "labels are sequences of another length than the output's \(output.shapeText)")
            }
            return ofTokens
                ? MetricGuess(metric: .tokenAccuracy, reason: "labels are a class for each token") : MetricGuess(metric: .frameAccuracy, reason: "labels are a class for each step")
        }
    }

    /// Whether sequences are read by CTC: the output has more steps than the labels.
    package static func needsCTC(_ samples: SampleSet, model: Model, runner: ModelRunner) throws -> Bool {
        guard let steps = samples.prepared.targets?.shape?.first, samples.prepared.targets?.kind == .classes else { return samples.prepared.targets?.kind == .text }
        let evaluation = try AccuracyEvaluation(samples: samples, model: model, oneByOne: true, workers: 1)
        let shape = try evaluation.sampleShape(runner)
        return shape.count == 2 && shape[0] > steps
    }

    /// The class that stands for nothing in CTC: the last one, where it is the largest of more steps than the first. Exporters use both.
    /// - Returns: `nil` where it is the first.
    package static func blank(_ samples: SampleSet, model: Model, runner: ModelRunner) throws -> Int? {
        let evaluation = try AccuracyEvaluation(samples: samples, model: model, oneByOne: true, workers: 1)
        guard let counts = try evaluation.classCounts(runner, limit: 16), let last = counts.last else { return nil }
        return last > counts[0] ? counts.count - 1 : nil
    }

    /// The metric for samples of a model, which is run on one of them if need be.
    package static func metric(_ samples: SampleSet, model: Model, runner: () throws -> ModelRunner) throws -> MetricGuess? {
        guard let targets = samples.prepared.targets, samples.count > 0 else { return nil }
        return try metric(samples.prepared, isSequence: samples.isSequence, model: model) { declared in
            if let declared, targets.kind != .classes { return declared }
            var probe = samples
            probe.probe()
            let evaluation = try AccuracyEvaluation(samples: probe, model: model, workers: 1)
            return try evaluation.sampleShape(runner())
        }
    }

    /// The metric that a data set is measured by where nobody names one, as far as shapes that the model declares tell: nothing is run.
    package static func declared(_ dataset: Dataset, _ samples: PreparedSamples, of model: Model) throws -> MetricKind {
        guard dataset.isMetricAssumed else { return dataset.metric }
        let guess = try metric(samples, isSequence: !dataset.carry.isEmpty, model: model) { $0 }?.metric ?? dataset.metric
        return guess == .agreement && !AccuracyEvaluation.hasClassScores(model) ? .cosine : guess
    }

    /// - Parameter shape: from a sample's output as the model declares it, `nil` where it is open, to what it is.
    private static func metric(_ samples: PreparedSamples, isSequence: Bool, model: Model, shape: ([Int]?) throws -> [Int]?) throws -> MetricGuess? {
        let info = try AccuracyEvaluation.scoredOutput(of: model)
        let declared = info.shape?.dropFirst()
        let isOpen = declared?.contains { $0.fixedValue == nil } ?? true
        return try metric(
            samples, output: shape(isOpen ? nil : declared?.compactMap(\.fixedValue)), isOpen: isOpen,
            ofTokens: model.graph.requiredInputs.contains { $0.elementType == .int64 || $0.elementType == .int32 },
            isProbability: SingleOutput(info, of: model) == .score(above: 0.5), isSequence: isSequence)
    }
}
