import ModelGraph
import Techniques
import Training

/// A thinner model of the same design, trained to answer as the original does.
public struct WidthMultiplier: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "width-multiplier",
        title: "Width multiplier",
        family: .training,
        summary: "Keeps a share of every layer's channels and trains the thinner model by distillation from the original",
        details: """
            Every group of coupled layers keeps `width` of its filters, neurons, hidden units or heads; inputs and outputs of the model stay the same. \
            Parameters and MACs fall roughly with the square of the width: half the width is a quarter of the model. The thinner model starts from the \
            channels that a criterion ranks highest, or from random weights as in the papers. All of it is trained, by default on the softened outputs \
            of the model before the recipe (distillation).

            'structured-pruning' followed by 'fine-tuning' does the same where channels are kept; here it is one step with one parameter, and its \
            random start is the control that shows what the old weights are worth. The same channels stay as there: those that reach the outputs, or \
            an operator that mixes channels such as LayerNormalization.
            """,
        source: """
            Howard et al., MobileNets, arXiv:1704.04861, section 3.3 (width multiplier); Hinton, Vinyals and Dean, arXiv:1503.02531 (distillation); Liu et al., Rethinking the Value of Network Pruning, \
            ICLR 2019 (kept against random weights)
            """,
        parameters: [
            ParameterDescriptor(
                "width", title: "Width", domain: .real(0.05...0.95, step: 0.05), default: .real(0.5), help: "Share of the channels that each group of layers keeps"),
            ParameterDescriptor(
                "start", title: "Start",
                domain: .choice([.init("kept", "the weights of the channels that stay"), .init("random", "fresh weights, drawn from the recipe's seed")]),
                default: .choice("kept"), help: "What the training starts from"),
            ParameterDescriptor(
                "criterion", title: "Criterion",
                domain: .choice([
                    .init("l1", "sum of magnitudes of a channel's weights"), .init("l2", "root of the sum of their squares"),
                    .init("geometric-median", "distance to the layer's other filters"), .init("random", "drawn from the recipe's seed: the control"),
                ]), default: .choice("l1"), help: "Which channels stay"),
            ParameterDescriptor(
                "keep-multiple-of", title: "Keep a multiple of", domain: .integer(1...32, step: 1), default: .integer(1), unit: "units",
                help: "Rounds the number kept to the nearest multiple"),
        ]
            + TrainingParameters.without("features", "scope").map { parameter in
                var parameter = parameter
                if parameter.name == "loss" { parameter.defaultValue = .choice("distillation") }
                return parameter
            },
        strength: "width", requires: [.floatWeights], produces: [.training])

    public func refusal(for layer: Layer, in model: Model) -> String? { StructuredPruning().refusal(for: layer, in: model) }

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        StructuredPruning().refusals(for: layers, in: model, shapes: shapes)
    }

    public func coupledLayers(_ layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [[Int]] {
        StructuredPruning().coupledLayers(layers, in: model, shapes: shapes)
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        guard let parameters = targets.first?.parameters else { return }
        var thin = model
        try StructuredPruning().rewrite(&thin, targets: targets.map { LayerTarget(layer: $0.layer, parameters: Self.pruning($0.parameters)) }, context: context)
        thin.graph.removeDeadCode()
        if parameters.choice("start") == "random" { thin = try Initialization.random(thin, seed: context.seed) }
        var plan = try TrainingParameters.plan(parameters, seed: context.seed)
        // Where the student knows nothing yet its peer is drawn as it was.
        if plan.peer != nil, parameters.choice("start") == "random" { plan.peer = 1 }
        let teacher = TrainingParameters.teacher(parameters, plan: &plan, model: thin, previous: model, context: context)
        try LearningStep.run(&thin, plan: plan, teacher: teacher, context: context, name: descriptor.id)
        model = thin
    }

    /// The same as structured pruning has it.
    private static func pruning(_ values: ParameterValues) -> ParameterValues {
        ParameterValues([
            "ratio": .real(1 - values.real("width")), "criterion": .choice(values.choice("criterion")), "keep-multiple-of": .integer(values.integer("keep-multiple-of")),
        ]).resolved(by: StructuredPruning().descriptor)
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        StructuredPruning().predict(&states, targets: targets.mapValues { Self.pruning($0.resolved(by: descriptor)) }, summaries: summaries)
    }
}
