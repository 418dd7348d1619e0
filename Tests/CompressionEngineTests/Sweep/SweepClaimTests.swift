import Foundation
import PythonOracle
import Synchronization
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Recipes
@testable import Techniques

/// Claims: whatever is killed at whatever point, each trial gets one result.
@Suite struct SweepClaimTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func claims(_ worker: String) throws -> SweepClaims {
        let folder = SweepFolder(folder.path, owner: worker)
        try folder.create()
        return SweepClaims(folder, worker: worker)
    }

    private func result(_ token: SweepToken, reason: String = "") -> SweepResult {
        SweepResult(
            id: token.id, recipe: "seed=0", state: .failed, reason: reason, strikes: token.strikes, worker: token.worker ?? "", host: "h", machine: "m", threads: 1, version: "1",
            runtime: "1", began: 0)
    }

    @Test func namesSayWhatATrialIs() throws {
        let token = SweepToken(id: 123, strikes: 2, worker: "host-12-abc")
        #expect(token.name == "000123.2.host-12-abc.json" && SweepToken(name: token.name) == token)
        #expect(SweepToken(name: "000007.0.json") == SweepToken(id: 7) && SweepToken(id: 1_234_567).name == "1234567.0.json")
        for name in ["7.json", "x.0.json", "1.-1.json", "1.0.a.b.json", "1.0", ".nfs0001"] { #expect(SweepToken(name: name) == nil, "\(name)") }
        #expect(WorkerIdentity.makeName().contains(".") == false && SweepToken(name: SweepToken(id: 1, worker: WorkerIdentity.makeName()).name) != nil)
    }

    /// Eight workers at once over 400 trials: each is claimed once.
    @Test func ofManyThatClaimOneSucceeds() throws {
        let first = try claims("first")
        for id in 0..<400 { try first.open(id, recipe: "r") }
        let taken = Mutex<[Int]>([])
        let workers = try (0..<8).map { try claims("worker-\($0)") }
        DispatchQueue.concurrentPerform(iterations: 8) { number in
            for token in workers[number].openTokens() {
                if (try? workers[number].claim(token)) != nil { taken.withLock { $0.append(token.id) } }
            }
        }
        #expect(taken.withLock { $0.sorted() } == Array(0..<400))
        #expect(first.openTokens().isEmpty && first.claimedTokens().count == 400)
    }

    @Test func theFirstResultStays() throws {
        let (one, other) = (try claims("one"), try claims("other"))
        try one.open(3, recipe: "r")
        let mine = try #require(try one.claim(SweepToken(id: 3)))
        // The other takes it for ended.
        let theirs = try #require(try other.takeOver(mine))
        #expect(theirs.strikes == 1)
        #expect(try one.finish(mine, result(mine, reason: "first")))
        #expect(try !other.finish(theirs, result(theirs, reason: "second")))
        #expect(one.claimedTokens().isEmpty && one.openTokens().isEmpty && one.doneIDs() == [3])
        var reader = SweepResultReader(one.folder)
        #expect(reader.all().map(\.reason) == ["first"])
        #expect(one.folder.names(.staging).isEmpty)
    }

    /// Killed behind the result and before the claim was removed: the claim goes, the trial is not done again.
    @Test func aClaimWithAResultIsRemoved() throws {
        let (one, other) = (try claims("one"), try claims("other"))
        try one.open(0, recipe: "r")
        let mine = try #require(try one.claim(SweepToken(id: 0)))
        #expect(try one.folder.add(SweepJSON.data(result(mine)), .done, SweepToken.result(0)))
        #expect(try other.takeOver(mine) == nil)
        #expect(other.claimedTokens().isEmpty && other.doneIDs() == [0])
        // Opened again by someone who missed it in a listing.
        try other.open(0, recipe: "r")
        #expect(try one.claim(SweepToken(id: 0)) == nil)
        #expect(one.claimedTokens().isEmpty && one.openTokens().isEmpty)
    }

    @Test func whatIsGivenBackCanBeClaimed() throws {
        let (one, other) = (try claims("one"), try claims("other"))
        try one.open(0, recipe: "r")
        let mine = try #require(try one.claim(SweepToken(id: 0)))
        let later = try #require(try other.takeOver(mine))
        try other.giveBack(later)
        // Strikes stay.
        #expect(other.openTokens() == [SweepToken(id: 0, strikes: 1)])
        // Whoever lost it gives nothing back.
        try one.giveBack(mine)
        #expect(one.openTokens() == [SweepToken(id: 0, strikes: 1)])
    }

    /// What was being written when a worker was killed counts for nothing, and results without a place to go keep the claim open for others.
    @Test func halfWrittenResultsDoNotCount() throws {
        let one = try claims("one")
        try one.open(0, recipe: "r")
        let mine = try #require(try one.claim(SweepToken(id: 0)))
        try Data("{\"id\":0,".utf8).write(to: URL(fileURLWithPath: one.folder.path(.staging, "000000.json.one")))
        #expect(one.doneIDs().isEmpty)
        try FileManager.default.removeItem(atPath: one.folder.path(.staging))
        #expect { try one.finish(mine, result(mine), patience: 0) } throws: { "\($0)".contains("000000.json: cannot be written") && !"\($0)".contains("\n") }
        #expect(one.openTokens().map(\.id) == [0] && one.doneIDs().isEmpty)
    }

    // MARK: - Leases

    private func record(_ name: String, counter: Int, boot: String = "elsewhere") -> WorkerRecord {
        var record = WorkerRecord(
            identity: WorkerIdentity(name: name, host: "far", process: 1, started: "1", boot: boot, processes: "p"), machine: "m", threads: 1, version: "1", runtime: "1", began: 0)
        record.counter = counter
        return record
    }

    /// A lease is over when nothing has changed for its time by the clock of whoever looks.
    @Test func leasesEndByTheClockOfWhoeverLooks() throws {
        let far = try claims("far-1-a")
        let clock = Mutex(100.0)
        var watch = LeaseWatch(far.folder, own: .current(), lease: 10) { clock.withLock { $0 } }
        func look(after seconds: Double) -> Bool {
            clock.withLock { $0 += seconds }
            return watch.hasEnded("far-1-a")
        }
        far.folder.replace(try SweepJSON.data(record("far-1-a", counter: 1)), .workers, "far-1-a.json")
        #expect(!look(after: 0) && !look(after: 2) && !look(after: 2) && !look(after: 2) && !look(after: 2))
        far.folder.replace(try SweepJSON.data(record("far-1-a", counter: 2)), .workers, "far-1-a.json")
        #expect(!look(after: 2) && !look(after: 2) && !look(after: 2) && !look(after: 2) && !look(after: 2))
        #expect(look(after: 2))
        // After a long pause of this process itself nothing is decided at once.
        far.folder.replace(try SweepJSON.data(record("far-1-a", counter: 3)), .workers, "far-1-a.json")
        #expect(!look(after: 1) && !look(after: 10_000) && !look(after: 2))
        // Without a file at all, the same.
        far.folder.remove(.workers, "far-1-a.json")
        #expect(!look(after: 2) && !look(after: 2.5) && !look(after: 2.5) && !look(after: 2.5) && look(after: 2.5))
    }

    /// On the same machine a process can be looked up: no waiting.
    @Test func processesOfThisMachineAreLookedUp() throws {
        let here = WorkerIdentity.current()
        #expect(here.hasEnded(seenFrom: here) == false)
        var gone = here
        gone.started = "1"
        #expect(gone.hasEnded(seenFrom: here) == true)
        var far = here
        far.boot = "another"
        #expect(far.hasEnded(seenFrom: here) == nil)
        let child = try ChildProcess.start("/bin/sleep", ["100"], output: 1, errors: 2)
        var sleeper = here
        (sleeper.process, sleeper.started) = (child, try #require(WorkerIdentity.startTime(of: child)))
        #expect(sleeper.hasEnded(seenFrom: here) == false)
        kill(child, SIGKILL)
        _ = ChildProcess.wait(child)
        #expect(sleeper.hasEnded(seenFrom: here) == true)
    }
}
