import Dispatch
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes

/// How a worker goes.
public enum SweepEvent: Sendable {
    case phase(String)
    /// A trial was ended by this worker; the number of those that it has ended, of results, and of all trials, as it knows.
    case ended(SweepResult, own: Int, done: Int, total: Int)
    /// Something that is worth a line.
    case remark(String)
}

/// Works through a sweep's trials until all have a result, or it is told to stop.
public final class SweepWorker {
    public struct Options: Sendable {
        /// Threads that run the model.
        public var threads = ProcessInfo.processInfo.activeProcessorCount
        /// Seconds after which no more is done; `nil` for none.
        public var seconds: Double?
        public var version: String

        public init(version: String) { self.version = version }
    }

    public enum End: Sendable {
        /// Every trial has a result.
        case complete
        case interrupted
        /// The time is up.
        case time
    }

    private let sweep: Sweep
    private let session: EngineSession
    private let options: Options
    private let identity = WorkerIdentity.current()
    private let claims: SweepClaims
    private let outer: Cancellation
    private let work = Cancellation()
    private let update: (SweepEvent) -> Void

    private var recipes: [String] = []
    private var done: Set<Int> = []
    /// Open trials as last listed, in order, and where this worker is among them.
    private var pending: [SweepToken] = []
    private var cursor = 0
    private var own = 0

    /// - Throws: `EngineError` in one line if model, data or version are not those of the sweep.
    public init(_ sweep: Sweep, _ session: EngineSession, options: Options, cancellation: Cancellation, update: @escaping (SweepEvent) -> Void = { _ in }) throws {
        (self.sweep, self.session, self.options, outer, self.update) = (sweep, session, options, cancellation, update)
        claims = SweepClaims(SweepFolder(sweep.folder.path, owner: identity.name), worker: identity.name)
        try sweep.requireSame(session, version: options.version)
        if let runtime = session.info.runtimeVersion, runtime != sweep.description.runtime {
            update(.remark("ONNX Runtime \(runtime) here, \(sweep.description.runtime) where the sweep was made; the version stands with each result"))
        }
    }

    /// Results that this worker has written.
    public var count: Int { own }

    /// - Throws: `EngineError` where the original cannot be scored or a result cannot be written.
    public func run() throws -> End {
        var timer: (any DispatchSourceTimer)?
        if let seconds = options.seconds {
            let source = DispatchSource.makeTimerSource()
            let work = work
            source.schedule(deadline: .now() + seconds)
            source.setEventHandler { work.cancel() }
            source.resume()
            timer = source
        }
        defer { timer?.cancel() }
        let work = work
        do {
            return try outer.withHook({ work.cancel() }) { try loop() }
        } catch let error as EngineError where error.kind == .cancelled {
            return outer.isCancelled ? .interrupted : .time
        }
    }

    private func loop() throws -> End {
        let lease = SweepLease(
            claims.folder,
            WorkerRecord(
                identity: identity, machine: Machine.name, threads: options.threads, version: options.version, runtime: session.info.runtimeVersion ?? "",
                began: Date().timeIntervalSince1970), lease: sweep.description.lease)
        defer { lease.end() }
        update(.phase("scoring the original model"))
        let runner = try SweepTrialRunner(session, sweep.description, threads: options.threads, cancellation: work)
        var watch = LeaseWatch(claims.folder, own: identity, lease: sweep.description.lease)
        var pause = 0.1
        while true {
            try work.check()
            if let token = try next() ?? orphan(&watch) {
                pause = 0.1
                try perform(token, runner)
                continue
            }
            done = claims.doneIDs()
            recipes = try sweep.recipes()
            if recipes.indices.allSatisfy(done.contains) {
                // Workers that were killed between two trials have left their files.
                for name in claims.folder.names(.workers) where name.hasSuffix(".json") && watch.hasEnded(String(name.dropLast(5))) { cleanUp(after: String(name.dropLast(5))) }
                return .complete
            }
            // The rest is with others, who may yet give it back or end without a word.
            update(.phase("waiting for \(recipes.count - done.count) trials of other workers"))
            try wait(pause)
            pause = min(pause * 1.5, max(0.5, min(2, sweep.description.lease / 10)))
        }
    }

    private func wait(_ seconds: Double) throws {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < deadline {
            try work.check()
            Thread.sleep(forTimeInterval: 0.05)
        }
    }

    // MARK: - Claiming

    /// The next open trial: near the last one, so that what begins with the same steps is done by one worker.
    private func next() throws -> SweepToken? {
        var misses = 0
        var isFresh = false
        while true {
            if pending.isEmpty {
                if isFresh { return nil }
                try list()
                isFresh = true
                continue
            }
            if cursor >= pending.count { cursor = 0 }
            let token = pending.remove(at: cursor)
            if let mine = try claims.claim(token) { return mine }
            misses += 1
            // Others are working here.
            if misses % 8 == 0 {
                if isFresh, !pending.isEmpty { cursor = Int.random(in: pending.indices) } else { pending = [] }
            }
        }
    }

    private func list() throws {
        pending = claims.openTokens()
        // Workers that begin in different places do not meet at every step.
        cursor = pending.isEmpty ? 0 : Int.random(in: pending.indices)
    }

