import EngineSupport
import Foundation
import Measurement
import Metrics

// Limits as they are typed, in goals and in requirements.
extension Demand {
    private static let signs = [("<=", false), (">=", true), ("≤", false), ("≥", true), ("<", false), (">", true)]

    /// Reads one limit: `file <= 50%`, `drop <= 0.5`, `latency <= 0.8x`, `accuracy >= 92.5`.
    /// - Parameters:
    ///   - metric: the data set's.
    ///   - what: what the text is part of, for errors.
    /// - Throws: `EngineError` in one line that says what was expected.
    package init(typed written: String, metric: MetricKind, in what: String = "goal") throws(EngineError) {
        let text = written.filter { $0 != " " }
        guard let (range, isAtLeast) = Self.sign(in: text) else {
            throw EngineError(.data, "\(what): expected a limit such as 'file<=50%' or 'drop<=0.5', found '\(text)'")
        }
        let number = String(text[range.upperBound...])
        let place = "\(what) '\(text)'"
        let (measure, isDrop) = try Self.measure(String(text[..<range.lowerBound]), metric, in: place)
        if isDrop {
            guard !isAtLeast else { throw EngineError(.data, "\(place): a drop is limited from above, with <=") }
            guard let value = measure.typedDifference(number), value >= 0 else {
                throw EngineError(.data, "\(place): expected \(measure.typedDifferenceForm) of \(measure.name), found '\(number)'")
            }
            self.init(measure, .drop, value)
            return
        }
        guard measure.direction == .neither || isAtLeast == (measure.direction == .higher) else {
            throw EngineError(
                .data, "\(place): \(measure.direction == .lower ? "less" : "more") is better of \(measure.name), so it is limited with \(isAtLeast ? "<=" : ">=")")
        }
        if let ratio = Self.ratio(number, measure) {
            self.init(measure, .ratio, isAtLeast: isAtLeast, ratio)
        } else if let value = measure.typed(number) {
            self.init(measure, .value, isAtLeast: isAtLeast, value)
        } else {
            throw EngineError(
                .data, "\(place): expected \(measure.typedForm)\(measure.metric == nil ? ", or a share of the baseline's such as 50% or 0.5x" : ""), found '\(number)'")
        }
    }

    /// The id of the measure that a typed limit is about, `drop` for a loss of the metric; `nil` where there is no sign.
    package static func measureID(typed text: String) -> String? {
        guard let (range, _) = sign(in: text) else { return nil }
        let id = text[..<range.lowerBound].filter { $0 != " " }.lowercased()
        return others[id] ?? id
    }

    private static func sign(in text: String) -> (Range<String.Index>, isAtLeast: Bool)? {
        signs.lazy.compactMap { sign, isAtLeast in text.range(of: sign).map { ($0, isAtLeast) } }.first
    }

    /// `0.5x`, and `50%` where the measure itself is not in percent.
    private static func ratio(_ text: String, _ measure: Measure) -> Double? {
        guard case .ratio = measure.comparison else { return nil }
        let value: Double? =
            if let last = text.last, "x×".contains(last) { Double(text.dropLast()) } else if text.hasSuffix("%") { Double(text.dropLast()).map { $0 / 100 } } else { nil }
        return value.flatMap { $0.isFinite && $0 > 0 ? $0 : nil }
    }

    private static let others = ["size": "file", "archive": "packed", "params": "parameters", "time": "latency", "accuracy": Measure.accuracyID]

    /// The measure of a name, and whether its loss is meant.
    static func measure(_ name: String, _ metric: MetricKind, in place: String) throws(EngineError) -> (measure: Measure, isDrop: Bool) {
        let id = name.lowercased()
        if id == "drop" || id == "loss" { return (.metric(metric), true) }
        let known = SearchGoal.names(metric)
        if (others[id] ?? id) != Measure.accuracyID, let other = Measure.named(id, metric: nil), other.metric != nil, other != .metric(metric) {
            throw EngineError(.data, "\(place): the data set measures \(Measure.metric(metric).name), not \(other.name)")
        }
        guard let measure = Measure.named(others[id] ?? id, metric: metric), measure.metric == nil || measure == .metric(metric),
            measure.metric != nil || known.contains(measure.id)
        else {
            throw EngineError(.data, "\(place): there is no measure '\(name)' here, expected drop, accuracy, \(known.joined(separator: ", "))")
        }
        return (measure, false)
    }
}
