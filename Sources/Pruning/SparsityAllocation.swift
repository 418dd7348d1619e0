import EngineSupport
import ModelGraph
import Techniques

/// How a fraction of weights to remove is spread over layers.
package enum SparsityScope: String, CaseIterable {
    case global, layer
    case erdosRenyiKernel = "erdos-renyi-kernel"
    case lamp

    var choice: ParameterDescriptor.Choice {
        switch self {
        case .global: .init(rawValue, "one threshold of magnitude over all chosen layers: layers of small weights lose more")
        case .layer: .init(rawValue, "every layer loses the same fraction")
        case .erdosRenyiKernel: .init(rawValue, "by shape: small and narrow layers keep more (Evci et al. 2020)")
        case .lamp: .init(rawValue, "by magnitude relative to what a layer has left: none is emptied (Lee et al. 2021)")
        }
    }

    static func parameter(_ choices: [SparsityScope], default standard: SparsityScope) -> ParameterDescriptor {
        ParameterDescriptor(
            "scope", title: "Scope", domain: .choice(choices.map(\.choice)), default: .choice(standard.rawValue),
            help: "How the fraction is spread over layers")
    }

    init(_ parameters: ParameterValues) { self = SparsityScope(rawValue: parameters.choice("scope")) ?? .layer }
}

/// How many weights each layer loses.
struct SparsityAllocation {
    /// What is asked of a layer.
    struct Request: Hashable {
        var sparsity: Double
        var scope: SparsityScope

        init(_ parameters: ParameterValues) {
            sparsity = parameters.real("sparsity")
            scope = SparsityScope(parameters)
        }
    }

    /// By target: weights to remove, those that are zero already included.
    private(set) var removed: [Int: Int] = [:]
    /// By target: all weights.
    private(set) var total: [Int: Int] = [:]

    /// - Parameter entries: weights of targets (`PrunableWeights`); those of one target are one layer.
    init(_ entries: [PrunableWeights.Entry], requests: (Int) -> Request, context: RewriteContext) throws {
        let layers = Self.grouped(entries) { $0.target }
        for (target, tensors) in layers { total[target] = tensors.reduce(0) { $0 + $1.tensor.count } }
        for (request, pool) in Self.grouped(layers, by: { requests($0.0) }) {
            try context.cancellation.check()
            let count = pool.reduce(0) { $0 + (total[$1.0] ?? 0) }
            let wanted = Int((request.sparsity * Double(count)).rounded())
            switch request.scope {
            case .layer:
                for (target, _) in pool { removed[target] = Int((request.sparsity * Double(total[target] ?? 0)).rounded()) }
            case .global: try allocateGlobally(pool, wanted, context)
            case .lamp: try allocateByLAMP(pool, wanted, context)
            case .erdosRenyiKernel:
                let densities = Self.erdosRenyiKernel(
                    pool.map { _, entries in LayerExtent(entries.map(\.tensor.dims)) }, density: 1 - request.sparsity)
                for ((target, _), density) in zip(pool, densities) {
                    removed[target] = Int(((1 - density) * Double(total[target] ?? 0)).rounded())
                }
            }
        }
    }

    /// The fraction that a target loses.
    func fraction(_ target: Int) -> Double {
        guard let removed = removed[target], let total = total[target], total > 0 else { return 0 }
        return Double(removed) / Double(total)
    }

    /// Elements with the same key, in order of their first.
    static func grouped<Key: Hashable, Element>(_ elements: [Element], by key: (Element) -> Key) -> [(Key, [Element])] {
        var places: [Key: Int] = [:]
        var pools: [(Key, [Element])] = []
        for element in elements {
            let key = key(element)
            if let place = places[key] {
                pools[place].1.append(element)
            } else {
                places[key] = pools.count
                pools.append((key, [element]))
            }
        }
        return pools
    }

    private typealias Pool = [(Int, [PrunableWeights.Entry])]

    private mutating func allocateGlobally(_ pool: Pool, _ wanted: Int, _ context: RewriteContext) throws {
        let threshold = try MagnitudeThreshold(removing: wanted) { body in
            for (_, entries) in pool {
                for entry in entries {
                    try context.cancellation.check()
                    entry.tensor.withFloats(body)
                }
            }
        }
        var ties = threshold.ties
        for (target, entries) in pool {
            var below = 0
            var equal = 0
            for entry in entries {
                try context.cancellation.check()
                entry.tensor.withFloats { values in
                    for value in values {
                        let key = MagnitudeThreshold.key(value)
                        if key < threshold.pattern { below += 1 } else if key == threshold.pattern { equal += 1 }
                    }
                }
            }
            let taken = min(equal, ties)
            ties -= taken
            removed[target] = below + taken
        }
    }

