import Measurement
import ModelGraph
import Recipes
import Synchronization
import Techniques

/// What the workbench answers at once, from the terminal thread: the lock is held to copy values only.
final class WorkbenchSnapshot: Sendable {
    private struct State {
        var request: OpenRequest?
        var predictor: Predictor?
        /// The last rewritten model and the recipe it came from.
        var latest: (canonical: String, model: Model)?
        var live = LiveAnswers()
        var session: (any WorkbenchSession)?
    }

    private let state = Mutex(State())

    var request: OpenRequest? {
        get { state.withLock { $0.request } }
        set { state.withLock { $0.request = newValue } }
    }

    /// `nil` until summaries are ready.
    var predictor: Predictor? {
        get { state.withLock { $0.predictor } }
        set { state.withLock { $0.predictor = newValue } }
    }

    /// Whose profiles answer for live parameters.
    var session: (any WorkbenchSession)? {
        get { state.withLock { $0.session } }
        set { state.withLock { $0.session = newValue } }
    }

    func show(_ model: Model, of recipe: Recipe) { state.withLock { $0.latest = (recipe.canonical, model) } }
    func note(profile: ContentHash, of recipe: Recipe) { state.withLock { $0.live.note(profile: profile, of: recipe) } }
    func note(figures: ModelFigures, of recipe: Recipe) { state.withLock { $0.live.note(figures: figures, of: recipe) } }

    /// The rewritten model of a recipe, if it is the last that was rewritten.
    func model(of recipe: Recipe) -> Model? {
        let canonical = recipe.canonical
        return state.withLock { $0.latest?.canonical == canonical ? $0.latest?.model : nil }
    }

    // MARK: Answers

    func predict(_ recipe: Recipe) -> ModelFigures? {
        guard let predictor, var figures = try? predictor.figures(for: recipe) else { return nil }
        if let knob = recipe.liveKnob, let live = liveFigures(for: knob) { state.withLock { $0.live }.complete(&figures, knob, live: live) }
        return figures
    }

    /// What is expected of samples at the value of a recipe's live parameter, once that was profiled.
    func liveFigures(for recipe: Recipe) -> LiveFigures? { recipe.liveKnob.flatMap(liveFigures) }

    private func liveFigures(for knob: LiveKnob) -> LiveFigures? {
        let (key, session) = state.withLock { ($0.live.profile(for: knob), $0.session) }
        return key.flatMap { session?.knownProfile($0) }?.figures(at: knob.value)
    }

    /// A point of the curve over a live parameter, without rewriting or running anything; `nil` where that is not possible.
    func livePoint(_ trace: WhatIfTrace, _ value: ParameterValue) -> WhatIfPoint? {
        guard trace.isLive, let figures = liveFigures(for: trace.recipe(with: value)) else { return nil }
        var point = trace.point(value)
        point.accuracy = figures.accuracy
        point.live = figures
        return point
    }

    func weightHistogram(layer: String, recipe: Recipe) -> WeightHistogram? {
        guard let predictor, let index = predictor.layers.firstIndex(where: { $0.id == layer }) else { return nil }
        let summary = predictor.summaries[index]
        let reach = Double(summary.maximumMagnitude)
        guard reach > 0 else { return nil }
        var current: [Int]?
        if let model = model(of: recipe), let now = model.layers().first(where: { $0.id == layer }),
            let tensor = model.initializer(now.weight, from: now.path)?.tensor, tensor.elementType.isFloatingPoint
        {
            current = WeightHistogram.counts(of: tensor, reach: Float(reach))
        }
        return WeightHistogram(range: -reach...reach, baseline: summary.histogram, current: current)
    }
}

extension WeightHistogram {
    /// Counts over 256 equal bins of [−reach, reach]; of large tensors a regular sample, scaled up.
    static func counts(of tensor: Tensor, reach: Float) -> [Int] {
        var counts = [Int](repeating: 0, count: 256)
        let step = max(1, tensor.count / 500_000)
        let scale = 127.999 / reach
        tensor.withFloats { values in
            for index in stride(from: 0, to: values.count, by: step) where values[index].isFinite {
                counts[min(max(Int(values[index] * scale + 128), 0), 255)] += step
            }
        }
        return counts
    }
}
