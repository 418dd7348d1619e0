import EngineSupport
import Metrics
import ModelGraph

/// What a metric with labels needs of a model: which outputs, how they become rows of numbers, and what each sample contributes.
struct TaskScoring: Sendable {
    let kind: MetricKind
    /// Outputs that are read, in order.
    let outputs: [String]
    private let computation: any MetricComputation

    /// - Throws: `EngineError` if the model has not the outputs, or options do not fit the metric.
    init(_ samples: SampleSet, _ model: Model) throws {
        kind = samples.metric
        var options = samples.options
        outputs = try Self.outputs(samples, model)
        // Done where the inputs are at hand.
        if case .maskedMean? = options.transforms.first { options.transforms.removeFirst() }
        // Texts are read off by CTC as a rule.
        if options.decoding == nil, samples.prepared.targets?.kind == .text { options.decoding = .ctc }
        if [.tokenAccuracy, .crossEntropy, .perplexity].contains(kind) { options.isShifted = try samples.predictsNext() }
        if options.inputSize == nil { options.inputSize = Self.imageSize(of: samples) }
        let first = outputs[0]
        let output = try model.graph.outputs.first { $0.name == first } ?? AccuracyEvaluation.scoredOutput(of: model)
        let single: SingleReading =
            switch SingleOutput(output, of: model) {
            case .score(let threshold): .score(above: options.threshold ?? Double(threshold))
            case .classNumber: .classNumber
            }
        computation = try MetricComputations.make(kind, options: options, single: kind.isOfClasses && options.transforms.isEmpty ? single : nil)
    }

    /// Declared ones; of detectors every output of numbers; else the one that top-1 would read.
    static func outputs(_ samples: SampleSet, _ model: Model) throws -> [String] {
        let tensors = model.graph.outputs.filter { $0.isTensor && $0.elementType != .string }
        for name in samples.options.outputs where !tensors.contains(where: { $0.name == name }) {
            throw EngineError(.data, "metric: the model has no output '\(name)' of numbers, it has \(tensors.map { "'\($0.name)'" }.joined(separator: ", "))")
        }
        if !samples.options.outputs.isEmpty { return samples.options.outputs }
        if samples.metric == .detectionMAP || samples.metric == .detectionMAP50 { return tensors.map(\.name) }
        let carried = Set(samples.carry.keys)
        if let output = tensors.first(where: { !carried.contains($0.name) && $0.elementType?.isFloatingPoint ?? true }), !carried.isEmpty { return [output.name] }
        return [try AccuracyEvaluation.scoredOutput(of: model).name]
    }

    /// Height and width of the images that a model takes.
    private static func imageSize(of samples: SampleSet) -> [Int]? {
        for input in samples.inputs where input.shape.count == 3 {
            return [1, 3, 4].contains(input.shape[0]) ? Array(input.shape[1...]) : Array(input.shape[..<2])
        }
        return nil
    }

    /// What one sample contributes.
    /// - Throws: `EngineError` where output and label cannot be compared.
    func contribution(_ row: Int, of outputs: [BatchedOutput], target: SampleTarget) throws -> [Double] {
        func views(_ soFar: [OutputView]) throws -> [Double] {
            guard soFar.count < outputs.count else { return try computation.contribution(soFar, target: target) }
            let output = outputs[soFar.count]
            return try output.withRow(row) { try views(soFar + [OutputView(name: output.name, values: $0, shape: output.shape)]) }
        }
        return try views([])
    }
}
