import EngineSupport
import Foundation

/// A trial as the name of a file in `open` or `claimed`.
struct SweepToken: Hashable, Sendable {
    var id: Int
    /// Earlier claims that never ended: their worker crashed or was killed.
    var strikes = 0
    /// Who has claimed it; `nil` for nobody.
    var worker: String?

    init(id: Int, strikes: Int = 0, worker: String? = nil) { (self.id, self.strikes, self.worker) = (id, strikes, worker) }

    /// `000123.0.json`, or `000123.0.<worker>.json`; `nil` for what is no trial.
    init?(name: String) {
        let parts = name.split(separator: ".")
        guard parts.count == 3 || parts.count == 4, parts.last == "json", let id = Int(parts[0]), let strikes = Int(parts[1]), id >= 0, strikes >= 0 else { return nil }
        self.init(id: id, strikes: strikes, worker: parts.count == 4 ? String(parts[2]) : nil)
    }

    var name: String { "\(Self.number(id)).\(strikes)." + (worker.map { $0 + "." } ?? "") + "json" }
    var opened: SweepToken { SweepToken(id: id, strikes: strikes) }

    func claimed(by worker: String, strikes: Int? = nil) -> SweepToken { SweepToken(id: id, strikes: strikes ?? self.strikes, worker: worker) }

    static func number(_ id: Int) -> String { String(format: "%06d", id) }
    static func result(_ id: Int) -> String { number(id) + ".json" }

    static func id(ofResult name: String) -> Int? { name.hasSuffix(".json") ? Int(name.dropLast(5)) : nil }
}

/// How trials are taken, given back, taken over and ended. Whatever of this a process is killed in the middle of, each trial gets one result:
///
/// | killed | what others find | and do |
/// |---|---|---|
/// | before the claim | an open trial | claim it |
/// | behind the claim | a claimed trial whose worker has ended | take it over, with a strike |
/// | while writing the result | the same, and a file in `staging` | take it over; the file counts for nothing |
/// | behind the result | a claimed trial with a result | remove the claim |
/// | while giving back | either of the first two | as there |
///
/// A worker that was taken for ended and goes on finds its claim gone and another's result in place, or is first itself: the other's result is then dropped.
struct SweepClaims {
    let folder: SweepFolder
    let worker: String

    init(_ folder: SweepFolder, worker: String) { (self.folder, self.worker) = (folder, worker) }

    /// Takes an open trial; `nil` where another was quicker, or it has a result already.
    func claim(_ token: SweepToken) throws(EngineError) -> SweepToken? {
        let mine = token.claimed(by: worker)
        guard try folder.move(.open, token.name, to: .claimed, mine.name) else { return nil }
        return unlessDone(mine)
    }

    /// Takes the trial of a worker that has ended.
    func takeOver(_ token: SweepToken) throws(EngineError) -> SweepToken? {
        let mine = token.claimed(by: worker, strikes: token.strikes + 1)
        guard try folder.move(.claimed, token.name, to: .claimed, mine.name) else { return nil }
        return unlessDone(mine)
    }

    private func unlessDone(_ mine: SweepToken) -> SweepToken? {
        guard folder.exists(.done, SweepToken.result(mine.id)) else { return mine }
        folder.remove(.claimed, mine.name)
        return nil
    }

    /// Opens the trial for others.
    func giveBack(_ mine: SweepToken) throws(EngineError) { _ = try folder.move(.claimed, mine.name, to: .open, mine.opened.name) }

    /// Ends a trial with its result; one that is there already stays.
    /// - Returns: whether this result counts.
    /// - Throws: `EngineError` if it cannot be written, also after some patience; the claim is then given back.
    @discardableResult
    func finish(_ mine: SweepToken, _ result: SweepResult, patience: Double = 60, cancellation: Cancellation? = nil) throws -> Bool {
        let counts: Bool
        do {
            counts = try folder.add(SweepJSON.data(result), .done, SweepToken.result(mine.id), patience: patience, cancellation: cancellation)
        } catch {
            try? giveBack(mine)
            throw error
        }
        folder.remove(.claimed, mine.name)
        return counts
    }

    /// Opens a trial that stands nowhere: whoever made it was killed before.
    func open(_ id: Int, recipe: String) throws {
        _ = try folder.add(SweepJSON.data(["recipe": recipe]), .open, SweepToken(id: id).name)
    }

    // MARK: - Listing

    func openTokens() -> [SweepToken] { folder.names(.open).compactMap(SweepToken.init(name:)).sorted { $0.id < $1.id } }
    func claimedTokens() -> [SweepToken] { folder.names(.claimed).compactMap(SweepToken.init(name:)).filter { $0.worker != nil } }
    func doneIDs() -> Set<Int> { Set(folder.names(.done).compactMap(SweepToken.id(ofResult:))) }
}
