import Foundation

/// One-dimensional k-means at its global optimum.
///
/// Optimal clusters of sorted values are intervals, and the squared error of an interval satisfies the quadrangle inequality
/// (Wang and Song, "Ckmeans.1d.dp", R Journal 3(2), 2011). So the least cost of k clusters is convex in k, and with the right price
/// on a cluster the best clustering of any number of clusters has just k of them (Grønlund et al., "Fast exact k-means, k-medians
/// and Bregman divergence clustering in 1D", arXiv:1701.07204, section 2.3). For one price dynamic programming takes O(n log n), whatever k is, and a
/// handful of prices finds the right one. Where no price gives just k, two clusterings of the same price are spliced
/// (Aggarwal, Schieber and Tokuyama, "Finding a minimum-weight k-link path", DCG 12, 1994).
struct OptimalKMeans {
    /// Above this many different values they are gathered first, into groups next to each other of about equal weight and width.
    static let exactLimit = 1 << 18
    private static let groupLimit = 1 << 16

    /// Where clusters begin, as positions in the distribution's values, with the number of values at the end.
    private(set) var bounds: [Int]
    /// Whether no other clustering has a lower cost.
    private(set) var isOptimal: Bool

    /// Clusters values into `count`, fewer if there are not as many different ones.
    init(_ distribution: ValueDistribution, count: Int) {
        let n = distribution.values.count
        guard n > count, count > 0 else {
            bounds = Array(0...n)
            isOptimal = distribution.isExact
            return
        }
        guard n > Self.exactLimit else {
            bounds = Self.solve(PricedPartition(distribution, groups: nil), count: count)
            isOptimal = distribution.isExact
            return
        }
        let groups = Self.groups(distribution)
        bounds = Self.solve(PricedPartition(distribution, groups: groups), count: count).map { groups[$0] }
        isOptimal = false
    }

    /// Starts of groups of values: a new one where the last has its share of the weights or of the range, so that there are `groupLimit` at most.
    private static func groups(_ distribution: ValueDistribution) -> [Int] {
        let n = distribution.values.count
        let share = 2 * distribution.count / Double(groupLimit)
        let width = 2 * (distribution.maximum - distribution.minimum) / Float(groupLimit)
        var starts = [0]
        var start = 0
        for index in 1..<n
        where distribution.countBefore[index] - distribution.countBefore[start] >= share
            || distribution.values[index] - distribution.values[start] >= width
        {
            start = index
            starts.append(index)
        }
        return starts + [n]
    }

    /// Bounds of `count` clusters of least cost, in groups.
    private static func solve(_ partition: PricedPartition, count: Int) -> [Int] {
        guard count > 1 else { return [0, partition.count] }
        var fewer = partition.priced([0, partition.count], price: nil)
        var more = partition.priced(Array(0...partition.count), price: nil)
        var price = partition.expectedPrice(count)
        var isChord = false
        while true {
            let found = partition.best(price: price)
            if found.clusters == count { return found.bounds }
            let isBetween = fewer.clusters < found.clusters && found.clusters < more.clusters
            // A chord between two points of the convex curve, with no point below it, is part of it.
            if isChord, !isBetween { break }
            if isBetween, found.clusters < count { fewer = found }
            if isBetween, found.clusters > count { more = found }
            let guess = isBetween ? guess(count, fewer, more) : nil
            isChord = guess == nil
            price = guess ?? (fewer.cost - more.cost) / Double(more.clusters - fewer.clusters)
        }
        return splice(fewer.bounds, more.bounds, count: count)
    }

    /// A price from two others, clusters taken as a power of the price; `nil` if only one is known or they say nothing.
    private static func guess(_ count: Int, _ fewer: PricedPartition.Solution, _ more: PricedPartition.Solution) -> Double? {
        // Panter and Dite 1951: the cost falls with the square of the number of clusters, its slope with the cube.
        var exponent = 1.0 / 3
        if let high = fewer.price, let low = more.price, high > low, low > 0 {
            exponent = log(Double(more.clusters) / Double(fewer.clusters)) / log(high / low)
        }
        let near = fewer.price == nil || more.price != nil && more.clusters - count < count - fewer.clusters ? more : fewer
        guard exponent > 0, let price = near.price else { return nil }
        let guess = price * pow(Double(near.clusters) / Double(count), 1 / exponent)
        return guess.isFinite && guess < fewer.price ?? .infinity && guess > more.price ?? 0 ? guess : nil
    }

    /// A clustering into `count` out of two with fewer and more clusters that cost the same at one price. It begins as the one with fewer and
    /// goes on as the other from where an interval of that lies within one of the first: by the quadrangle inequality that costs no more.
    private static func splice(_ fewer: [Int], _ more: [Int], count: Int) -> [Int] {
        let shift = more.count - 1 - count
        for index in 1..<fewer.count where fewer[index] >= more[index + shift] {
            return Array(fewer[..<index]) + more[(index + shift)...]
        }
        return more
    }
}

