import Measurement
import ModelGraph

extension InputStatistics {
    /// As `gather`, but each layer's statistics are looked up first by everything they depend on: the part of the model
    /// before the layer, the data, and how much of it. Turning a knob that changes no input costs no run.
    package static func remembered(of model: Model, layers: [Layer], gram: Bool, limit: Int, context: RewriteContext) throws -> [String: LayerInputs] {
        guard let source = context.calibration else { return try gather(of: model, layers: layers, gram: gram, limit: limit, context: context) }
        var result: [String: LayerInputs] = [:]
        var missing: [Layer] = []
        var keys: [String: String] = [:]
        var prefixes: [String: String] = [:]
        for layer in layers {
            guard let input = model.graph.nodes[layer.nodeIndex].input(0), let shape = WeightMatrix.shape(of: layer) else { continue }
            let prefix = prefixes[input] ?? (model.truncated(to: [input]).contentHash.description + input)
            prefixes[input] = prefix
            let node = model.graph.nodes[layer.nodeIndex]
            let form = node.attributes.map { "\($0.name)=\($0.value)" }.joined(separator: ",")
            func key(gram: Bool) -> String {
                "inputs gram=\(gram) \(limit) \(source.contentHash) \(prefix) \(node.opType) \(shape) \(layer.weightShape) \(form)"
            }
            keys[layer.id] = key(gram: gram)
            // What another technique asked for with the Gram matrix answers one that needs none.
            if let known = context.memo.known(key(gram: true)) ?? (gram ? nil : context.memo.known(key(gram: false))), let inputs = LayerInputs(known, shape: shape) {
                result[layer.id] = inputs
            } else {
                missing.append(layer)
            }
        }
        if !missing.isEmpty {
            for (id, inputs) in try gather(of: model, layers: missing, gram: gram, limit: limit, context: context) {
                result[id] = inputs
                if let key = keys[id] { _ = context.memo.tensors(key) { inputs.tensors } }
            }
        }
        let partial = layers.map(\.id).filter { (result[$0]?.leftOut ?? 0) > 0 }
        if !partial.isEmpty {
            context.notes.add("inputs that are NaN or infinite on calibration data were left out: \(RewriteContext.Notes.list(partial))")
        }
        return result
    }
}

extension LayerInputs {
    fileprivate var tensors: [Tensor] {
        func tensor(_ values: [Float]) -> Tensor { Tensor(name: "", floats: values, dims: [values.count]) }
        return [tensor(mean), tensor(meanSquare), tensor(meanMagnitude), tensor(largestMagnitude), tensor(gram)]
            + [Tensor(name: "", int64s: [Int64(rows), Int64(leftOut)], dims: [2])]
    }

    fileprivate init?(_ tensors: [Tensor], shape: WeightMatrix.Shape) {
        let floats = tensors.prefix(5).compactMap { $0.floats() }
        guard tensors.count == 6, floats.count == 5, let counts = tensors[5].integers(), counts.count == 2 else { return nil }
        self.init(
            shape: shape, rows: counts[0], leftOut: counts[1], mean: floats[0], meanSquare: floats[1], meanMagnitude: floats[2], largestMagnitude: floats[3], gram: floats[4])
    }
}
