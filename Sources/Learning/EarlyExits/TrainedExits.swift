import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Techniques
import Training

/// Early exits whose classifiers are trained on the training split, alone or with the network.
public struct TrainedExits: WholeModelTechnique, LiveTechnique {
    public init() {}

    static let id = "trained-exits"

    public let liveParameter = "threshold"

    public func profiler(of model: Model) -> (any LiveProfiler)? { ExitProfiler(model) }

    public let descriptor = TechniqueDescriptor(
        id: TrainedExits.id,
        title: "Trained early exits",
        family: .earlyExit,
        summary: "Early exits whose classifiers, and optionally the network, are trained on labels and on the network's final outputs",
        details: """
            Exits, their positions and the graph are those of 'early-exits': a sample whose largest probability is above the threshold leaves. There \
            the classifiers are fitted in closed form to a few calibration samples; here that fit is only the start, and they are trained on the whole \
            training split: on its labels, on the softened final outputs of the network (self-distillation), or both. With the network frozen the \
            final answer stays exactly the same. If the network is trained too (BranchyNet), its early features become easier to classify, at some \
            risk for the final answer; all exits and the end then count equally.

            The best epoch is the one with the best mean validation accuracy of all that is trained. Afterwards one temperature for each exit makes \
            its largest probability a calibrated confidence. It is chosen on calibration samples, which training does not use if the data has a train \
            split of its own.
            """,
        source: """
            Teerapittayanon, McDanel and Kung, BranchyNet, ICPR 2016, section III (joint training); Zhang et al., Be Your Own Teacher, ICCV 2019 (self-distillation); Guo et al., On Calibration of \
            Modern Neural Networks, ICML 2017
            """,
        parameters: EarlyExits().descriptor.parameters.filter { $0.name != "targets" } + [
            ParameterDescriptor(
                "network", title: "Network",
                domain: .choice([.init("frozen", "only the exits learn"), .init("trained", "the network learns with them")]), default: .choice("frozen"),
                help: "What is trained besides the exits")
        ]
            + TrainingParameters.without("features", "l1", "group-lasso", "scale-penalty", "scope", "rate-decay", "unfreezing").map { parameter in
                var parameter = parameter
                if parameter.name == "loss" { parameter.defaultValue = .choice("both") }
                if parameter.name == "batchnorm" { parameter.defaultValue = .choice("frozen") }
                if parameter.name == "teacher" { parameter.defaultValue = .choice("previous") }
                return parameter
            },
        needsCalibration: true, requires: [], produces: [.earlyExit, .training])

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        EarlyExits().refusals(for: layers, in: model, shapes: shapes)
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let source = try context.requiredCalibration()
        guard let parameters = targets.first?.parameters else { return }
        let (sites, layers, places) = ExitSites.chosen(parameters.integer("exits"), &model, targets: targets, context: context)
        // The ridge that starts the training is fitted to what the model says.
        let fitting = ExitFitting(model: model, sites: sites, parameters: parameters.overlaid(by: ParameterValues(["targets": .choice("outputs")])), context: context)
        var exits = try fitting.fit(places, source)
        guard !exits.isEmpty else { throw EngineError(.technique, "\(Self.id): no possible exit has features for each sample") }
        let heads = TrainedHeads(model, sites: sites, exits: exits)
        let trained = try train(heads, model, parameters, context)
        for name in model.graph.initializers.keys { if let tensor = trained.graph.initializers[name] { model.graph.initializers[name] = tensor } }
        exits = try heads.calibrated(exits, from: trained, limit: parameters.integer("samples"), source, classes: fitting.classes, sites: sites, cancellation: context.cancellation)
        let threshold = parameters.real("threshold")
        try ExitAssembly(sites: sites, classes: fitting.classes, threshold: threshold).build(&model, exits)
        EarlyExits.note(exits, layers, shares: ExitAssembly.shares(exits, classes: fitting.classes, threshold: threshold), asked: parameters.integer("exits"), context)
    }

    private func train(_ heads: TrainedHeads, _ model: Model, _ parameters: ParameterValues, _ context: RewriteContext) throws -> Model {
        var plan = try TrainingParameters.plan(parameters, seed: context.seed)
        plan.exits = heads.logits
        plan.unstructured = heads.weights.sorted()
        let isFrozen = parameters.choice("network") == "frozen"
        plan.scope = .named(Set(heads.weights).union(isFrozen ? [] : TrainableModel.names(of: .all, in: model)))
        let teacher = TrainingParameters.teacher(parameters, plan: &plan, model: heads.model, previous: model, context: context)
        var learning = context
        if let evaluate = context.training?.evaluate {
            let (outputs, end) = (heads.logits, isFrozen ? nil : model.graph.outputs.first?.name)
            learning.training?.evaluate = { model, cancellation in
                // Exits count alike, and the network's end with them if it changes.
                var values: [Double] = []
                var last: AccuracyEstimate?
                for output in outputs + (end.map { [$0] } ?? []) {
                    let estimate = try evaluate(TrainedHeads.answering(output, model), cancellation)
                    values.append(estimate.value)
                    last = estimate
                }
                guard var mean = last else { return try evaluate(model, cancellation) }
                mean.value = values.reduce(0, +) / Double(values.count)
                return mean
            }
        }
        var trained = heads.model
        try LearningStep.run(&trained, plan: plan, teacher: teacher, context: learning, name: descriptor.id)
        return trained
    }

    /// How many samples leave where is not known without running them.
    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {}
}
