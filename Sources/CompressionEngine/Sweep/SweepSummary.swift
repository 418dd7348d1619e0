import EngineSupport
import Foundation
import Measurement
import Recipes

/// How far a sweep is, and what it has found.
public struct SweepSummary: Sendable {
    public struct Worker: Sendable {
        public var name: String
        public var machine: String
        /// Numbers of the trials it holds.
        public var works: [Int]
        /// Results of it.
        public var results = 0
        /// Results in an hour of its own time.
        public var rate: Double?
        /// Seconds since 1970 by its own clock; `nil` where its file is gone.
        public var began: Double?
        /// `false` where it has certainly ended, as seen from here; whether one on another host lives takes a lease's time to tell.
        public var lives: Bool?
    }

    public let goal: SearchGoal
    /// Trials of each kind.
    public let total: Int
    public let open: Int
    public let claimed: Int
    public let states: [SweepResult.State: Int]
    public let workers: [Worker]
    /// Front, best and nearest misses, of one machine where latency has a say.
    public let result: SearchResult
    /// Result of each trial in `result`, by canonical text.
    public let results: [String: SweepResult]
    /// The machine whose latencies are compared; `nil` where latency has no say.
    public let machine: String?
    /// Results of other machines, which are left out.
    public let elsewhere: Int
    /// Seconds left at the speed of the workers that live; `nil` where it is not known.
    public let secondsLeft: Double?

    public var done: Int { states.values.reduce(0, +) }
    public var isComplete: Bool { done >= total }

    /// - Parameter machine: of which machine latencies are to count; by default the one with most results.
    /// - Throws: `EngineError` for a sweep that cannot be read, or a machine without results.
    public init(_ sweep: Sweep, reader: inout SweepResultReader, machine asked: String? = nil) throws {
        let goal = try sweep.description.searchGoal()
        let claims = SweepClaims(sweep.folder, worker: "")
        let results = reader.all()
        let ended = Set(results.map(\.id))
        let claimed = claims.claimedTokens().filter { !ended.contains($0.id) }
        self.goal = goal
        total = try sweep.recipes().count
        states = Dictionary(results.map { ($0.state, 1) }, uniquingKeysWith: +)
        self.claimed = Set(claimed.map(\.id)).count
        open = max(0, total - results.count - self.claimed)
        workers = Self.workers(sweep.folder, results, claimed)
        let rates = workers.filter { $0.lives != false && $0.began != nil }.compactMap(\.rate)
        let rate = rates.reduce(0, +) / 3600
        secondsLeft = rate > 0 ? Double(total - results.count) / rate : nil
        let counted: [SweepResult]
        if goal.needsLatency {
            let byMachine = Dictionary(grouping: results.filter { $0.figures?[.latency] != nil }, by: \.machine)
            if let asked, byMachine[asked] == nil {
                throw EngineError(.data, "there are no latencies of '\(asked)', expected \(byMachine.keys.sorted().map { "'\($0)'" }.joined(separator: " or "))")
            }
            machine = asked ?? byMachine.max { ($0.value.count, $1.key) < ($1.value.count, $0.key) }?.key
            counted = machine.flatMap { byMachine[$0] } ?? []
            elsewhere = byMachine.values.reduce(0) { $0 + $1.count } - counted.count
        } else {
            (machine, elsewhere, counted) = (nil, 0, results)
        }
        // Recipes may come to the same once what does not apply is passed over.
        var found: [String: SweepResult] = [:]
        var trials: [SearchTrial] = []
        for result in counted {
            guard found[result.applied ?? result.recipe] == nil, let trial = result.trial(goal, baseline: sweep.description.baseline) else { continue }
            found[trial.recipe.canonical] = result
            trials.append(trial)
        }
        self.results = found
        var conclusion = SearchResult(goal: goal)
        (conclusion.tried, conclusion.dropped) = (trials.count, states[.dropped] ?? 0)
        (conclusion.rejected, conclusion.idle, conclusion.failed) = (states[.rejected] ?? 0, states[.unchanged] ?? 0, states[.failed] ?? 0)
        var archive = SearchArchive(goal)
        for trial in trials { _ = archive.add(trial) }
        conclusion.conclude(archive)
        result = conclusion
    }

    private static func workers(_ folder: SweepFolder, _ results: [SweepResult], _ claimed: [SweepToken]) -> [Worker] {
        let here = WorkerIdentity.current()
        var all: [String: Worker] = [:]
        var spent: [String: Double] = [:]
        for result in results {
            all[result.worker, default: Worker(name: result.worker, machine: result.machine, works: [])].results += 1
            spent[result.worker, default: 0] += result.seconds
        }
        for token in claimed {
            guard let name = token.worker else { continue }
            all[name, default: Worker(name: name, machine: "", works: [])].works.append(token.id)
        }
        for name in folder.names(.workers) {
            guard let data = folder.read(.workers, name), let record = try? SweepJSON.value(WorkerRecord.self, data) else { continue }
            var worker = all[record.identity.name] ?? Worker(name: record.identity.name, machine: record.machine, works: [])
            (worker.machine, worker.began) = (record.machine, record.began)
            worker.lives = record.identity.hasEnded(seenFrom: here).map { !$0 }
            all[worker.name] = worker
        }
        for (name, seconds) in spent where seconds > 0 {
            let count = Double(all[name]?.results ?? 0)
            all[name]?.rate = count / seconds * 3600
        }
        return all.values.sorted { $0.name < $1.name }
    }
}

extension Sweep {
    /// Stores what was measured on all samples of the split where the explorer and searches find it.
    /// - Returns: how many.
    public func store(_ results: [SweepResult], in store: TrialStore) throws -> Int {
        var count = 0
        for result in results where result.state == .complete {
            guard let figures = result.figures, figures.isComplete, let recipe = try? result.appliedRecipe() else { continue }
            let ledger = TrialLedger(store: store, modelHash: description.modelHash, dataHash: description.dataHash, runtime: result.runtime)
            try ledger.record(recipe, figures, isOfThisMachine: result.machine == Machine.name)
            count += 1
        }
        return count
    }
}

extension TrialLedger {
    /// Stores figures that another process found, keeping what is known besides. Latencies of other machines are left out.
    func record(_ recipe: Recipe, _ figures: TrialFigures, isOfThisMachine: Bool) throws {
        var known = try self.figures(of: recipe) ?? TrialFigures()
        for measure in Measure.all where measure.isOfFigures { if let value = figures[measure] { known[measure] = value } }
        if let metric = figures.metric, let value = figures.accuracy {
            known[.metric(metric)] = value
            (known.seen, known.total, known.accuracyInterval) = (figures.seen, figures.total, figures.accuracyInterval)
        }
        if isOfThisMachine, let latency = figures[.latency] {
            known[.latency] = latency
            (known.latencyP90, known.latencyRatio, known.latencyRatioInterval) = (figures.latencyP90, figures.latencyRatio, figures.latencyRatioInterval)
            (known.latencyBatch, known.latencyThreads) = (figures.latencyBatch, figures.latencyThreads)
        }
        try replace(recipe, known)
    }
}
