import EngineSupport
import ModelGraph
import Techniques
import Training

/// Attention whose query heads share keys and values.
public struct GroupedQueries: WholeModelTechnique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "grouped-queries",
        title: "Grouped-query attention",
        family: .training,
        summary: "Groups of query heads share one head of keys and values, the mean of theirs; trained by distillation",
        details: """
            The key and value projections make one head for each `group` of query heads. Its weights start as the mean of those it replaces (Ainslie \
            et al.), and a Gather hands it to all query heads of the group. With all heads in one group this is multi-query attention. Weights and \
            MACs of these projections, and the key-value cache of a model that generates text, shrink by the size of the group; the products of \
            queries and keys stay as many.

            The mean of heads that learned different things loses accuracy at once. The training that follows, by default on the softened outputs of \
            the model before the recipe, recovers most of it. It works on attention written as MatMul, Softmax and MatMul with a layer each for \
            queries, keys and values.
            """,
        source:
            "Ainslie et al., GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints, EMNLP 2023, section 2; Shazeer, Fast Transformer Decoding, arXiv:1911.02150",
        parameters: [
            ParameterDescriptor(
                "group", title: "Group", domain: .integer(2...64, step: 1), default: .integer(2), unit: "heads",
                help: "Query heads that share keys and values, rounded down to a divisor of the number of heads")
        ]
            + TrainingParameters.without("scope").map { parameter in
                var parameter = parameter
                if parameter.name == "loss" { parameter.defaultValue = .choice("distillation") }
                return parameter
            },
        strength: "group", requires: [.floatWeights], produces: [.training])

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        SharedHeads.refusals(for: layers, in: model, shapes: shapes)
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        guard let parameters = targets.first?.parameters else { return }
        let layers = model.layers()
        let structure = ChannelStructure(of: model, layers: layers, shapes: context.shapes)
        let place = Dictionary(layers.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { first, _ in first })
        var shared: [SharedHeads] = []
        for target in targets {
            guard let index = place[target.layer.id], let heads = SharedHeads(target.layer, units: structure.outputUnits[index], group: target.parameters.integer("group")) else {
                context.notes.add("\(target.layer.id): its heads cannot be shared; left as it is")
                continue
            }
            shared.append(heads)
        }
        guard let first = shared.first else { throw EngineError(.technique, "no chosen layer has heads that can be grouped") }
        let before = model
        var grouped = model
        try SharedHeads.insert(shared, into: &grouped)
        grouped.graph.removeDeadCode()
        context.notes.add("\(shared.count) projections make \(first.kept) of \(first.heads) heads of keys and values")
        var plan = try TrainingParameters.plan(parameters, seed: context.seed)
        let teacher = TrainingParameters.teacher(parameters, plan: &plan, model: grouped, previous: before, context: context)
        try LearningStep.run(&grouped, plan: plan, teacher: teacher, context: context, name: descriptor.id)
        model = grouped
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        guard let structure = summaries.first?.channels?.structure else { return }
        for (index, values) in targets {
            let asked = values.resolved(by: descriptor).integer("group")
            guard let heads = SharedHeads(summaries[index].layer, units: structure.outputUnits[index], group: asked) else { continue }
            // Heads that earlier steps removed leave fewer to share.
            let left = max((Double(heads.heads) * states[index].outputsKept).rounded(), 1)
            let share = 1 / Double(SharedHeads.divisor(of: Int(left), upTo: asked))
            states[index].weightCount *= share
            states[index].biasCount *= share
            states[index].attachedCount *= share
            states[index].macs = states[index].macs.map { $0 * share }
            // A Gather and its indices.
            let indices = Double(summaries[index].outputNormsL1.count) * 64
            states[index].overheadBits += indices + Double((3 * summaries[index].layer.id.utf8.count + 120) * 8)
        }
    }
}
