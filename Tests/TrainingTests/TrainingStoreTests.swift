import Foundation
import ModelGraph
import PythonOracle
import Testing

@testable import Techniques
@testable import Training

/// What is kept of trainings: damaged files are set aside and never believed; where nothing can be written it is kept in memory.
@Suite struct TrainingStoreTests {
    private static let epochs = [TrainingEpoch(number: 0, loss: nil, accuracy: 0.5, seconds: 0), TrainingEpoch(number: 1, loss: 0.7, accuracy: 0.75, seconds: 2)]

    private func state(_ start: Float) -> TrainingStep.State {
        TrainingStep.State(weights: [[start, 2, 3], [4]], states: [[5, 6, 7], [8]], statistics: ["mean": [9], "variance": [10]], masks: [[1, 0, 1]])
    }

    private func checkpoint(_ change: (inout Trainer.Record) -> Void = { _ in }) -> Trainer.Checkpoint {
        var record = Trainer.Record(step: 4, epochs: Self.epochs, metric: "top-1", kept: 1, bestAccuracy: 0.75)
        record.best = state(-1)
        change(&record)
        return Trainer.Checkpoint(state: state(1), record: record)
    }

    private func made(_ summary: (inout Trainer.Outcome) -> Void = { _ in }) -> (Trainer.Outcome, before: Model) {
        func model(_ value: Float) -> Model {
            Model(graph: Graph(name: "g", initializers: [Tensor(name: "w", floats: [Float](repeating: value, count: 500), dims: [500])]), opset: 17)
        }
        var outcome = Trainer.Outcome(
            model: model(2), epochs: Self.epochs, kept: 1, steps: 4, trainedParameters: 500, bytes: 4000, stepMilliseconds: 0.5, notes: ["a note"])
        summary(&outcome)
        return (outcome, model(1))
    }

