import ModelGraph
import Techniques

/// Predicts from summaries what `SparsityAllocation` leaves in each layer. O(layers), or O(layers × quantiles) for LAMP.
package enum SparsityForecast {
    /// Lowers the targets' densities. Zeros that are there already are the first to be counted.
    package static func apply(to states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        // Tied weights are pruned once, with the parameters of the first layer that reads them.
        var owner: [String: Int] = [:]
        for index in targets.keys.sorted() {
            let layer = summaries[index].layer
            owner["\(layer.path.hashValue)/\(layer.weight)"] = owner["\(layer.path.hashValue)/\(layer.weight)"] ?? index
        }
        let pools = SparsityAllocation.grouped(owner.values.sorted()) { SparsityAllocation.Request(targets[$0] ?? ParameterValues()) }
        var density: [Int: Double] = [:]
        for (request, members) in pools {
            for (index, value) in zip(members, densities(request, members.map { summaries[$0] }, members.map { states[$0].weightCount })) {
                density[index] = value
            }
        }
        for index in targets.keys {
            let layer = summaries[index].layer
            guard let first = owner["\(layer.path.hashValue)/\(layer.weight)"], let density = density[first] else { continue }
            states[index].density = min(states[index].density, density)
        }
    }

    private static func densities(_ request: SparsityAllocation.Request, _ summaries: [LayerSummary], _ weights: [Double]) -> [Double] {
        let even = [Double](repeating: 1 - request.sparsity, count: summaries.count)
        guard summaries.count > 1 else { return even }
        let count = request.sparsity * weights.reduce(0, +)
        switch request.scope {
        case .layer:
            return even
        case .global:
            let threshold = threshold(count, summaries, weights)
            return summaries.map { 1 - $0.fraction(below: threshold) }
        case .erdosRenyiKernel:
            return SparsityAllocation.erdosRenyiKernel(summaries.map(extent), density: 1 - request.sparsity)
        case .lamp:
            let scores = summaries.map(lampScores)
            // Steps between quantiles are as good as weights once each counts for as many as it stands for.
            var (low, high): (UInt32, UInt32) = (0, Float.infinity.bitPattern)
            while low < high {
                let middle = low + (high - low) / 2
                let below = zip(scores, weights).reduce(0) { $0 + fraction($1.0, below: Float(bitPattern: middle)) * $1.1 }
                if below < count { low = middle + 1 } else { high = middle }
            }
            return scores.map { 1 - fraction($0, below: Float(bitPattern: low)) }
        }
    }

    private static func extent(_ summary: LayerSummary) -> SparsityAllocation.LayerExtent {
        let layer = summary.layer
        let recurrent = summary.weightCount - layer.weightCount
        guard recurrent > 0, layer.weightShape.count == 3, layer.weightShape[0] * layer.weightShape[1] > 0 else { return .init([layer.weightShape]) }
        let (directions, rows) = (layer.weightShape[0], layer.weightShape[1])
        return .init([layer.weightShape, [directions, rows, recurrent / (directions * rows)]])
    }

    /// LAMP scores at the ranks of the magnitude quantiles.
    private static func lampScores(_ summary: LayerSummary) -> [Float] {
        let quantiles = summary.magnitudeQuantiles
        guard quantiles.count > 1 else { return [] }
        let step = Double(summary.weightCount) / Double(quantiles.count - 1)
        var scores = [Float](repeating: 0, count: quantiles.count)
        var rest = Double(quantiles[quantiles.count - 1]) * Double(quantiles[quantiles.count - 1])
        for rank in quantiles.indices.reversed() {
            let square = Double(quantiles[rank]) * Double(quantiles[rank])
            if rank + 1 < quantiles.count {
                let above = Double(quantiles[rank + 1])
                // Mean square between two quantiles, magnitudes taken as even between them.
                rest += step * (square + Double(quantiles[rank]) * above + above * above) / 3
            }
            scores[rank] = rest > 0 ? Float(square / rest) : 0
        }
        return scores
    }

    private static func fraction(_ scores: [Float], below threshold: Float) -> Double {
        guard scores.count > 1 else { return 0 }
        var (low, high) = (0, scores.count)
        while low < high {
            let middle = (low + high) / 2
            if scores[middle] <= threshold { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return 0 }
        guard low < scores.count else { return 1 }
        let (below, above) = (scores[low - 1], scores[low])
        let part = above > below ? Double((threshold - below) / (above - below)) : 0
        return (Double(low - 1) + part) / Double(scores.count - 1)
    }

    /// The magnitude below which `count` of the weights lie, by bisection over bit patterns, which are spaced like
    /// logarithms.
    private static func threshold(_ count: Double, _ summaries: [LayerSummary], _ weights: [Double]) -> Float {
        var low: UInt32 = 0
        var high = summaries.map(\.maximumMagnitude).max()?.bitPattern ?? 0
        while low < high {
            let middle = low + (high - low) / 2
            let below = zip(summaries, weights).reduce(0) { $0 + $1.0.fraction(below: Float(bitPattern: middle)) * $1.1 }
            if below < count { low = middle + 1 } else { high = middle }
        }
        return Float(bitPattern: low)
    }
}
