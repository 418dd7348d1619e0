import CompressionEngine
import Datasets
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import OnnxRuntime

/// All 10,000 validation images through lathe's evaluation, against bare ONNX Runtime at its best setting: one session
/// with the weights in the file, called with 1 or 2 threads, or from two callers with one thread each, at several batches.
enum FullEvaluation {
    static func run() throws {
        print("full evaluation of the validation split, lathe / bare ONNX Runtime at its best setting")
        for name in ["lenet-5", "resnet-8"] {
            let session = try EngineSession.open(OpenRequest(modelPath: Repository.sample(name), dataPath: Repository.data))
            guard let samples = session.validation, let library = session.runtime else { throw EngineError(.data, "no data or runtime") }
            try session.baselineScores()
            struct Setting {
                var name: String
                var callers: Int
                var threads: Int
                var batch: Int
                var times = Distribution()
            }
            var settings: [Setting] = []
            for (callers, threads) in [(1, 1), (1, 2), (2, 1)] {
                for batch in [16, 32, 64, 128, 256] {
                    settings.append(Setting(name: "\(callers) caller, \(threads) thread, batch \(batch)", callers: callers, threads: threads, batch: batch))
                }
            }
            let runner = try BareRunner(path: Repository.sample(name), library: library)
            func time(_ setting: inout Setting) throws {
                let (callers, threads, batch) = (setting.callers, setting.threads, setting.batch)
                try setting.times.measure { try runner.run(samples, callers: callers, threads: threads, batch: batch) }
            }
            // A first pass picks the three fastest settings; they are then interleaved with lathe.
            for index in settings.indices {
                try time(&settings[index])
            }
            settings.sort { $0.times.median < $1.times.median }
            settings = Array(settings.prefix(3))
            for index in settings.indices { settings[index].times = Distribution() }
            var ours = Distribution()
            let evaluation = try AccuracyEvaluation(samples: samples, model: session.model)
            for _ in 0..<7 {
                try ours.measure {
                    // From the model in memory to the last image: session creation counted.
                    let runner = try ModelRunner(session.model, library: library)
                    _ = try evaluation.run(runner, cancellation: Cancellation())
                }
                for index in settings.indices {
                    try time(&settings[index])
                }
            }
            let best = settings.min { $0.times.median < $1.times.median }!
            ours.printed("\(name): lathe")
            best.times.printed("\(name): bare, \(best.name)")
            print(String(format: "  %@: ratio of medians %.3f (target at most 1.15)", name as NSString, ours.median / best.times.median))
        }
    }
}

/// ONNX Runtime as a plain loop would use it.
final class BareRunner {
    private let path: String
    private let library: RuntimeLibrary
    private var sessions: [Int: Session] = [:]

    init(path: String, library: RuntimeLibrary) throws {
        self.path = path
        self.library = library
    }

    func run(_ samples: SampleSet, callers: Int, threads: Int, batch: Int) throws {
        var options = SessionOptions()
        options.intraOpThreads = threads
        let session = try sessions[threads] ?? Session(library: library, path: path, options: options, label: path)
        sessions[threads] = session
        let starts = Array(stride(from: 0, to: samples.count, by: batch))
        DispatchQueue.concurrentPerform(iterations: callers) { caller in
            for start in stride(from: caller, to: starts.count, by: callers).map({ starts[$0] }) {
                let end = min(start + batch, samples.count)
                guard let inputs = try? samples.values(start..<end) else { return }
                _ = try? session.run(inputs: inputs, outputs: session.outputNames, options: nil)
            }
        }
    }
}
