import CompressionEngine
import Foundation
import Measurement
import Recipes

/// What `lathe search --json` prints, a line for each event and this one last.
struct SearchDocument: JSONDocument {
    struct Trial: Encodable {
        /// As for `--step`, in order.
        var steps: [String]
        var feasible: Bool
        /// Cut short because it clearly misses the goal.
        var dropped: Bool
        /// Values of what is limited and of what is made best, by measure; `drop` is the loss of the metric.
        var values: [String: Double]
        var accuracy: Double?
        var difference: Double?
        var differenceInterval: [Double]?
        var samples: Int?
        var latencyRatio: Double?

        init(_ trial: SearchTrial, _ goal: SearchGoal) {
            steps = trial.recipe.activeSteps.map(\.shortLine)
            (feasible, dropped) = (trial.isFeasible, trial.isDropped)
            let found = trial.findings
            values = [:]
            for measure in goal.demands.map(\.measure) + goal.objectives where measure.isOfFigures { values[measure.id] = measure.figure(in: found.after)?.value }
            values["drop"] = found.accuracy?.loss
            (accuracy, difference, samples) = (found.accuracy?.value, found.accuracy?.difference, found.accuracy?.seen)
            differenceInterval = found.accuracy?.differenceInterval.map { [$0.low, $0.high] }
            latencyRatio = found.latency?.ratio
        }
    }

    struct Test: Encodable {
        var accuracy: Double
        var baseline: Double?
        var difference: Double?
        var differenceInterval: [Double]?
        var samples: Int

        init(_ estimate: AccuracyEstimate) {
            (accuracy, baseline, difference, samples) = (estimate.value, estimate.baseline, estimate.difference, estimate.seen)
            differenceInterval = estimate.differenceInterval.map { [$0.low, $0.high] }
        }
    }

    struct Event: Encodable {
        var event: String
        var trial: Trial

        init(_ event: String, _ trial: Trial) { (self.event, self.trial) = (event, trial) }

        var line: String { get throws { try SearchDocument.line(self) } }
    }

    struct Phase: Encodable {
        var event = "phase"
        var phase: String

        var line: String { get throws { try SearchDocument.line(self) } }
    }

    struct Miss: Encodable {
        /// The limit that fails while the others hold.
        var limit: String
        var trial: Trial
    }

    var schema = "lathe.search/1"
    var event = "result"
    var model: ModelReference
    var metric: String
    var limits: [String]
    var objectives: [String]
    var best: Trial?
    var front: [Trial]
    var misses: [Miss]
    var baseline: [String: Double]
    /// Loss of the best, in the metric's unit, once it is accounted for that it was chosen among many on the samples it is measured on.
    var correctedLoss: Double?
    /// The best on the test split, by which nothing was chosen.
    var test: Test?
    /// Recipes that were run, and of these cut short, known before, trained; left out for their sizes, as too slow, for changing nothing; failed.
    var tried: Int
    var dropped: Int
    var known: Int
    var trainings: Int
    var rejected: Int
    var slow: Int
    var unchanged: Int
    var failed: Int
    var end: String
    var seconds: Double
    var files: [String] = []
    /// Kept for the text.
    var result: SearchResult

    private enum CodingKeys: CodingKey {
        case schema, event, model, metric, limits, objectives, best, front, misses, baseline, correctedLoss, test, tried, dropped, known, trainings, rejected, slow, unchanged,
            failed
        case end, seconds, files
    }

    init(_ result: SearchResult, _ session: EngineSession) {
        let goal = result.goal
        model = ModelReference(session.info)
        metric = Measure.metric(session.info.metric ?? .top1).id
        limits = goal.demands.map(SearchText.limit)
        objectives = goal.objectives.map { $0.metric == nil ? $0.id : "drop" }
        best = result.best.map { Trial($0, goal) }
        front = result.front.map { Trial($0, goal) }
        misses = result.misses.map { Miss(limit: SearchText.limit($0.demand), trial: Trial($0.trial, goal)) }
        baseline = [:]
        if let first = result.best ?? result.misses.first?.trial {
            for measure in Measure.all where measure.isOfFigures { baseline[measure.id] = measure.figure(in: first.findings.before)?.value }
            baseline["accuracy"] = first.findings.accuracy?.baseline
        }
        (tried, dropped, known, trainings) = (result.tried, result.dropped, result.known, result.trainings)
        (rejected, slow, unchanged, failed) = (result.rejected, result.slow, result.idle, result.failed)
        correctedLoss = result.correctedLoss?.value
        test = result.test.map(Test.init)
        (end, seconds) = (result.end.rawValue, result.seconds)
        self.result = result
    }

    func printedLine() throws -> String { try Self.line(self) }

    fileprivate static func line(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}
