import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques

// A live parameter is answered from a profile that was made once, while the recipe's model was evaluated.

/// What is known of recipes whose models have a live parameter, whatever value it has. Keeps a bounded number.
struct LiveAnswers: Sendable {
    private struct Entry {
        var profile: ContentHash
        /// Counted at some value of the parameter.
        var figures: ModelFigures?
    }

    private var entries = BoundedCache<String, Entry>(maximumCount: 64)

    mutating func note(profile: ContentHash, of recipe: Recipe) {
        guard let context = recipe.liveKnob?.context else { return }
        if entries[context]?.profile != profile { entries[context] = Entry(profile: profile) }
    }

    mutating func note(figures: ModelFigures, of recipe: Recipe) {
        guard figures.live != nil, let context = recipe.liveKnob?.context, var entry = entries[context] else { return }
        entry.figures = figures
        entries[context] = entry
    }

    /// Which profile answers for a recipe.
    func profile(for knob: LiveKnob) -> ContentHash? { entries[knob.context]?.profile }

    /// Lays over a prediction what is expected of samples at the knob's value.
    func complete(_ figures: inout ModelFigures, _ knob: LiveKnob, live: LiveFigures) {
        // Another value changes no size.
        if let known = entries[knob.context]?.figures {
            let (macs, energy) = (known.macs?.value, known.energyPicojoules?.value)
            figures = known.asEstimates
            if let macs, macs > 0, let energy, let now = live.macs { figures.energyPicojoules = Figure(energy * now / macs, .modeled) }
        }
        figures.live = live
        if let macs = live.macs { figures.macs = Figure(macs, .estimated) }
    }
}

extension ModelFigures {
    /// The same numbers, predicted.
    fileprivate var asEstimates: ModelFigures {
        func estimate(_ figure: Figure?) -> Figure? { figure.map { Figure($0.value, $0.provenance == .modeled ? .modeled : .estimated) } }
        var result = self
        result.parameters = Figure(parameters.value, .estimated)
        result.nonZeros = Figure(nonZeros.value, .estimated)
        result.serializedBytes = Figure(serializedBytes.value, .estimated)
        result.macs = estimate(macs)
        result.theoreticalBytes = estimate(theoreticalBytes)
        result.transferBytes = estimate(transferBytes)
        result.packedBytes = estimate(packedBytes)
        result.peakActivationBytes = estimate(peakActivationBytes)
        result.memoryBytes = estimate(memoryBytes)
        result.energyPicojoules = estimate(energyPicojoules)
        return result
    }
}

extension WorkbenchCore {
    /// The whole curve over a live parameter at once.
    func sweep(_ trace: WhatIfTrace) {
        let (dense, snapshot, outlet) = (trace.dense, snapshot, outlet)
        track { _ in
            let points = try? await BlockingThread.run("lathe.live", Cancellation()) { try Parallel.map(dense.values) { snapshot.livePoint(dense, $0) } }
            for case let point? in points ?? [] { outlet.send(.whatIf(generation: dense.generation, point), dense.ticket) }
        }
    }

    /// Times the ways through a recipe's model, if that was not done yet, and says that predictions know more now.
    ///
    /// The evaluation is settled by then: what goes wrong here is a remark.
    func addTimes(_ recipe: Recipe, _ session: any WorkbenchSession, _ cancellation: Cancellation) async {
        guard let model = snapshot.model(of: recipe), snapshot.liveFigures(for: recipe) != nil else { return }
        do {
            try await BlockingThread.run("lathe.worker", cancellation) { try session.addTimes(to: model, cancellation: cancellation) }
        } catch {
            if !cancellation.isCancelled { outlet.send(.remark("the time of samples could not be measured: \(error)")) }
            return
        }
        if let baseline = snapshot.predictor?.baseline { outlet.send(.prepared(baseline: baseline)) }
        if let liveTrace { sweep(liveTrace) }
    }
}
