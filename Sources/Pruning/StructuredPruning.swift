import EngineSupport
import ModelGraph
import Techniques

/// Removes whole filters and neurons with the smallest norm, and everything that depends on them.
public struct StructuredPruning: WholeModelTechnique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "structured-pruning",
        title: "Structured pruning",
        family: .pruning,
        summary: "Removes the filters and neurons of smallest norm: the file gets smaller and the model faster",
        details: """
            The weakest filters of convolutions, neurons of dense layers, hidden units of recurrent layers and heads of attention are removed, with \
            everything that belongs to them: biases, normalization constants, the matching inputs of the next layers. Channels are followed through \
            additions, concatenations, depthwise and grouped convolutions, flattening, reshapes and transpositions. Layers that an addition couples, \
            as in residual networks, lose the same channels: choosing one of them cuts all. Channels that reach the model's outputs, or an operator \
            that mixes channels such as LayerNormalization, stay.

            A unit's score is the mean, over the coupled layers, of its norm (or of what the criterion measures) divided by the layer's mean. Groups \
            of layers that a criterion does not cover, such as those without BatchNormalization, are ranked by l1. File, parameters, MACs, activations \
            and latency all go down, MACs roughly with the square of the fraction kept. Accuracy drops at once; fine-tuning recovers most of it.
            """,
        source: """
            Li, Kadav, Durdanovic, Samet and Graf, Pruning Filters for Efficient ConvNets, ICLR 2017; criteria: He et al., Filter Pruning via \
            Geometric Median, CVPR 2019; Liu et al., Learning Efficient Convolutional Networks through Network Slimming, ICCV 2017; Hu et al., \
            Network Trimming, 2016 (arXiv:1607.03250); Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019
            """,
        parameters: [
            ParameterDescriptor(
                "ratio", title: "Ratio", domain: .real(0...0.95, step: 0.01), default: .real(0.25),
                help: "Fraction of units to remove, rounded to whole units in each group of coupled layers"),
            ParameterDescriptor(
                "criterion", title: "Criterion",
                domain: .choice([
                    .init("l1", "sum of magnitudes of a unit's weights (Li et al. 2017)"), .init("l2", "root of the sum of their squares"),
                    .init("geometric-median", "distance to the layer's other filters: the most replaceable go first (He et al. 2019)"),
                    .init("batchnorm-scale", "scale of the BatchNormalization that follows (Liu et al. 2017)"),
                    .init("apoz", "share of positive activations after the nonlinearity (Hu et al. 2016)", needsCalibration: true),
                    .init("weighted-norm", "l2 with each weight times the root mean square of its input", needsCalibration: true),
                    .init("taylor", "change of the loss without the unit, estimated from gradients on labeled samples (Molchanov et al. 2019)", needsCalibration: true),
                    .init("random", "drawn from the recipe's seed: the control"),
                ]), default: .choice("l1"), help: "How units are ranked"),
            ParameterDescriptor(
                "scope", title: "Scope",
                domain: .choice([
                    .init("layer", "the same fraction from every group of layers"),
                    .init("global", "the fraction from all groups together, weakest first, norms relative to each layer's mean"),
                ]), default: .choice("layer"), help: "Which units are compared with each other"),
            ParameterDescriptor(
                "keep-multiple-of", title: "Keep a multiple of", domain: .integer(1...32, step: 1), default: .integer(1), unit: "units",
                help: "Rounds the number kept to the nearest multiple; fast kernels need 8 or 16, 1 allows any number"),
            ParameterDescriptor(
                "keep-at-least", title: "Keep at least", domain: .integer(1...64, step: 1), default: .integer(2), unit: "units",
                help: "No group of layers is left with fewer units"),
            ParameterDescriptor(
                "samples", title: "Samples", domain: .integer(16...4096, step: 16), default: .integer(256), unit: "samples",
                help: "Calibration samples for apoz, weighted-norm and taylor"),
        ])

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        let structure = ChannelStructure(of: model, layers: layers, shapes: shapes)
        return zip(layers, structure.refusals).map { layer, reason in
            layer.isFloat ? reason : "its weights are quantized already"
        }
    }

    public func coupledLayers(_ layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [[Int]] {
        let structure = ChannelStructure(of: model, layers: layers, shapes: shapes)
        return structure.groups.map { $0.layers.filter { layers[$0].isFloat && structure.refusals[$0] == nil } }.filter { !$0.isEmpty }
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let layers = model.layers()
        context.progress(0, "following channels")
        let structure = ChannelStructure(of: model, layers: layers, shapes: context.shapes)
        try context.cancellation.check()
        let position = Dictionary(layers.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { first, _ in first })
        var values: [Int: ParameterValues] = [:]
        for target in targets { if let index = position[target.layer.id] { values[index] = target.parameters } }
        let requests = Self.requests(structure, values)
        context.progress(0.2, "ranking filters")
        let importance = ChannelImportance(
            model: model, layers: layers, context: context, samples: targets.map { $0.parameters.integer("samples") }.max() ?? 0)
        var rankings: [ChannelCriterion: ChannelRanking] = [:]
        for criterion in ChannelCriterion.allCases where requests.contains(where: { $0?.criterion == criterion }) {
            rankings[criterion] = try importance.ranking(structure, by: criterion)
        }
        let selection = ChannelSelection(structure, requests: requests) { rankings[$0] }
        context.progress(0.8, "cutting")
        try structure.cut.apply(to: &model, removed: selection.removed)
        Self.report(structure, selection, requests, values, layers, to: context.notes)
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        guard let forecast = summaries.first?.channels else { return }
        let structure = forecast.structure
        Self.predict(&states, structure, ChannelSelection(structure, requests: Self.requests(structure, targets)) { forecast.ranking(by: $0) }, summaries)
    }

    /// What taking out the selected units leaves of each layer.
    static func predict(_ states: inout [LayerState], _ structure: ChannelStructure, _ selection: ChannelSelection, _ summaries: [LayerSummary]) {
        func kept(_ units: [Int32]) -> Double {
            guard !units.isEmpty else { return 1 }
            return Double(units.count { $0 < 0 || !selection.removed[Int($0)] }) / Double(units.count)
        }
        for index in states.indices where index < structure.outputUnits.count {
            let outputs = kept(structure.outputUnits[index])
            let inputs = kept(structure.inputUnits[index])
            guard outputs < 1 || inputs < 1 else { continue }
            let summary = summaries[index]
            // The recurrent weights of LSTM, GRU and RNN have hidden units on both sides.
            let main = Double(summary.layer.weightCount)
            let recurrent = Double(summary.weightCount) - main
            let factor = (main * outputs * inputs + recurrent * outputs * outputs) / max(main + recurrent, 1)
            states[index].weightCount *= factor
            states[index].biasCount *= outputs
            states[index].attachedCount *= outputs
            states[index].overheadBits *= outputs
            states[index].macs = states[index].macs.map { $0 * factor }
            states[index].outputElements = states[index].outputElements.map { $0 * outputs }
            states[index].outputsKept *= outputs
            states[index].inputsKept *= inputs
        }
    }

    /// What is asked of each group: of coupled layers with different parameters, the smallest ratio counts, so that a
    /// protected layer stays protected.
    static func requests(_ structure: ChannelStructure, _ targets: [Int: ParameterValues]) -> [ChannelSelection.Request?] {
        structure.groups.map { group in
            let asked = group.layers.compactMap { targets[$0] }
            guard let values = asked.min(by: { $0.real("ratio") < $1.real("ratio") }) else { return nil }
            return ChannelSelection.Request(
                ratio: values.real("ratio"), criterion: ChannelCriterion(rawValue: values.choice("criterion")) ?? .l1,
                isGlobal: values.choice("scope") == "global", multiple: values.integer("keep-multiple-of"),
                minimum: values.integer("keep-at-least"))
        }
    }

    static func report(
        _ structure: ChannelStructure, _ selection: ChannelSelection, _ requests: [ChannelSelection.Request?], _ targets: [Int: ParameterValues],
        _ layers: [Layer], to notes: RewriteContext.Notes
    ) {
        let removed = selection.removed.count { $0 }
        let total = zip(structure.groups, requests).reduce(0) { $0 + ($1.1 == nil ? 0 : $1.0.units.count) }
        notes.add("removed \(removed) of \(total) units in \(requests.count { $0 != nil }) groups")
        for (number, group) in structure.groups.enumerated() where requests[number] != nil {
            let others = group.layers.filter { targets[$0] == nil }.map { layers[$0].id }
            if !others.isEmpty, selection.kept[number] < group.units.count {
                let chosen = group.layers.first { targets[$0] != nil }.map { layers[$0].id } ?? ""
                notes.add("\(others.joined(separator: ", ")) cut too: coupled with \(chosen)")
            }
            if Set(group.layers.compactMap { targets[$0]?.real("ratio") }).count > 1 {
                notes.add("\(group.layers.map { layers[$0].id }.joined(separator: ", ")) are coupled and ask for different ratios: the smallest counts")
            }
        }
    }
}
