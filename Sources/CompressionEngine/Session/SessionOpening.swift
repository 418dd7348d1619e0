import Datasets
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import OnnxRuntime

/// What a session works on: model, data and runtime, opened together. Nothing in it changes afterwards.
struct OpenedModel: Sendable {
    var model: Model
    var layers: [Layer]
    var info: SessionInfo
    /// `nil` where the runtime is missing.
    var runtime: RuntimeLibrary?
    var data: Dataset?
    var validation: SampleSet?
    var calibration: SampleSet?
    /// What one call of the model takes, where samples of the validation split are sequences; `nil` where they are not.
    var examples: SampleSet?
    /// Shapes given for inputs whose extents the model leaves open.
    var inputShapes: [String: [Int]] = [:]
    /// Whom steps that learn take as their teacher, in place of `model`; `nil` for none.
    var teacher: Model?
    let request: OpenRequest

    /// - Throws: `EngineError.runtime` without one.
    func requiredRuntime() throws -> RuntimeLibrary {
        guard let runtime else { throw EngineError(.runtime, info.runtimeProblem ?? "ONNX Runtime is missing") }
        return runtime
    }

    /// A split's samples. The test split is made ready only here, when asked for by name.
    /// - Throws: `EngineError.data` without data or such a split.
    func samples(_ split: SplitName) throws -> SampleSet {
        if split == .validation, let validation { return validation }
        guard let data else { throw EngineError(.data, "no data set: give one with --data") }
        guard let part = data.split(split) else { throw EngineError(.data, "\(data.path): has no \(split.rawValue) split") }
        var set = try SampleSet(part, metric: data.metric, options: data.metricOptions, carry: data.carry)
        set.batchProbe = runtime.map { BatchProbe(model, $0) }
        return set
    }
}

extension OpenedModel {
    /// Opens model, runtime and data, in that order.
    static func open(
        _ request: OpenRequest, inputShapes: [String: [Int]], cancellation: Cancellation, opened: (Model) -> Void, progress: (String, Double?) -> Void
    ) throws -> OpenedModel {
        progress("reading \(request.modelPath)", nil)
        let model = try Model.read(path: request.modelPath)
        opened(model)
        try cancellation.check()
        progress("hashing weights", nil)
        let layers = model.layers()
        var info = SessionInfo(
            modelPath: request.modelPath, modelName: ((request.modelPath as NSString).lastPathComponent as NSString).deletingPathExtension,
            modelHash: model.contentHash.tagged, opset: model.opset, producer: model.producerName, layers: layers)
        info.inputs = model.graph.requiredInputs.map(\.summary)
        info.outputs = model.graph.outputs.map(\.summary)
        info.alarms = [ModelWarnings.notFinite(model, layers)].compactMap(\.self)
        info.warnings = info.alarms + ModelWarnings.of(model, layers)
        info.fileBytes = model.storedByteCount
        progress("loading ONNX Runtime", nil)
        var result = OpenedModel(model: model, layers: layers, info: info, inputShapes: inputShapes, request: request)
        do {
            let runtime = try RuntimeLibrary.load(path: request.runtimePath)
            result.runtime = runtime
            result.info.runtimeVersion = runtime.version.description
        } catch {
            result.info.runtimeProblem = "\(error)"
        }
        if let path = request.dataPath {
            progress("reading \(path)", nil)
            try result.openData(path)
        }
        result.teacher = try request.teacherPath.map { try Self.teacher($0, of: model) }
        return result
    }

