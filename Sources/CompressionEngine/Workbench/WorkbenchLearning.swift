import EngineSupport
import Measurement
import ModelGraph
import Recipes

// While nothing else is to do, the kernels that techniques may make of the model's layers are timed, so that latency is predicted at once.

/// What is being learnt about time.
struct Learning: Sendable {
    let plan: LearningPlan
    /// How many of the plan's groups were timed, or could not be.
    var done = 0
    /// Seconds spent.
    var seconds = 0.0
    /// Times found in this session, not stored yet.
    var unstored: [Kernel: Double] = [:]

    /// Seconds that one model may take in all.
    static let budget = 20.0

    var next: [Kernel]? { done < plan.groups.count && seconds < Self.budget ? plan.groups[done] : nil }
}

extension WorkbenchCore {
    /// Takes in a measurement: with the first of them learning begins, later ones correct predictions.
    func learn(from timed: TimedModel, of recipe: Recipe, conditions: LatencyConditions, _ session: any WorkbenchSession, _ cancellation: Cancellation) async {
        if learning?.plan.conditions != conditions {
            learning = nil
            let baseline = timed.figures.baseline
            let plan = try? await BlockingThread.run("lathe.worker", cancellation) {
                try session.learningPlan(baseline: baseline, conditions: conditions, cancellation: cancellation)
            }
            guard let plan else { return forecast(nil) }
            learning = Learning(plan: plan)
            forecast(plan.forecast)
            outlet.send(.baselineOperators(plan.operators))
        }
        guard !recipe.activeSteps.isEmpty, var predictor = snapshot.predictor else { return }
        predictor.learn(timed.figures.ratio, of: recipe)
        snapshot.predictor = predictor
        store()
    }

    /// Times the next group of kernels.
    func perform(learning kernels: [Kernel], _ session: any WorkbenchSession, _ cancellation: Cancellation) async {
        guard let conditions = learning?.plan.conditions else { return }
        let watch = clock.stopwatch()
        let found = try? await BlockingThread.run("lathe.worker", cancellation) {
            try session.time(kernels, conditions: conditions, cancellation: cancellation)
        }
        if found == nil, cancellation.isCancelled { return }
        guard var now = learning, now.plan.conditions == conditions, now.next == kernels else { return }
        now.done += 1
        now.seconds += watch.seconds
        now.unstored.merge(found ?? [:]) { $1 }
        learning = now
        if var latency = snapshot.predictor?.latency {
            for (kernel, time) in found ?? [:] { latency.table.insert(kernel, milliseconds: time) }
            forecast(latency)
        }
        if now.next == nil {
            store()
            if let lastTrace { forecast(lastTrace) }
        }
    }

    /// Predictions from now on; nobody waits for them.
    private func forecast(_ latency: LatencyForecast?) {
        guard var predictor = snapshot.predictor else { return }
        predictor.latency = latency
        snapshot.predictor = predictor
        outlet.send(.prepared(baseline: predictor.baseline))
    }

    /// Predicts figures over a parameter's range.
    func forecast(_ trace: WhatIfTrace) {
        let (snapshot, outlet, values) = (snapshot, outlet, trace.values)
        // A held key asks for a curve with every repetition: only the last is of use.
        forecasting?.cancel()
        let cancellation = Cancellation()
        forecasting = cancellation
        track { _ in
            let points = try? await BlockingThread.run("lathe.forecast", cancellation) {
                try values.compactMap { value -> WhatIfForecast? in
                    try cancellation.check()
                    guard var figures = snapshot.predict(trace.recipe(with: value)) else { return nil }
                    figures.layers = []
                    return WhatIfForecast(value: value, figures: figures)
                }
            }
            if let points, !points.isEmpty { outlet.send(.whatIfForecast(generation: trace.generation, points), trace.ticket) }
        }
    }

    private func store() {
        guard let now = learning, let residuals = snapshot.predictor?.latency?.residuals else { return }
        learning?.unstored = [:]
        let (store, kernels) = (now.plan.store, now.unstored)
        track { core in try? await core.storage.run { store.add(kernels, residuals: residuals) } }
    }
}
