import Datasets
import EngineSupport
import Foundation
import Measurement
import Metrics
import ModelGraph
import OnnxRuntime
import Techniques

/// Runs a training as a step of a recipe: from the store if it was run before, else now, if that is allowed. Otherwise the model stays at the weights
/// that the training would start from, and the notes say so.
package enum LearningStep {
    /// - Parameter preparation: what there is to know of a model with nodes that are there for training only.
    package static func run(
        _ model: inout Model, plan: TrainingPlan, teacher: Model?, context: RewriteContext, name: String, preparation: TrainingPreparation? = nil
    ) throws {
        guard let source = context.training else {
            throw EngineError(.technique, "\(name): needs a training split (--data) and ONNX Runtime")
        }
        var plan = plan
        if let limit = source.maximumSteps { plan.maximumSteps = min(plan.maximumSteps ?? .max, limit) }
        if let remark = source.remark { context.notes.add(remark) }
        let key = key(model, plan: plan, teacher: teacher, source: source, preparation: preparation)
        if source.demand == .anew { source.store?.forget(key) }
        if let (tensors, summary) = source.store?.result(key) {
            for tensor in tensors {
                // In place of the old one: what else the file says of it stays, as it does in a training.
                let old = model.graph.initializers[tensor.name]
                model.graph.initializers[tensor.name] = try old?.replacing(elementType: tensor.elementType, dims: tensor.dims, storage: tensor.storage) ?? tensor
            }
            return describe(summary, source, context)
        }
        if source.demand == .checkpoint, source.store?.checkpoint(key) == nil {
            throw EngineError(.data, "there is no checkpoint of this training (the same model, data, recipe and parameters) to resume from")
        }
        guard source.mayTrain else {
            context.notes.isUntrained = true
            return
        }
        var reporting = source
        let (progress, outer) = (context.progress, source.progress)
        reporting.progress = { state in
            progress(state.fraction, Self.text(state, source.metric))
            outer(state)
        }
        let trainer = try Trainer(model, plan: plan, source: reporting, teacher: teacher, preparation: preparation, cancellation: context.cancellation)
        let outcome = try trainer.run(key: key, cancellation: context.cancellation)
        try source.store?.save(outcome, before: model, as: key)
        model = outcome.model
        describe(TrainingSummary(outcome), source, context)
    }

    /// What a training is called in the store: equal for equal models, plans, data and runtimes.
    static func key(_ model: Model, plan: TrainingPlan, teacher: Model?, source: TrainingSource, preparation: TrainingPreparation? = nil) -> String {
        var hash = ContentHash(of: "training 1")
        hash.combine(model.contentHash.description)
        hash.combine(plan.canonical)
        hash.combine(teacher?.contentHash.description ?? "none")
        hash.combine(source.samples.contentHash)
        hash.combine(source.labels == nil ? "unlabelled" : "labelled")
        // Which epoch is the best hangs on what is measured.
        if !source.metric.isProportion { hash.combine("judged by \(source.metric.rawValue)") }
        if source.samples.options != MetricOptions() { hash.combine("labels read \(source.samples.options.canonicalText)") }
        hash.combine(source.library.version.description)
        if let preparation { hash.combine("\(preparation.scales)") }
        return hash.description
    }

    /// Weights, biases and constants of a model.
    package static func parameterCount(_ model: Model) -> Int {
        model.graph.initializers.values.reduce(0) { $0 + ($1.elementType.isFloatingPoint || $1.elementType.isQuantized ? $1.count : 0) }
    }

    /// Notes which share of a model's parameters a step trained, and the memory that took.
    package static func noteShare(_ what: String, of all: Int, _ context: RewriteContext) {
        guard let summary = context.notes.training else { return }
        let share = String(format: "%.2f %%", 100 * Double(summary.trainedParameters) / Double(max(all, 1)))
        let memory = String(format: "%.2f MB", Double(summary.bytes) / 1e6)
        context.notes.add("\(what); \(summary.trainedParameters) of \(all) parameters trained (\(share)), \(memory) of weights, gradients and states")
    }

    private static func text(_ state: TrainingProgress, _ metric: MetricKind) -> String {
        let last = state.epochs.last.map { ", " + Measure.metric(metric).format.short($0.accuracy) } ?? ""
        let loss = state.loss.map { String(format: ", loss %.4f", $0) } ?? ""
        return "training: epoch \(min(state.epochs.count, state.totalEpochs)) of \(state.totalEpochs)\(loss)\(last)"
    }

    private static func describe(_ summary: TrainingSummary, _ source: TrainingSource, _ context: RewriteContext) {
        context.notes.training = summary
        let format = Measure.metric(source.metric).format
        if let first = summary.epochs.first, let kept = summary.epochs.first(where: { $0.number == summary.kept }) {
            context.notes.add(
                "validation \(format.short(first.accuracy)) before, \(format.short(kept.accuracy)) after epoch \(kept.number) of \(summary.epochs.count - 1); "
                    + "\(summary.trainedParameters) parameters, \(summary.steps) steps")
        }
        for note in summary.notes { context.notes.add(note) }
    }
}

/// Values of a student and its teacher that mean the same.
enum FeaturePairs {
    /// Up to three values of common name and shape, evenly spread over the depth.
    static func common(student: Model, teacher: Model, shapes: [String: [Int]], kind: FeatureKind) -> [Distillation.FeaturePair] {
        let inTeacher = Set(teacher.graph.nodes.flatMap(\.outputs))
        let wanted = student.graph.nodes.filter { ["Relu", "Add", "LayerNormalization", "Clip", "HardSwish", "Gelu"].contains($0.opType) }
            .compactMap { $0.outputs.first }.filter { inTeacher.contains($0) && (shapes[$0]?.count ?? 0) >= 3 && student.keptChannels[$0] == nil }
        let count = min(3, wanted.count)
        return (0..<count).map { index in
            let name = wanted[(index + 1) * wanted.count / count - 1]
            return Distillation.FeaturePair(student: name, teacher: name, weight: kind.weight, asAttention: kind.asAttention)
        }
    }
}

struct FeatureKind {
    var weight: Float
    var asAttention: Bool
}
