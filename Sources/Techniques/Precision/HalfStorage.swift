import EngineSupport
import ModelGraph

/// Weights and biases of layers in 16 bits behind a Cast to float32.
package enum HalfStorage {
    /// - Parameter convert: a float32 tensor in 16 bits; `nil` leaves it as it is.
    package static func store(
        _ layers: [Layer], in model: Model, suffix: String, context: RewriteContext, convert: (Tensor) throws -> Tensor?
    ) throws -> Model {
        var editor = GraphEditor(model)
        var otherReaders = OtherReaders(model)
        var values: [String: String] = [:]
        for (number, layer) in layers.enumerated() {
            try context.cancellation.check()
            context.progress(Double(number) / Double(layers.count), "converting \(layer.id)")
            for name in [layer.weight] + layer.otherWeights + (layer.bias.map { [$0] } ?? []) {
                guard let (tensor, owner) = editor.model.initializer(name, from: layer.path), tensor.elementType == .float32 else { continue }
                // A Cast costs more than halving a small bias saves.
                guard tensor.count >= 128 else { continue }
                let key = "\(owner) \(name)"
                let value: String
                if let known = values[key] {
                    value = known
                } else {
                    guard let narrow = try convert(tensor) else { continue }
                    let stored = editor.add(narrow, "\(name)_\(suffix)", at: owner)
                    value = editor.fresh("\(name)_float")
                    editor.addFront(.cast(stored, value, to: .float32), at: owner)
                    values[key] = value
                }
                editor.edit(layer.nodeIndex, at: layer.path) { $0.replaceInput(name, by: value) }
                otherReaders.replace(WeightReaders.Place(owner: owner, name: name), readBy: layer, with: value)
            }
        }
        let others = otherReaders.redirect(&editor)
        if !others.isEmpty { context.notes.add("16-bit too, because they read the same weights: \(RewriteContext.Notes.list(others))") }
        return editor.finish()
    }

    /// Stores float32 weights in 16 bits again where that loses nothing: of a model that was widened, what was not changed since.
    /// - Parameter type: float16 or bfloat16.
    package static func restore(_ type: ElementType, in model: Model, context: RewriteContext) throws -> Model {
        try store(model.layers().filter { $0.isFloat && $0.weightType == .float32 }, in: model, suffix: "half", context: context) { tensor in
            let narrow = type == .float16 ? try HalfConversion.half(tensor).tensor : Tensor(name: "", bfloat16s: tensor.floats() ?? [], dims: tensor.dims)
            return narrow.floats() == tensor.floats() ? narrow : nil
        }
    }
}
