import Datasets
import EngineSupport
import Foundation
import GRDB
import ModelGraph
import Synchronization

/// Results of everything that was tried, found again by content: a SQLite file in WAL mode that several processes may use
/// at once.
///
/// A store is a cache: losing it costs time, never correctness. So nothing about its file stops the program. It keeps within limits: the oldest
/// results that are not pinned go first.
public final class TrialStore: Sendable {
    /// Where it lies; `nil` for a store in memory.
    public let path: String?
    /// What went wrong with the file when it was opened, in one line; `nil` if nothing did.
    public let warning: String?
    /// `nil` where SQLite cannot work even in memory: then every use throws.
    private let database: (any DatabaseWriter)?
    private let limits: StoreLimits
    private let state = Mutex(State())

    private struct State {
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
            return inMemory(warning: "\(path): \(reason); results are kept for this session only")
        }
    }

    /// A store that is gone with the process.
    public static func inMemory(warning: String? = nil, limits: StoreLimits = StoreLimits()) -> TrialStore {
        do {
            let queue = try DatabaseQueue(configuration: configuration)
            try TrialSchema.migrator.migrate(queue)
            return TrialStore(database: queue, path: nil, warning: warning, limits: limits)
        } catch {
            return TrialStore(database: nil, path: nil, warning: warning ?? "results cannot be stored: \(error)", limits: limits)
        }
    }

    private init(database: (any DatabaseWriter)?, path: String?, warning: String?, limits: StoreLimits) {
        self.limits = limits
        self.database = database
        self.path = path
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
        let (database, warning) = try StoreFile(path: path).opened()
        self.init(database: database, path: path, warning: warning, limits: limits)
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

    /// What was removed to keep within the limits since this was last asked, in one line; `nil` if nothing was.
    public func takeRemark() -> String? {
        let count = state.withLock { state in
            defer { state.removed = 0 }
            return state.removed
        }
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

    private func read<T: Sendable>(_ body: @Sendable (Database) throws -> T) throws -> T {
        do { return try usable().read(body) } catch { throw describe(error) }
    }

    private func write<T: Sendable>(_ body: @Sendable (Database) throws -> T) throws -> T {
        do { return try usable().write(body) } catch { throw describe(error) }
    }

    private func usable() throws -> any DatabaseWriter {
        guard let database else { throw EngineError(.data, "there is no store") }
        return database
    }

    private func describe(_ error: any Error) -> EngineError {
        error as? EngineError ?? EngineError(.data, "\(path ?? "trials"): \((error as? DatabaseError)?.message ?? "\(error)")")
    }
}

/// Opening the file, whatever state it is in.
private struct StoreFile {
    let path: String

    func opened() throws -> (any DatabaseWriter, warning: String?) {
        // One process at a time judges and repairs: two must not both move a damaged file aside.
        let lock = open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        if lock >= 0 { flock(lock, LOCK_EX) }
        defer { if lock >= 0 { close(lock) } }
        do {
            return (try pool(), nil)
        } catch let error as DatabaseError where error.resultCode == .SQLITE_NOTADB || error.resultCode == .SQLITE_CORRUPT {
            let aside = try moveAside()
            do {
                return (try pool(), "\(path) was damaged: moved to \(aside), a new one begun")
            } catch {
                throw EngineError(.data, "\((error as? DatabaseError)?.message ?? "\(error)")")
            }
        } catch let error as DatabaseError {
            throw EngineError(.data, error.message ?? "SQLite error \(error.resultCode.rawValue)")
        }
    }

    private func pool() throws -> DatabasePool {
        let pool = try DatabasePool(path: path, configuration: TrialStore.configuration)
        let sound = try pool.read { try String.fetchOne($0, sql: "PRAGMA quick_check(1)") }
        guard sound == "ok" else { throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: sound) }
        guard try !pool.read({ try TrialSchema.migrator.hasBeenSuperseded($0) }) else {
            throw EngineError(.data, "made by a newer version of lathe")
        }
        try TrialSchema.migrator.migrate(pool)
        return pool
    }

    private func moveAside() throws -> String {
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
