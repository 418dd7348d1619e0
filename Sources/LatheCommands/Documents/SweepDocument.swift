import CompressionEngine
import Foundation
import Measurement
import Recipes

/// What `lathe sweep show --json` and `lathe sweep collect --json` print.
struct SweepDocument: JSONDocument {
    struct Found: Encodable {
        /// Number of the trial in the sweep; `nil` for the original model.
        var id: Int?
        var host: String?
        var machine: String?
        var trial: SearchDocument.Trial

        init(_ trial: SearchTrial, _ summary: SweepSummary) {
            let result = summary.results[trial.recipe.canonical]
            (id, host, machine) = (result?.id, result?.host, result?.machine)
            self.trial = SearchDocument.Trial(trial, summary.goal)
        }
    }

    struct Miss: Encodable {
        /// The limit that fails while the others hold.
        var limit: String
        var found: Found
    }

    struct Worker: Encodable {
        var name: String
        var machine: String
        /// Numbers of the trials that it holds.
        var works: [Int]
        var results: Int
        var resultsPerHour: Double?
        /// Absent where this cannot be seen from here.
        var lives: Bool?
    }

    var schema = "lathe.sweep-report/1"
    var folder: String
    var model: String
    var limits: [String]
    var objectives: [String]
    var total: Int
    var open: Int
    var claimed: Int
    var done: Int
    /// Of these by what became of them: `complete`, `dropped`, `rejected`, `unchanged`, `failed`.
    var states: [String: Int]
    var secondsLeft: Double?
    var workers: [Worker]
    /// Whose latencies are compared; absent where latency has no say.
    var comparedMachine: String?
    var resultsOfOtherMachines: Int
    var best: Found?
    var front: [Found]
    var misses: [Miss]
    /// Results that were stored for the explorer and for searches.
    var stored: Int?
    var files: [String] = []
    /// Kept for the text.
    var summary: SweepSummary

    private enum CodingKeys: CodingKey {
        case schema, folder, model, limits, objectives, total, open, claimed, done, states, secondsLeft, workers, comparedMachine, resultsOfOtherMachines, best, front, misses,
            stored, files
    }

    init(_ summary: SweepSummary, _ sweep: Sweep) {
        folder = sweep.folder.path
        model = sweep.description.modelPath
        limits = summary.goal.demands.map(SearchText.limit)
        objectives = summary.goal.objectives.map { $0.metric == nil ? $0.id : "drop" }
        (total, open, claimed, done) = (summary.total, summary.open, summary.claimed, summary.done)
        states = Dictionary(uniqueKeysWithValues: SweepResult.State.allCases.map { ($0.rawValue, summary.states[$0] ?? 0) })
        secondsLeft = summary.secondsLeft
        workers = summary.workers.map {
            Worker(name: $0.name, machine: $0.machine, works: $0.works.sorted(), results: $0.results, resultsPerHour: $0.rate, lives: $0.lives)
        }
        (comparedMachine, resultsOfOtherMachines) = (summary.machine, summary.elsewhere)
        best = summary.result.best.map { Found($0, summary) }
        front = summary.result.front.map { Found($0, summary) }
        misses = summary.result.misses.map { Miss(limit: SearchText.limit($0.demand), found: Found($0.trial, summary)) }
        self.summary = summary
    }

    /// On one line.
    func line() throws -> String { String(decoding: try SweepResult.encoder.encode(self), as: UTF8.self) }
}

extension SweepResult {
    static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return encoder
    }

    /// As a line of JSON, with its end.
    func line() throws -> String { String(decoding: try Self.encoder.encode(self), as: UTF8.self) + "\n" }
}
