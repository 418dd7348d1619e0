import Foundation
import Metrics
import PythonOracle
import Synchronization
import Testing

@testable import CompressionEngine
@testable import Datasets
@testable import EngineSupport
@testable import Measurement

@Suite("Trial store")
struct TrialStoreTests {
    private func key(_ recipe: String, data: String = "d", kind: String = "evaluation") -> TrialKey {
        TrialKey(kind: kind, modelHash: "m", dataHash: data, recipe: recipe, runtime: "onnxruntime 1.31.1", threads: 2)
    }

    private func trial(_ recipe: String, data: String = "d", kind: String = "evaluation", created: Double = 1) -> StoredTrial {
        var figures = TrialFigures()
        figures[.top1] = 0.925
        figures.accuracyInterval = Interval(low: 0.91, high: 0.94)
        figures[.file] = 12345
        figures.latencyRatio = .infinity
        figures.other = ["odd": 1e-300]
        return StoredTrial(key: key(recipe, data: data, kind: kind), figures: figures, created: created, label: "", parent: "p")
    }

    @Test("What was stored is found after a restart, figure for figure")
    func restart() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/deep/er/trials.sqlite"
        let stored = trial("prune: 0.5\n# näïve ✓\n")
        do {
            let store = TrialStore.open(path: path)
            #expect(store.warning == nil && store.path == path)
            try store.save(stored)
        }
        let store = TrialStore.open(path: path)
        #expect(try store.trial(stored.key) == stored && (try store.trial(address: stored.id)) == stored)
        #expect(try store.trial(key("other")) == nil)
    }

    @Test("Any part of the key makes another trial")
    func keys() {
        let base = key("r")
        var variants = [base]
        for change in [
            { $0.kind = "latency" }, { $0.modelHash = "n" }, { $0.dataHash = "e" }, { $0.recipe = "s" }, { $0.runtime = "onnxruntime 1.32" }, { $0.threads = 1 },
            { ($0.modelHash, $0.dataHash) = ("md", "") }, { ($0.modelHash, $0.dataHash) = ("", "md") },
        ] as [(inout TrialKey) -> Void] {
            var variant = base
            change(&variant)
            variants.append(variant)
        }
        #expect(Set(variants.map(\.address)).count == variants.count)
    }

    @Test("Trials of a model and its data come oldest first; others stay out; pins, names and dates outlive new figures")
    func queries() throws {
        let store = TrialStore.inMemory()
        for (recipe, created) in [("b", 3.0), ("a", 1.0), ("c", 2.0)] { try store.save(trial(recipe, created: created)) }
        try store.save(trial("a", data: "elsewhere"))
        try store.save(trial("a", kind: "latency", created: 9))
        #expect(try store.trials(modelHash: "m", dataHash: "d", kind: "evaluation").map(\.key.recipe) == ["a", "c", "b"])
        #expect(try store.trials(modelHash: "m", dataHash: "d").count == 4 && (try store.count()) == 5)

        let address = key("a").address
        try store.setPinned(true, address: address)
        var newer = trial("a", created: 50)
        newer.figures[.top1] = 0.5
        newer.parent = nil
        newer.label = "best so far"
        try store.save(newer)
        let found = try #require(try store.trial(address: address))
        #expect(found.isPinned && found.label == "best so far" && found.created == 1 && found.parent == "p" && found.figures.accuracy == 0.5)

        try store.setPinned(false, address: "no such")
    }

    @Test("Beyond the limits the oldest results go, of the model that has too many and then of all; pinned ones and those of other models stay")
    func limits() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/trials.sqlite"
        var limits = StoreLimits()
        (limits.trialsPerModel, limits.trials) = (5, 12)
        let store = TrialStore.open(path: path, limits: limits)
        try store.save(trial("pinned", created: 0))
        try store.setPinned(true, address: key("pinned").address)
        for index in 1...8 { try store.save(trial("\(index)", created: Double(index))) }
        #expect(try store.trials(modelHash: "m", dataHash: "d").map(\.key.recipe) == ["pinned", "4", "5", "6", "7", "8"])
        let remark = try #require(store.takeRemark())
        #expect(remark.contains(path) && remark.contains("3 oldest unpinned results") && remark.contains("5 for a model"))
        #expect(store.takeRemark() == nil, "said twice")
        for data in ["e", "f"] { for index in 10...14 { try store.save(trial("\(index)", data: data, created: Double(index))) } }
        #expect(try store.count() == 13)
        #expect(try store.trials(modelHash: "m", dataHash: "d").map(\.key.recipe) == ["pinned", "7", "8"])
        #expect(try store.trials(modelHash: "m", dataHash: "e").count == 5)
        // A smaller limit holds from the next start.
        limits.trialsPerModel = 1
        let again = TrialStore.open(path: path, limits: limits)
        #expect(again.takeRemark()?.contains("9 oldest") == true && again.warning == nil)
        #expect(try again.trials(modelHash: "m", dataHash: "e").map(\.key.recipe) == ["14"])
        #expect(try again.trial(key("pinned")) != nil)
    }

    @Test("A file that is not a database, or one with damaged pages, is moved aside with a warning")
    func damaged() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/trials.sqlite"
        try folder.write("trials.sqlite", String(repeating: "this is not a database ", count: 500))
        try folder.write("trials.sqlite-wal", "stale")
        do {
            let store = TrialStore.open(path: path)
            #expect(try #require(store.warning).contains("damaged") && store.path == path)
            try store.save(trial("a"))
        }
        do {
            let store = TrialStore.open(path: path)
            #expect(try store.warning == nil && (store.count()) == 1)
            for index in 0..<300 { try store.save(trial("recipe \(index)")) }
        }
        // Everything after the header page turns to noise.
        var bytes = try InputFile.read(path)
        try #require(bytes.count > 40000)
        for index in stride(from: 4096, to: bytes.count, by: 3) { bytes[index] = UInt8(truncatingIfNeeded: index &* 7) }
        try folder.write("trials.sqlite", bytes)
        let store = TrialStore.open(path: path)
        #expect(store.warning?.contains("damaged") == true)
        try store.save(trial("a"))
        #expect(try store.count() == 1)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count { $0.contains("damaged-") } == 2)
    }

    /// What opening the file does not show comes out when it is used.
    @Test(
        "A table or column that is missing: the file is set aside when that comes out, and what is stored then is found",
        arguments: [
            "DROP TABLE trial", "ALTER TABLE trial DROP COLUMN label", "ALTER TABLE trial RENAME COLUMN recipe TO formula", "DROP TABLE grdb_migrations",
            "DROP TABLE trial; CREATE VIEW trial AS SELECT 1 AS address",
        ])
    func damageThatOpeningDoesNotShow(_ sql: String) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/trials.sqlite"
        do { try TrialStore(path: path).save(trial("a")) }
        try Python.run("import sqlite3\nc = sqlite3.connect(args[0])\nc.executescript(args[1])\nc.commit()", path, sql)
        let store = TrialStore.open(path: path)
        #expect(try store.trial(key("a")) == nil)
        try store.save(trial("b"))
        #expect(try store.trial(key("b")) != nil && store.path == path)
        let lines = [store.warning, store.takeRemark()].compactMap(\.self)
        #expect(lines.count == 1 && lines[0].contains("damaged") && !lines[0].contains("\n"), "\(sql): \(lines)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count { $0.contains("damaged-") } == 1)
        let again = TrialStore.open(path: path)
        #expect(try again.warning == nil && again.count() == 1 && again.takeRemark() == nil)
    }

    @Test("A file that is damaged while it is open is set aside once, however many threads come upon it")
    func damageWhileOpen() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/trials.sqlite"
        let store = TrialStore.open(path: path)
        try store.save(trial("a"))
        try Python.run("import sqlite3\nc = sqlite3.connect(args[0])\nc.execute('DROP TABLE trial')\nc.commit()", path)
        let trials = (0..<8).map { trial("\($0)") }
        let failed = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: trials.count) { index in
            do { try store.save(trials[index]) } catch { failed.withLock { $0 += 1 } }
        }
        #expect(try failed.withLock { $0 } == 0 && store.count() == trials.count)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count { $0.contains("damaged-") } == 1)
        #expect(store.takeRemark()?.contains("damaged") == true && store.takeRemark() == nil)
    }

    @Test("A process that holds the file and does not let go is waited for a few seconds; then results are kept in memory", .timeLimit(.minutes(2)), arguments: [true, false])
    func heldForGood(_ whileOpening: Bool) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/trials.sqlite"
        do { try TrialStore(path: path).save(trial("a")) }
        let before = whileOpening ? nil : TrialStore.open(path: path)
        let other = Process()
        other.executableURL = URL(fileURLWithPath: Python.executable)
        let out = Pipe()
        other.standardOutput = out
        other.arguments = [
            "-c",
            """
            import fcntl, sqlite3, sys, time
            if sys.argv[2] == 'true': f = open(sys.argv[1] + '.lock', 'r+'); fcntl.flock(f, fcntl.LOCK_EX)
            else: c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE')
            print('locked', flush=True); time.sleep(600)
            """, path, "\(whileOpening)",
        ]
        try other.run()
        defer { kill(other.processIdentifier, SIGKILL) }
        #expect(String(decoding: out.fileHandleForReading.availableData, as: UTF8.self).contains("locked"))
        kill(other.processIdentifier, SIGSTOP)
        let store = before ?? TrialStore.open(path: path)
        try store.save(trial("b"))
        #expect(try store.path == nil && store.trial(key("b")) != nil)
        let lines = [store.warning, store.takeRemark()].compactMap(\.self)
        #expect(lines.count == 1 && lines[0].contains("does not let go") && lines[0].contains(path), "\(lines)")
    }

    @Test("A store that a newer version made is left alone; one that cannot be written is replaced by memory")
    func unusable() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/trials.sqlite"
        do { try TrialStore(path: path).save(trial("a")) }
        try Python.run(
            "import sqlite3\nc = sqlite3.connect(args[0])\nc.execute(\"INSERT INTO grdb_migrations VALUES ('99: later')\")\nc.commit()", path)
        let newer = TrialStore.open(path: path)
        #expect(newer.warning?.contains("newer version") == true && newer.path == nil)
        try newer.save(trial("b"))
        #expect(try newer.count() == 1)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).allSatisfy { !$0.contains("damaged") })

        let impossible = TrialStore.open(path: path + "/below/a/file.sqlite")
        #expect(impossible.warning != nil && impossible.path == nil)
        try impossible.save(trial("a"))
        #expect(try impossible.trial(key("a")) != nil)
    }

    @Test("Another process holding the file for a while delays a save and does not fail it")
    func busy() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/trials.sqlite"
        let store = try TrialStore(path: path)
        try store.save(trial("a"))
        let other = Process()
        other.executableURL = URL(fileURLWithPath: Python.executable)
        let out = Pipe()
        other.standardOutput = out
        other.arguments = [
            "-c",
            """
            import sqlite3, sys, time
            c = sqlite3.connect(sys.argv[1], isolation_level=None)
            c.execute('BEGIN IMMEDIATE')
            c.execute("UPDATE trial SET label = 'from Python'")
            print('locked', flush=True); time.sleep(0.7)
            c.execute('COMMIT')
            """, path,
        ]
        try other.run()
        #expect(String(decoding: out.fileHandleForReading.availableData, as: UTF8.self).contains("locked"))
        // Readers see the state before, and do not wait.
        #expect(try store.trial(key("a"))?.label == "")
        try store.save(trial("b"))
        other.waitUntilExit()
        #expect(other.terminationStatus == 0)
        #expect(try store.trial(key("a"))?.label == "from Python" && (try store.count()) == 2)
    }

    @Test("Many writers through several stores on one file lose nothing")
    func writers() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/trials.sqlite"
        let problems = Mutex<[String]>([])
        DispatchQueue.concurrentPerform(iterations: 4) { worker in
            do {
                let store = try TrialStore(path: path)
                for index in 0..<25 { try store.save(trial("\(worker)/\(index)")) }
            } catch {
                problems.withLock { $0.append("\(error)") }
            }
        }
        #expect(problems.withLock { $0 } == [])
        #expect(try TrialStore(path: path).count() == 100)
    }

    @Test("Figures of a later version are read as far as they are known; unreadable ones count as not there")
    func figures() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/trials.sqlite"
        let store = try TrialStore(path: path)
        try store.save(trial("a"))
        try store.save(trial("b"))
        try Python.run(
            """
            import sqlite3
            c = sqlite3.connect(args[0])
            c.execute("UPDATE trial SET figures = '{\\"accuracy\\": 0.5, \\"color\\": \\"blue\\", \\"outcomes\\": {\\"count\\": 3, \\"known\\": [7], \\"right\\": [5]}}' WHERE recipe = 'a'")
            c.execute("UPDATE trial SET figures = '{{{' WHERE recipe = 'b'")
            c.commit()
            """, path)
        #expect(try store.trial(key("a"))?.figures.accuracy == 0.5)
        #expect(try store.trial(key("b")) == nil)
        #expect(try store.trials(modelHash: "m", dataHash: "d").map(\.key.recipe) == ["a"])
    }
}
