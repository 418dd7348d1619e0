import ModelGraph

/// Weights and biases of layers in 16 bits behind a Cast to float32.
enum HalfStorage {
    /// - Parameter convert: a float32 tensor in 16 bits.
    static func store(
        _ layers: [Layer], in model: Model, suffix: String, context: RewriteContext, convert: (Tensor) throws -> Tensor
    ) throws -> Model {
        var editor = GraphEditor(model)
        var bystanders = Bystanders(model)
        var values: [String: String] = [:]
        for (number, layer) in layers.enumerated() {
            try context.cancellation.check()
            context.progress(Double(number) / Double(layers.count), "halving \(layer.id)")
            for name in [layer.weight] + layer.otherWeights + (layer.bias.map { [$0] } ?? []) {
                guard let (tensor, owner) = editor.model.initializer(name, from: layer.path), tensor.elementType == .float32 else { continue }
                // A Cast costs more than halving a small bias saves.
                guard tensor.count >= 128 else { continue }
                let key = "\(owner) \(name)"
                let value: String
                if let known = values[key] {
                    value = known
                } else {
                    let stored = editor.add(try convert(tensor), "\(name)_\(suffix)", at: owner)
                    value = editor.fresh("\(name)_float")
                    editor.addFront(.cast(stored, value, to: .float32), at: owner)
                    values[key] = value
                }
                editor.edit(layer.nodeIndex, at: layer.path) { $0.replaceInput(name, by: value) }
                bystanders.replace(WeightReaders.Place(owner: owner, name: name), readBy: layer, with: value)
            }
        }
        let others = bystanders.redirect(&editor)
        if !others.isEmpty { context.notes.add("reading the same weights, now halves: \(WeightQuantization.list(others))") }
        return editor.finish()
    }

    static func predict(_ state: inout LayerState) {
        guard state.weightCount >= 128 else { return }
        state.weightBits = 16
        state.overheadBits += (QuantizationForecast.nodeBytes + QuantizationForecast.initializerBytes) * 8
        if state.biasCount >= 128 { state.overheadBits -= state.biasCount * 16 }
    }
}
