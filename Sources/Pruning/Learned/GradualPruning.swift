import ModelGraph
import Techniques
import Training

/// Zeroes weights little by little while the network is trained, so that those left make up for those gone.
public struct GradualPruning: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "gradual-pruning",
        title: "Gradual pruning",
        family: .training,
        summary: "Zeroes weights in rounds during training, so that the others can make up for them",
        details: """
            Training and pruning take turns. In each round the share of zeros rises along a cubic curve, fast at first and slowly at the end; the \
            training steps between rounds recover accuracy. The last part of the training, after the ramp, keeps the zeros fixed. Only epochs after \
            the ramp can be the best one that is kept.

            Criteria: magnitude keeps the largest weights. Movement keeps those that training moves away from zero, however small they are; masked \
            weights keep their value and may return. Gradient keeps the largest and lets others grow from zero where the gradient of the loss is \
            largest, so that a bad early choice can be undone; with equal sparsity at start and end it is sparse training from the first step. Random \
            is a control. Dense–sparse–dense lifts the masks for the last part: the result has no zeros, and is meant to be more accurate than the \
            original.

            Zeros of earlier steps stay zero, unless the criterion grows them back. As with all unstructured zeros, latency stays; the ONNX file \
            shrinks with the step sparse-storage behind it, the gzip size and the packed archive in any case.
            """,
        source: """
            Zhu and Gupta, To Prune or Not to Prune, arXiv:1710.01878, section 3 (cubic schedule); Sanh, Wolf and Rush, Movement Pruning, NeurIPS 2020; Evci et al., Rigging \
            the Lottery, ICML 2020, and Liu et al., Sparse Training via Boosting Pruning Plasticity, NeurIPS 2021 (gradient, with a rising sparsity); Han et al., DSD, ICLR 2017
            """,
        parameters: [
            ParameterDescriptor(
                "sparsity", title: "Sparsity", domain: .real(0...0.99, step: 0.01), default: .real(0.8), help: "Share of zeros among the chosen weights at the end"),
            ParameterDescriptor(
                "initial-sparsity", title: "Initial sparsity", domain: .real(0...0.99, step: 0.01), default: .real(0),
                help: "Share of zeros in the first round; at most the last one's counts"),
            ParameterDescriptor(
                "criterion", title: "Criterion",
                domain: .choice([
                    .init("magnitude", "the largest weights stay"), .init("movement", "weights that training moves away from zero stay"),
                    .init("gradient", "the largest stay, and others grow back where the gradient is largest (RigL)"), .init("random", "chance, as a control"),
                ]), default: .choice("magnitude"), help: "Which weights stay"),
            ParameterDescriptor(
                "allocation", title: "Allocation",
                domain: .choice([.init("global", "one ranking over all chosen layers"), .init("layer", "every weight tensor loses the same share")]),
                default: .choice("global"), help: "How zeros are spread over layers"),
            ParameterDescriptor("rounds", title: "Rounds", domain: .integer(1...200, step: 1), default: .integer(20), help: "How many times more weights become zero"),
            ParameterDescriptor("start", title: "Ramp start", domain: .real(0...0.9, step: 0.05), default: .real(0), help: "Share of the training before the first round"),
            ParameterDescriptor("end", title: "Ramp end", domain: .real(0.1...1, step: 0.05), default: .real(0.6), help: "Share of the training at the last round"),
            ParameterDescriptor(
                "exchange", title: "Exchange", domain: .real(0...0.9, step: 0.05), default: .real(0.3),
                help: "Criterion gradient: share of the kept weights that are exchanged in each round"),
            ParameterDescriptor(
                "dense-sparse-dense", title: "Dense–sparse–dense", domain: .flag, default: .flag(false), help: "Masks are lifted halfway between the ramp's end and the last step"),
        ] + TrainingParameters.without("scope"),
        strength: "sparsity", requires: [.floatWeights], produces: [.training, .sparseWeights])

    public func refusal(for layer: Layer, in model: Model) -> String? {
        layer.path.isMain ? PrunableWeights.refusal(for: layer) : "in a subgraph (If, Loop, Scan)"
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        guard let parameters = targets.first?.parameters else { return }
        var plan = try TrainingParameters.plan(parameters, seed: context.seed)
        let (sparsity, end) = (parameters.real("sparsity"), parameters.real("end"))
        let weights = Set(targets.flatMap { [$0.layer.weight] + $0.layer.otherWeights })
        plan.pruning = MaskSchedule(
            MaskSchedule.Criterion(rawValue: parameters.choice("criterion")) ?? .magnitude, from: min(parameters.real("initial-sparsity"), sparsity), to: sparsity,
            rounds: parameters.integer("rounds"), start: min(parameters.real("start"), end), end: end, isGlobal: parameters.choice("allocation") == "global",
            exchange: parameters.real("exchange"), lift: parameters.flag("dense-sparse-dense") ? (1 + end) / 2 : nil, weights: Array(weights))
        let teacher = TrainingParameters.teacher(parameters, plan: &plan, model: model, previous: model, context: context)
        try LearningStep.run(&model, plan: plan, teacher: teacher, context: context, name: descriptor.id)
        guard plan.pruning?.lift == nil else { return }
        if context.notes.isUntrained {
            // What it comes to without training: all zeros at once.
            let scope: ParameterValue = .choice(parameters.choice("allocation"))
            let once = targets.map {
                LayerTarget(layer: $0.layer, parameters: ParameterValues(["sparsity": .real(sparsity), "scope": scope]).resolved(by: MagnitudePruning().descriptor))
            }
            return try MagnitudePruning().rewrite(&model, targets: once, context: context)
        }
        var (zeros, count) = (0, 0)
        for name in weights {
            zeros += model.graph.initializers[name]?.withFloats { $0.count { $0 == 0 } } ?? 0
            count += model.graph.initializers[name]?.count ?? 0
        }
        context.notes.add("\(zeros) of \(count) weights are zero")
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        let asked = targets.mapValues { values in
            let values = values.resolved(by: descriptor)
            let isLifted = values.flag("dense-sparse-dense")
            return ParameterValues([
                "sparsity": .real(isLifted ? 0 : values.real("sparsity")), "scope": .choice(values.choice("allocation") == "global" ? "global" : "layer"),
            ])
        }
        SparsityForecast.apply(to: &states, targets: asked, summaries: summaries)
    }
}
