import CompressionEngine
import Datasets
import Foundation
import Measurement
import Metrics
import Recipes
import Synchronization
import TerminalCells
import Testing

@testable import Explorer

/// The explorer over the real engine, without a terminal: every metric on every sample model.
@Suite(.serialized) struct MetricSessionTests {
    private static let samples = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("SampleModels").path
    private static let models = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"]

    /// Fashion-MNIST with another metric, and 100 images to be quick.
    private static func declaration(_ metric: MetricKind, in folder: String) throws -> String {
        let data = samples + "/data/fashion-mnist"
        let path = folder + "/\(metric.rawValue).yaml"
        try """
        name: few images
        format: idx
        metric: \(metric.rawValue)
        preprocessing: {scale: 0.00392156862745098, mean: [0.2860], std: [0.3530], shape: [1, 28, 28]}
        splits:
          calibration: {images: \(data)/heldout-images-idx3-ubyte.gz, labels: \(data)/heldout-labels-idx1-ubyte.gz, range: [0, 64]}
          validation: {images: \(data)/t10k-images-idx3-ubyte.gz, labels: \(data)/t10k-labels-idx1-ubyte.gz, range: [0, 100]}
        """.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    /// Those that images with a class can be measured by.
    private static let kinds: [MetricKind] = [.top1, .top5, .agreement, .cosine, .sqnr, .f1Macro, .rocAUC, .logLoss, .calibrationError]

    @Test(arguments: kinds) func everySampleModel(metric: MetricKind) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("lathe-metrics-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let data = try Self.declaration(metric, in: folder)
        let measure = Measure.metric(metric)
        // Of the others two are enough to see that they go the same way.
        for name in metric.isProportion || metric.isLikeness ? Self.models : Array(Self.models.prefix(2)) {
            // The curve, which is what crashed, of one model: its points take most of the time.
            let pump = Pump(OpenRequest(modelPath: Self.samples + "/\(name).onnx", dataPath: data), stateFolder: folder, traces: name == "lenet-5")
            defer { pump.close() }
            try await pump.run("the baseline") { $0.facts.baselineAccuracy?.isComplete == true && $0.facts.isPrepared }
            pump.press("space")
            try await pump.run("the evaluation of \(name) by \(metric)") {
                $0.answers.evaluation.status == .settled && $0.accuracyNow?.estimate.isComplete == true && !$0.isBaseline
            }
            if pump.traces { try await pump.run("the curve") { model in (model.whatIf.request.flatMap { model.whatIf.curves[$0.key] }?.points.count ?? 0) >= 4 } }
            let row = try #require(pump.model.measureRows.first)
            let value = try #require(row.now.value)
            #expect(row.measure == measure && measure.range.contains(value), "\(name) \(metric): \(value)")
            let estimate = try #require(pump.model.accuracyNow?.estimate)
            #expect(estimate.metric == metric && estimate.interval.low <= value && value <= estimate.interval.high)
            #expect(measure.range.contains(estimate.interval.low) && measure.range.contains(estimate.interval.high))
            // Half of the weights gone never makes outputs liker to the original's.
            if metric == .cosine || metric == .sqnr { #expect(row.verdict == .worse, "\(name) \(metric): \(estimate)") }
            for size in [Size(width: 80, height: 24), Size(width: 160, height: 48)] {
                pump.model.size = size
                for view in 1...6 {
                    pump.press("\(view)")
                    let screen = ExplorerView.frame(pump.model).grid.text
                    guard view == 1, size.width == 160 else { continue }
                    #expect(screen.contains(row.now.text(tier: pump.model.theme.glyphTier)), "\(name) \(metric)\n\(screen)")
                    if metric == .sqnr { #expect(screen.contains(" dB"), "\(screen)") }
                }
            }
        }
    }

    /// Takes the runtime's part: effects go to the engine, its events come back.
    private final class Pump {
        var model: ExplorerModel
        let traces: Bool
        private let engine = Workbench()
        private let events = EventQueue(wake: {})
        private var time = 0.0

        init(_ request: OpenRequest, stateFolder: String, traces: Bool) {
            self.traces = traces
            setenv("XDG_STATE_HOME", stateFolder, 1)
            model = ExplorerModel(
                request: request, catalog: .registered, keyMap: KeyMap(), capabilities: Capabilities(theme: Theme(glyphTier: .block, colorTier: .indexed)),
                size: Size(width: 160, height: 48), logPath: nil)
            let events = events
            engine.open(request) { events.send($0) }
        }

        func close() { engine.close() }

        func press(_ key: String) {
            guard let key = Key(key) else { return }
            send(.key(key))
        }

        /// Gives its thread back while it waits: a test that holds one of the pool's keeps others from running.
        func run(_ what: String, until done: (ExplorerModel) -> Bool) async throws {
            let deadline = Date().addingTimeInterval(1800)
            while !done(model) {
                try #require(Date() < deadline, "waited too long for \(what)")
                let news = events.drain()
                if news.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
                for event in news {
                    if case .failed(_, _, let message) = event { Issue.record("\(what): \(message)") }
                    send(.engine(event))
                }
            }
        }

        private func send(_ message: Message) {
            time += 0.01
            for effect in model.update(message, at: time) {
                switch effect {
                case .predict(let recipe): send(.predicted(canonical: recipe.canonical, engine.predict(recipe)))
                case .evaluate(let recipe, let generation): engine.evaluate(recipe, generation: generation)
                case .traceWhatIf(let recipe, let step, let parameter, let generation) where traces:
                    engine.traceWhatIf(recipe, step: step, parameter: parameter, generation: generation)
                case .histogram(let layer, let recipe):
                    send(.histogram(layer: layer, canonical: model.histogramKey, engine.weightHistogram(layer: layer, recipe: recipe)))
                case .cancel(let job): engine.cancel(job: job)
                default: break
                }
            }
        }
    }
}
