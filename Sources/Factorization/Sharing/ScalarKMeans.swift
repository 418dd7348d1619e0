import EngineSupport
import Foundation

/// One-dimensional k-means: the optimum (`OptimalKMeans`), or Lloyd's iteration on sorted values, O(k log n) each.
struct ScalarKMeans: Sendable {
    /// Where centroids start (Han, Mao and Dally 2016, section 3.2).
    enum Initialization: String, Sendable, CaseIterable {
        /// Evenly spaced between the smallest and the largest value: keeps the few large weights well represented.
        case linear
        /// At evenly spaced quantiles.
        case density
        /// Values drawn at random (Forgy).
        case random
        /// At quantiles of the cube root of the density, where the optimum of many clusters has them (Panter and Dite 1951).
        case cubeRoot
    }

    /// Ascending. Clusters that lost all their values are dropped.
    private(set) var centroids: [Float]
    /// Weights in each cluster.
    private(set) var sizes: [Double]
    /// Iterations done; fewer than allowed if it converged.
    private(set) var iterations: Int
    /// Whether no other clustering has a lower squared error.
    private(set) var isOptimal = false

    /// Clusters `distribution` into at most `count` values.
    init(_ distribution: ValueDistribution, count: Int, initialization: Initialization, iterations limit: Int, seed: UInt64) {
        let n = distribution.values.count
        guard n > count, count > 0 else {
            self.init(distribution, centers: count > 0 ? distribution.values.map(Double.init) : [], bounds: Array(0...n), iterations: 0)
            isOptimal = distribution.isExact
            return
        }
        let centers = Self.initial(distribution, count: count, initialization, seed: seed)
        self.init(distribution, centers: centers, bounds: Self.bounds(centers, distribution), iterations: limit)
    }

    /// Clusters `distribution` into at most `count` values at the least squared error there is. Where values had to be gathered in
    /// groups for that, Lloyd's iteration follows on all of them.
    init(optimal distribution: ValueDistribution, count: Int) {
        let optimum = OptimalKMeans(distribution, count: count)
        let centers = zip(optimum.bounds, optimum.bounds.dropFirst()).map { (start: Int, end: Int) -> Double in
            (distribution.sumBefore[end] - distribution.sumBefore[start]) / (distribution.countBefore[end] - distribution.countBefore[start])
        }
        self.init(distribution, centers: centers, bounds: optimum.bounds, iterations: optimum.isOptimal ? 0 : 200)
        isOptimal = optimum.isOptimal
    }

    /// Lloyd's iteration from ascending centers and the bounds of their clusters.
    private init(_ distribution: ValueDistribution, centers start: [Double], bounds first: [Int], iterations limit: Int) {
        var (centers, bounds) = (start, first)
        iterations = 0
        while iterations < limit {
            for cluster in centers.indices {
                let members = distribution.countBefore[bounds[cluster + 1]] - distribution.countBefore[bounds[cluster]]
                // An empty cluster stays where it is: order is kept, and it may catch values later.
                guard members > 0 else { continue }
                centers[cluster] = (distribution.sumBefore[bounds[cluster + 1]] - distribution.sumBefore[bounds[cluster]]) / members
            }
            iterations += 1
            let next = Self.bounds(centers, distribution)
            if next == bounds { break }
            bounds = next
        }
        centroids = []
        sizes = []
        for cluster in centers.indices {
            let members = distribution.countBefore[bounds[cluster + 1]] - distribution.countBefore[bounds[cluster]]
            guard members > 0 else { continue }
            centroids.append(Float(centers[cluster]))
            sizes.append(members)
        }
    }

    /// Shannon entropy of the clusters' sizes, bits per weight.
    var entropy: Double {
        let total = sizes.reduce(0, +)
        return sizes.reduce(0) { $1 > 0 ? $0 - $1 / total * log2($1 / total) : $0 }
    }

    /// Positions in the values at which clusters begin and end: cluster j holds `bounds[j]..<bounds[j + 1]`.
    private static func bounds(_ centers: [Double], _ distribution: ValueDistribution) -> [Int] {
        let n = distribution.values.count
        var bounds = [0]
        bounds.reserveCapacity(centers.count + 1)
        for index in 1..<max(centers.count, 1) {
            bounds.append(distribution.position(after: (centers[index - 1] + centers[index]) / 2, in: bounds[index - 1]..<n))
        }
        bounds.append(n)
        return bounds
    }

    private static func initial(_ distribution: ValueDistribution, count: Int, _ initialization: Initialization, seed: UInt64) -> [Double] {
        let low = Double(distribution.minimum)
        let high = Double(distribution.maximum)
        guard count > 1 else { return [distribution.sumBefore[distribution.values.count] / distribution.count] }
        switch initialization {
        case .linear:
            return (0..<count).map { low + (high - low) * Double($0) / Double(count - 1) }
        case .density:
            return (0..<count).map { Double(distribution.quantile((Double($0) + 0.5) / Double(count))) }
        case .cubeRoot:
            return cubeRoot(distribution, count)
        case .random:
            // Distinct weights, by the order in which the generator first names them.
            var generator = SeededGenerator(seed: seed)
            var chosen = Set<Float>()
            var centers: [Double] = []
            var draws = 0
            while centers.count < count, draws < 64 * count {
                draws += 1
                let value = distribution.quantile(Double(generator.next() >> 11) * 0x1p-53)
                if chosen.insert(value).inserted { centers.append(Double(value)) }
            }
            while centers.count < count { centers.append(low + (high - low) * Double(centers.count) / Double(count - 1)) }
            return centers.sorted()
        }
    }

    private static func cubeRoot(_ distribution: ValueDistribution, _ count: Int) -> [Double] {
        let cells = 256
        let (low, high) = (Double(distribution.minimum), Double(distribution.maximum))
        let width = (high - low) / Double(cells)
        guard width > 0 else { return [Double](repeating: low, count: count) }
        var before = [0.0]
        var position = 0
        for cell in 0..<cells {
            let end = cell == cells - 1 ? distribution.values.count : distribution.position(after: low + Double(cell + 1) * width, in: position..<distribution.values.count)
            before.append(before[cell] + pow(distribution.countBefore[end] - distribution.countBefore[position], 1.0 / 3))
            position = end
        }
        var cell = 0
        return (0..<count).map { index in
            let target = (Double(index) + 0.5) / Double(count) * before[cells]
            while cell < cells - 1, before[cell + 1] < target { cell += 1 }
            let step = before[cell + 1] - before[cell]
            return low + (Double(cell) + (step > 0 ? (target - before[cell]) / step : 0.5)) * width
        }
    }
}
