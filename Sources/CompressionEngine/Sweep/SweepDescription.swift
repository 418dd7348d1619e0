import EngineSupport
import Foundation
import Measurement
import Metrics
import Recipes

/// What a sweep is about: `sweep.json`, written once.
public struct SweepDescription: Codable, Sendable {
    static let schemaName = "lathe.sweep/1"
    static let fileName = "sweep.json"

    public var schema = SweepDescription.schemaName
    /// The program that made it; workers of other versions stop, since they may find other numbers.
    public var version: String
    public var modelPath: String
    public var modelHash: String
    public var dataPath: String
    /// Of the validation samples and the metric.
    public var dataHash: String
    /// The metric's title.
    public var metric: String
    /// As typed.
    public var goal: String
    public var best: String?
    /// Whether a model that clearly misses the goal is dropped before all samples are seen.
    public var races: Bool
    /// Validation samples to run; `nil` for all.
    public var samples: Int?
    /// Samples of a call, threads and seconds of each measurement of latency.
    public var latencyBatch = 1
    public var latencyThreads = 1
    public var latencySeconds = 0.4
    public var seed: UInt64
    /// Seconds after which a worker that gives no sign counts as ended.
    public var lease: Double
    /// Claims of a trial that may end with their worker, before it counts as failed.
    public var attempts: Int
    /// Runtime of the process that made it.
    public var runtime: String
    /// Of the original model.
    public var baseline: TrialFigures

    public func searchGoal() throws -> SearchGoal {
        guard let kind = MetricKind(title: metric) else { throw EngineError(.data, "\(Self.fileName): there is no metric '\(metric)'") }
        return try SearchGoal(goal, best: best, metric: kind)
    }
}

/// Recipes that were added together: `batches/000000.json`. Trials are numbered through all batches.
struct SweepBatch: Codable, Sendable {
    var schema = "lathe.sweep-batch/1"
    /// Number of the first trial.
    var first: Int
    /// Where they come from, in words.
    var source: String
    /// Canonical texts.
    var recipes: [String]
}

/// A sweep on disk: its description and what is to be tried.
public struct Sweep: Sendable {
    public let folder: SweepFolder
    public let description: SweepDescription

    /// Opens a sweep.
    /// - Throws: `EngineError` in one line where there is none, or one that this version does not know.
    public init(path: String) throws {
        folder = SweepFolder(path)
        let file = "\(folder.path)/\(SweepDescription.fileName)"
        guard let data = FileManager.default.contents(atPath: file) else {
            throw EngineError(.data, "\(path): holds no sweep: expected \(SweepDescription.fileName), which 'lathe sweep init' writes")
        }
        struct Schema: Decodable { var schema: String }
        guard let schema = try? SweepJSON.value(Schema.self, data).schema else { throw EngineError(.data, "\(file): is no description of a sweep") }
        guard schema == SweepDescription.schemaName else {
            throw EngineError(.data, "\(file): is of the form '\(schema)', expected \(SweepDescription.schemaName): another version of lathe made it")
        }
        do {
            description = try SweepJSON.value(SweepDescription.self, data)
        } catch {
            throw EngineError(.data, "\(file): is damaged: expected \(SweepDescription.schemaName)")
        }
    }

    /// Makes a sweep without trials.
    /// - Throws: `EngineError` where the folder holds one already.
    public init(path: String, _ description: SweepDescription) throws {
        folder = SweepFolder(path)
        self.description = description
        let file = "\(folder.path)/\(SweepDescription.fileName)"
        let exists = EngineError(.data, "\(path): holds a sweep already; 'lathe sweep add' adds trials to it")
        if FileManager.default.fileExists(atPath: file) { throw exists }
        try folder.create()
        // Of two that make one in the same folder at once, one is told.
        guard try folder.add(SweepJSON.data(description), to: file) else { throw exists }
    }

    // MARK: - Trials

    /// Recipes of all trials by number, as canonical text.
    /// - Throws: `EngineError` that names a batch which is missing or damaged.
    public func recipes() throws -> [String] {
        var all: [String] = []
        for name in folder.names(.batches).filter({ $0.hasSuffix(".json") }).sorted() {
            guard let data = folder.read(.batches, name), let batch = try? SweepJSON.value(SweepBatch.self, data) else {
                throw EngineError(.data, "\(folder.path(.batches, name)): cannot be read: expected lathe.sweep-batch/1")
            }
            guard batch.first == all.count else {
                throw EngineError(.data, "\(folder.path(.batches, name)): begins with trial \(batch.first), expected \(all.count): a batch before it is missing")
            }
            all += batch.recipes
        }
        return all
    }

    /// Adds trials; those that are there already are left out.
    /// - Parameter source: where they come from, in words.
    /// - Returns: how many are new.
    public func add(_ recipes: [Recipe], source: String) throws -> Int {
        while true {
            let known = try self.recipes()
            var seen = Set(known)
            // What begins with the same step comes together: workers remember the model behind it.
            let new = recipes.map(\.canonical).filter { seen.insert($0).inserted }.sorted()
            guard !new.isEmpty else { return 0 }
            let number = folder.names(.batches).filter { $0.hasSuffix(".json") }.count
            // Another may have added a batch meanwhile: then the numbers are others.
            guard try folder.add(SweepJSON.data(SweepBatch(first: known.count, source: source, recipes: new)), .batches, SweepToken.result(number)) else { continue }
            let claims = SweepClaims(folder, worker: folder.owner)
            for (index, recipe) in new.enumerated() { try claims.open(known.count + index, recipe: recipe) }
            return new.count
        }
    }

    /// Trials that have a result, and all.
    public func counts() throws -> (done: Int, total: Int) { (SweepClaims(folder, worker: "").doneIDs().count, try recipes().count) }

    /// All results so far, by number of the trial. What cannot be read is left out.
    public func results() -> [SweepResult] {
        var reader = SweepResultReader(folder)
        return reader.all()
    }
}

/// Reads results; each once, since they never change.
public struct SweepResultReader {
    private let folder: SweepFolder
    private var known: [Int: SweepResult] = [:]

    public init(_ sweep: Sweep) { self.init(sweep.folder) }

    init(_ folder: SweepFolder) { self.folder = folder }

    public mutating func all() -> [SweepResult] {
        for name in folder.names(.done) {
            guard let id = SweepToken.id(ofResult: name), known[id] == nil, let data = folder.read(.done, name) else { continue }
            known[id] = try? SweepJSON.value(SweepResult.self, data)
        }
        return known.values.sorted { $0.id < $1.id }
    }
}
