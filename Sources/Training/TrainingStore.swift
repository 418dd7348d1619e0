import EngineSupport
import Foundation
import ModelGraph
import Synchronization
import Techniques

/// Keeps trainings on disk: a checkpoint after every epoch, and what came of finished ones, so that nothing is trained twice and a
/// killed process loses one epoch at most.
///
/// Files are ONNX models that hold tensors and no nodes, written beside and renamed. One that is damaged is set aside. All together they keep within a limit: what was not used for
/// longest goes first, but nothing that some process is training.
public struct TrainingStore: Sendable {
    private let files: TrainingFolder
    private let memory = Memory()
    public var folder: String { files.path }

    /// - Parameters:
    ///   - folder: made when first written to.
    ///   - limit: bytes that the files may take.
    public init(folder: String, limit: Int = StoreLimits().trainingBytes) { files = TrainingFolder(path: folder, limit: limit) }

    /// Where trainings of this user are kept: under the same folder as stored trials.
    public static func standard(limit: Int = StoreLimits().trainingBytes) -> TrainingStore {
        TrainingStore(folder: StateFolder.path("trainings"), limit: limit)
    }

    private func path(_ key: String, _ kind: Kind) -> String { (folder as NSString).appendingPathComponent("\(key).\(kind.rawValue).onnx") }

    /// What went wrong with files, and what was removed to keep within the limit, since this was last asked, in one line; `nil` for nothing.
    public func takeRemark() -> String? { files.takeRemark() }

    /// Keeps the files of a training from being removed for as long as the result lives.
    func hold(_ key: String) -> AnyObject? {
        try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        return TrainingFolder.Use.begin(folder: folder, key: key)
    }

    // MARK: Finished trainings

    /// Trained tensors of a finished training by name, with what happened; `nil` if there is none that can be used.
    package func result(_ key: String) -> (tensors: [Tensor], record: TrainingSummary)? {
        guard let model = container(key, .result) else { return nil }
        guard let summary: TrainingSummary = decoded(model, "summary"), summary.isPossible else {
            setAside(key, .result)
            return nil
        }
        files.touch(path(key, .result))
        return (Array(model.graph.initializers.values), summary)
    }

    /// Keeps the tensors in which the trained model differs from the one before.
    package func save(_ outcome: Trainer.Outcome, before: Model, as key: String) throws {
        let changed = outcome.model.graph.initializers.values.filter { tensor in
            before.graph.initializers[tensor.name].map { $0.storage !== tensor.storage } ?? true
        }
        try keep(changed, ["summary": encoded(TrainingSummary(outcome))], key, .result, opset: outcome.model.opset)
        forget(key, .checkpoint)
        files.prune(keeping: key)
    }

    /// Removes what is kept of a training.
    package func forget(_ key: String) { for kind in Kind.allCases { forget(key, kind) } }

    // MARK: Files

    private enum Kind: String, CaseIterable {
        case result, checkpoint
    }

    /// What could not be written, by path: kept as long as the program runs.
    private final class Memory: Sendable {
        let kept = Mutex<[String: Model]>([:])
    }

    private static let checksumKey = "checksum"

    /// Of all that a file holds but this. Numbers that a damaged file is believed would become weights, or figures.
    private static func checksum(_ container: Model) -> String {
        var hash = ContentHash(of: "training file 1")
        for (key, value) in container.metadata where key != checksumKey {
            hash.combine(key)
            hash.combine(value)
        }
        for tensor in container.graph.initializers.values {
            hash.combine("\(tensor.name) \(tensor.elementType) \(tensor.dims)")
            hash.combine(tensor.storage.contentHash)
        }
        return hash.description
    }