    /// A trial of a worker that has ended, or one that stands nowhere.
    private func orphan(_ watch: inout LeaseWatch) throws -> SweepToken? {
        recipes = try sweep.recipes()
        let claimed = claims.claimedTokens()
        done = claims.doneIDs()
        var ended: [String: Bool] = [:]
        for token in claimed.shuffled() {
            guard let worker = token.worker else { continue }
            if done.contains(token.id) {
                claims.folder.remove(.claimed, token.name)
                continue
            }
            let isEnded = ended[worker] ?? watch.hasEnded(worker)
            ended[worker] = isEnded
            guard isEnded, let mine = try claims.takeOver(token) else { continue }
            cleanUp(after: worker)
            return mine
        }
        // Whoever added them was killed before they were all open. A list of names is not of one moment: what looks missing may just have moved, and is then run twice
        // and counted once; a second look makes that rare.
        let missing = unlisted(claimed)
        guard !missing.isEmpty else { return nil }
        try wait(0.3)
        done = claims.doneIDs()
        let still = Set(unlisted(claims.claimedTokens()))
        for id in missing where still.contains(id) { try claims.open(id, recipe: recipes[id]) }
        return nil
    }

    private func unlisted(_ claimed: [SweepToken]) -> [Int] {
        let known = Set(claimed.map(\.id)).union(claims.openTokens().map(\.id))
        return recipes.indices.filter { !known.contains($0) && !done.contains($0) }
    }

    /// Removes what a worker that has ended was writing, and its file once it holds no trial.
    private func cleanUp(after worker: String) {
        for name in claims.folder.names(.staging) where name.hasSuffix("." + worker) { claims.folder.remove(.staging, name) }
        if !claims.claimedTokens().contains(where: { $0.worker == worker }) { claims.folder.remove(.workers, worker + ".json") }
    }

    // MARK: - One trial

    private func perform(_ token: SweepToken, _ runner: SweepTrialRunner) throws {
        if token.id >= recipes.count { recipes = try sweep.recipes() }
        guard token.id < recipes.count else {
            // Of no batch: not one of this sweep's.
            claims.folder.remove(.claimed, token.name)
            return
        }
        let text = recipes[token.id]
        var result = SweepResult(
            id: token.id, recipe: text, state: .failed, strikes: token.strikes, worker: identity.name, host: identity.host, machine: Machine.name, threads: options.threads,
            version: options.version, runtime: session.info.runtimeVersion ?? "", began: Date().timeIntervalSince1970)
        let began = ContinuousClock.now
        if token.strikes >= sweep.description.attempts {
            result.reason = "\(token.strikes) workers ended in the middle of it: crashed, out of memory or killed"
        } else {
            do {
                update(.phase(text.split(separator: "\n").dropFirst().joined(separator: "; ")))
                let recipe = try Recipe(canonical: text)
                result.record(try runner.run(recipe, cancellation: work), asked: text, total: session.validation?.count ?? 0)
            } catch let error as EngineError where error.kind == .cancelled {
                try claims.giveBack(token)
                throw error
            } catch {
                result.reason = "\(error)"
            }
        }
        let spent = began.duration(to: .now).components
        result.seconds = Double(spent.seconds) + Double(spent.attoseconds) * 1e-18
        guard try claims.finish(token, result, cancellation: work) else { return }
        own += 1
        done.insert(token.id)
        update(.ended(result, own: own, done: done.count, total: recipes.count))
    }
}

extension Sweep {
    /// - Throws: `EngineError` in one line where model, data or program are not those of the sweep.
    public func requireSame(_ session: EngineSession, version: String) throws(EngineError) {
        guard version == description.version else {
            throw EngineError(.data, "\(folder.path): made by lathe \(description.version), this is \(version): numbers of different versions are not mixed")
        }
        guard session.info.modelHash == description.modelHash else {
            throw EngineError(.data, "\(session.info.modelPath): is not the sweep's model: its content is \(session.info.modelHash), expected \(description.modelHash)")
        }
        guard session.evaluationHash == description.dataHash else {
            throw EngineError(.data, "\(description.dataPath): is not the sweep's data: samples, preprocessing or metric are others than where it was made")
        }
    }
}

extension SweepResult {
    /// - Parameters:
    ///   - asked: canonical text of what was to be tried.
    ///   - total: samples of the split.
    mutating func record(_ outcome: SweepTrialRunner.Outcome, asked: String, total: Int) {
        (state, reason) = (outcome.state, outcome.reason)
        let canonical = outcome.recipe.canonical
        if canonical != asked { applied = canonical }
        guard let found = outcome.figures else { return }
        var numbers = TrialFigures()
        numbers.record(found)
        if let accuracy = outcome.accuracy {
            numbers.record(accuracy)
            numbers.total = total
            (baseline, difference, differenceInterval) = (accuracy.baseline, accuracy.difference, accuracy.differenceInterval)
        }
        if let latency = outcome.latency {
            numbers.record(latency)
            baselineLatency = latency.baseline
        }
        figures = numbers
    }
}
