import Datasets
import EngineSupport
import Foundation
import GRDB
import ModelGraph
import Synchronization

/// Results of everything that was tried, found again by content: a SQLite file in WAL mode that several processes may use
/// at once.
///
/// A store is a cache: losing it costs time, never correctness. So nothing about its file stops the program: a damaged one is set aside for a new one, and
/// where no file can be had results are kept in memory. It keeps within limits: the oldest results that are not pinned go first.
public final class TrialStore: Sendable {
    /// Where it lies; `nil` for a store in memory.
    public var path: String? { state.withLock { $0.file?.path } }
    /// What went wrong with the file when it was opened, in one line; `nil` if nothing did.
    public let warning: String?
    private let limits: StoreLimits
    private let state: Mutex<State>
    /// One thread at a time sees to a database that fails.
    private let mending = Mutex(())

    private struct State {
        /// `nil` for a store in memory.
        var file: StoreFile?
        /// `nil` where SQLite cannot work even in memory: then every use throws.
        var database: (any DatabaseWriter)?
        /// What went wrong since it was last said.
        var problems: [String] = []
        /// Saved since the limits were last looked at.
        var saved = 0
        /// Removed since it was last said.
        var removed = 0
    }

    /// `$XDG_STATE_HOME/lathe/trials.sqlite`, by default under `~/.local/state`.
    public static var defaultPath: String { StateFolder.path("trials.sqlite") }

    /// Opens or creates the store at `path`. A damaged file is moved aside and a new one begun; where no file can be had
    /// at all the store is in memory only. Both are said in `warning`.
    public static func open(path: String = defaultPath, limits: StoreLimits = StoreLimits()) -> TrialStore {
        do {
            return try TrialStore(path: path, limits: limits)
        } catch {
            let reason = "\(error)".split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
            return inMemory(warning: sessionOnly(path, reason), limits: limits)
        }
    }

    private static func sessionOnly(_ path: String, _ reason: String) -> String { "\(path): \(reason); results are kept for this session only" }

    /// A store that is gone with the process.
    public static func inMemory(warning: String? = nil, limits: StoreLimits = StoreLimits()) -> TrialStore {
        do {
            return TrialStore(State(database: try memory()), warning: warning, limits: limits)
        } catch {
            return TrialStore(State(), warning: warning ?? "results cannot be stored: \(error)", limits: limits)
        }
    }

    private static func memory() throws -> any DatabaseWriter {
        let queue = try DatabaseQueue(configuration: configuration)
        try TrialSchema.migrator.migrate(queue)
        return queue
    }

    private init(_ state: State, warning: String?, limits: StoreLimits) {
        self.limits = limits
        self.state = Mutex(state)
        self.warning = warning
    }

    /// - Throws: `EngineError` if the folder or the file cannot be written, or a newer version of lathe made it.
    public convenience init(path: String, limits: StoreLimits = StoreLimits()) throws {
        let folder = path.folder
        if !folder.isEmpty {
            do {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            } catch {
                throw EngineError(.data, "the folder \(folder) cannot be made")
            }
        }
        let (file, database, aside) = try StoreFile.open(path)
        self.init(State(file: file, database: database), warning: aside.map { StoreFile.damage(path, $0) }, limits: limits)
        try? prune()
    }

    fileprivate static var configuration: Configuration {
        var configuration = Configuration()
        // Another process writes for milliseconds; five seconds means it hangs.
        configuration.busyMode = .timeout(5)
        configuration.label = "lathe.trials"
        return configuration
    }

    // MARK: Use

    /// Stores a trial, replacing the figures of the same key. Label, pin, parent and date of a stored trial stay unless
    /// the new one sets them.
    /// - Throws: `EngineError` if the file cannot be written.
    public func save(_ trial: StoredTrial) throws {
        let row = try TrialRow(trial)
        try write { database in
            var row = row
            if let old = try TrialRow.fetchOne(database, key: row.address) {
                row.created = old.created
                row.label = row.label.isEmpty ? old.label : row.label
                row.isPinned = row.isPinned || old.isPinned
                row.parent = row.parent ?? old.parent
            }
            try row.save(database)
        }
        // Looking at all of them takes milliseconds: not at every save.
        let isDue = state.withLock { state in
            state.saved += 1
            return state.saved >= max(1, min(limits.trialsPerModel / 100, 100))
        }
        // What could not be removed now is removed another time.
        if isDue { try? prune() }
    }

