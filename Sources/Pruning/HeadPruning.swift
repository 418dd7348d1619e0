import EngineSupport
import ModelGraph
import Techniques

/// Removes whole attention heads.
public struct HeadPruning: WholeModelTechnique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "head-pruning",
        title: "Head pruning",
        family: .pruning,
        summary: "Removes whole attention heads with all their weights; nothing else changes",
        details: """
            A head is its rows of the query, key and value projections, their biases, and the columns of the output projection that read it; with \
            grouped queries, a group of heads that share keys and values. The least important heads of each attention are removed, and reshapes that \
            contain the number of heads are adjusted. Heads are found by following channels through the graph: attention written as MatMul, Softmax \
            and MatMul with known shapes. Fused attention operators are refused.

            Structured pruning ranks heads together with all other channels; this technique takes only heads, by a fraction of their own. File, \
            parameters, MACs and latency go down. Often many heads can go at little cost; their outputs on data tell better which ones than their \
            weights do.
            """,
        source: "Michel, Levy and Neubig, Are Sixteen Heads Really Better than One?, NeurIPS 2019",
        parameters: [
            ParameterDescriptor(
                "ratio", title: "Ratio", domain: .real(0...0.95, step: 0.01), default: .real(0.25),
                help: "Fraction of heads to remove, rounded to whole heads in each attention"),
            ParameterDescriptor(
                "criterion", title: "Criterion",
                domain: .choice([
                    .init("l1", "sum of magnitudes of a head's weights"), .init("l2", "root of the sum of their squares"),
                    .init("weighted-norm", "l2 with each weight times the root mean square of its input", needsCalibration: true),
                    .init("random", "drawn from the recipe's seed: the control"),
                ]), default: .choice("l2"), help: "How heads are ranked"),
            ParameterDescriptor(
                "scope", title: "Scope",
                domain: .choice([
                    .init("layer", "the same fraction from every attention"),
                    .init("global", "the fraction from all together, weakest first, scores relative to each layer's mean"),
                ]), default: .choice("layer"), help: "Which heads are compared with each other"),
            ParameterDescriptor(
                "keep-at-least", title: "Keep at least", domain: .integer(1...16, step: 1), default: .integer(1), unit: "heads",
                help: "No attention is left with fewer heads"),
            ParameterDescriptor(
                "samples", title: "Samples", domain: .integer(16...4096, step: 16), default: .integer(256), unit: "samples",
                help: "Calibration samples for weighted-norm"),
        ])

    /// Which groups of a structure are heads: those of dense layers that make queries, keys or values, and of whose units each takes
    /// several outputs. (What queries and keys alone have in common is the width of a head; queries alone have heads of their own where all
    /// share one head of keys and values.)
    static func isHeads(_ structure: ChannelStructure, _ layers: [Layer], _ attention: AttentionProjections) -> [Bool] {
        structure.groups.map { group in
            let makers = group.layers.filter { layers[$0].path.isMain && attention.nodes.contains(layers[$0].nodeIndex) }
            let isQueriesAlone = !makers.contains { attention.keys.contains(layers[$0].nodeIndex) }
            guard let first = makers.first, group.layers.count == makers.count,
                isQueriesAlone || makers.contains(where: { attention.values.contains(layers[$0].nodeIndex) })
            else { return false }
            let members = Set(group.units)
            let outputs = structure.outputUnits[first].count { members.contains($0) }
            return group.units.count > 1 && outputs > group.units.count
        }
    }

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        let attention = AttentionProjections(model, layers: layers)
        guard !attention.nodes.isEmpty else { return layers.map { _ in AttentionProjections.refusal(model) } }
        let structure = ChannelStructure(of: model, layers: layers, shapes: shapes)
        let heads = Self.isHeads(structure, layers, attention)
        var reason = layers.indices.map { index -> String? in
            guard layers[index].path.isMain, attention.nodes.contains(layers[index].nodeIndex) else { return "not an attention projection" }
            return structure.refusals[index] ?? "its heads cannot be separated"
        }
        for (group, isHeads) in zip(structure.groups, heads) where isHeads {
            for layer in group.layers { reason[layer] = layers[layer].isFloat ? nil : "its weights are quantized already" }
        }
        return reason
    }

    /// One group for each attention: what its heads are cut from.
    public func coupledLayers(_ layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [[Int]] {
        let structure = ChannelStructure(of: model, layers: layers, shapes: shapes)
        let heads = Self.isHeads(structure, layers, AttentionProjections(model, layers: layers))
        return zip(structure.groups, heads).compactMap { group, isHeads in
            isHeads && group.layers.allSatisfy { layers[$0].isFloat } ? group.layers.sorted() : nil
        }
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let layers = model.layers()
        context.progress(0, "following heads")
        let structure = ChannelStructure(of: model, layers: layers, shapes: context.shapes)
        let heads = Self.isHeads(structure, layers, AttentionProjections(model, layers: layers))
        let position = Dictionary(layers.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { first, _ in first })
        var values: [Int: ParameterValues] = [:]
        for target in targets { if let index = position[target.layer.id] { values[index] = target.parameters } }
        let requests = Self.requests(structure, heads, values)
        let importance = ChannelImportance(
            model: model, layers: layers, context: context, samples: targets.map { $0.parameters.integer("samples") }.max() ?? 0)
        var rankings: [ChannelCriterion: ChannelRanking] = [:]
        for criterion in ChannelCriterion.allCases where requests.contains(where: { $0?.criterion == criterion }) {
            rankings[criterion] = try ChannelRanking(structure, scores: importance.scores(criterion), isQuadratic: criterion.isQuadratic)
        }
        let selection = ChannelSelection(structure, requests: requests) { rankings[$0] }
        try context.cancellation.check()
        try structure.cut.apply(to: &model, removed: selection.removed)
        let total = zip(structure.groups, requests).reduce(0) { $0 + ($1.1 == nil ? 0 : $1.0.units.count) }
        context.notes.add("removed \(selection.removed.count { $0 }) of \(total) heads in \(requests.count { $0 != nil }) attentions")
    }

    private static func requests(_ structure: ChannelStructure, _ heads: [Bool], _ targets: [Int: ParameterValues]) -> [ChannelSelection.Request?] {
        zip(structure.groups, heads).map { group, isHeads in
            guard isHeads, let values = group.layers.compactMap({ targets[$0] }).min(by: { $0.real("ratio") < $1.real("ratio") }) else { return nil }
            return ChannelSelection.Request(
                ratio: values.real("ratio"), criterion: ChannelCriterion(rawValue: values.choice("criterion")) ?? .l2,
                isGlobal: values.choice("scope") == "global", multiple: 1, minimum: values.integer("keep-at-least"))
        }
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        guard let forecast = summaries.first?.channels else { return }
        let structure = forecast.structure
        // Targets passed the refusals: what they have of groups with several outputs to a unit are heads.
        let heads = structure.groups.map { group in
            guard group.layers.allSatisfy({ summaries[$0].layer.kind == .matMul || summaries[$0].layer.kind == .gemm }), let first = group.layers.first
            else { return false }
            let members = Set(group.units)
            return group.units.count > 1 && structure.outputUnits[first].count { members.contains($0) } > group.units.count
        }
        let selection = ChannelSelection(structure, requests: Self.requests(structure, heads, targets)) { forecast.ranking(by: $0) }
        StructuredPruning.predict(&states, structure, selection, summaries)
    }
}
