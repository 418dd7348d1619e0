import ModelGraph

/// A model as a technique takes it, and where it does not apply.
///
/// Many techniques work on float32 alone. Where one would not apply to layers asked for because they are in float16 or float64, the technique
/// gets the model in float32. Layers that an earlier step put into 16 bits stay so while others take the technique.
package struct PrecisionFallback {
    package let model: Model
    package let layers: [Layer]
    /// Why the technique does not apply to each layer.
    package let refusals: [String?]
    /// Whether the model was widened.
    package let isWidened: Bool

    /// - Parameters:
    ///   - selected: positions of the layers asked for.
    ///   - isNarrowed: whether a layer's type is an earlier step's doing.
    ///   - widened: makes the model in float32, for callers that keep it from one technique to the next.
    package init(
        of technique: any Technique, layers: [Layer], in model: Model, shapes: [String: [Int]], selected: some Collection<Int>,
        isNarrowed: (Layer) -> Bool = { _ in false }, widened: (Model) -> Model = SinglePrecisionGraph.converted
    ) {
        var refusals = technique.refusals(for: layers, in: model, shapes: shapes)
        let outputs = Set(model.graph.outputs.map(\.name))
        for (position, layer) in layers.enumerated() where refusals[position] == nil && layer.path.isMain && model.graph.initializers[layer.weight] != nil {
            if outputs.contains(layer.weight) { refusals[position] = "its weight is an output of the model, which stays as it is" }
        }
        let narrow = selected.filter { refusals[$0] != nil && SinglePrecisionGraph.widens(layers[$0]) }
        if technique.descriptor.widens, !narrow.isEmpty, selected.allSatisfy({ refusals[$0] != nil }) || !narrow.allSatisfy({ isNarrowed(layers[$0]) }),
            !SinglePrecisionGraph.declaresSequences(model)
        {
            let wide = widened(model)
            let wideLayers = wide.layers()
            if wideLayers.map(\.id) == layers.map(\.id) {
                let again = technique.refusals(for: wideLayers, in: wide, shapes: shapes)
                if narrow.contains(where: { again[$0] == nil }) {
                    (self.model, self.layers, self.refusals, isWidened) = (wide, wideLayers, again, true)
                    return
                }
                // Their type is not what stands in the way.
                for position in narrow { refusals[position] = again[position] }
            }
        }
        (self.model, self.layers, self.refusals, isWidened) = (model, layers, refusals, false)
    }
}
