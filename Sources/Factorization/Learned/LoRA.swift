import Foundation
import ModelGraph
import Techniques
import Training

/// Trains a low-rank change of each layer instead of its weights.
public struct LoRA: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "lora",
        title: "LoRA",
        family: .training,
        summary: "Trains thin layers next to frozen ones, and adds what they learned to the weights",
        details: """
            Next to each chosen layer W two thin layers are added: A to `rank` channels and B from there to the outputs, y = W·x + (alpha / \
            rank)·B·A·x. A starts at random and B at zero, so nothing changes at first. Only A and B are trained, and the head, biases and \
            normalizations if asked for. For a convolution A has its kernel, strides and padding, and B is 1×1. That is a few percent of the \
            parameters, and as much less memory for gradients and optimizer states, which the report gives.

            Merged (the default), the product is added to the weight: the file, MACs and latency stay the same. Kept, the adapters stay nodes of their \
            own: the original weights, integers included, stay bit for bit the same, and the file grows by the adapters. Merging fills zeros of pruned \
            weights. Weights stored as integers or read by several layers cannot take the change: their adapters are kept.
            """,
        source: "Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022; Dettmers et al., QLoRA, NeurIPS 2023 (over quantized weights)",
        parameters: [
            ParameterDescriptor("rank", title: "Rank", domain: .integer(1...256, step: 1), default: .integer(4), help: "Channels between A and B"),
            ParameterDescriptor("alpha", title: "Alpha", domain: .real(0.5...256, step: 0.5), default: .real(8), help: "The adapters' outputs are scaled by alpha / rank"),
            ParameterDescriptor(
                "adapters", title: "Adapters",
                domain: .choice([.init("merge", "added to the weights after training"), .init("keep", "stay nodes of their own, the weights as they were")]),
                default: .choice("merge"), help: "What happens to the adapters after training"),
            TrainingParameters.besideAdapters,
        ] + TrainingParameters.without("scope", "keep-structure", "l1", "group-lasso", "scale-penalty", "rate-decay"),
        strength: "rank", requires: [], produces: [.training])

    public func refusal(for layer: Layer, in model: Model) -> String? { LowRankAdapter.refusal(for: layer, in: model) }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        guard let parameters = targets.first?.parameters else { return }
        var plan = try TrainingParameters.plan(parameters, seed: context.seed)
        let also = parameters.choice("also")
        let head = ["head", "both"].contains(also) ? TrainableModel.names(of: .head, in: model) : []
        let small = ["biases-and-norms", "both"].contains(also) ? TrainableModel.names(of: .biasesAndNorms, in: model) : []
        // A layer that is trained in full needs no adapter.
        let adapted = targets.filter { !head.contains($0.layer.weight) }
        var adapters = try adapted.map { try LowRankAdapter($0, in: model, seed: context.seed) }
        if adapters.isEmpty { context.notes.add("no layer is left to adapt; only the head is trained") }
        var training = model
        let names = try LowRankAdapter.insert(adapters, into: &training, scaled: true)
        plan.unstructured = names.flatMap { [$0.a, $0.b] }.sorted()
        plan.scope = .named(Set(plan.unstructured).union(head).union(small))
        let teacher = TrainingParameters.teacher(parameters, plan: &plan, model: training, previous: model, context: context)
        try LearningStep.run(&training, plan: plan, teacher: teacher, context: context, name: descriptor.id)

        // Head, biases, normalizations and running statistics.
        for (name, tensor) in model.graph.initializers {
            if let learned = training.graph.initializers[name], learned.storage !== tensor.storage { model.graph.initializers[name] = learned }
        }
        for (index, name) in names.enumerated() { adapters[index].take(a: training.graph.initializers[name.a], b: training.graph.initializers[name.b]) }
        let readers = WeightReaders(model)
        let all = LearningStep.parameterCount(model)
        var kept: [LowRankAdapter] = []
        for adapter in adapters {
            let layer = adapter.layer
            let isAlone = model.place(of: layer.weight, readBy: layer).map { readers.areAll(of: $0, among: [layer.reader]) } ?? false
            if adapter.merges, layer.isFloat, isAlone, let tensor = model.graph.initializers[layer.weight], let merged = adapter.merged(with: tensor) {
                model.graph.initializers[layer.weight] = merged
            } else {
                kept.append(adapter)
                if adapter.merges { context.notes.add("\(layer.id): its adapter is kept: its weights are \(layer.isFloat ? "read elsewhere too" : "integers")") }
            }
        }
        _ = try LowRankAdapter.insert(kept, into: &model, scaled: false)
        LearningStep.noteShare("\(adapters.count) layers adapted", of: all, context)
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, values) in targets {
            let values = values.resolved(by: descriptor)
            guard values.choice("adapters") == "keep" || !summaries[index].layer.isFloat, let (m, n) = SingularValues.matrixShape(of: summaries[index].layer) else { continue }
            let rank = Double(min(values.integer("rank"), m, n))
            let share = rank * Double(m + n) / Double(m * n)
            let zeros = states[index].weightCount * (1 - states[index].density)
            states[index].weightCount += rank * Double(m + n)
            states[index].density = 1 - zeros / max(states[index].weightCount, 1)
            states[index].macs = states[index].macs.map { $0 * (1 + share) }
            states[index].overheadBits += Double(3 * (3 * summaries[index].layer.id.utf8.count + 120) * 8)
        }
    }
}
