import Datasets
import EngineSupport
import Foundation
import Measurement
import Metrics
import ModelGraph
import OnnxRuntime
import Synchronization

/// Samples that fare otherwise than with the baseline.
public enum SampleChanges: Sendable {
    /// Of classifiers, in the order of the file.
    case answers([ChangedSample])
    /// Of other metrics, those that lose most first.
    case values([ChangedValue])
}

/// Accuracies on the splits of the data, each paired with the baseline's, which is run once per split.
final class SessionAccuracy: Sendable {
    private struct State {
        var scores: [SplitName: SampleScores] = [:]
        /// What complete scores come to: an interval may take a moment.
        var estimates: [SplitName: AccuracyEstimate] = [:]
        /// The baseline's outputs on splits without labels.
        var reference: [SplitName: AccuracyEvaluation.ReferenceOutputs] = [:]
        /// Whether samples of a batch leave each other alone, found out on the baseline.
        var areIndependent: Bool?
    }

    /// What is run in place of a whole model, and what it is given for samples of a range.
    typealias Part = (model: Model, feed: @Sendable (Range<Int>) throws -> [(String, Value)])

    private let opened: OpenedModel
    /// Scores of earlier sessions; `nil` for none.
    private let store: ScoreStore?
    private let state = Mutex(State())

    init(_ opened: OpenedModel, store: ScoreStore? = ScoreStore()) {
        self.opened = opened
        self.store = store
    }

    /// Whether a sample's output does not depend on who else is in its batch; known after `baselineScores`.
    var samplesAreIndependent: Bool { state.withLock { $0.areIndependent } ?? true }

    /// The baseline's outputs on a split without labels; known after `baselineScores`.
    func knownReference(_ split: SplitName) -> AccuracyEvaluation.ReferenceOutputs? { state.withLock { $0.reference[split] } }

    func changes(_ candidate: Model, split: SplitName, limit: Int?, cancellation: Cancellation) throws -> SampleChanges {
        let set = try opened.samples(split)
        let baseline = try baselineScores(split, limit: limit, workers: nil, cancellation: cancellation) { _ in }
        let (reference, oneByOne) = state.withLock { ($0.reference[split], $0.areIndependent == false) }
        let evaluation = try AccuracyEvaluation(samples: set, model: candidate, reference: reference, oneByOne: oneByOne)
        let scores = try evaluation.run(ModelRunner(candidate, library: try opened.requiredRuntime()), limit: limit, cancellation: cancellation).scores
        if set.labels != nil, !scores.answers.isEmpty { return .answers(ChangedSample.changes(set, baseline: baseline.answers, candidate: scores.answers)) }
        guard zip(scores.values(set.options), scores.scores).contains(where: { !$0.isNaN && !$1.isNaN }) else {
            throw EngineError(.data, "\(set.metric.title) has no value for one sample alone, so samples cannot be compared")
        }
        return .values(ChangedValue.changes(set, baseline: baseline, candidate: scores))
    }

    func evaluate(
        _ candidate: Model, part: Part?, split: SplitName, limit: Int?, workers: Int?, cancellation: Cancellation,
        goesOn: ((AccuracyEstimate) -> Bool)? = nil, update: @escaping @Sendable (AccuracyEstimate) -> Void
    ) throws -> (scores: SampleScores, estimate: AccuracyEstimate) {
        let runtime = try opened.requiredRuntime()
        let set = try opened.samples(split)
        let baseline = try baselineScores(split, limit: limit, workers: workers, cancellation: cancellation) { _ in }
        let (reference, oneByOne) = state.withLock { ($0.reference[split], $0.areIndependent == false) }
        let evaluation = try AccuracyEvaluation(
            samples: set, model: candidate, reference: reference, oneByOne: oneByOne,
            workers: workers ?? ProcessInfo.processInfo.activeProcessorCount, feed: part?.feed)
        let runner = try ModelRunner(part?.model ?? candidate, library: runtime)
        return try evaluation.run(runner, limit: limit, baseline: baseline, cancellation: cancellation, update: update, goesOn: goesOn)
    }

    /// Scores of the baseline on a split, run once and kept.
    func baselineScores(
        _ split: SplitName, limit: Int?, workers: Int?, cancellation: Cancellation, update: @escaping @Sendable (AccuracyEstimate) -> Void
    ) throws -> SampleScores {
        let runtime = try opened.requiredRuntime()
        let set = try opened.samples(split)
        let model = opened.model
        let needed = min(limit ?? set.count, set.count)
        if let known = state.withLock({ $0.scores[split] }), !known.scores.prefix(needed).contains(where: \.isNaN) { return known }
        // Without labels the outputs themselves are needed.
        // A program's answers hang on more than is known here.
        let key =
            set.isCompared || set.options.command != nil
            ? nil : ScoreStore.key(model: model, samples: set.evaluationHash, runtime: "\(runtime.version) \(runtime.buildInformation) \(runtime.path)")
        if let key, let kept = store?.read(key, count: set.count, metric: set.metric) {
            let scores = kept.scores
            state.withLock { ($0.scores[split], $0.areIndependent) = (scores, kept.areIndependent) }
            if let estimate = baselineEstimate(split) { update(estimate) }
            return scores
        }
        let runner = try ModelRunner(model, library: runtime, label: "baseline")
        let known = state.withLock { $0.areIndependent }
        let areIndependent = try known ?? (set.isCompared || AccuracyEvaluation.areIndependent(set, model, runner, cancellation: cancellation))
        state.withLock { $0.areIndependent = areIndependent }
        var reference: AccuracyEvaluation.ReferenceOutputs?
        if set.isCompared {
            let outputs = try AccuracyEvaluation(samples: set, model: model, oneByOne: !areIndependent).referenceOutputs(runner, cancellation: cancellation)
            state.withLock { $0.reference[split] = outputs }
            reference = outputs
        }
        let evaluation = try AccuracyEvaluation(
            samples: set, model: model, reference: reference, oneByOne: !areIndependent,
            workers: workers ?? ProcessInfo.processInfo.activeProcessorCount)
        let (scores, estimate) = try evaluation.run(runner, limit: limit, cancellation: cancellation, update: update)
        state.withLock { ($0.scores[split], $0.estimates[split]) = (scores, scores.isComplete ? estimate : nil) }
        if let key, scores.isComplete, estimate.notFinite == 0 { store?.write(ScoreStore.Kept(scores: scores, areIndependent: areIndependent), key) }
        return scores
    }