/// Partitions of a distribution into intervals where each costs its squared error and a price.
private struct PricedPartition {
    struct Solution {
        var bounds: [Int]
        /// Without the price.
        var cost: Double
        var price: Double?
        var clusters: Int { bounds.count - 1 }
    }

    /// Weights before each group, and their sum from the mean of all, which keeps differences of large sums exact.
    private let counts: [Double]
    private let sums: [Double]
    private let range: (low: Double, high: Double)
    var count: Int { counts.count - 1 }

    /// - Parameter groups: positions at which groups of values begin; `nil` takes every value on its own.
    init(_ distribution: ValueDistribution, groups: [Int]?) {
        let mean = distribution.sumBefore[distribution.values.count] / distribution.count
        let starts = groups ?? Array(0...distribution.values.count)
        counts = starts.map { distribution.countBefore[$0] }
        sums = starts.map { distribution.sumBefore[$0] - mean * distribution.countBefore[$0] }
        range = (Double(distribution.minimum) - mean, Double(distribution.maximum) - mean)
    }

    func priced(_ bounds: [Int], price: Double?) -> Solution {
        let cost = zip(bounds, bounds.dropFirst()).reduce(0.0) { total, bound in
            let sum = sums[bound.1] - sums[bound.0]
            return total - sum * sum / (counts[bound.1] - counts[bound.0])
        }
        return Solution(bounds: bounds, cost: cost, price: price)
    }

    /// The price at which many clusters of a smooth density would be `clusters`: N · (∫ p^⅓)³ / 6k³ (Panter and Dite, "Quantization distortion
    /// in pulse-count modulation", Proc. IRE 39, 1951).
    func expectedPrice(_ clusters: Int) -> Double {
        let cells = 128
        let width = (range.high - range.low) / Double(cells)
        guard width > 0, let total = counts.last else { return 1 }
        var inCell = [Double](repeating: 0, count: cells)
        for index in 0..<count {
            let members = counts[index + 1] - counts[index]
            let value = (sums[index + 1] - sums[index]) / members
            inCell[min(max(Int((value - range.low) / width), 0), cells - 1)] += members
        }
        let integral = inCell.reduce(0) { $0 + pow($1 / total / width, 1.0 / 3) * width }
        return total * pow(integral, 3) / (6 * pow(Double(clusters), 3))
    }

    /// The partition of least cost and price together. By the quadrangle inequality a later beginning of the last interval,
    /// once it is better than an earlier one, stays better for all longer partitions: those that are best somewhere stand in a queue, each with
    /// the length from which it is.
    func best(price: Double) -> Solution {
        let n = count
        var least = [Double](repeating: 0, count: n + 1)
        var previous = [Int32](repeating: 0, count: n + 1)
        var starts = [Int32](repeating: 0, count: n + 1)
        var from = [Int32](repeating: 0, count: n + 1)
        counts.withUnsafeBufferPointer { counts in
            sums.withUnsafeBufferPointer { sums in
                least.withUnsafeMutableBufferPointer { least in
                    func cost(_ start: Int, _ end: Int) -> Double {
                        let sum = sums[end] - sums[start]
                        return least[start] - sum * sum / (counts[end] - counts[start])
                    }
                    var (head, tail) = (0, 0)
                    from[0] = 1
                    for end in 1...n {
                        while head < tail, Int(from[head + 1]) <= end { head += 1 }
                        let start = Int(starts[head])
                        least[end] = cost(start, end) + price
                        previous[end] = Int32(start)
                        guard end < n else { break }
                        // `end` as a beginning: drop those that it beats from where they would come in.
                        while tail > head, cost(end, max(Int(from[tail]), end + 1)) <= cost(Int(starts[tail]), max(Int(from[tail]), end + 1)) { tail -= 1 }
                        let rival = Int(starts[tail])
                        var (low, high) = (max(Int(from[tail]), end + 1), n + 1)
                        if tail == head, cost(end, low) <= cost(rival, low) { high = low }
                        while low < high {
                            let middle = (low + high) / 2
                            if cost(end, middle) <= cost(rival, middle) { high = middle } else { low = middle + 1 }
                        }
                        guard low <= n else { continue }
                        tail += 1
                        starts[tail] = Int32(end)
                        from[tail] = Int32(low)
                    }
                }
            }
        }
        var bounds = [n]
        while let last = bounds.last, last > 0 { bounds.append(Int(previous[last])) }
        return priced(bounds.reversed(), price: price)
    }
}
