import Datasets
import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques

/// Profiles of models whose live parameter can be turned without running them again, made once and kept, whatever the parameter's value.
final class SessionProfiles: Sendable {
    private let opened: OpenedModel
    private let shapes: SessionShapes
    private let accuracies: SessionAccuracy
    private let known = SharedCache<ContentHash, any LiveProfile>(maximumCount: 32)

    init(_ opened: OpenedModel, _ shapes: SessionShapes, _ accuracies: SessionAccuracy) {
        self.opened = opened
        self.shapes = shapes
        self.accuracies = accuracies
    }

    /// What is known so far of models with this key; answers at once.
    subscript(key: ContentHash) -> (any LiveProfile)? { known.value(for: key) }

    /// Whether there is something to profile on: answers of exits are compared one by one, with a class or with the original's.
    private var canProfile: Bool {
        guard let samples = opened.validation, !samples.isSequence else { return false }
        return (samples.isCompared || samples.metric == .top1 || samples.metric == .top5) && opened.runtime != nil && samples.count > 0 && shapes.runs
            && opened.model.graph.outputs.count == 1
    }

    private func setting(of model: Model, scoring: Bool, _ cancellation: Cancellation) throws -> ProfileSetting? {
        guard canProfile, let library = opened.runtime, let samples = opened.validation else { return nil }
        var setting = ProfileSetting(baseline: opened.model, samples: samples, library: library, cancellation: cancellation)
        setting.shapes = try shapes.shapes(of: model, cancellation: cancellation)
        if scoring {
            setting.baselineScores = try accuracies.baselineScores(.validation, limit: nil, workers: nil, cancellation: cancellation) { _ in }.scores
            setting.reference = accuracies.knownReference(.validation)
            setting.samplesAreIndependent = accuracies.samplesAreIndependent
        }
        return setting
    }

    /// The profile over the whole validation split. Cancelled, it goes on where it stopped when asked again.
    /// - Returns: `nil` for a model without a live parameter, or without data or runtime.
    func profile(of model: Model, cancellation: Cancellation, progress: (Double) -> Void = { _ in }) throws -> (any LiveProfile)? {
        guard let profiler = TechniqueRegistry.profiler(of: model), canProfile else { return nil }
        let key = profiler.key
        let before = self[key]
        if let before, before.isComplete { return before }
        guard let setting = try setting(of: model, scoring: true, cancellation) else { return nil }
        let made = try profiler.profile(continuing: before, in: setting) { part, fraction in
            known.insert(part, for: key)
            progress(fraction)
        }
        known.insert(made, for: key)
        return made
    }

    /// What a model does at the value that its live parameter has; `nil` for others and without data.
    func figures(of model: Model, cancellation: Cancellation) throws -> LiveFigures? {
        guard let profiler = TechniqueRegistry.profiler(of: model), let profile = try profile(of: model, cancellation: cancellation) else { return nil }
        return profiler.figures(from: profile)
    }

    /// Times the ways through a model that is profiled already, once, and keeps that with the profile.
    func addTimes(to model: Model, cancellation: Cancellation) throws {
        guard let profiler = TechniqueRegistry.profiler(of: model) else { return }
        let key = profiler.key
        guard let profile = self[key], !profile.isTimed, let setting = try setting(of: model, scoring: false, cancellation) else { return }
        known.insert(try profiler.timed(profile, in: setting), for: key)
    }
}