    /// Removes the oldest unpinned results beyond the limits.
    private func prune() throws {
        state.withLock { $0.saved = 0 }
        let (each, all) = (limits.trialsPerModel, max(limits.trials, limits.trialsPerModel))
        guard try count() > each else { return }
        let removed = try write { database in
            try database.execute(
                sql: """
                    DELETE FROM trial WHERE NOT isPinned AND address NOT IN (
                        SELECT address FROM (
                            SELECT address, created, ROW_NUMBER() OVER (PARTITION BY modelHash, dataHash ORDER BY created DESC, address) AS place
                            FROM trial WHERE NOT isPinned)
                        WHERE place <= ? ORDER BY created DESC, address LIMIT ?)
                    """, arguments: [each, all])
            return database.changesCount
        }
        state.withLock { $0.removed += removed }
    }

    /// What went wrong, and what was removed to keep within the limits, since this was last asked, in one line; `nil` if there is nothing to say.
    public func takeRemark() -> String? {
        let (count, problems) = state.withLock { state in
            defer { (state.removed, state.problems) = (0, []) }
            return (state.removed, state.problems)
        }
        if !problems.isEmpty { return problems.joined(separator: "; ") }
        guard count > 0 else { return nil }
        return "\(path ?? "stored results"): the \(count == 1 ? "oldest unpinned result" : "\(count) oldest unpinned results") removed, "
            + "to keep within \(limits.trialsPerModel) for a model and its data, \(max(limits.trials, limits.trialsPerModel)) in all"
    }

    /// The trial with this key; `nil` if there is none, or its figures cannot be read.
    public func trial(_ key: TrialKey) throws -> StoredTrial? { try trial(address: key.address) }

    public func trial(address: String) throws -> StoredTrial? {
        try read { try TrialRow.fetchOne($0, key: address) }?.trial
    }

    /// Every trial of a model on a data split, oldest first.
    /// - Parameter kind: `nil` for all kinds.
    public func trials(modelHash: String, dataHash: String, kind: String? = nil) throws -> [StoredTrial] {
        try read { database in
            var request = TrialRow.filter(TrialRow.Columns.modelHash == modelHash && TrialRow.Columns.dataHash == dataHash)
            if let kind { request = request.filter(TrialRow.Columns.kind == kind) }
            return try request.order(TrialRow.Columns.created, TrialRow.Columns.address).fetchAll(database)
        }.compactMap(\.trial)
    }

    /// Pins or unpins a trial. Does nothing if there is none at `address`.
    public func setPinned(_ isPinned: Bool, address: String) throws {
        try write { _ = try TrialRow.filter(key: address).updateAll($0, TrialRow.Columns.isPinned.set(to: isPinned)) }
    }

    public func count() throws -> Int { try read { try TrialRow.fetchCount($0) } }

    private func read<T: Sendable>(_ body: @Sendable (Database) throws -> T) throws -> T { try use { try $0.read(body) } }

    private func write<T: Sendable>(_ body: @Sendable (Database) throws -> T) throws -> T { try use { try $0.write(body) } }

    /// Does something with the database. If the file fails it, it is done once more with what takes the file's place.
    private func use<T>(_ body: (any DatabaseWriter) throws -> T) throws -> T {
        do {
            let database = try usable()
            do {
                return try body(database)
            } catch {
                guard mend(database, error) else { throw error }
                return try body(try usable())
            }
        } catch {
            throw error as? EngineError ?? EngineError(.data, "\(path ?? "trials"): \((error as? DatabaseError)?.message ?? "\(error)")")
        }
    }

    private func usable() throws -> any DatabaseWriter {
        guard let database = state.withLock({ $0.database }) else { throw EngineError(.data, "there is no store") }
        return database
    }

    /// Puts another database in the place of one whose file failed: a new file where the old one is damaged in a way that opening it did not show, else
    /// one in memory (the disk is full or gone, another process holds the file and does not let go).
    /// - Returns: whether there is another one now.
    private func mend(_ failed: any DatabaseWriter, _ error: any Error) -> Bool {
        mending.withLock { _ in
            let (file, current) = state.withLock { ($0.file, $0.database) }
            // Another thread may have been here.
            guard current === failed else { return true }
            guard let file else { return false }
            try? failed.close()
            do {
                guard StoreFile.isDamage(error) else { throw error }
                let (file, database, aside) = try StoreFile.open(file.path, replacing: file)
                state.withLock { state in
                    (state.file, state.database) = (file, database)
                    if let aside { state.problems.append(StoreFile.damage(file.path, aside)) }
                }
            } catch {
                let memory = try? Self.memory()
                state.withLock { state in
                    (state.file, state.database) = (nil, memory)
                    state.problems.append(Self.sessionOnly(file.path, StoreFile.reason(error)))
                }
            }
            return true
        }
    }
}

/// The file of a store, whatever state it is in.
private struct StoreFile {
    let path: String
    /// Which file that was when it was opened: another process may put a new one in its place.
    let identity: FileIdentity?

