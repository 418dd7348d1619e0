import Datasets
import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques
import Training

extension RecipeStep {
    /// Whether the step's technique learns from training data.
    public var learns: Bool { TechniqueRegistry.technique(technique)?.descriptor.produces.contains(.training) ?? false }
}

extension Recipe {
    /// Whether a step that is on learns from training data.
    public var learns: Bool { activeSteps.contains(where: \.learns) }

    /// The steps that do not learn: what can be shown without training. Of rounds of the same technique the last is left, since nothing
    /// stands between them any more.
    public var withoutTraining: Recipe {
        var result = self
        result.steps.removeAll { $0.enabled && $0.learns }
        let steps = result.steps
        result.steps = steps.enumerated().filter { place, step in
            !step.enabled || !steps[(place + 1)...].contains { $0.enabled && $0.technique == step.technique && $0.layers == step.layers }
        }.map(\.element)
        return result
    }
}

extension EngineSession {
    /// What techniques that learn train on: the training split, or the calibration split where there is no other.
    ///
    /// - Throws: `EngineError` without data or runtime, or if the data have neither split.
    /// - Parameter store: where trainings are kept; `nil` to keep none.
    public func trainingSource(store: TrainingStore?) throws -> TrainingSource {
        guard let runtime else { throw EngineError(.runtime, info.runtimeProblem ?? "ONNX Runtime is missing") }
        guard let data else { throw EngineError(.data, "training needs a data set: give one with --data") }
        guard let split = data.train ?? data.calibration else {
            throw EngineError(.data, "\(data.path): has no train split, and no calibration split to train on instead")
        }
        let samples = try opened.steps(of: split, data)
        let metric = validation?.metric ?? samples.metric
        var source = TrainingSource(samples: samples, labels: samples.labels, library: runtime, store: store, metric: metric) { [self] model, cancellation in
            try evaluate(model, cancellation: cancellation)
        }
        source.teacher = teacher
        if data.train == nil {
            source.remark = "training data are the \(split.count) samples of the calibration split: \(data.path) has no train split here"
        }
        return source
    }
}

extension EngineSession {
    /// As `trainingSource(store:)`, with the store of this user.
    public func trainingSource() throws -> TrainingSource { try trainingSource(store: trainings) }
}
