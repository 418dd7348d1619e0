import EngineSupport
import Metrics

/// What gradients say a change costs, in units of a loss, and how sure they are.
public struct LossPrediction: Sendable, Hashable {
    /// Divergence of the outputs from those before the change, to second order. For classes: nats, of the softmax (or sigmoid) at temperature 2, times 4; for
    /// numbers their mean squared difference.
    public var loss: Double
    /// Of `loss`, from how much the gradients of single batches say.
    public var standardError: Double
    /// What the data set's metric loses by it, in its unit, where some cells were measured to tell the scale.
    public var metricLoss: Double?

    public init(loss: Double, standardError: Double, metricLoss: Double? = nil) {
        self.loss = loss
        self.standardError = standardError
        self.metricLoss = metricLoss
    }

    /// 95 %, by the normal distribution; never below 0.
    public var interval: Interval { Interval(low: max(loss - 1.96 * standardError, 0), high: loss + 1.96 * standardError) }

    /// From one number per batch whose square has the mean of twice the loss, summed over the batch's samples.
    init(products: [Double], batch: Int) {
        let losses = products.map { $0 * $0 / (2 * Double(max(batch, 1))) }
        let count = Double(max(losses.count, 1))
        loss = losses.reduce(0, +) / count
        let mean = loss
        let variance = losses.count > 1 ? losses.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1) : mean * mean
        standardError = (variance / count).squareRoot()
    }
}

/// How sensitivities are found.
public enum SensitivityMethod: String, Sendable, CaseIterable {
    /// Every cell is a model that is rewritten and run.
    case measured
    /// Predicted for all layers at once from gradients of the loss.
    case gradient
    /// Predicted; cells whose rank is not clear are measured.
    case automatic = "auto"
}
