import CompressionEngine
import Datasets
import Measurement
import Metrics
import Recipes
import TerminalCells

typealias ShownFigure = TerminalCells.Figure

/// A line of the figures pane: a measure of the reference beside that of the present recipe.
public struct MeasureRow: Sendable {
    public var measure: Measure
    public var reference: TerminalCells.Figure
    public var now: TerminalCells.Figure
    /// What has become of the reference, as the measure is compared: `-74.0 %`, `-0.31 pt`, `-2.15 dB`.
    public var change: TerminalCells.Figure
    public var verdict: Verdict
}

extension ExplorerModel {
    /// Figures of the present recipe: counted if they have been, predicted otherwise.
    public var figuresNow: ModelFigures? {
        if isBaseline { return facts.baseline }
        // What cannot be made has no size.
        guard result?.problem == nil else { return nil }
        return (result?.figures).map { $0.completed(by: answers.prediction) } ?? answers.prediction
    }

    /// Accuracy of the present recipe, or that of an earlier one marked stale.
    public var accuracyNow: (estimate: AccuracyEstimate, isStale: Bool)? {
        if isBaseline { return facts.baselineAccuracy.map { ($0, false) } }
        guard result?.problem == nil else { return nil }
        let predicted = answers.prediction?.live?.accuracy
        // What a profile of every sample predicts says more than a first part of the samples.
        if let accuracy = result?.accuracy, accuracy.isComplete || accuracy.seen >= predicted?.seen ?? 0 { return (accuracy, false) }
        if let predicted { return (predicted, false) }
        return answers.staleAccuracy.map { ($0, true) }
    }

    /// What latency is expected of the present recipe.
    public var latencyPrediction: LatencyPrediction? {
        guard !isBaseline, result?.problem == nil, let predicted = answers.prediction?.latency, predicted.conditions == answers.conditions else { return nil }
        return predicted
    }

    public var latencyNow: (figures: LatencyFigures, isStale: Bool)? {
        if let latency = result?.latency { return (latency, false) }
        return isBaseline || result?.problem != nil ? nil : answers.staleLatency.map { ($0, true) }
    }

    /// What the present recipe is compared with: the baseline, or a pinned state.
    public var reference: (title: String, figures: ModelFigures?, accuracy: AccuracyEstimate?, latency: LatencyFigures?) {
        guard let comparedState = ui.comparedState, session.history.nodes.indices.contains(comparedState) else {
            return ("baseline", facts.baseline, facts.baselineAccuracy, nil)
        }
        let node = session.history.nodes[comparedState]
        let known = answers.results[node.recipe.canonical]
        let title = node.name.isEmpty ? "state \(comparedState)" : node.name
        if !node.recipe.steps.contains(where: \.enabled) { return (title, facts.baseline, facts.baselineAccuracy, nil) }
        return (title, known?.figures, known?.accuracy, known?.latency)
    }

    /// Why there is no accuracy and what to do about it; `nil` when there can be one.
    public var whyNoAccuracy: String? {
        guard let info = facts.info else { return nil }
        if info.runtimeVersion == nil { return "no accuracy: ONNX Runtime cannot be used (! tells why); `make setup` installs it" }
        if info.cannotRun != nil { return "no accuracy: ONNX Runtime does not run this model (! tells why)" }
        if info.dataName == nil || info.validationCount == 0 { return "no accuracy: no data. Open with --data FILE (a YAML or .npz)." }
        return facts.baselineProblem.map { "no accuracy: \($0); E tries again" }
    }

    /// A row for each measure that a model of this data set can have.
    public var measureRows: [MeasureRow] { Self.shownMeasures(metric: facts.info?.metric).map(row) }

    /// Measures that a what-if curve can be of, beside the metric.
    static var curveMeasures: [Measure] { [.latency] + shownMeasures(metric: nil).filter(\.isOfFigures) }

    /// The value of a measure in predicted figures.
    static func predicted(_ measure: Measure, _ figures: ModelFigures) -> Double? {
        measure.isLatency ? figures.latency?.milliseconds ?? figures.live?.milliseconds : measure.figure(in: figures)?.value
    }

    static func shownMeasures(metric: MetricKind?) -> [Measure] {
        Measure.all(metric: metric, atLeast: .pane).filter { $0.metric != nil || $0.isLatency || $0.isOfFigures }
    }