    /// Seconds that another process may take to judge or repair the file: it does so in milliseconds, unless it is stopped.
    private static let patience = 3.0

    /// Opens or makes the file.
    /// - Parameter damaged: a file that is known to be damaged, to be set aside if it is still there.
    /// - Returns: where a damaged file was moved, if one was.
    static func open(_ path: String, replacing damaged: StoreFile? = nil) throws -> (StoreFile, any DatabaseWriter, aside: String?) {
        // One process at a time judges and repairs: two must not both move a damaged file aside.
        let lock = Glibc.open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o644)
        defer { if lock >= 0 { close(lock) } }
        let deadline = ContinuousClock.now + .seconds(patience)
        while lock >= 0, flock(lock, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK || errno == EINTR {
            guard ContinuousClock.now < deadline else { throw EngineError(.data, "another process holds it and does not let go") }
            usleep(20_000)
        }
        var aside: String?
        if let identity = damaged?.identity, identity == FileIdentity(path: path) { aside = try moveAside(path) }
        do {
            let database: any DatabaseWriter
            do {
                database = try pool(path)
            } catch  where aside == nil && isDamage(error) {
                aside = try moveAside(path)
                database = try pool(path)
            }
            return (StoreFile(path: path, identity: FileIdentity(path: path)), database, aside)
        } catch {
            throw EngineError(.data, reason(error))
        }
    }

    /// Whether an error means that what the file holds is not what a store holds. The migrations that it says to have had may be there and their tables not.
    static func isDamage(_ error: any Error) -> Bool {
        guard let error = error as? DatabaseError else { return !(error is EngineError) }
        return [.SQLITE_NOTADB, .SQLITE_CORRUPT, .SQLITE_ERROR, .SQLITE_MISMATCH, .SQLITE_CONSTRAINT, .SQLITE_SCHEMA, .SQLITE_FORMAT].contains(error.resultCode)
    }

    static func reason(_ error: any Error) -> String {
        if let error = error as? EngineError { return error.message }
        guard let error = error as? DatabaseError else { return "\(error)" }
        switch error.resultCode {
        case .SQLITE_BUSY, .SQLITE_LOCKED: return "another process holds it and does not let go"
        default: return error.message ?? "SQLite error \(error.resultCode.rawValue)"
        }
    }

    static func damage(_ path: String, _ aside: String) -> String { "\(path) was damaged: moved to \(aside), a new one begun" }

    private static func pool(_ path: String) throws -> DatabasePool {
        let pool = try DatabasePool(path: path, configuration: TrialStore.configuration)
        let sound = try pool.read { try String.fetchOne($0, sql: "PRAGMA quick_check(1)") }
        guard sound == "ok" else { throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: sound) }
        guard try !pool.read({ try TrialSchema.migrator.hasBeenSuperseded($0) }) else {
            throw EngineError(.data, "made by a newer version of lathe")
        }
        try TrialSchema.migrator.migrate(pool)
        return pool
    }

    private static func moveAside(_ path: String) throws -> String {
        let stamp = Int(Date().timeIntervalSince1970)
        var aside = "\(path).damaged-\(stamp)"
        var copy = 1
        while InputFile.exists(aside) {
            copy += 1
            aside = "\(path).damaged-\(stamp)-\(copy)"
        }
        guard rename(path, aside) == 0 else {
            throw EngineError(.data, "damaged, and cannot be moved aside: \(String(cString: strerror(errno)))")
        }
        // A journal belongs to the file it was written for.
        for suffix in ["-wal", "-shm"] { unlink(path + suffix) }
        return aside
    }
}

extension TrialRow {
    fileprivate init(_ trial: StoredTrial) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        encoder.nonConformingFloatEncodingStrategy = .convertToString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        self.init(
            address: trial.id, kind: trial.key.kind, modelHash: trial.key.modelHash, dataHash: trial.key.dataHash, recipe: trial.key.recipe,
            runtime: trial.key.runtime, threads: trial.key.threads,
            figures: String(decoding: try encoder.encode(trial.figures), as: UTF8.self), created: trial.created, label: trial.label,
            isPinned: trial.isPinned, parent: trial.parent)
    }

    /// `nil` if the figures are not such: then the trial counts as not there and is run again.
    fileprivate var trial: StoredTrial? {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        guard let figures = try? decoder.decode(TrialFigures.self, from: Data(self.figures.utf8)) else { return nil }
        return StoredTrial(
            key: TrialKey(kind: kind, modelHash: modelHash, dataHash: dataHash, recipe: recipe, runtime: runtime, threads: threads),
            figures: figures, created: created, label: label, isPinned: isPinned, parent: parent)
    }
}