    /// LAMP scores: the square of a weight by the sum of the squares of all weights of its layer that are not smaller. The
    /// least go, over all layers together; the largest of each layer has score 1 and stays.
    private mutating func allocateByLAMP(_ pool: Pool, _ wanted: Int, _ context: RewriteContext) throws {
        var scores: [[Float]] = []
        for (_, entries) in pool {
            try context.cancellation.check()
            let key = "lamp " + entries.map(\.tensor.contentHash.description).joined(separator: " ")
            let made = context.memo.tensors(key) {
                let sorted = Self.lampScores(entries.flatMap { $0.tensor.floats() ?? [] })
                return [Tensor(name: "", floats: sorted, dims: [sorted.count])]
            }
            scores.append(made.first?.floats() ?? [])
        }
        let counts = Self.least(wanted, of: scores)
        for ((target, _), count) in zip(pool, counts) { removed[target] = count }
    }

    /// Scores of a layer's weights, ascending.
    static func lampScores(_ weights: [Float]) -> [Float] {
        var squares = weights.map { Double($0) * Double($0) }
        squares.sort()
        var rest = 0.0
        var scores = [Float](repeating: 0, count: squares.count)
        for index in squares.indices.reversed() {
            rest += squares[index]
            scores[index] = rest > 0 ? Float(squares[index] / rest) : 0
        }
        return scores
    }

    /// How many of each ascending list are among the `count` smallest of all; of equal ones those of earlier lists first.
    static func least(_ count: Int, of lists: [[Float]]) -> [Int] {
        func below(_ list: [Float], _ pattern: UInt32) -> Int {
            var (low, high) = (0, list.count)
            while low < high {
                let middle = (low + high) / 2
                if list[middle].bitPattern < pattern { low = middle + 1 } else { high = middle }
            }
            return low
        }
        // The largest pattern with at most `count` scores below it; scores are not negative, so patterns order like them.
        var (low, high): (UInt32, UInt32) = (0, Float.infinity.bitPattern)
        while low < high {
            let middle = low + (high - low + 1) / 2
            if lists.reduce(0, { $0 + below($1, middle) }) <= count { low = middle } else { high = middle - 1 }
        }
        var counts = lists.map { below($0, low) }
        var left = count - counts.reduce(0, +)
        for index in lists.indices where left > 0 {
            let equal = below(lists[index], low + 1) - counts[index]
            counts[index] += min(equal, left)
            left -= min(equal, left)
        }
        return counts
    }

    /// What the Erdős–Rényi kernel rule looks at.
    struct LayerExtent {
        /// Weights of the layer.
        var count: Double
        /// Sum of the dimensions: inputs, outputs, kernel.
        var sum: Double

        init(_ shapes: [[Int]]) {
            count = shapes.reduce(0) { $0 + Double($1.reduce(1, *)) }
            sum = shapes.reduce(0) { $0 + Double($1.reduce(0, +)) }
        }
    }

    /// Densities in proportion to sum / count of each layer's dimensions; what would exceed 1 is dense, and its share goes to the
    /// others, so that the overall density holds (Evci et al. 2020, appendix A).
    static func erdosRenyiKernel(_ layers: [LayerExtent], density: Double) -> [Double] {
        let total = layers.reduce(0) { $0 + $1.count }
        var dense = Set<Int>()
        while true {
            let open = layers.indices.filter { !dense.contains($0) }
            let budget = density * total - dense.reduce(0) { $0 + layers[$1].count }
            let weight = open.reduce(0) { $0 + layers[$1].sum }
            guard weight > 0, budget > 0 else { return layers.indices.map { dense.contains($0) ? 1 : 0 } }
            let scale = budget / weight
            let excess = open.filter { scale * layers[$0].sum > layers[$0].count }
            guard !excess.isEmpty else { return layers.indices.map { dense.contains($0) ? 1 : scale * layers[$0].sum / layers[$0].count } }
            // The largest first, as the published code does: fewer over the limit may remain then.
            let largest = excess.map { layers[$0].sum / layers[$0].count }.max() ?? 0
            for index in excess where layers[index].sum / layers[index].count >= largest { dense.insert(index) }
        }
    }
}