    private mutating func openData(_ path: String) throws {
        var opened = try DatasetLoader.open(path: path, inputs: model.graph.requiredInputs.map(\.inputDescription))
        if opened.isMetricAssumed, opened.validation.targets != nil, let runtime {
            let samples = try SampleSet(opened.validation, metric: opened.metric, options: opened.metricOptions, carry: opened.carry)
            if let guess = try MetricGuess.metric(samples, model: model, runner: { try ModelRunner(model, library: runtime, label: "baseline") }) {
                opened.metric = guess.metric
                opened.metricOptions.decoding = opened.metricOptions.decoding ?? guess.decoding
                if guess.metric != .top1 { info.dataNotes.append("no metric is declared: \(Measure.metric(guess.metric).name) is measured, since \(guess.reason)") }
            }
        }
        if let runtime, [.characterErrorRate, .wordErrorRate, .exactMatch].contains(opened.metric), opened.metricOptions.blank == nil,
            opened.metricOptions.decoding != .argmax, opened.validation.targets != nil, opened.validation.count > 0
        {
            var samples = try SampleSet(opened.validation, metric: opened.metric, options: opened.metricOptions, carry: opened.carry)
            let runner = try ModelRunner(model, library: runtime, label: "baseline")
            if opened.metricOptions.decoding == nil, try MetricGuess.needsCTC(samples, model: model, runner: runner) {
                opened.metricOptions.decoding = .ctc
                info.dataNotes.append("outputs have more steps than labels and are read by CTC; 'decode' in the declaration can say otherwise")
                samples = try SampleSet(opened.validation, metric: opened.metric, options: opened.metricOptions, carry: opened.carry)
            }
            if opened.metricOptions.decoding == .ctc, let blank = try MetricGuess.blank(samples, model: model, runner: runner) {
                opened.metricOptions.blank = blank
                info.dataNotes.append("the blank is taken to be class \(blank), the last, which most steps say; 'blank' in the declaration can say otherwise")
            }
        }
        if opened.isMetricAssumed, opened.metric == .agreement, !AccuracyEvaluation.hasClassScores(model) {
            opened.metric = .cosine
            info.dataNotes.append("the model's output is not one score per class: its cosine with the original's is measured")
        }
        validation = try SampleSet(opened.validation, metric: opened.metric, options: opened.metricOptions, carry: opened.carry)
        let isSequence = validation?.isSequence ?? false
        if !isSequence || runtime != nil {
            calibration = try opened.calibration.map { try steps(of: $0, opened) }
            if isSequence { examples = try steps(of: opened.validation, opened, limit: 64) }
        }
        (info.dataName, info.dataPath) = (opened.name, path)
        info.classes = opened.classes
        info.metric = validation?.metric
        info.validationCount = opened.validation.count
        info.calibrationCount = opened.calibration?.count ?? 0
        info.testCount = opened.test?.count ?? 0
        info.dataNotes += opened.notes
        info.warnings += info.dataNotes
        data = opened
    }

    /// The samples of a split as single calls: of sequences the steps, each with the state that the model has come to.
    func steps(of split: DatasetSplit, _ data: Dataset, limit: Int = 4096) throws -> SampleSet {
        var set = try SampleSet(split, metric: data.metric, options: data.metricOptions, carry: data.carry)
        guard set.isSequence else {
            set.batchProbe = runtime.map { BatchProbe(model, $0) }
            return set
        }
        return try set.unrolled(ModelRunner(model, library: try requiredRuntime(), label: "baseline"), model: model, limit: limit)
    }

    /// A model to learn from.
    /// - Throws: `ModelGraphError` if it cannot be read, `EngineError` if it does not take and give what `model` does.
    private static func teacher(_ path: String, of model: Model) throws -> Model {
        let teacher = try Model.read(path: path)
        let (given, wanted) = (Set(model.graph.requiredInputs.map(\.name)), teacher.graph.requiredInputs.map(\.name))
        if let missing = wanted.first(where: { !given.contains($0) }) {
            throw EngineError(.technique, "\(path): cannot teach this model: it takes '\(missing)', which the model does not")
        }
        let (ours, theirs) = (model.graph.outputs.first?.shape?.last?.fixedValue, teacher.graph.outputs.first?.shape?.last?.fixedValue)
        if let ours, let theirs, ours != theirs { throw EngineError(.technique, "\(path): cannot teach this model: it gives \(theirs) scores, the model \(ours)") }
        return teacher
    }

    /// The same data and runtime with another model of the same inputs and outputs.
    func replacing(_ other: Model) -> OpenedModel {
        var changed = self
        changed.model = other
        changed.layers = other.layers()
        changed.info.modelHash = other.contentHash.tagged
        return changed
    }
}

extension ValueInfo {
    /// Name, type and shape on one line.
    public var summary: String {
        let dims = shape.map { "[" + $0.map(\.description).joined(separator: ", ") + "]" } ?? ""
        return "\(name): \(elementType?.description ?? "?")\(dims)"
    }
}
