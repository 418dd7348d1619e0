import CompressionEngine
import Datasets
import Foundation
import Measurement
import Metrics
import Recipes
import Synchronization
import Techniques
import Training

/// What `lathe train --json` prints.
struct TrainDocument: JSONDocument {
    struct Epoch: Encodable {
        var number: Int
        /// Mean over the epoch; none for the start.
        var loss: Double?
        /// The data set's metric on the validation split, in its unit.
        var accuracy: Double
        var seconds: Double
    }

    let schema = "lathe.train/1"
    var model: ModelReference
    var recipe: RecipeDocument
    var samples: Int
    var trainedParameters: Int
    /// Bytes of weights, gradients and optimizer states while training.
    var bytes: Int
    var steps: Int
    /// Median time of a step when it was trained.
    var stepMilliseconds: Double
    /// The start as number 0, then each epoch.
    var epochs: [Epoch]
    /// Number of the epoch whose weights were kept.
    var kept: Int
    /// Wall time of this run; next to none where the training was remembered.
    var seconds: Double
    var file: String
    var fileBytes: Int
    /// The metric's title.
    var metric: String

    private var measure: Measure { .metric(MetricKind(title: metric) ?? .top1) }

    init(session: EngineSession, recipe: Recipe, applied: AppliedModel, summary: TrainingSummary?, seconds: Double, output: String, bytes written: Int, split: Int) {
        model = ModelReference(session.info)
        metric = (session.info.metric ?? .top1).title
        self.recipe = RecipeDocument(recipe, reports: applied.reports)
        samples = split
        trainedParameters = summary?.trainedParameters ?? 0
        bytes = summary?.bytes ?? 0
        steps = summary?.steps ?? 0
        stepMilliseconds = summary?.stepMilliseconds ?? 0
        epochs = (summary?.epochs ?? []).map { Epoch(number: $0.number, loss: $0.loss, accuracy: $0.accuracy, seconds: $0.seconds) }
        kept = summary?.kept ?? 0
        self.seconds = seconds
        file = output
        fileBytes = written
    }

    var text: String {
        var lines: [String] = []
        if let first = epochs.first, let best = epochs.first(where: { $0.number == kept }) {
            lines.append(
                "\(model.name): validation \(Written.value(first.accuracy, measure)) before, \(Written.value(best.accuracy, measure)) after epoch \(kept) of \(epochs.count - 1), which is kept"
            )
        }
        lines.append("trained \(Written.exact(trainedParameters)) parameters on \(Written.exact(samples)) samples, \(Written.exact(steps)) steps")
        for note in recipe.steps.last?.notes ?? [] where !note.hasPrefix("validation ") { lines.append("  \(note.onOneLine)") }
        lines.append("wrote \(file) (\(Written.exact(fileBytes)) bytes)")
        return lines.joined(separator: "\n")
    }
}

/// The epochs of a running training, printed as they end.
final class TrainingRecord: Sendable {
    private struct State {
        var epochs: [TrainingEpoch] = []
        var printed = 0
    }
    private let state = Mutex(State())
    private let measure: Measure

    init(_ measure: Measure) { self.measure = measure }

    func set(_ progress: TrainingProgress) { state.withLock { $0.epochs = progress.epochs } }

    var hasNewEpochs: Bool { state.withLock { $0.printed < $0.epochs.count } }

    func printNewEpochs() {
        let fresh = state.withLock { state -> [TrainingEpoch] in
            defer { state.printed = state.epochs.count }
            return Array(state.epochs.dropFirst(state.printed))
        }
        for epoch in fresh {
            let loss = epoch.loss.map { String(format: "  loss %.4f", $0) } ?? "             "
            Console.print(String(format: "epoch %3d", epoch.number) + loss + "  validation \(Written.value(epoch.accuracy, measure))" + String(format: "  %.1f s", epoch.seconds))
        }
    }
}
