import Archive
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import OnnxRuntime
import Techniques

/// Times models on this machine with a sample of the calibration data, on one thread, and keeps choices in a file for each.
public struct MachineClock: OperatorClock {
    private let samples: SampleSet
    private let library: RuntimeLibrary
    private let folder: String
    private static let threads = 1
    /// Runs of a profile: at most and at least, and seconds it may take, about.
    private static let runs = (least: 5, most: 30, seconds: 0.15)

    /// - Parameter folder: where choices are kept, by default in the user's state.
    public init(samples: SampleSet, library: RuntimeLibrary, folder: String = StateFolder.path("choices")) {
        self.samples = samples
        self.library = library
        self.folder = folder
    }

    public var conditions: String { "\(Machine.name) \(InstructionSet.current) ONNX Runtime \(library.version) \(Self.threads)" }

    private func inputs(of model: Model) throws -> [(String, Value)] { try samples.values(0..<min(samples.fixedBatch(of: model) ?? 1, samples.count)) }

    public func operators(of model: Model, cancellation: Cancellation) throws -> [String: Double] {
        // Models that a technique makes up bring their inputs as constants.
        let feeds = model.graph.inputs.isEmpty ? [] : try inputs(of: model)
        return Dictionary(
            try OperatorProfile.nodes(
                of: model, library: library, inputs: feeds, threads: Self.threads, runs: Self.runs, cancellation: cancellation), uniquingKeysWith: +)
    }

    public func race(_ models: [Model], seconds: Double, cancellation: Cancellation) throws -> [Double] {
        let calls = try models.map { model in
            let runner = try ModelRunner(model, library: library, threads: Self.threads, label: "candidate")
            let (feeds, outputs) = (try inputs(of: model), model.graph.outputs.map(\.name))
            return { _ = try runner.run(feeds, outputs: outputs, cancellation: cancellation) }
        }
        return try Denormals.with(flushed: true) { try TurnTiming.medians(calls, seconds: seconds) }
    }

    private func path(_ key: ContentHash) -> String { "\(folder)/\(key).json" }

    public func chosen(_ key: ContentHash) -> [String]? {
        FileManager.default.contents(atPath: path(key)).flatMap { try? JSONDecoder().decode([String].self, from: $0) }
    }

    /// Failure is no error: the choice is made again.
    public func keep(_ choice: [String], for key: ContentHash) {
        guard let data = try? JSONEncoder().encode(choice) else { return }
        try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try? AtomicFile.write(Array(data), to: path(key))
    }
}
