import ModelGraph
import Techniques

/// What is prepared of an attention's dimensions, so that what rebuilding it costs and saves is known without the graph.
public struct AttentionForecast: Sendable {
    /// Positions, among the model's layers, of those that make queries, keys or values.
    public var layers: [Int]
    /// Of these, the first that makes values.
    public var valueLayer: Int
    /// Pairs of matrices that are multiplied at batch 1: heads, and windows where there are several.
    public var products: Int
    /// Heads that have keys and values of their own; 1 where they cannot be told from samples.
    public var heads: Int
    /// Tokens that ask, tokens attended to.
    public var queries: Int
    public var keys: Int
    /// Numbers of a key and of a value.
    public var keyWidth: Int
    public var valueWidth: Int

    /// Attentions of a model whose products can be followed, in graph order; none without shapes.
    static func all(in model: Model, layers: [Layer], shapes: [String: [Int]]) -> [AttentionForecast] {
        guard !shapes.isEmpty else { return [] }
        return AttentionTargets(model, layers: layers, shapes: shapes, masks: true).entries.compactMap { entry in
            guard let products = entry.products, let scores = model.graph.nodes[products.scores].outputs.first.flatMap({ shapes[$0] }), scores.count >= 2,
                let keys = shapes[products.keys], keys.count >= 2, let values = shapes[products.values], values.count >= 2
            else { return nil }
            let mine = layers.indices.filter { layers[$0].path.isMain && entry.attention.layers.contains(layers[$0].nodeIndex) }
            guard let value = mine.first(where: { entry.attention.values.contains(layers[$0].nodeIndex) }) ?? mine.first else { return nil }
            return AttentionForecast(
                layers: mine, valueLayer: value, products: scores.dropLast(2).reduce(1, *), heads: AttentionPrefix.heads(entry.attention, keys: keys, values: values, layers),
                queries: scores[scores.count - 2], keys: scores[scores.count - 1], keyWidth: keys[keys.count - 2], valueWidth: values[values.count - 1])
        }
    }

    /// Share of the heads that earlier steps left.
    func kept(_ states: [LayerState]) -> Double {
        let kept = states[valueLayer].outputsKept
        return (kept * Double(products)).rounded() / Double(max(products, 1))
    }

    /// The attentions that targets stand for, with the parameters of the first of their layers.
    static func chosen(_ summaries: [LayerSummary], _ targets: [Int: ParameterValues]) -> [(attention: AttentionForecast, parameters: ParameterValues, layer: Int)] {
        (summaries[AttentionForecasts.self]?.all ?? []).compactMap { attention in
            attention.layers.lazy.compactMap { layer in targets[layer].map { (attention, $0, layer) } }.first
        }
    }
}

/// Attentions of a model whose products can be followed.
struct AttentionForecasts: ForecastFacet {
    var all: [AttentionForecast]

    static func prepare(_ summaries: inout [LayerSummary], of model: PreparedModel) {
        summaries.set(Self(all: AttentionForecast.all(in: model.model, layers: model.layers, shapes: model.shapes)))
    }
}
