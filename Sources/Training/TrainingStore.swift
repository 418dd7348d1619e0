import EngineSupport
import Foundation
import ModelGraph
import Techniques

/// Keeps trainings on disk: a checkpoint after every epoch, and what came of finished ones, so that nothing is trained twice and a
/// killed process loses one epoch at most.
///
/// Files are ONNX models that hold tensors and no nodes, written beside and renamed. All together they keep within a limit: what was not used for
/// longest goes first, but nothing that some process is training.
public struct TrainingStore: Sendable {
    private let files: TrainingFolder
    public var folder: String { files.path }

    /// - Parameters:
    ///   - folder: made when first written to.
    ///   - limit: bytes that the files may take.
    public init(folder: String, limit: Int = StoreLimits().trainingBytes) { files = TrainingFolder(path: folder, limit: limit) }

    /// Where trainings of this user are kept: under the same folder as stored trials.
    public static func standard(limit: Int = StoreLimits().trainingBytes) -> TrainingStore {
        TrainingStore(folder: StateFolder.path("trainings"), limit: limit)
    }

    private func path(_ key: String, _ kind: String) -> String { (folder as NSString).appendingPathComponent("\(key).\(kind).onnx") }

    /// What was removed to keep within the limit since this was last asked, in one line; `nil` if nothing was.
    public func takeRemark() -> String? { files.takeRemark() }

    /// Keeps the files of a training from being removed for as long as the result lives.
    func hold(_ key: String) -> AnyObject? {
        try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        return TrainingFolder.Use.begin(folder: folder, key: key)
    }

    // MARK: Finished trainings

    /// Trained tensors of a finished training by name, with what happened; `nil` if there is none or it cannot be read.
    package func result(_ key: String) -> (tensors: [Tensor], record: TrainingSummary)? {
        guard let model = try? Model.read(path: path(key, "result")), let text = model.metadata["summary"],
            let summary = try? JSONDecoder().decode(TrainingSummary.self, from: Data(text.utf8))
        else { return nil }
        files.touch(path(key, "result"))
        return (Array(model.graph.initializers.values), summary)
    }

    /// Keeps the tensors in which the trained model differs from the one before.
    package func save(_ outcome: Trainer.Outcome, before: Model, as key: String) throws {
        let changed = outcome.model.graph.initializers.values.filter { tensor in
            before.graph.initializers[tensor.name].map { $0.storage !== tensor.storage } ?? true
        }
        let summary = TrainingSummary(outcome)
        try write(changed, ["summary": String(decoding: JSONEncoder().encode(summary), as: UTF8.self)], to: path(key, "result"), opset: outcome.model.opset)
        try? FileManager.default.removeItem(atPath: path(key, "checkpoint"))
        files.prune(keeping: key)
    }

    /// Removes what is kept of a training.
    package func forget(_ key: String) {
        for kind in ["result", "checkpoint"] { try? FileManager.default.removeItem(atPath: path(key, kind)) }
    }

    private func write(_ tensors: [Tensor], _ metadata: [String: String], to path: String, opset: Int) throws {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw EngineError(.data, "\(folder): cannot be made: \(error.localizedDescription)")
        }
        var container = Model(graph: Graph(name: "training", initializers: tensors), opset: opset)
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) { container.metadata[key] = value }
        try container.serialized().write(to: path)
    }

    // MARK: Checkpoints

    private struct Progress: Codable {
        var step: Int
        var epochs: [TrainingEpoch]
        var metric: String
        var kept: Int
        var bestAccuracy: Double
        var counts: [Int]
        var statistics: [String]
    }

    func save(_ checkpoint: Trainer.Checkpoint, as key: String) throws {
        var tensors: [Tensor] = []
        func add(_ values: [Float]) { tensors.append(Tensor(name: "t\(tensors.count)", floats: values, dims: [values.count])) }
        let names = checkpoint.state.statistics.keys.sorted()
        func add(_ state: TrainingStep.State) {
            state.weights.forEach(add)
            state.states.forEach(add)
            for name in names { add(state.statistics[name] ?? []) }
            state.masks.forEach(add)
        }
        add(checkpoint.state)
        if let best = checkpoint.record.best { add(best) }
        let record = checkpoint.record
        let progress = Progress(
            step: record.step, epochs: record.epochs, metric: record.metric, kept: record.kept, bestAccuracy: record.bestAccuracy,
            counts: [checkpoint.state.weights.count, checkpoint.state.states.count, checkpoint.state.masks.count], statistics: names)
        try write(tensors, ["progress": String(decoding: JSONEncoder().encode(progress), as: UTF8.self)], to: path(key, "checkpoint"), opset: 17)
        files.prune(keeping: key)
    }

    /// The last checkpoint of a training; `nil` if there is none.
    /// - Throws: `EngineError` if there is one that cannot be read.
    package func checkpoint(_ key: String) throws -> Trainer.Checkpoint? {
        let path = path(key, "checkpoint")
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        guard let model = try? Model.read(path: path), let text = model.metadata["progress"],
            let progress = try? JSONDecoder().decode(Progress.self, from: Data(text.utf8)), progress.counts.count == 3
        else { throw EngineError(.data, "\(path): is not a checkpoint of this version; remove it to start again") }
        let tensors = model.graph.initializers
        let (weights, states, statistics) = (progress.counts[0], progress.counts[1], progress.statistics.count)
        let each = weights + states + statistics + progress.counts[2]
        guard tensors.count == 2 * each else { throw EngineError(.data, "\(path): holds \(tensors.count) tensors, not \(2 * each)") }
        func state(from first: Int) -> TrainingStep.State {
            func values(_ index: Int) -> [Float] { tensors["t\(first + index)"]?.floats() ?? [] }
            return TrainingStep.State(
                weights: (0..<weights).map(values), states: (weights..<weights + states).map(values),
                statistics: Dictionary(uniqueKeysWithValues: progress.statistics.enumerated().map { ($1, values(weights + states + $0)) }),
                masks: (weights + states + statistics..<each).map(values))
        }
        var record = Trainer.Record(
            step: progress.step, epochs: progress.epochs, metric: progress.metric, kept: progress.kept, bestAccuracy: progress.bestAccuracy)
        record.best = state(from: each)
        return Trainer.Checkpoint(state: state(from: 0), record: record)
    }
}

extension TrainingSummary {
    package init(_ outcome: Trainer.Outcome) {
        self.init(
            epochs: outcome.epochs, kept: outcome.kept, steps: outcome.steps, trainedParameters: outcome.trainedParameters, bytes: outcome.bytes,
            stepMilliseconds: outcome.stepMilliseconds, notes: outcome.notes)
    }
}
