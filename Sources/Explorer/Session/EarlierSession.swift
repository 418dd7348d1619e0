import Foundation

/// A session of the same model that can be taken up: what it did to recipe and history, in order.
public struct EarlierSession: Sendable {
    public var lines: [SessionLine]
    /// The model's content when it was opened.
    public var modelHash: String?
    /// It ended without being quit: by a crash, a kill, a lost connection.
    public var wasCut: Bool

    /// Lines that change recipe or history.
    var actions: [SessionLine] { lines.filter { ((try? $0.sessionAction(.registered)) ?? nil) != nil } }

    public init(_ log: SessionLog) {
        lines = log.lines
        modelHash = log.lines.first { $0.action == "opened" }?.modelHash
        let last = log.lines.last { !["result", "opened"].contains($0.action) }
        wasCut = last.map { !["quit", "interrupt"].contains($0.action) } ?? false
    }

    /// The newest session of a model that did anything and does not run any more.
    /// - Parameters:
    ///   - folder: where session logs are kept, named `TIME-MODEL-PROCESS.jsonl`.
    ///   - model: an absolute path.
    public static func newest(in folder: String, of model: String) -> EarlierSession? {
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(".jsonl") }.sorted(by: >)
        for name in names {
            let process = name.dropLast(6).split(separator: "-").last.flatMap { Int32($0) }
            guard SessionLog.header(path: folder + "/" + name)?.model == model else { continue }
            // One that runs is somebody's, and so is what it does.
            if let process, kill(process, 0) == 0 || errno == EPERM { continue }
            guard let log = try? SessionLog.read(path: folder + "/" + name) else { continue }
            let session = EarlierSession(log)
            if !session.actions.isEmpty { return session }
        }
        return nil
    }
}

extension ExplorerModel {
    /// Takes up an earlier session: its states, pins and names stand in the history as they did, and in this session's log.
    /// - Returns: whether there was one of this very model.
    @discardableResult
    mutating func takeUp(_ earlier: EarlierSession) -> Bool {
        guard earlier.modelHash == facts.info?.modelHash, let last = earlier.lines.last?.t else { return false }
        var done = 0
        for var line in earlier.lines {
            guard let action = (try? line.sessionAction(catalog)) ?? nil else { continue }
            // Times go on from before this session began, so that quick changes merge as they did.
            line.t = ((line.t - last) * 1000).rounded() / 1000
            guard (try? session.perform(action, at: line.t)) != nil else { continue }
            effects.append(.log(line))
            done += 1
        }
        guard done > 0 else { return false }
        self.earlier = nil
        effects.append(.predict(recipe))
        evaluate()
        traceCurve(force: true)
        return true
    }

    /// On the user's wish.
    mutating func takeUpEarlier() {
        guard facts.phase == .ready else { return }
        guard let earlier else { return notify(.info, "there is no earlier session of this model to take up") }
        guard session.history.nodes.count == 1 else { return notify(.warning, "this session has states of its own: an earlier one is taken up at the beginning only") }
        if takeUp(earlier) {
            notify(.success, "taken up: \(session.history.nodes.count) states; 4 shows them")
        } else {
            notify(.warning, "the earlier session was of another version of this model")
        }
    }

    /// A session that was cut off goes on by itself; one that was quit is offered.
    mutating func offerEarlier(isOtherRecipe: Bool) {
        guard let earlier, earlier.modelHash == facts.info?.modelHash else {
            self.earlier = nil
            return
        }
        if earlier.wasCut, !isOtherRecipe {
            let trains = earlier.lines.last { ["train", "startExport"].contains($0.action) }?.action == "train"
            guard takeUp(earlier) else { return }
            let more = trains ? "; \(keyLabel(.train, .ascii)) resumes its training" : ""
            let text = "the last session was cut off and goes on here: \(session.history.nodes.count) states\(more)"
            notify(.success, text, stays: true)
            record(.info, text)
        } else {
            record(.info, "the last session of this model can be taken up: ':' resume-session")
        }
    }
}
