import CompressionEngine
import Foundation
import Measurement
import ModelGraph
import Recipes
import Synchronization

/// Repeats a recorded session without a screen.
public enum SessionReplay {
    public struct Outcome: Sendable {
        public var recipe: Recipe
        public var figures: ModelFigures?
        public var accuracy: AccuracyEstimate?
        /// The last result in the log of a recipe that was evaluated to the end, to hold against.
        public var recordedAccuracy: Double?
        public var recordedFileBytes: Double?
    }

    /// The recipe a log leads to, without an engine.
    /// - Throws: `SettingsError` naming the line that cannot be repeated.
    public static func recipe(_ log: SessionLog, catalog: TechniqueCatalog = .registered, layers: [Layer]) throws(SettingsError) -> Recipe {
        var session = RecipeSession(catalog: catalog, layers: layers)
        for (number, line) in log.lines.enumerated() {
            do {
                if let action = try line.sessionAction(catalog) { try session.perform(action, at: line.t) }
            } catch {
                throw SettingsError("line \(number + 2): \(error)")
            }
        }
        return session.recipe
    }

    /// Repeats a log against an engine: opens the model, does every action, evaluates the recipe at the end.
    ///
    /// - Parameters:
    ///   - request: model and data; those of the log's first line when the caller names no other.
    ///   - timeout: seconds to wait for the engine.
    /// - Throws: `SettingsError` for lines that cannot be repeated, or with what the engine says.
    public static func run(
        _ log: SessionLog, engine: any ExplorerEngine, request: OpenRequest? = nil, catalog: TechniqueCatalog = .registered, timeout: Double = 3600
    ) throws(SettingsError) -> Outcome {
        guard let model = request?.modelPath ?? log.header.model else { throw SettingsError("the log does not name the model; name it") }
        let inbox = Inbox()
        engine.open(request ?? OpenRequest(modelPath: model, dataPath: log.header.data), send: { inbox.put($0) })
        defer { engine.close() }
        let deadline = ContinuousClock.now + .seconds(timeout)

        var layers: [Layer]?
        var prepared = false
        var baseline: ModelFigures?
        var baselineAccuracy: AccuracyEstimate?
        var expectsAccuracy = false
        func next() throws(SettingsError) -> EngineEvent {
            guard let event = inbox.take(until: deadline) else { throw SettingsError("the engine did not answer within \(Int(timeout)) s") }
            if case .failed(_, _, let message) = event { throw SettingsError(message) }
            switch event {
            case .opened(let info, let figures, _, _):
                layers = info.layers
                baseline = figures
                expectsAccuracy = info.runtimeVersion != nil && info.validationCount > 0 && info.cannotRun == nil
            case .prepared(let figures):
                prepared = true
                baseline = figures
            case .baselineAccuracy(let estimate): baselineAccuracy = estimate
            default: break
            }
            return event
        }
        while layers == nil || !prepared { _ = try next() }
        var outcome = Outcome(recipe: try recipe(log, catalog: catalog, layers: layers ?? []))
        if let result = log.lines.last(where: { $0.action == "result" }) {
            outcome.recordedAccuracy = result.accuracy
            outcome.recordedFileBytes = result.fileBytes
        }
        guard outcome.recipe.steps.contains(where: \.enabled) else {
            while expectsAccuracy, baselineAccuracy?.isComplete != true { _ = try next() }
            outcome.figures = baseline
            outcome.accuracy = baselineAccuracy
            return outcome
        }
        engine.evaluate(outcome.recipe, generation: 1)
        while true {
            switch try next() {
            case .rewritten(1, let figures, _): outcome.figures = figures
            case .accuracy(1, let estimate): outcome.accuracy = estimate
            case .settled(1): return outcome
            default: break
            }
        }
    }

    /// Events from the engine's threads to the one that waits.
    private final class Inbox: Sendable {
        private let events = Mutex<[EngineEvent]>([])

        func put(_ event: EngineEvent) { events.withLock { $0.append(event) } }

        func take(until deadline: ContinuousClock.Instant) -> EngineEvent? {
            while true {
                if let event = events.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { return event }
                if ContinuousClock.now >= deadline { return nil }
                Inbox.pause()
            }
        }

        /// A headless replay waits seconds for an evaluation; two milliseconds more do not matter.
        private static func pause() { usleep(2000) }
    }
}
