import EngineSupport
import Measurement
import Metrics

/// A limit on one measure of a model: `file <= 50%`, `drop <= 0.5`, `latency <= 0.8x`, `accuracy >= 92.5`.
public struct Demand: Sendable, Hashable {
    public enum Quantity: Sendable, Hashable {
        /// The measure's own value.
        case value
        /// Its value over the baseline's.
        case ratio
        /// How much worse it became, in the unit of differences.
        case drop
    }

    public var measure: Measure
    public var quantity: Quantity
    public var isAtLeast: Bool
    public var number: Double

    /// On the measure's own value.
    public init(_ measure: Measure, isAtLeast: Bool = false, _ number: Double) { self.init(measure, .value, isAtLeast: isAtLeast, number) }

    public init(_ measure: Measure, _ quantity: Quantity, isAtLeast: Bool = false, _ number: Double) {
        self.measure = measure
        self.quantity = quantity
        self.isAtLeast = isAtLeast
        self.number = number
    }

    /// What was measured of a model and its baseline.
    public struct Findings: Sendable {
        public var accuracy: AccuracyEstimate?
        public var before: ModelFigures
        public var after: ModelFigures
        public var latency: LatencyFigures?

        public init(accuracy: AccuracyEstimate?, before: ModelFigures, after: ModelFigures, latency: LatencyFigures? = nil) {
            self.accuracy = accuracy
            self.before = before
            self.after = after
            self.latency = latency
        }
    }

    /// The number that is held against the limit; `nil` where it is not known.
    public func value(_ found: Findings) -> Double? {
        let now: Double?
        let before: Double?
        if measure.metric != nil {
            (now, before) = (found.accuracy?.value, found.accuracy?.baseline)
            // The same model loses nothing.
            if quantity == .drop { return found.accuracy.map { $0.loss ?? 0 } }
        } else if measure.isLatency {
            (now, before) = (found.latency?.candidate, found.latency?.baseline)
            // That of the rounds, which ran in turns.
            if quantity == .ratio { return found.latency?.ratio }
        } else {
            (now, before) = (measure.figure(in: found.after)?.value, measure.figure(in: found.before)?.value)
        }
        guard quantity == .ratio else { return now }
        return now.flatMap { now in before.flatMap { $0 > 0 ? now / $0 : nil } }
    }

    public func isMet(_ value: Double) -> Bool {
        // 0.5 points of 10,000 samples are 50, but not in binary fractions.
        let slack = measure.metric == nil ? 0 : 1e-12
        return isAtLeast ? value >= number - slack : value <= number + slack
    }

}
