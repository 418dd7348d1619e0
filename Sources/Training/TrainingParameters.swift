import Differentiation
import ModelGraph
import Techniques

/// The knobs of training, common to all techniques that learn.
package enum TrainingParameters {
    package static let all: [ParameterDescriptor] = [
        ParameterDescriptor("epochs", title: "Epochs", domain: .integer(1...500, step: 1), default: .integer(3), unit: "epochs", help: "Passes over the training samples"),
        ParameterDescriptor(
            "learning-rate", title: "Learning rate", domain: .real(0.00001...1, step: 0.0001), default: .real(0.001), isLogarithmic: true,
            help: "Largest learning rate; SGD needs about ten times Adam's"),
        ParameterDescriptor(
            "optimizer", title: "Optimizer",
            domain: .choice([
                .init("adamw", "Adam with decoupled weight decay"), .init("adam", "adaptive moments"), .init("sgd", "gradient descent with momentum"),
            ]), default: .choice("adamw"), help: "How gradients move weights"),
        ParameterDescriptor(
            "loss", title: "Loss",
            domain: .choice([
                .init("labels", "cross-entropy with the labels"), .init("distillation", "the softened outputs of the model before the recipe"),
                .init("both", "half and half"), .init("logits", "mean squared difference from that model's scores"),
                .init("huber", "the labels, which are numbers, with large errors counting less"),
            ]), default: .choice("labels"), help: "What the model learns; without labels it learns the teacher's scores"),
        ParameterDescriptor(
            "temperature", title: "Temperature", domain: .real(1...20, step: 0.5), default: .real(4), help: "How much a teacher's probabilities are softened"),
        ParameterDescriptor(
            "teacher", title: "Teacher",
            domain: .choice([
                .init("original", "the model before the recipe"),
                .init("previous", "the model before this step: a teaching assistant, if earlier steps made it smaller and trained it"),
                .init("mutual", "the original, and a peer: a second copy with another start is trained too, and each learns the other's scores"),
            ]), default: .choice("original"),
            help: "Whose outputs the student learns, for every loss but labels; --teacher replaces the original; a peer doubles the work"),
        ParameterDescriptor(
            "features", title: "Features",
            domain: .choice([
                .init("none", "outputs only"), .init("hints", "intermediate values as well"), .init("attention", "attention maps as well"),
            ]), default: .choice("none"), help: "What else the student learns from its teacher, at up to three depths"),
        ParameterDescriptor(
            "schedule", title: "Schedule",
            domain: .choice([
                .init("cosine", "falls to 0 along half a cosine"), .init("constant", "stays"), .init("step", "a tenth after 1/2, a hundredth after 3/4"),
                .init("one-cycle", "up over the first fifth, then down"),
            ]), default: .choice("cosine"), help: "How the learning rate changes"),
        ParameterDescriptor("warmup", title: "Warm-up", domain: .real(0...0.5, step: 0.05), default: .real(0), help: "Share of the steps over which the rate rises"),
        ParameterDescriptor("batch", title: "Batch", domain: .integer(8...1024, step: 8), default: .integer(128), unit: "samples", help: "Samples of a step"),
        ParameterDescriptor(
            "weight-decay", title: "Weight decay", domain: .real(0...0.5, step: 0.005), default: .real(0.01), help: "Pull of weights toward 0; biases and normalizations are exempt"
        ),
        ParameterDescriptor("momentum", title: "Momentum", domain: .real(0...0.99, step: 0.01), default: .real(0.9), help: "SGD: share of the last step that is kept"),
        ParameterDescriptor("clip-norm", title: "Gradient clip", domain: .real(0...100, step: 0.5), default: .real(1), help: "Largest norm of all gradients; 0 for none"),
        ParameterDescriptor("label-smoothing", title: "Label smoothing", domain: .real(0...0.5, step: 0.01), default: .real(0), help: "Probability spread over all classes"),
        ParameterDescriptor(
            "shift", title: "Random shift", domain: .integer(0...16, step: 1), default: .integer(0), unit: "pixels", help: "Training images are moved by up to this much"),
        ParameterDescriptor("flip", title: "Random flip", domain: .flag, default: .flag(false), help: "Half of the training images are mirrored"),
        ParameterDescriptor(
            "batchnorm", title: "BatchNorm",
            domain: .choice([.init("batch", "the batch's statistics; the model's are updated"), .init("frozen", "the model's statistics, unchanged")]),
            default: .choice("batch"), help: "Statistics that BatchNormalization uses while training"),
        ParameterDescriptor(
            "scope", title: "Trained weights",
            domain: .choice([
                .init("all", "everything"), .init("head", "the last layer only (feature extraction)"), .init("half", "the half of the layers nearest the output"),
                .init("biases-and-norms", "biases and normalizations only (BitFit)"),
            ]), default: .choice("all"), help: "Which weights are trained"),
        ParameterDescriptor(
            "rate-decay", title: "Rate per layer", domain: .real(0.1...1, step: 0.05), default: .real(1),
            help: "Factor on the learning rate for each layer away from the output (discriminative rates)"),
        ParameterDescriptor(
            "unfreezing", title: "Unfreezing", domain: .real(0...0.9, step: 0.05), default: .real(0),
            help: "Share of the training over which layers are freed one by one, from the output back; 0 trains all from the start"),
        ParameterDescriptor("l1", title: "L1 penalty", domain: .real(0...0.01, step: 0.00001), default: .real(0), isLogarithmic: true, help: "Pull of each weight to 0"),
        ParameterDescriptor(
            "group-lasso", title: "Group lasso", domain: .real(0...0.01, step: 0.00001), default: .real(0), isLogarithmic: true, help: "Pull of whole filters to 0"),
        ParameterDescriptor(
            "scale-penalty", title: "Scale penalty", domain: .real(0...0.01, step: 0.00001), default: .real(0), isLogarithmic: true,
            help: "Pull of BatchNormalization's scales to 0 (network slimming)"),
        ParameterDescriptor(
            "keep", title: "Keep", domain: .choice([.init("best", "the epoch with the best validation accuracy"), .init("last", "the last epoch")]),
            default: .choice("best"), help: "Which epoch's weights are kept"),
        ParameterDescriptor(
            "patience", title: "Patience", domain: .integer(0...50, step: 1), default: .integer(0), unit: "epochs",
            help: "Stop after so many epochs without a better one; 0 for never"),
        ParameterDescriptor("keep-structure", title: "Keep structure", domain: .flag, default: .flag(true), help: "Zeros stay zero and shared values shared"),
    ]

    /// What a frozen model's adapters are trained with.
    package static let besideAdapters = ParameterDescriptor(
        "also", title: "Also trained",
        domain: .choice([
            .init("nothing", "adapters only"), .init("head", "the last layer, in full"), .init("biases-and-norms", "biases and normalizations"),
            .init("both", "the last layer, biases and normalizations"),
        ]), default: .choice("nothing"), help: "What is trained besides the adapters; new labels need a new head")

    /// The knobs without some that a technique decides itself.
    package static func without(_ names: String...) -> [ParameterDescriptor] { all.filter { !names.contains($0.name) } }

    /// A plan for tensors that a technique put into a model which stays frozen but for what `besideAdapters` names.
    package static func plan(_ values: ParameterValues, seed: UInt64, adding names: [String], to model: Model) throws -> TrainingPlan {
        var plan = try plan(values, seed: seed)
        plan.unstructured = names.sorted()
        let also = values.choice("also")
        var trained = Set(names)
        if ["head", "both"].contains(also) { trained.formUnion(TrainableModel.names(of: .head, in: model)) }
        if ["biases-and-norms", "both"].contains(also) { trained.formUnion(TrainableModel.names(of: .biasesAndNorms, in: model)) }
        plan.scope = .named(trained)
        return plan
    }

    package static func plan(_ values: ParameterValues, seed: UInt64) throws -> TrainingPlan {
        // Knobs that a technique left out stand at their defaults.
        let p = ParameterValues(Dictionary(all.map { ($0.name, $0.defaultValue) }) { $1 }).overlaid(by: values)
        var plan = TrainingPlan()
        plan.epochs = p.integer("epochs")
        plan.rate = Float(p.real("learning-rate"))
        plan.batch = p.integer("batch")
        var optimizer = Optimizer(Optimizer.Kind(rawValue: p.choice("optimizer")) ?? .adamw)
        optimizer.weightDecay = Float(p.real("weight-decay"))
        optimizer.momentum = Float(p.real("momentum"))
        optimizer.clipNorm = Float(p.real("clip-norm"))
        plan.optimizer = optimizer
        plan.schedule = TrainingPlan.Schedule(rawValue: p.choice("schedule")) ?? .cosine
        plan.warmup = Float(p.real("warmup"))
        plan.smoothing = Float(p.real("label-smoothing"))
        plan.augmentation = Augmentation(shift: p.integer("shift"), flip: p.flag("flip"))
        plan.batchNorm = TrainingPlan.BatchNorm(rawValue: p.choice("batchnorm")) ?? .batch
        plan.keep = TrainingPlan.Keep(rawValue: p.choice("keep")) ?? .best
        plan.patience = p.integer("patience")
        plan.rateDecay = Float(p.real("rate-decay"))
        plan.unfreezing = Float(p.real("unfreezing"))
        plan.l1 = Float(p.real("l1"))
        plan.groupLasso = Float(p.real("group-lasso"))
        plan.scalePenalty = Float(p.real("scale-penalty"))
        plan.keepsStructure = p.flag("keep-structure")
        plan.seed = seed
        if p.choice("teacher") == "mutual" { plan.peer = 0.1 }
        switch p.choice("scope") {
        case "head": plan.scope = .head
        case "half": plan.scope = .last(share: 0.5)
        case "biases-and-norms": plan.scope = .biasesAndNorms
        default: plan.scope = .all
        }
        let temperature = Float(p.real("temperature"))
        switch p.choice("loss") {
        case "distillation": (plan.distillation, plan.labelWeight) = (Distillation(.soft(temperature: temperature)), 0)
        case "both": (plan.distillation, plan.labelWeight) = (Distillation(.soft(temperature: temperature), weight: 0.5), 0.5)
        case "huber": plan.countsLargeErrorsLess = true
        case "logits": (plan.distillation, plan.labelWeight) = (Distillation(.logits), 0)
        default: break
        }
        return plan
    }

    /// The model to learn from, where the loss or missing labels call for one, with the pairs of intermediate values that are compared put into the
    /// plan.
    /// - Parameters:
    ///   - model: the student as it is trained.
    ///   - previous: the model that the step found.
    package static func teacher(_ p: ParameterValues, plan: inout TrainingPlan, model: Model, previous: Model, context: RewriteContext) -> Model? {
        guard let baseline = context.training?.teacher ?? context.baseline else { return nil }
        let teacher = p["teacher"] == .choice("previous") ? previous : baseline
        if let features = features(p) {
            plan.distillation?.features = FeaturePairs.common(student: model, teacher: teacher, shapes: context.shapes, kind: features)
        }
        return teacher
    }

    static func features(_ p: ParameterValues) -> FeatureKind? {
        guard p["loss"] != .choice("labels"), p["loss"] != .choice("huber") else { return nil }
        // Not every technique has this knob.
        switch p["features"] {
        case .choice("hints")?: return FeatureKind(weight: 1, asAttention: false)
        case .choice("attention")?: return FeatureKind(weight: 10, asAttention: true)
        default: return nil
        }
    }
}
