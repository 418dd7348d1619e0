import EngineSupport
import ModelGraph
import Techniques

/// One weight tensor after sharing.
struct SharedWeight: Sendable {
    var layer: Layer
    /// The tensor's name where the layer reads it.
    var name: String
    var codebook: Codebook
    /// One entry number per weight.
    var indices: [UInt8]
    /// Whether the file stores indices and codebook rather than values.
    var storesCodebook: Bool
}

/// Layers whose weights share one codebook.
struct WeightPool: Sendable {
    var layers: [Layer]
    var parameters: ParameterValues

    /// Clusters the pool's weights. The distribution is remembered by content, so that another number of bits sorts
    /// nothing again.
    func share(_ model: Model, context: RewriteContext) throws -> [SharedWeight] {
        var members: [(layer: Layer, tensor: Tensor, values: [Float])] = []
        for layer in layers {
            let tensors = layer.weightNames.compactMap { model.initializer($0, from: layer.path)?.tensor }.filter(\.elementType.isFloatingPoint)
            let values = tensors.compactMap { $0.floats() }
            guard values.count == tensors.count, values.allSatisfy({ $0.allSatisfy(\.isFinite) }) else {
                context.notes.add("\(layer.id): has weights that are not finite; left as it is")
                continue
            }
            for (tensor, floats) in zip(tensors, values) { members.append((layer, tensor, floats)) }
        }
        guard let precision = members.first?.tensor else { return [] }
        let preserveZeros = parameters.flag("preserve-zeros")
        let zeros = preserveZeros && members.contains { $0.values.contains(0) }
        var content = ContentHash()
        for member in members { content.combine(member.tensor.contentHash) }
        let remembered = context.memo.tensors("distribution \(content) zeros=\(!preserveZeros)") {
            ValueDistribution(of: members.map(\.values), keepingZeros: !preserveZeros).tensors
        }
        guard let distribution = ValueDistribution(remembered) else { throw EngineError(.technique, "weights cannot be sorted") }
        let clusters = clusters(of: distribution, count: (1 << parameters.integer("bits")) - (zeros ? 1 : 0), seed: context.seed)
        if parameters.choice("method") == "exact" {
            if !clusters.isOptimal { context.notes.add("\(layers[0].id): clustered on groups of its \(Int(distribution.count)) weights, then by Lloyd's algorithm") }
        } else if !distribution.isExact {
            context.notes.add("\(layers[0].id): clustered on \(distribution.values.count) bins of its \(Int(distribution.count)) weights")
        }
        return try members.map { member in
            try context.cancellation.check()
            let codebook = Codebook(centroids: clusters.centroids, zero: zeros) { precision.rounded($0) }
            return SharedWeight(
                layer: member.layer, name: member.tensor.name, codebook: codebook,
                indices: member.values.withUnsafeBufferPointer { codebook.assign($0) }, storesCodebook: parameters.choice("storage") == "codebook")
        }
    }
}

extension WeightPool {
    private func clusters(of distribution: ValueDistribution, count: Int, seed: UInt64) -> ScalarKMeans {
        guard parameters.choice("method") == "lloyd" else { return ScalarKMeans(optimal: distribution, count: count) }
        return ScalarKMeans(
            distribution, count: count, initialization: ScalarKMeans.Initialization(rawValue: parameters.choice("initialization")) ?? .linear,
            iterations: parameters.integer("iterations"), seed: seed)
    }
}

extension Tensor {
    /// A value at the precision of this tensor's type.
    func rounded(_ value: Float) -> Float { elementType == .float32 ? value : withFloats([value], dims: [1]).floats()?.first ?? value }
}
