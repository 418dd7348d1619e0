import Measurement
import Recipes
import Techniques

/// The stored results of one model, data set and runtime.
struct TrialLedger: Sendable {
    let store: TrialStore
    let modelHash: String
    let dataHash: String
    let runtime: String

    /// Of what `record` stores.
    private static let kind = "evaluation 2"

    private func key(_ recipe: Recipe) -> TrialKey {
        TrialKey(kind: Self.kind, modelHash: modelHash, dataHash: dataHash, recipe: recipe.canonical, runtime: runtime, threads: 1)
    }

    /// Stores what was found about a recipe, keeping what earlier runs found besides.
    func record(_ recipe: Recipe, _ figures: ModelFigures?, _ accuracy: AccuracyEstimate?, latency: LatencyFigures?, trainings: [TrainingSummary]) throws {
        let key = key(recipe)
        var trial = try store.trial(key) ?? StoredTrial(key: key, figures: TrialFigures())
        if let figures { trial.figures.record(figures) }
        if let accuracy { trial.figures.record(accuracy) }
        if let latency { trial.figures.record(latency) }
        trial.figures.record(trainings)
        try store.save(trial)
    }

    /// Stores figures in place of what was stored of a recipe.
    func replace(_ recipe: Recipe, _ figures: TrialFigures) throws {
        let key = key(recipe)
        var trial = try store.trial(key) ?? StoredTrial(key: key, figures: figures)
        trial.figures = figures
        try store.save(trial)
    }

    /// What is stored of a recipe.
    func figures(of recipe: Recipe) throws -> TrialFigures? { try store.trial(key(recipe))?.figures }

    /// All that is stored; of techniques that this version does not have nothing is shown.
    func all() throws -> [TrialRecord] { try store.trials(modelHash: modelHash, dataHash: dataHash, kind: Self.kind).compactMap(Self.record) }

    private static func record(_ trial: StoredTrial) -> TrialRecord? {
        // A recipe of a technique this version does not have is left in the store and not shown.
        guard var recipe = try? trial.key.storedRecipe() else { return nil }
        recipe.modelHash = trial.key.modelHash
        var record = TrialRecord(id: trial.id, recipe: recipe, created: trial.created, figures: trial.figures)
        record.pinned = trial.isPinned
        return record
    }
}

extension WorkbenchCore {
    /// Opens the store and shows what is in it for this model and data.
    func openTrials(_ session: any WorkbenchSession) async {
        let openStore = openStore
        guard let store = try? await storage.run({ openStore(session.limits) }) else { return }
        for line in [store.warning, store.takeRemark()].compactMap(\.self) { outlet.send(.remark(line)) }
        let info = session.info
        trials = TrialLedger(store: store, modelHash: info.modelHash, dataHash: session.evaluationHash, runtime: info.runtimeVersion ?? "")
        await sendTrials()
    }

    func record(
        _ recipe: Recipe, _ figures: ModelFigures? = nil, _ accuracy: AccuracyEstimate? = nil, latency: LatencyFigures? = nil, trainings: [TrainingSummary] = []
    ) async {
        guard let trials else { return }
        do {
            try await storage.run { try trials.record(recipe, figures, accuracy, latency: latency, trainings: trainings) }
            if let remark = trials.store.takeRemark() { outlet.send(.remark(remark)) }
        } catch {
            outlet.send(.remark("a result could not be stored: \(error)"))
        }
        await sendTrials()
    }

    func setPinned(_ pinned: Bool, trial: String) {
        guard let trials else { return }
        track { core in
            do {
                try await core.storage.run { try trials.store.setPinned(pinned, address: trial) }
            } catch {
                core.outlet.send(.remark("the trial could not be pinned: \(error)"))
            }
            await core.sendTrials()
        }
    }

    func sendTrials() async {
        guard let trials else { return }
        do {
            outlet.send(.trials(try await storage.run { try trials.all() }))
        } catch {
            outlet.send(.remark("stored results cannot be read: \(error)"))
        }
    }
}