    private func names(_ folder: TemporaryFolder) throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() }

    @Test func whatIsKeptComesBack() throws {
        let folder = try TemporaryFolder()
        let store = TrainingStore(folder: folder.path)
        // Metrics in decibels can be infinite.
        try store.save(checkpoint { $0.bestAccuracy = .infinity }, as: "key")
        let found = try #require(store.checkpoint("key"))
        #expect(found.state.weights == [[1, 2, 3], [4]] && found.state.states == [[5, 6, 7], [8]] && found.state.statistics == ["mean": [9], "variance": [10]])
        #expect(found.state.masks == [[1, 0, 1]] && found.record.best?.weights == [[-1, 2, 3], [4]])
        #expect(found.record.step == 4 && found.record.kept == 1 && found.record.bestAccuracy == .infinity && found.record.epochs == Self.epochs)
        let (outcome, before) = made()
        try store.save(outcome, before: before, as: "key")
        let result = try #require(store.result("key"))
        #expect(result.tensors.first?.floats() == [Float](repeating: 2, count: 500) && result.record.notes == ["a note"])
        #expect(store.checkpoint("key") == nil && store.takeRemark() == nil)
        #expect(try names(folder) == ["key.result.onnx"])
    }

    /// Wherever the damage is: no crash, no wrong number, one line.
    @Test func damagedFilesAreSetAside() throws {
        let folder = try TemporaryFolder()
        let store = TrainingStore(folder: folder.path)
        let (outcome, before) = made()
        try store.save(outcome, before: before, as: "key")
        try store.save(checkpoint(), as: "key")
        for kind in ["result", "checkpoint"] {
            let file = folder.file("key.\(kind).onnx")
            let whole = try #require(FileManager.default.contents(atPath: file))
            var damages = stride(from: 0, to: whole.count, by: 97).map { whole.prefix($0) }
            for place in stride(from: 0, to: whole.count, by: 13) {
                var bytes = whole
                bytes[place] ^= UInt8(1 << (place % 8))
                damages.append(bytes)
            }
            for (number, bytes) in damages.enumerated() {
                try bytes.write(to: URL(fileURLWithPath: file))
                let isThere = kind == "result" ? store.result("key")?.record != nil : store.checkpoint("key") != nil
                // Some bits say nothing, such as those of the producer's name.
                if isThere { continue }
                #expect(try !names(folder).contains("key.\(kind).onnx"), "\(kind) \(number)")
                for name in try names(folder) where name.contains("damaged") { try FileManager.default.removeItem(atPath: folder.file(name)) }
            }
            let remark = try #require(store.takeRemark())
            #expect(remark.contains(file) && remark.contains("damaged") && !remark.contains("\n"))
            #expect(store.takeRemark() == nil)
            // Cut in half it is certainly no more what it was.
            try whole.prefix(whole.count / 2).write(to: URL(fileURLWithPath: file))
            #expect(store.result("key")?.record == nil || kind == "checkpoint")
            #expect(store.checkpoint("key") == nil || kind == "result")
            try whole.write(to: URL(fileURLWithPath: file))
        }
    }

    /// Numbers that no training gives, in files that are whole.
    @Test(
        arguments: [
            { $0.step = -1 }, { $0.step = .min }, { $0.kept = 2 }, { $0.kept = -1 }, { $0.kept = .max }, { $0.kept = .min }, { $0.epochs = [] },
            { $0.epochs = Array($0.epochs.dropFirst()) },
            { $0.epochs[1].number = .min }, { $0.epochs[0].seconds = -1 }, { $0.epochs[0].seconds = .infinity }, { $0.best = nil }, { $0.best?.weights = [] },
            { $0.best?.masks = [] },
        ] as [@Sendable (inout Trainer.Record) -> Void])
    func impossibleNumbers(_ change: @escaping @Sendable (inout Trainer.Record) -> Void) throws {
        let folder = try TemporaryFolder()
        let store = TrainingStore(folder: folder.path)
        try store.save(checkpoint(change), as: "key")
        #expect(store.checkpoint("key") == nil)
        #expect(store.takeRemark()?.contains("key.checkpoint.onnx") == true)
        #expect(try names(folder).allSatisfy { $0.contains("damaged") })
    }

    @Test(
        arguments: [
            { $0.trainedParameters = .min }, { $0.steps = -1 }, { $0.bytes = .min }, { $0.kept = .min }, { $0.kept = 7 }, { $0.stepMilliseconds = .nan },
            { $0.epochs[1].seconds = -.infinity },
        ] as [@Sendable (inout Trainer.Outcome) -> Void])
    func impossibleSummaries(_ change: @escaping @Sendable (inout Trainer.Outcome) -> Void) throws {
        let folder = try TemporaryFolder()
        let store = TrainingStore(folder: folder.path)
        let (outcome, before) = made(change)
        try store.save(outcome, before: before, as: "key")
        #expect(store.result("key")?.record == nil && store.takeRemark()?.contains("key.result.onnx") == true)
    }

    @Test func aCheckpointOfAnotherTrainingIsSetAside() throws {
        let folder = try TemporaryFolder()
        let store = TrainingStore(folder: folder.path)
        try store.save(checkpoint(), as: "key")
        #expect(store.checkpoint("key") { _ in false } == nil && store.takeRemark() != nil && store.checkpoint("key") == nil)
    }

    /// The folder's place is taken by a file.
    @Test func whereNothingCanBeWrittenMemoryServes() throws {
        let folder = try TemporaryFolder()
        let store = TrainingStore(folder: try folder.write("file", "in the way") + "/trainings")
        try store.save(checkpoint(), as: "key")
        #expect(store.checkpoint("key")?.record.step == 4)
        let (outcome, before) = made()
        try store.save(outcome, before: before, as: "key")
        #expect(store.checkpoint("key") == nil && store.result("key")?.record.steps == 4)
        let remark = try #require(store.takeRemark())
        #expect(remark.contains("cannot be written") && remark.contains("this session only") && store.takeRemark() == nil, "said once")
        store.forget("key")
        #expect(store.result("key")?.record == nil)
    }
}
