import ModelGraph

/// What methods that look at a layer's inputs ask of it.
package enum CalibratedWeights {
    /// Inputs of one output at most: beyond, matrices of inputs × inputs are too large to work on.
    static let mostInputs = 8192

    /// - Parameters:
    ///   - gram: whether the method needs products of inputs with each other.
    ///   - shared: whether a weight that several nodes read may be changed.
    package static func refusals(for layers: [Layer], in model: Model, gram: Bool) -> [String?] {
        let readers = WeightReaders(model)
        return layers.map { layer in
            if let reason = PrunableWeights.refusal(for: layer) ?? InputWindows.refusal(for: layer, in: model) { return reason }
            if gram, let shape = WeightMatrix.shape(of: layer), shape.columns > mostInputs { return "more than \(mostInputs) inputs to one output" }
            if let place = model.place(of: layer.weight, readBy: layer), readers.readers[place, default: []].count > 1 {
                return "its weight is shared with another node"
            }
            return nil
        }
    }

    /// The same for one layer.
    package static func refusal(for layer: Layer, in model: Model, gram: Bool) -> String? { refusals(for: [layer], in: model, gram: gram)[0] }
}
