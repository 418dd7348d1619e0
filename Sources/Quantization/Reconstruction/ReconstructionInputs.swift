import EngineSupport
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
        var found = try InputStatistics.remembered(of: model, layers: layers, gram: true, limit: limit, context: context)
        var shared: [WeightReaders.Place: [String]] = [:]
        for layer in layers where found[layer.id] != nil {
            if let place = model.place(of: layer.weight, readBy: layer) { shared[place, default: []].append(layer.id) }
        }
        for ids in shared.values where ids.count > 1 {
            let members = ids.sorted().compactMap { found[$0] }
            guard let first = members.first, members.allSatisfy({ $0.shape == first.shape }) else { continue }
            let merged = Self.merged(members)
            for id in ids { found[id] = merged }
        }
        return found.mapValues { ($0, Tensor(name: "", floats: $0.gram, dims: [$0.gram.count]).contentHash) }
    }

    /// The first with the Gram matrix over the inputs of all.
    private static func merged(_ members: [LayerInputs]) -> LayerInputs {
        var result = members[0]
        let rows = Float(members.reduce(0) { $0 + $1.rows })
        result.gram.withUnsafeMutableBufferPointer { sums in
            for index in sums.indices { sums[index] *= Float(members[0].rows) / rows }
            for member in members.dropFirst() {
                let weight = Float(member.rows) / rows
                member.gram.withUnsafeBufferPointer { gram in for index in sums.indices { sums[index] += gram[index] * weight } }
            }
        }
        return result
    }
}