    /// The baseline's accuracy from scores already known; `nil` before `baselineScores`.
    func baselineEstimate(_ split: SplitName) -> AccuracyEstimate? {
        let (scores, known) = state.withLock { ($0.scores[split], $0.estimates[split]) }
        guard let scores else { return nil }
        if let known { return known }
        var estimate = AccuracyEvaluation.estimate(scores, options: opened.data?.metricOptions ?? MetricOptions())
        if let labels = (try? opened.samples(split))?.labels {
            estimate.classes = ClassChange.changes(labels: labels, baseline: scores.answers, candidate: scores.answers)
        }
        if scores.isComplete { state.withLock { $0.estimates[split] = estimate } }
        return estimate
    }
}

extension SessionAccuracy {
    /// What looks wrong about the baseline's scores on a split, a line each; known after `baselineScores`.
    func baselineRemarks(_ split: SplitName) throws -> [String] {
        if let reference = knownReference(split), let metric = opened.data?.metric { return BaselineCheck.likenessRemarks(reference, metric: metric) }
        guard let scores = state.withLock({ $0.scores[split] }), let estimate = baselineEstimate(split) else { return [] }
        return BaselineCheck.remarks(scores, of: try opened.samples(split), model: opened.model, estimate: estimate, classes: opened.data?.classes ?? [])
    }
}

extension EngineSession {
    /// What looks wrong about the baseline's scores on a split, a line each; known after `baselineScores`.
    public func baselineRemarks(_ split: SplitName = .validation) throws -> [String] { try accuracies.baselineRemarks(split) }

    /// Whether accuracy can be measured: there are data and a runtime, and the model runs.
    public var canEvaluate: Bool { runtime != nil && validation != nil && runs }

    /// Accuracy of a model on a split, paired with the baseline, reported as it narrows.
    /// - Parameters:
    ///   - limit: samples at most; all by default.
    ///   - workers: callers at once; one per core by default.
    /// - Returns: the last estimate: complete unless `limit` says otherwise.
    public func evaluate(
        _ candidate: Model, split: SplitName = .validation, limit: Int? = nil, workers: Int? = nil, cancellation: Cancellation = Cancellation(),
        update: @escaping @Sendable (AccuracyEstimate) -> Void = { _ in }
    ) throws -> AccuracyEstimate {
        try accuracies.evaluate(candidate, part: nil, split: split, limit: limit, workers: workers, cancellation: cancellation, update: update).estimate
    }

    /// The same on the validation split, with the scores of each sample.
    /// - Parameter goesOn: whether the rest is worth running, asked at fixed places (`AccuracyEvaluation.run`).
    func scored(
        _ candidate: Model, limit: Int? = nil, workers: Int? = nil, cancellation: Cancellation, goesOn: ((AccuracyEstimate) -> Bool)? = nil
    ) throws -> (scores: SampleScores, estimate: AccuracyEstimate) {
        try accuracies.evaluate(candidate, part: nil, split: .validation, limit: limit, workers: workers, cancellation: cancellation, goesOn: goesOn) { _ in }
    }

    /// Samples of a split that fare otherwise than with the baseline.
    /// - Throws: `EngineError.data` where the metric says nothing about one sample alone.
    public func changes(
        _ candidate: Model, split: SplitName = .validation, limit: Int? = nil, cancellation: Cancellation = Cancellation()
    ) throws -> SampleChanges {
        try accuracies.changes(candidate, split: split, limit: limit, cancellation: cancellation)
    }

    /// The same on the first `limit` validation samples, where only a part of the candidate needs to run.
    func evaluate(_ candidate: Model, part: SessionAccuracy.Part, limit: Int?, cancellation: Cancellation) throws -> AccuracyEstimate {
        try accuracies.evaluate(candidate, part: part, split: .validation, limit: limit, workers: nil, cancellation: cancellation) { _ in }.estimate
    }

    /// Scores of the baseline on a split, run once and kept.
    @discardableResult
    public func baselineScores(
        _ split: SplitName = .validation, limit: Int? = nil, workers: Int? = nil, cancellation: Cancellation = Cancellation(),
        update: @escaping @Sendable (AccuracyEstimate) -> Void = { _ in }
    ) throws -> SampleScores {
        try accuracies.baselineScores(split, limit: limit, workers: workers, cancellation: cancellation, update: update)
    }

    /// Whether a sample's output does not depend on who else is in its batch; known after `baselineScores`.
    var samplesAreIndependent: Bool { accuracies.samplesAreIndependent }

    /// The baseline's accuracy from scores already known; `nil` before `baselineScores`.
    public func baselineEstimate(_ split: SplitName = .validation) -> AccuracyEstimate? { accuracies.baselineEstimate(split) }
}