    /// Keeps tensors in a file, or in memory where none can be written: what a training has cost is not given up for that.
    private func keep(_ tensors: [Tensor], _ metadata: [String: String], _ key: String, _ kind: Kind, opset: Int) throws {
        let path = path(key, kind)
        var container = Model(graph: Graph(name: "training", initializers: tensors), opset: opset)
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) { container.metadata[key] = value }
        container.metadata[Self.checksumKey] = Self.checksum(container)
        let file = try container.serialized()
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try file.write(to: path)
            memory.kept.withLock { $0[path] = nil }
        } catch {
            memory.kept.withLock { $0[path] = container }
            files.say("\(folder): cannot be written; trainings are kept for this session only")
        }
    }

    /// What is kept; `nil` if there is nothing, or a file that is not what was written, which is set aside.
    private func container(_ key: String, _ kind: Kind) -> Model? {
        let path = path(key, kind)
        if let kept = memory.kept.withLock({ $0[path] }) { return kept }
        guard access(path, F_OK) == 0 else { return nil }
        guard let model = try? Model.read(path: path), model.metadata[Self.checksumKey] == Self.checksum(model) else {
            setAside(key, kind)
            return nil
        }
        return model
    }

    private func setAside(_ key: String, _ kind: Kind) {
        let path = path(key, kind)
        if memory.kept.withLock({ $0.removeValue(forKey: path) }) == nil { files.setAside(path) }
    }

    private func forget(_ key: String, _ kind: Kind) {
        let path = path(key, kind)
        memory.kept.withLock { $0[path] = nil }
        unlink(path)
    }

    /// Metrics such as SQNR can be infinite.
    private func encoded(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    private func decoded<Value: Decodable>(_ container: Model, _ key: String) -> Value? {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return container.metadata[key].flatMap { try? decoder.decode(Value.self, from: Data($0.utf8)) }
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
        try keep(tensors, ["progress": encoded(progress)], key, .checkpoint, opset: 17)
        files.prune(keeping: key)
    }

    /// The last checkpoint of a training; `nil` if there is none that can be used.
    /// - Parameter fits: whether a checkpoint is one of the training at hand; one that is not is set aside like a damaged one.
    package func checkpoint(_ key: String, fits: (Trainer.Checkpoint) -> Bool = { _ in true }) -> Trainer.Checkpoint? {
        guard let model = container(key, .checkpoint) else { return nil }
        guard let progress: Progress = decoded(model, "progress"), let found = Self.checkpoint(model.graph.initializers.values.map { $0.floats() ?? [] }, progress), fits(found)
        else {
            setAside(key, .checkpoint)
            return nil
        }
        return found
    }

    /// - Parameter tensors: all of the file, in its order.
    private static func checkpoint(_ tensors: [[Float]], _ progress: Progress) -> Trainer.Checkpoint? {
        // No count above that of all tensors: then their sums are no problem either.
        guard progress.counts.count == 3, progress.counts.allSatisfy({ (0...tensors.count).contains($0) }) else { return nil }
        let (weights, states, statistics) = (progress.counts[0], progress.counts[1], progress.statistics.count)
        let each = weights + states + statistics + progress.counts[2]
        guard tensors.count == 2 * each, Set(progress.statistics).count == statistics, progress.step >= 0, progress.epochs.indices.contains(progress.kept),
            progress.epochs.enumerated().allSatisfy({ $0 == $1.number && $1.isPossible })
        else { return nil }
        func state(_ values: ArraySlice<[Float]>) -> TrainingStep.State {
            let values = Array(values)
            return TrainingStep.State(
                weights: Array(values[..<weights]), states: Array(values[weights..<weights + states]),
                statistics: Dictionary(uniqueKeysWithValues: zip(progress.statistics, values[(weights + states)...])),
                masks: Array(values[(weights + states + statistics)...]))
        }
        var record = Trainer.Record(
            step: progress.step, epochs: progress.epochs, metric: progress.metric, kept: progress.kept, bestAccuracy: progress.bestAccuracy)
        record.best = state(tensors[each...])
        return Trainer.Checkpoint(state: state(tensors[..<each]), record: record)
    }
}

extension TrainingSummary {
    /// Whether the numbers are such as a training gives.
    fileprivate var isPossible: Bool {
        [kept, steps, trainedParameters, bytes].allSatisfy { $0 >= 0 } && stepMilliseconds >= 0 && stepMilliseconds.isFinite && epochs.allSatisfy(\.isPossible)
            && (epochs.isEmpty || epochs.contains { $0.number == kept })
    }
}

extension TrainingEpoch {
    fileprivate var isPossible: Bool { number >= 0 && seconds >= 0 && seconds.isFinite }
}

extension TrainingSummary {
    package init(_ outcome: Trainer.Outcome) {
        self.init(
            epochs: outcome.epochs, kept: outcome.kept, steps: outcome.steps, trainedParameters: outcome.trainedParameters, bytes: outcome.bytes,
            stepMilliseconds: outcome.stepMilliseconds, notes: outcome.notes)
    }
}
