import EngineSupport
import LinearAlgebra
import ModelGraph

/// Importance of each layer's outputs under a criterion.
package struct ChannelImportance {
    package let model: Model
    package let layers: [Layer]
    package let context: RewriteContext
    /// Calibration samples to use.
    package let samples: Int

    package init(model: Model, layers: [Layer], context: RewriteContext, samples: Int) {
        self.model = model
        self.layers = layers
        self.context = context
        self.samples = samples
    }

    /// By layer position the importance of each output; empty where the criterion says nothing of a layer.
    package func scores(_ criterion: ChannelCriterion) throws -> [[Float]] {
        switch criterion {
        case .l1: try norms().map(\.l1)
        case .l2: try norms().map(\.l2)
        case .geometricMedian: try geometricMedian()
        case .batchNormScale: batchNormScale()
        case .apoz: try positives()
        case .weightedNorm: try weightedNorm()
        case .taylor: try taylor()
        case .random: random()
        }
    }

    /// A ranking of units; layers of groups of which the criterion says nothing are ranked by L1.
    package func ranking(_ structure: ChannelStructure, by criterion: ChannelCriterion) throws -> ChannelRanking {
        var scores = try scores(criterion)
        let silent = structure.groups.filter { group in group.layers.allSatisfy { scores[$0].isEmpty } }
        if !silent.isEmpty {
            let fallback = try norms()
            for layer in silent.flatMap(\.layers) where layers[layer].isFloat {
                scores[layer] = fallback[layer].l1
                context.notes.add("\(layers[layer].id): \(criterion.rawValue) does not cover it, ranked by l1")
            }
        }
        return ChannelRanking(structure, scores: scores, isQuadratic: criterion.isQuadratic)
    }

    private func tensors(_ layer: Layer) -> [Tensor] { layer.weightNames.compactMap { model.initializer($0, from: layer.path)?.tensor } }

    private func norms() throws -> [OutputNorms] {
        try layers.map { layer in
            try context.cancellation.check()
            return OutputNorms(of: tensors(layer), axis: layer.outputAxis)
        }
    }

    /// Sum of a filter's distances to all others of its layer: the one nearest to the geometric median is the easiest to do
    /// without (He et al. 2019, equation 7).
    private func geometricMedian() throws -> [[Float]] {
        try layers.map { layer in
            try context.cancellation.check()
            let parts = tensors(layer).filter { $0.dims.indices.contains(layer.outputAxis) && $0.dims[layer.outputAxis] == layer.weightShape[layer.outputAxis] }
            guard layer.isFloat, !parts.isEmpty else { return [] }
            let count = layer.weightShape[layer.outputAxis]
            var rows = [[Double]](repeating: [], count: count)
            for part in parts {
                guard let values = part.floats() else { return [] }
                let inner = part.dims[(layer.outputAxis + 1)...].reduce(1, *)
                for block in 0..<part.dims[..<layer.outputAxis].reduce(1, *) {
                    for row in 0..<count {
                        let start = (block * count + row) * inner
                        for index in start..<(start + inner) { rows[row].append(Double(values[index])) }
                    }
                }
            }
            return Self.distances(rows)
        }
    }

    /// Of each vector the sum of its Euclidean distances to all.
    static func distances(_ rows: [[Double]]) -> [Float] {
        guard let width = rows.first?.count else { return [] }
        let flat = rows.flatMap { $0 }
        var turned = [Double](repeating: 0, count: flat.count)
        for row in rows.indices { for column in 0..<width { turned[column * rows.count + row] = flat[row * width + column] } }
        let products = PositiveDefinite.product(flat, turned, rows: rows.count, inner: width, columns: rows.count)
        let count = rows.count
        return rows.indices.map { row -> Float in
            var sum = 0.0
            for other in 0..<count where other != row {
                let square = products[row * count + row] + products[other * count + other] - 2 * products[row * count + other]
                sum += max(square, 0).squareRoot()
            }
            return Float(sum)
        }
    }

    /// |γ| of the normalization that reads a layer's outputs (Liu et al. 2017, section 3).
    private func batchNormScale() -> [[Float]] {
        let index = GraphIndex(model.graph)
        return layers.map { layer in
            guard layer.path.isMain, let output = model.graph.nodes[layer.nodeIndex].outputs.first else { return [] }
            for reader in index.consumers[output] ?? [] where model.graph.nodes[reader].isStandard("BatchNormalization") {
                let node = model.graph.nodes[reader]
                guard node.input(0) == output, let name = node.input(1), let scale = model.graph.initializers[name]?.floats(),
                    scale.count == layer.weightShape[layer.outputAxis]
                else { continue }
                return scale.map(abs)
            }
            return []
        }
    }

    /// 1 − APoZ: the share of positive activations behind the layer's nonlinearity (Hu et al. 2016, equation 1).
    private func positives() throws -> [[Float]] {
        let follower = ActivationFollower(model.graph)
        let places = layers.map { follower.rectified(behind: $0) }
        let moments = try ChannelStatistics.gather(of: model, values: Array(Set(places.compactMap { $0 })).sorted { $0.name < $1.name }, limit: samples, context: context)
        return zip(layers, places).map { layer, place in
            guard let place, let share = moments[place]?.zeroShare, share.count == layer.weightShape[layer.outputAxis] else { return [] }
            return share.map { Float(1 - $0) }
        }
    }

    /// L2 norm of an output's weights, each times the root mean square of its input: the size of what it computes from
    /// inputs that were independent.
    private func weightedNorm() throws -> [[Float]] {
        let seen = layers.filter { $0.isFloat && InputWindows.refusal(for: $0, in: model) == nil }
        let inputs = try InputStatistics.remembered(of: model, layers: seen, gram: false, limit: samples, context: context)
        return layers.map { layer in
            guard let inputs = inputs[layer.id], let tensor = model.initializer(layer.weight, from: layer.path)?.tensor,
                let matrix = WeightMatrix(tensor, of: layer)
            else { return [] }
            return (0..<(matrix.groups * matrix.rows)).map { row in
                let group = row / matrix.rows
                let sum = (0..<matrix.columns).reduce(0.0) { sum, column in
                    let value = Double(matrix.values[row * matrix.columns + column])
                    return sum + value * value * Double(max(inputs.meanSquare[group * matrix.columns + column], 0))
                }
                return Float(sum.squareRoot())
            }
        }
    }

    /// (Σ gradient · weight)² over an output's weights, the mean over batches: how much the loss changes to first order without it
    /// (Molchanov et al. 2019, equation 8).
    private func taylor() throws -> [[Float]] {
        let calibration = try context.requiredCalibration()
        let seen = layers.map { layer in
            layer.path.isMain && layer.isFloat
                ? tensors(layer).filter { $0.dims.indices.contains(layer.outputAxis) && $0.dims[layer.outputAxis] == layer.weightShape[layer.outputAxis] } : []
        }
        var sums = layers.map { [Double](repeating: 0, count: $0.weightShape[$0.outputAxis]) }
        var batches = [Int](repeating: 0, count: layers.count)
        let names = Array(Set(seen.joined().map(\.name))).sorted()
        try calibration.gradients(of: model, weights: names, limit: samples, cancellation: context.cancellation) { gradients in
            for (position, parts) in seen.enumerated() where !parts.isEmpty && parts.allSatisfy({ gradients[$0.name] != nil }) {
                var changes = [Double](repeating: 0, count: sums[position].count)
                for part in parts { Self.addProducts(part, gradients[part.name] ?? [], axis: layers[position].outputAxis, to: &changes) }
                for unit in changes.indices { sums[position][unit] += changes[unit] * changes[unit] }
                batches[position] += 1
            }
        }
        return layers.indices.map { position in batches[position] == 0 ? [] : sums[position].map { Float($0 / Double(batches[position])) } }
    }

    /// Adds gradient · weight of each slice along an axis.
    private static func addProducts(_ weight: Tensor, _ gradient: [Float], axis: Int, to sums: inout [Double]) {
        let inner = weight.dims[(axis + 1)...].reduce(1, *)
        weight.withFloats { values in
            guard values.count == gradient.count else { return }
            for index in values.indices { sums[index / inner % sums.count] += Double(values[index]) * Double(gradient[index]) }
        }
    }

    /// One number per output, from the seed.
    private func random() -> [[Float]] {
        layers.map { layer in
            var generator = SeededGenerator(seed: context.seed ^ ContentHash(of: "channels \(layer.id)").low)
            return (0..<layer.weightShape[layer.outputAxis]).map { _ in Float(generator.next() >> 40) / Float(1 << 24) + 1e-3 }
        }
    }
}

