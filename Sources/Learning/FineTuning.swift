import ModelGraph
import Techniques
import Training

/// Trains the model's weights on, keeping what earlier steps made: recovery after compression.
public struct FineTuning: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "fine-tuning",
        title: "Fine-tuning",
        family: .training,
        summary: "Trains the weights further to recover accuracy; zeros, shared values and integers are kept",
        details: """
            Gradient descent on the training split, run by ONNX Runtime on a training graph made from this model. After pruning the zeros stay zero; \
            after weight sharing each shared value moves as one; after static-int8 or weights stored as integers the network is trained through its \
            own rounding (quantization-aware training with straight-through gradients) and the weights stay integers. Packed weights keep their codes; \
            scales and codebooks are trained.

            The loss is cross-entropy with the labels, agreement with the model before the recipe (distillation), which needs no labels, or both. With \
            teacher=mutual a second copy, whose start differs by a tenth of the weights' own size, is trained at the same time and thrown away \
            afterwards; each learns the other's scores as well (deep mutual learning), at twice the work. The paper's students start from random \
            weights; a student that starts from good ones can get worse as long as its peer is worse. After each epoch the validation split is \
            evaluated and the best epoch is kept; the test split is never used. The same seed gives the same weights bit for bit. File size, MACs and \
            latency do not change.

            A training takes time, so it runs as a job: in the explorer when you ask for it, with its curve. Until then the other figures are those \
            before training. A finished training is remembered.
            """,
        source:
            "Han, Pool, Tran and Dally, Learning both Weights and Connections, NIPS 2015 (retraining); Hinton, Vinyals and Dean, arXiv:1503.02531 (distillation); Zhang, Xiang, Hospedales and Lu, Deep Mutual Learning, CVPR 2018, section 2 (peer students); Bengio, Léonard and Courville, arXiv:1308.3432 (straight-through); Loshchilov and Hutter, arXiv:1711.05101 (AdamW)",
        parameters: TrainingParameters.all, strength: "epochs", requires: [], produces: [.training])

    public func refusal(for layer: Layer, in model: Model) -> String? {
        layer.path.isMain ? nil : "in a subgraph (If, Loop, Scan)"
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        guard let parameters = targets.first?.parameters else { return }
        var plan = try TrainingParameters.plan(parameters, seed: context.seed)
        // Some layers only: theirs and nobody else's weights.
        let layers = model.layers().filter { refusal(for: $0, in: model) == nil }
        if targets.count < layers.count, plan.scope == .all {
            plan.scope = .named(Set(targets.flatMap { [$0.layer.weight] + $0.layer.otherWeights + ($0.layer.bias.map { [$0] } ?? []) }))
        }
        let teacher = TrainingParameters.teacher(parameters, plan: &plan, model: model, previous: model, context: context)
        try LearningStep.run(&model, plan: plan, teacher: teacher, context: context, name: descriptor.id)
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {}
}