    private func row(_ measure: Measure) -> MeasureRow {
        if measure.metric != nil { return metricRow }
        if measure.isLatency { return latencyRow }
        let before = reference.figures.flatMap(measure.figure(in:))
        let after = figuresNow.flatMap(measure.figure(in:))
        var change: Double?
        var verdict = Verdict.none
        if let before, let after, !isBaseline || ui.comparedState != nil {
            change = measure.change(from: before.value, to: after.value)
            verdict = measure.verdict(from: before.value, to: after.value)
        }
        return MeasureRow(
            measure: measure, reference: shown(before, measure), now: shown(after, measure),
            change: ShownFigure(change, measure.changeFormat.numberFormat, standing: (after?.provenance ?? .measured).standing), verdict: verdict)
    }

    private func shown(_ figure: Measurement.Figure?, _ measure: Measure) -> ShownFigure {
        guard let figure else { return .absent }
        return ShownFigure(figure.value, measure.numberFormat, standing: figure.provenance.standing)
    }

    private func shown(_ estimate: AccuracyEstimate?, isStale: Bool) -> ShownFigure {
        guard let estimate else { return .absent }
        return ShownFigure(estimate.value, estimate.measure.numberFormat, standing: estimate.isComplete ? .measured : .estimated, isStale: isStale)
    }

    private var metricRow: MeasureRow {
        let measure = metric
        let before = reference.accuracy
        let now = accuracyNow
        var difference: Double?
        var verdict = Verdict.none
        if let now, !isBaseline {
            if ui.comparedState != nil {
                // Two samples of their own: no paired comparison, hence no verdict.
                difference = before.map { now.estimate.value - $0.value }
                verdict = .unclear
            } else {
                difference = now.estimate.difference
                verdict = now.estimate.verdict
            }
        }
        return MeasureRow(
            measure: measure, reference: shown(before, isStale: false), now: shown(now?.estimate, isStale: now?.isStale ?? false),
            change: ShownFigure(
                difference, measure.changeFormat.numberFormat, standing: now?.estimate.isComplete == false ? .estimated : .measured, isStale: now?.isStale ?? false),
            verdict: verdict)
    }

    private var latencyRow: MeasureRow {
        let measure = Measure.latency
        func shown(_ value: Double?, standing: ShownFigure.Standing = .measured, isStale: Bool = false) -> ShownFigure {
            ShownFigure(value, measure.numberFormat, standing: standing, isStale: isStale)
        }
        func change(_ value: Double?, standing: ShownFigure.Standing = .measured, isStale: Bool = false) -> ShownFigure {
            ShownFigure(value, measure.changeFormat.numberFormat, standing: standing, isStale: isStale)
        }
        if result?.latency == nil, ui.comparedState == nil, let live = figuresNow?.live, let now = live.milliseconds, let before = live.baselineMilliseconds {
            return MeasureRow(
                measure: measure, reference: shown(before), now: shown(now, standing: .estimated), change: change(measure.change(from: before, to: now), standing: .estimated),
                verdict: measure.verdict(from: before, to: now))
        }
        if result?.latency == nil, ui.comparedState == nil, let predicted = latencyPrediction {
            return MeasureRow(
                measure: measure, reference: shown(predicted.baseline), now: shown(predicted.milliseconds, standing: .estimated),
                change: change(predicted.ratio - 1, standing: .estimated),
                verdict: predicted.interval.high < 1 ? .better : predicted.interval.low > 1 ? .worse : .unclear)
        }
        guard let now = latencyNow else { return MeasureRow(measure: measure, reference: .absent, now: .absent, change: .absent, verdict: .none) }
        // Against a pinned state only its own measurement can be compared, which was not taken in turns with this one.
        let isPaired = ui.comparedState == nil
        let candidate = now.figures.candidate
        let before = isPaired ? now.figures.baseline : reference.latency?.candidate
        // The ratio is that of paired rounds, not of the two medians.
        // The baseline was timed against itself: what differs is noise.
        let isItself = isPaired && isBaseline
        let relative = isItself ? nil : isPaired ? now.figures.ratio - 1 : before.flatMap { measure.change(from: $0, to: candidate) }
        return MeasureRow(
            measure: measure, reference: shown(before, isStale: now.isStale), now: shown(candidate, isStale: now.isStale), change: change(relative, isStale: now.isStale),
            verdict: isItself ? .none : isPaired ? now.figures.verdict : .unclear)
    }
}
