import Foundation
import Measurement
import Recipes
import Techniques

extension Workbench {
    /// Opens the store, shows what is in it for this model and data, and takes its complete results as known.
    func openTrials(_ session: EngineSession) {
        let store = TrialStore.open(limits: session.limits)
        for line in [store.warning, store.takeRemark()].compactMap({ $0 }) { send(.remark(line)) }
        state.withLock { $0.store = store }
        sendTrials()
    }

    private func key(_ recipe: Recipe, _ session: EngineSession) -> TrialKey {
        TrialKey(
            kind: "evaluation 2", modelHash: session.info.modelHash, dataHash: session.evaluationHash,
            recipe: recipe.canonical, runtime: session.info.runtimeVersion ?? "", threads: 1)
    }

    /// Stores what was found about a recipe, keeping what earlier runs found besides.
    func record(
        _ recipe: Recipe, _ figures: ModelFigures?, _ accuracy: AccuracyEstimate?, latency: LatencyFigures?, trainings: [TrainingSummary] = [], _ session: EngineSession
    ) {
        guard let store = state.withLock({ $0.store }) else { return }
        let key = key(recipe, session)
        do {
            var trial = try store.trial(key) ?? StoredTrial(key: key, figures: TrialFigures())
            if let figures { trial.figures.record(figures) }
            if let accuracy { trial.figures.record(accuracy) }
            if let latency { trial.figures.record(latency) }
            trial.figures.record(trainings)
            try store.save(trial)
            if let remark = store.takeRemark() { send(.remark(remark)) }
        } catch {
            send(.remark("a result could not be stored: \(error)"))
        }
        sendTrials()
    }

    /// Sends all stored trials of this model, data and runtime.
    func sendTrials() {
        let (store, session) = state.withLock { ($0.store, $0.session) }
        guard let store, let session else { return }
        do {
            let stored = try store.trials(
                modelHash: session.info.modelHash, dataHash: session.evaluationHash, kind: "evaluation 2")
            send(.trials(stored.compactMap(Self.record)))
        } catch {
            send(.remark("stored results cannot be read: \(error)"))
        }
    }

    private static func record(_ trial: StoredTrial) -> TrialRecord? {
        // A recipe of a technique this version does not have is left in the store and not shown.
        guard var recipe = try? trial.key.storedRecipe() else { return nil }
        recipe.modelHash = trial.key.modelHash
        var record = TrialRecord(id: trial.id, recipe: recipe, created: trial.created, figures: trial.figures)
        record.pinned = trial.isPinned
        return record
    }
}
