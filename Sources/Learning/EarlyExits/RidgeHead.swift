import EngineSupport
import Foundation
import LinearAlgebra

/// A linear classifier on features, fitted in closed form: ridge regression of targets on standardized features, with the ridge that
/// does best when each sample is left out in turn, and a temperature that makes its largest probability a confidence.
///
/// Leaving one out costs nothing extra: the error without sample i is its residual over 1 − Hᵢᵢ, H the matrix that maps targets to fits
/// (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 7.10).
struct RidgeHead: Sendable {
    /// features × classes, row-major: logits = features · weights + bias.
    var weights: [Float]
    /// One per class.
    var bias: [Float]
    /// Logits of each sample by the head fitted without it, samples × classes.
    var leftOut: [Float]

    /// Ridges that are tried, as fractions of the number of samples.
    private static let ridges = (-8...4).map { pow(10, Double($0) / 2) }

    /// - Parameters:
    ///   - features: samples × `width`, row-major.
    ///   - targets: samples × `classes`, each row probabilities that add up to one.
    ///   - truth: probabilities that confidences are to match, samples × `classes`.
    /// - Throws: `EngineError` if a feature is not finite.
    init(features: [Float], width: Int, targets: [Float], truth: [Float], classes: Int, cancellation: Cancellation) throws {
        let count = targets.count / max(classes, 1)
        guard count > 2, width > 0, features.count == count * width, truth.count == targets.count else {
            throw EngineError(.technique, "too few calibration samples for an early exit")
        }
        var mean = [Double](repeating: 0, count: width)
        var scale = [Double](repeating: 0, count: width)
        for row in 0..<count { for column in 0..<width { mean[column] += Double(features[row * width + column]) } }
        for column in 0..<width { mean[column] /= Double(count) }
        for row in 0..<count {
            for column in 0..<width {
                let difference = Double(features[row * width + column]) - mean[column]
                scale[column] += difference * difference
            }
        }
        // A feature that never changes says nothing: its column stays zero.
        for column in 0..<width { scale[column] = scale[column] > 0 ? 1 / (scale[column] / Double(count)).squareRoot() : 0 }
        var standard = [Float](repeating: 0, count: count * width)
        for row in 0..<count {
            for column in 0..<width {
                standard[row * width + column] = Float((Double(features[row * width + column]) - mean[column]) * scale[column])
            }
        }
        let parts = try standard.withUnsafeBufferPointer { try Lapack.svd($0, rows: count, columns: width) }
        try cancellation.check()
        let rank = parts.s.count
        var center = [Double](repeating: 0, count: classes)
        for row in 0..<count { for index in 0..<classes { center[index] += Double(targets[row * classes + index]) / Double(count) } }
        var residual = [Double](repeating: 0, count: targets.count)
        for row in 0..<count { for index in 0..<classes { residual[row * classes + index] = Double(targets[row * classes + index]) - center[index] } }
        let u = parts.u.map(Double.init)
        var transposed = [Double](repeating: 0, count: rank * count)
        for row in 0..<count { for index in 0..<rank { transposed[index * count + row] = u[row * rank + index] } }
        let projected = PositiveDefinite.product(transposed, residual, rows: rank, inner: count, columns: classes)
        var best: (error: Double, ridge: Double, logits: [Double])?
        for ridge in Self.ridges.map({ $0 * Double(count) }) {
            try cancellation.check()
            let kept = parts.s.map { Double($0) * Double($0) / (Double($0) * Double($0) + ridge) }
            let fit = PositiveDefinite.product(
                u, projected.indices.map { projected[$0] * kept[$0 / classes] }, rows: count, inner: rank, columns: classes)
            var error = 0.0
            var logits = [Double](repeating: 0, count: targets.count)
            for row in 0..<count {
                var leverage = 1 / Double(count)
                for index in 0..<rank { leverage += u[row * rank + index] * u[row * rank + index] * kept[index] }
                for index in row * classes..<(row + 1) * classes {
                    let without = (residual[index] - fit[index]) / max(1 - leverage, 1e-6)
                    error += without * without
                    logits[index] = residual[index] - without + center[index % classes]
                }
            }
            if error.isFinite, error < best?.error ?? .infinity { best = (error, ridge, logits) }
        }
        guard let best else { throw EngineError(.technique, "the features of an early exit are not finite") }
        let sharpness = Self.sharpness(best.logits, truth: truth, classes: classes)
        // W = V · diag(s / (s² + λ)) · Uᵀ R, with the standardization and the temperature folded in.
        let scaled = projected.indices.map { index -> Double in
            let s = Double(parts.s[index / classes])
            return projected[index] * s / (s * s + best.ridge)
        }
        var vt = [Double](repeating: 0, count: width * rank)
        for row in 0..<rank { for column in 0..<width { vt[column * rank + row] = Double(parts.vt[row * width + column]) } }
        let solution = PositiveDefinite.product(vt, scaled, rows: width, inner: rank, columns: classes)
        weights = solution.indices.map { Float(solution[$0] * scale[$0 / classes] * sharpness) }
        var offset = center
        for column in 0..<width { for index in 0..<classes { offset[index] -= mean[column] * scale[column] * solution[column * classes + index] } }
        bias = offset.map { Float($0 * sharpness) }
        leftOut = best.logits.map { Float($0 * sharpness) }
    }

    init(weights: [Float], bias: [Float], leftOut: [Float]) {
        self.weights = weights
        self.bias = bias
        self.leftOut = leftOut
    }

    /// The inverse temperature that makes softmax(t · logits) likeliest to have given `truth` (Guo et al., On Calibration of Modern Neural Networks,
    /// ICML 2017). The loss is convex in t.
    static func sharpness(_ logits: [Double], truth: [Float], classes: Int) -> Double {
        func loss(_ t: Double) -> Double {
            var sum = 0.0
            for start in stride(from: 0, to: logits.count, by: classes) {
                var largest = -Double.infinity
                for index in start..<(start + classes) { largest = max(largest, t * logits[index]) }
                var total = 0.0
                var wanted = 0.0
                for index in start..<(start + classes) {
                    total += exp(t * logits[index] - largest)
                    wanted += Double(truth[index]) * t * logits[index]
                }
                sum += largest + log(total) - wanted
            }
            return sum
        }
        var (low, high) = (0.01, 1000.0)
        for _ in 0..<80 {
            // In ratios: temperatures differ by orders of magnitude.
            let third = pow(high / low, 1.0 / 3)
            if loss(low * third) < loss(high / third) { high /= third } else { low *= third }
        }
        return (low * high).squareRoot()
    }

    /// Largest probability and its class, by row.
    static func confidences(_ logits: [Float], classes: Int) -> [(confidence: Double, label: Int)] {
        stride(from: 0, to: logits.count, by: classes).map { start in
            var label = 0
            for index in 1..<max(classes, 1) where logits[start + index] > logits[start + label] { label = index }
            let top = Double(logits[start + label])
            let total = (0..<classes).reduce(0.0) { $0 + exp(Double(logits[start + $1]) - top) }
            return (1 / total, label)
        }
    }
}
