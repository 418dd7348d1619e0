import CompressionEngine
import Measurement
import Recipes
import TerminalCells

typealias ShownFigure = TerminalCells.Figure

/// A line of the figures pane: a measure of the reference beside that of the present recipe.
public struct MeasureRow: Sendable {
    public var measure: Measure
    public var reference: TerminalCells.Figure
    public var now: TerminalCells.Figure
    /// Now as a multiple of the reference, or for accuracy the difference in points.
    public var change: TerminalCells.Figure
    public var verdict: Verdict

    public enum Verdict: Sendable, Hashable { case none, better, worse, unclear }
}

extension ExplorerModel {
    /// Figures of the present recipe: counted if they have been, predicted otherwise.
    public var figuresNow: ModelFigures? {
        if isBaseline { return baseline }
        return (result?.figures).map { $0.completed(by: prediction) } ?? prediction
    }

    /// Accuracy of the present recipe, or that of an earlier one marked stale.
    public var accuracyNow: (estimate: AccuracyEstimate, isStale: Bool)? {
        if isBaseline { return baselineAccuracy.map { ($0, false) } }
        let predicted = prediction?.exits?.accuracy
        // What exits predict from every sample says more than a first part of the samples.
        if let accuracy = result?.accuracy, accuracy.isComplete || accuracy.seen >= predicted?.seen ?? 0 { return (accuracy, false) }
        if let predicted { return (predicted, false) }
        return staleAccuracy.map { ($0, true) }
    }

    public var latencyNow: (figures: LatencyFigures, isStale: Bool)? {
        if let latency = result?.latency { return (latency, false) }
        return isBaseline ? nil : staleLatency.map { ($0, true) }
    }

    /// What the present recipe is compared with: the baseline, or a pinned state.
    public var reference: (title: String, figures: ModelFigures?, accuracy: AccuracyEstimate?, latency: LatencyFigures?) {
        guard let comparedState, session.history.nodes.indices.contains(comparedState) else {
            return ("baseline", baseline, baselineAccuracy, nil)
        }
        let node = session.history.nodes[comparedState]
        let known = results[node.recipe.canonical]
        let title = node.name.isEmpty ? "state \(comparedState)" : node.name
        if !node.recipe.steps.contains(where: \.enabled) { return (title, baseline, baselineAccuracy, nil) }
        return (title, known?.figures, known?.accuracy, known?.latency)
    }

    /// Why there is no accuracy and what to do about it; `nil` when there can be one.
    public var whyNoAccuracy: String? {
        guard let info else { return nil }
        if info.runtimeVersion == nil { return "no accuracy: ONNX Runtime cannot be used (! tells why); `make setup` installs it" }
        if info.cannotRun != nil { return "no accuracy: ONNX Runtime does not run this model (! tells why)" }
        if info.dataName == nil || info.validationCount == 0 { return "no accuracy: no data. Open with --data FILE (a YAML or .npz)." }
        return nil
    }

    public static let measureOrder: [Measure] = [.accuracy, .file, .packed, .gzip, .encoding, .macs, .latency, .energy, .memory, .parameters, .nonZeros]

    public var measureRows: [MeasureRow] { Self.measureOrder.map(row) }

    private func row(_ measure: Measure) -> MeasureRow {
        switch measure {
        case .accuracy: return accuracyRow
        case .latency: return latencyRow
        default:
            let before = reference.figures.flatMap(measure.figure(in:))
            let after = figuresNow.flatMap(measure.figure(in:))
            let ratio: Double? = before.flatMap { before in after.flatMap { before.value > 0 ? $0.value / before.value : nil } }
            return MeasureRow(
                measure: measure, reference: shown(before, measure), now: shown(after, measure),
                change: ShownFigure(isBaseline && comparedState == nil ? nil : ratio, .ratio(), standing: (after?.provenance ?? .measured).standing),
                verdict: Self.verdict(ratio))
        }
    }

    private static func verdict(_ ratio: Double?) -> MeasureRow.Verdict {
        guard let ratio else { return .none }
        return ratio < 0.995 ? .better : (ratio > 1.005 ? .worse : .none)
    }

    private func shown(_ figure: Measurement.Figure?, _ measure: Measure) -> ShownFigure {
        guard let figure else { return .absent }
        return ShownFigure(figure.value, measure.format, standing: figure.provenance.standing)
    }

    private func shown(_ estimate: AccuracyEstimate?, isStale: Bool) -> ShownFigure {
        guard let estimate else { return .absent }
        return ShownFigure(estimate.value, Measure.accuracy.format, standing: estimate.isComplete ? .measured : .estimated, isStale: isStale)
    }

    private var accuracyRow: MeasureRow {
        let before = reference.accuracy
        let now = accuracyNow
        var difference: Double?
        var verdict = MeasureRow.Verdict.none
        if let now, !isBaseline {
            if comparedState != nil {
                difference = before.map { now.estimate.value - $0.value }
                verdict = .unclear
            } else {
                difference = now.estimate.difference
                if let p = now.estimate.mcnemarP, p < 0.05, let difference { verdict = difference < 0 ? .worse : .better } else { verdict = .unclear }
            }
        }
        return MeasureRow(
            measure: .accuracy, reference: shown(before, isStale: false), now: shown(now?.estimate, isStale: now?.isStale ?? false),
            change: ShownFigure(
                difference, .points(), standing: now?.estimate.isComplete == false ? .estimated : .measured, isStale: now?.isStale ?? false),
            verdict: verdict)
    }

    private var latencyRow: MeasureRow {
        if result?.latency == nil, comparedState == nil, let exits = figuresNow?.exits, let now = exits.milliseconds, let before = exits.baselineMilliseconds {
            return MeasureRow(
                measure: .latency, reference: ShownFigure(before, .milliseconds), now: ShownFigure(now, .milliseconds, standing: .estimated),
                change: ShownFigure(before > 0 ? now / before : nil, .ratio(), standing: .estimated), verdict: now < before ? .better : .worse)
        }
        guard let now = latencyNow else {
            return MeasureRow(measure: .latency, reference: .absent, now: .absent, change: .absent, verdict: .none)
        }
        // Against a pinned state only its own measurement can be compared, which was not taken in turns with this one.
        let candidate = now.figures.means?.candidate ?? now.figures.candidateMedian
        let before = comparedState == nil ? now.figures.means?.baseline ?? now.figures.baselineMedian : reference.latency?.candidateMedian
        let ratio = comparedState == nil ? now.figures.ratio : before.map { candidate / $0 }
        var verdict = MeasureRow.Verdict.unclear
        if comparedState == nil, now.figures.ratioInterval.high < 1 { verdict = .better }
        if comparedState == nil, now.figures.ratioInterval.low > 1 { verdict = .worse }
        return MeasureRow(
            measure: .latency, reference: ShownFigure(before, .milliseconds, isStale: now.isStale),
            now: ShownFigure(candidate, .milliseconds, isStale: now.isStale),
            change: ShownFigure(ratio, .ratio(), isStale: now.isStale), verdict: verdict)
    }
}
