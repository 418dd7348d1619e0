import Foundation

/// From a model's outputs to what is right and how near. Pure functions over rows of `classes` floats.
public enum OutputComparison {
    /// Index of the first largest value. Like NumPy's `argmax`, a NaN counts as larger than everything.
    /// - Precondition: not empty.
    public static func argmax(_ values: UnsafeBufferPointer<Float>) -> Int {
        var best = 0
        for index in values.indices {
            let value = values[index]
            if value.isNaN { return index }
            if value > values[best] { best = index }
        }
        return best
    }

    /// Whether `label` is among the `k` largest, ties going to the lower index and NaN counting as largest: for k = 1
    /// exactly `argmax(values) == label`. False for a label outside the values.
    public static func isInTop(_ k: Int, _ values: UnsafeBufferPointer<Float>, label: Int) -> Bool {
        guard values.indices.contains(label) else { return false }
        let own = values[label]
        var before = 0
        for index in values.indices where index != label {
            let other = values[index]
            let wins =
                if own.isNaN { other.isNaN && index < label } else { other.isNaN || other > own || (other == own && index < label) }
            if wins {
                before += 1
                if before == k { return false }
            }
        }
        return true
    }

    /// Classes with the largest output, one per row.
    /// - Parameters:
    ///   - outputs: rows × `classes`.
    ///   - classes: at least 1.
    public static func predictions(_ outputs: UnsafeBufferPointer<Float>, classes: Int) -> [Int32] {
        (0..<outputs.count / classes).map { Int32(argmax(row($0, outputs, classes))) }
    }

    /// Whether each row is right.
    /// - Parameters:
    ///   - outputs: rows × `classes`.
    ///   - labels: one per row.
    ///   - k: 1 for top-1, 5 for top-5.
    public static func correctness(
        _ outputs: UnsafeBufferPointer<Float>, classes: Int, labels: some RandomAccessCollection<Int>, top k: Int = 1
    ) -> [Bool] {
        zip(0..<outputs.count / classes, labels).map { index, label in
            let values = row(index, outputs, classes)
            return k == 1 ? argmax(values) == label : isInTop(k, values, label: label)
        }
    }

    /// Whether each row's largest output is where the original model's was.
    public static func agreement(
        _ outputs: UnsafeBufferPointer<Float>, classes: Int, original: some RandomAccessCollection<Int32>
    ) -> [Bool] {
        zip(0..<outputs.count / classes, original).map { Int32(argmax(row($0, outputs, classes))) == $1 }
    }

    /// Cosine of the angle between two rows, −1 ... 1; 1 if both are zero, 0 if one is or a value is not finite.
    /// - Precondition: same length.
    public static func cosine(_ values: UnsafeBufferPointer<Float>, _ original: UnsafeBufferPointer<Float>) -> Double {
        precondition(values.count == original.count, "rows of different length")
        var (product, own, other) = (0.0, 0.0, 0.0)
        for index in values.indices {
            let (x, y) = (Double(values[index]), Double(original[index]))
            product += x * y
            own += x * x
            other += y * y
        }
        if own == 0, other == 0 { return 1 }
        let cosine = product / (own.squareRoot() * other.squareRoot())
        return cosine.isFinite ? max(-1, min(1, cosine)) : 0
    }

    /// Beyond this, float32 rounding is all that is left.
    public static let sqnrCeiling = 150.0

    /// 10 · log10(Σ original² / Σ (values − original)²) in decibels, at most `sqnrCeiling` (reached when equal) and at
    /// least its negative (also when a value is not finite).
    /// - Precondition: same length.
    public static func sqnr(_ values: UnsafeBufferPointer<Float>, _ original: UnsafeBufferPointer<Float>) -> Double {
        precondition(values.count == original.count, "rows of different length")
        var (signal, noise) = (0.0, 0.0)
        for index in values.indices {
            let y = Double(original[index])
            let difference = Double(values[index]) - y
            signal += y * y
            noise += difference * difference
        }
        if noise == 0 { return sqnrCeiling }
        let ratio = 10 * log10(signal / noise)
        return ratio.isNaN ? -sqnrCeiling : max(-sqnrCeiling, min(sqnrCeiling, ratio))
    }

    private static func row(_ index: Int, _ outputs: UnsafeBufferPointer<Float>, _ classes: Int) -> UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(rebasing: outputs[index * classes..<(index + 1) * classes])
    }
}
