import EngineSupport
import Measurement
import ModelGraph
import Techniques

/// Gram matrices of layers' inputs, remembered, so that turning a width runs the model only once.
enum ReconstructionInputs {
    /// Inputs of an output at most: H takes its square, and its factorization its cube.
    static let columnLimit = 8192

    /// Why a layer's weights cannot be fitted to its inputs; `nil` if they can.
    static func refusal(for layer: Layer, in model: Model) -> String? {
        if let reason = QuantizationRefusal.reason(for: layer, weightOnly: true) { return reason }
        if let reason = InputWindows.refusal(for: layer, in: model) { return reason + "; use weight-quantization" }
        guard let shape = WeightMatrix.shape(of: layer), shape.columns <= columnLimit else {
            return "more than \(columnLimit) inputs; use weight-quantization"
        }
        return nil
    }

    /// Statistics of the inputs of each layer, with x·xᵀ. Layers that share a weight get the same, over the inputs of all of them.
    static func gather(of model: Model, layers: [Layer], limit: Int, context: RewriteContext) throws -> [String: (inputs: LayerInputs, content: ContentHash)] {
        guard let source = context.calibration else {
            throw EngineError(.technique, "needs calibration data (--data) and ONNX Runtime")
        }
        let key = "gram \(model.contentHash) \(source.contentHash) \(limit) \(layers.map(\.id))"
        let stored = try context.memo.tensors(key) {
            let found = try InputStatistics.gather(of: model, layers: layers, gram: true, limit: limit, context: context)
            return layers.flatMap { found[$0.id]?.tensors ?? LayerInputs.absent }
        }
        var result: [String: (inputs: LayerInputs, content: ContentHash)] = [:]
        var shared: [WeightReaders.Place: [String]] = [:]
        for (number, layer) in layers.enumerated() {
            let tensors = Array(stored[(number * LayerInputs.tensorCount)..<((number + 1) * LayerInputs.tensorCount)])
            guard let inputs = LayerInputs(tensors) else { continue }
            result[layer.id] = (inputs, tensors[5].contentHash)
            if let place = model.place(of: layer.weight, readBy: layer) { shared[place, default: []].append(layer.id) }
        }
        for ids in shared.values where ids.count > 1 {
            let members = ids.sorted().compactMap { result[$0] }
            guard let first = members.first, members.allSatisfy({ $0.inputs.shape == first.inputs.shape }) else { continue }
            var merged = first.inputs
            let rows = members.reduce(0) { $0 + $1.inputs.rows }
            for index in merged.gram.indices {
                merged.gram[index] = members.reduce(0) { $0 + $1.inputs.gram[index] * Float($1.inputs.rows) / Float(rows) }
            }
            var content = ContentHash()
            for member in members { content.combine(member.content) }
            for id in ids { result[id] = (merged, content) }
        }
        return result
    }
}

extension LayerInputs {
    fileprivate static let tensorCount = 6
    /// What stands for a layer whose inputs were never seen.
    fileprivate static let absent = (0..<tensorCount).map { _ in Tensor(name: "", floats: [], dims: [0]) }

    /// For `LayerMemo`.
    fileprivate var tensors: [Tensor] {
        [
            Tensor(name: "", int64s: [shape.groups, shape.rows, shape.columns, rows].map(Int64.init), dims: [4]),
            Tensor(name: "", floats: mean, dims: [mean.count]), Tensor(name: "", floats: meanSquare, dims: [meanSquare.count]),
            Tensor(name: "", floats: meanMagnitude, dims: [meanMagnitude.count]),
            Tensor(name: "", floats: largestMagnitude, dims: [largestMagnitude.count]), Tensor(name: "", floats: gram, dims: [gram.count]),
        ]
    }

    fileprivate init?(_ tensors: [Tensor]) {
        guard let numbers = tensors[0].integers(), numbers.count == 4 else { return nil }
        self.init(
            shape: WeightMatrix.Shape(groups: numbers[0], rows: numbers[1], columns: numbers[2]), rows: numbers[3], mean: tensors[1].floats() ?? [],
            meanSquare: tensors[2].floats() ?? [], meanMagnitude: tensors[3].floats() ?? [], largestMagnitude: tensors[4].floats() ?? [],
            gram: tensors[5].floats() ?? [])
    }
}
