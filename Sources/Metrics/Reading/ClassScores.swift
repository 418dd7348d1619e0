import Foundation

/// What a row of scores, one a class, says. A score that is not a number comes last: it is never the largest where there is another.
///
/// Scores may be probabilities or logits: a row without negative values that sums to 1 (± 0.001) holds probabilities, any other logits, to which
/// softmax is applied. A transform that applies softmax before makes every row one of probabilities.
enum ClassScores {
    /// The first largest score; −1 where no score is a number.
    static func largest(_ row: UnsafeBufferPointer<Float>) -> Int {
        var best = -1
        var largest = -Float.infinity
        for index in row.indices {
            let value = row[index]
            if value > largest || (best < 0 && !value.isNaN) { (best, largest) = (index, value) }
        }
        return best
    }

    /// Whether a label is among the `k` largest; of equal scores the first is larger.
    static func isInTop(_ k: Int, _ row: UnsafeBufferPointer<Float>, label: Int) -> Bool {
        guard row.indices.contains(label), !row[label].isNaN else { return false }
        let own = row[label]
        var before = 0
        for index in row.indices where row[index] > own || (row[index] == own && index < label) { before += 1 }
        return before < k
    }

    static func areProbabilities(_ row: UnsafeBufferPointer<Float>) -> Bool {
        var sum = 0.0
        for value in row {
            guard value >= 0 else { return false }
            sum += Double(value)
        }
        return abs(sum - 1) <= 1e-3
    }

    /// Probabilities of a row; all not numbers where one of the scores is not.
    static func probabilities(_ row: UnsafeBufferPointer<Float>) -> [Double] {
        if areProbabilities(row) { return row.map(Double.init) }
        var largest = -Double.infinity
        for value in row {
            if value.isNaN { return [Double](repeating: .nan, count: row.count) }
            largest = max(largest, Double(value))
        }
        var result = row.map { exp(Double($0) - largest) }
        let sum = result.reduce(0, +)
        for index in result.indices { result[index] /= sum }
        return result
    }

    /// −ln of a class's probability. Probabilities are kept off 0 and 1 by float32's epsilon, as scikit-learn does for float32; what logits
    /// say is exact. Infinite where a score is not a number, or the row has no such class.
    static func negativeLog(_ row: UnsafeBufferPointer<Float>, label: Int) -> Double {
        guard row.indices.contains(label) else { return .infinity }
        if areProbabilities(row) { return negativeLog(probability: Double(row[label])) }
        var largest = -Double.infinity
        for value in row {
            if value.isNaN { return .infinity }
            largest = max(largest, Double(value))
        }
        guard largest.isFinite else { return .infinity }
        var sum = 0.0
        for value in row { sum += exp(Double(value) - largest) }
        return log(sum) - (Double(row[label]) - largest)
    }

    static func negativeLog(probability: Double) -> Double {
        if probability.isNaN { return .infinity }
        let epsilon = Double(Float.ulpOfOne)
        return -log(min(1 - epsilon, max(epsilon, probability)))
    }
}
