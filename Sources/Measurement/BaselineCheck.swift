import Datasets
import Metrics
import ModelGraph

/// What looks wrong about a baseline's scores: chance, one answer for everything, labels that are numbered otherwise. Mistakes of the data set's
/// declaration show here first, and every number after it would be about them.
public enum BaselineCheck {
    /// Fewer samples say nothing.
    private static let fewest = 20

    /// - Parameter classes: names by class, for messages; may be empty.
    /// - Returns: one line each, with the likely cause.
    package static func remarks(_ scores: SampleScores, of samples: SampleSet, model: Model, estimate: AccuracyEstimate, classes: [String] = []) -> [String] {
        guard estimate.isComplete, estimate.total >= fewest, samples.metric.needsLabels else { return [] }
        if let labels = samples.labels, scores.answers.count == labels.count {
            let remarks = classRemarks(scores.answers, labels, classes)
            return remarks.isEmpty ? [] : outputRemark(samples, labels, model).map { [$0] } ?? remarks
        }
        return valueRemarks(estimate)
    }

    /// A likeness that one number per sample cannot lack.
    package static func likenessRemarks(_ reference: AccuracyEvaluation.ReferenceOutputs, metric: MetricKind) -> [String] {
        guard reference.areSingleNumbers, metric == .cosine || metric == .agreement else { return [] }
        let name = metric == .cosine ? "cosine tells of a single number only its sign" : "a single number is always the largest"
        return ["the scored output is one number per sample, and \(name): 'metric: sqnr' compares values; 'metric: {kind: \(metric.rawValue), output: NAME}' scores another output"]
    }

    /// Another output that has as many numbers as there are classes, where the one that is scored has not.
    private static func outputRemark(_ samples: SampleSet, _ labels: [Int], _ model: Model) -> String? {
        guard samples.options.outputs.isEmpty, let largest = labels.max(), let scored = try? AccuracyEvaluation.scoredOutput(of: model) else { return nil }
        func width(_ output: ValueInfo) -> Int? { output.shape?.dropFirst().compactMap(\.fixedValue).reduce(1, *) }
        guard let scoredWidth = width(scored), scoredWidth != largest + 1 else { return nil }
        guard let other = model.graph.outputs.first(where: { $0.name != scored.name && $0.elementType?.isFloatingPoint == true && width($0) == largest + 1 }) else { return nil }
        return "output '\(scored.name)' is scored, which has \(scoredWidth) numbers for \(largest + 1) classes; '\(other.name)' has \(largest + 1): "
            + "'metric: {kind: \(samples.metric.rawValue), output: \(other.name)}' scores it"
    }

    private static func classRemarks(_ answers: [Float], _ labels: [Int], _ classes: [String]) -> [String] {
        func name(_ index: Int) -> String { classes.indices.contains(index) ? "\(index) (\(classes[index]))" : "\(index)" }
        let distinct = Set(labels)
        guard distinct.count > 1 else { return ["every label is class \(name(labels.first ?? 0)): the metric says little"] }
        if let only = answers.first, answers.allSatisfy({ $0 == only }) {
            return [
                "the original model answers class \(name(Int(only.isNaN ? -1 : only))) for every sample: inputs may be prepared otherwise than in training "
                    + "(scale, mean and std, channel order, layout)"
            ]
        }
        let right = zip(answers, labels).count { $0 == Float($1) }
        // The share that the commonest label would have without looking.
        let commonest = Dictionary(grouping: labels, by: { $0 }).values.map(\.count).max() ?? 0
        let accuracy = Proportion.wilsonInterval(successes: right, of: labels.count)
        let chance = 1 / Double(distinct.count)
        // Most of each label's answers are one class, but another than the label: the numbering differs.
        var counts: [Int: [Float: Int]] = [:]
        for (answer, label) in zip(answers, labels) { counts[label, default: [:]][answer, default: 0] += 1 }
        let major = counts.compactMapValues { $0.max { ($0.value, $1.key) < ($1.value, $0.key) } }
        let mapped = major.values.reduce(0) { $0 + $1.value }
        if Double(mapped) >= 0.6 * Double(labels.count), mapped >= 2 * right, Set(major.values.map(\.key)).count > distinct.count / 2 {
            let offsets = Set(major.map { $0.value.key - Float($0.key) })
            let shift = offsets.count == 1 ? offsets.first : nil
            let how =
                shift.map { "answers are the labels \($0 > 0 ? "+" : "-") \(Int(abs($0)))" }
                ?? "samples of class \(name(major.keys.min() ?? 0)) are mostly answered with \(name(Int(major[major.keys.min() ?? 0]?.key ?? 0)))"
            return ["labels seem to be numbered otherwise than the model's classes: \(how); 'classes' in the declaration sets the order"]
        }
        if accuracy.low <= chance, accuracy.high < max(2 * chance, 0.5), right <= commonest {
            return [
                "the original model is right for \(MeasureFormat.percent(digits: 1).short(Double(right) / Double(labels.count))) of the samples, which is chance for \(distinct.count) classes: "
                    + "labels may be numbered otherwise, or inputs prepared otherwise than in training (scale, mean and std, channel order)"
            ]
        }
        return []
    }

    private static func valueRemarks(_ estimate: AccuracyEstimate) -> [String] {
        let value = estimate.measure.format.short(estimate.value)
        let name = estimate.measure.name
        // Where no interval is known the whole range stands in its place, and says nothing.
        guard estimate.interval != Interval(low: estimate.measure.range.lowerBound, high: estimate.measure.range.upperBound) || estimate.value.isNaN else { return [] }
        guard !estimate.value.isNaN else { return ["\(name) does not exist on these samples: there are no positive ones, or all labels are equal"] }
        switch estimate.metric {
        case .rocAUC where estimate.interval.low <= 0.5:
            return ["\(name) of the original model is \(value), no better than chance: is 'class' the positive one, and is the right output scored?"]
        case .detectionMAP, .detectionMAP50:
            guard estimate.value < 0.01 else { return [] }
            return ["\(name) of the original model is \(value): 'layout', the order of classes, or the scale of inputs (0 to 1 or 0 to 255) may be wrong"]
        case .characterErrorRate, .wordErrorRate:
            guard estimate.value > 0.9 else { return [] }
            return ["\(name) of the original model is \(value): 'blank', 'alphabet' or the preparation of inputs may be wrong"]
        case .exactMatch where estimate.value == 0: return ["no sequence of the original model is right: 'blank', 'alphabet' or the preparation of inputs may be wrong"]
        case .r2 where estimate.value <= 0: return ["\(name) of the original model is \(value), no better than the mean of the labels: outputs may be scaled otherwise than labels"]
        case .pearson where estimate.interval.low <= 0, .spearman where estimate.interval.low <= 0, .similarity where estimate.interval.low <= 0:
            return ["\(name) of the original model is \(value): outputs seem to have nothing to do with the labels"]
        case .frameAccuracy, .frameF1, .tokenAccuracy, .meanIoU, .pixelAccuracy:
            guard estimate.value < 0.02 else { return [] }
            return ["\(name) of the original model is \(value): classes may be numbered otherwise, or inputs prepared otherwise than in training"]
        default: return []
        }
    }
}