/// Finds the nonlinearity behind a layer through what treats channels one by one.
struct ActivationFollower {
    private let graph: Graph
    private let index: GraphIndex
    private static let through: Set<String> = ["BatchNormalization", "Add", "Sub", "Mul", "Div", "Identity", "Dropout"]
    private static let rectifiers: Set<String> = ["Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "HardSwish", "Gelu", "Mish", "Softplus"]

    init(_ graph: Graph) {
        self.graph = graph
        index = GraphIndex(graph)
    }

    /// The rectified value behind a layer and the dimension of its channels; `nil` if there is none near.
    func rectified(behind layer: Layer) -> ChannelStatistics.Value? {
        guard layer.path.isMain, var name = graph.nodes[layer.nodeIndex].outputs.first else { return nil }
        let axis: Int
        switch layer.kind {
        case .conv, .convTranspose: axis = 1
        case .gemm, .matMul: axis = -1
        case .lstm, .gru, .rnn, .embedding: return nil
        }
        for _ in 0..<8 {
            let readers = (index.consumers[name] ?? []).map { graph.nodes[$0] }
            if let found = readers.first(where: { Self.rectifiers.contains($0.opType) && $0.input(0) == name }) {
                return found.outputs.first.map { ChannelStatistics.Value(name: $0, axis: axis) }
            }
            guard let next = readers.first(where: { Self.through.contains($0.opType) })?.outputs.first else { return nil }
            name = next
        }
        return nil
    }
}
