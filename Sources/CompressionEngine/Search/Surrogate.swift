import Foundation
import LinearAlgebra

/// Guesses a number of recipes from those of recipes that were tried: Gaussian process regression over sparse features (Rasmussen and Williams, Gaussian
/// Processes for Machine Learning, 2006, algorithm 2.1), with one length scale, chosen by marginal likelihood from a few.
struct Surrogate {
    typealias Features = [String: Double]

    private let points: [[(name: String, value: Double)]]
    private let center: Double
    private let spread: Double
    private let scale: Double
    /// K⁻¹·y, and U with K⁻¹ = Uᵀ·U.
    private let weights: [Double]
    private let factor: [Double]

    /// Share of the variance that no feature explains.
    private static let noise = 0.02

    /// - Returns: `nil` where there is too little to learn from.
    init?(_ points: [Features], _ values: [Double]) {
        guard points.count >= 6, points.count == values.count, values.allSatisfy(\.isFinite) else { return nil }
        // In the order of names, so that sums are the same in every run.
        let points = points.map(Self.ordered)
        let count = points.count
        let center = values.reduce(0, +) / Double(count)
        let spread = max(1e-12, (values.reduce(0) { $0 + ($1 - center) * ($1 - center) } / Double(count)).squareRoot())
        let targets = values.map { ($0 - center) / spread }
        var distances = [Double](repeating: 0, count: count * count)
        for row in 0..<count {
            for column in 0..<row {
                let distance = Self.distance(points[row], points[column])
                distances[row * count + column] = distance
                distances[column * count + row] = distance
            }
        }
        var best: (likelihood: Double, scale: Double, weights: [Double], factor: [Double])?
        for scale in [0.3, 0.6, 1.2, 2.4] {
            var kernel = distances.map { exp(-$0 / (2 * scale * scale)) }
            for row in 0..<count { kernel[row * count + row] += Self.noise }
            guard let factor = PositiveDefinite.factorOfInverse(kernel, size: count), let weights = PositiveDefinite.solve(kernel, size: count, sides: targets) else { continue }
            // −½ yᵀK⁻¹y − ½ log|K|; the determinant of K⁻¹ is that of the factor, squared.
            let fit = zip(targets, weights).reduce(0) { $0 + $1.0 * $1.1 }
            let logDeterminant = (0..<count).reduce(0) { $0 + log(abs(factor[$1 * count + $1])) }
            let likelihood = -fit / 2 + logDeterminant
            if best.map({ likelihood > $0.likelihood }) ?? true { best = (likelihood, scale, weights, factor) }
        }
        guard let best else { return nil }
        self.points = points
        (self.center, self.spread) = (center, spread)
        (scale, weights, factor) = (best.scale, best.weights, best.factor)
    }

    /// Mean and standard deviation.
    func guess(_ features: Features) -> (mean: Double, deviation: Double) {
        let count = points.count
        let features = Self.ordered(features)
        let kernel = points.map { exp(-Self.distance($0, features) / (2 * scale * scale)) }
        let mean = zip(kernel, weights).reduce(0) { $0 + $1.0 * $1.1 }
        var explained = 0.0
        for row in 0..<count {
            var sum = 0.0
            for column in row..<count { sum += factor[row * count + column] * kernel[column] }
            explained += sum * sum
        }
        return (center + spread * mean, spread * max(1 + Self.noise - explained, 1e-6).squareRoot())
    }

    private static func ordered(_ features: Features) -> [(name: String, value: Double)] {
        features.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// Squared; what is not named is 0.
    private static func distance(_ one: [(name: String, value: Double)], _ other: [(name: String, value: Double)]) -> Double {
        var (sum, first, second) = (0.0, 0, 0)
        while first < one.count || second < other.count {
            let difference: Double
            if second == other.count || first < one.count && one[first].name < other[second].name {
                difference = one[first].value
                first += 1
            } else if first == one.count || other[second].name < one[first].name {
                difference = other[second].value
                second += 1
            } else {
                difference = one[first].value - other[second].value
                (first, second) = (first + 1, second + 1)
            }
            sum += difference * difference
        }
        return sum
    }
}

extension Double {
    /// Of the standard normal distribution.
    static func normalDensity(_ x: Double) -> Double { exp(-x * x / 2) / (2 * Double.pi).squareRoot() }
    static func normalShare(below x: Double) -> Double { erfc(-x / 2.0.squareRoot()) / 2 }
}
