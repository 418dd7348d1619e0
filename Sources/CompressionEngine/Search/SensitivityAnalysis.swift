import EngineSupport
import Foundation
import Measurement
import Metrics
import ModelGraph
import Recipes
import Techniques

/// Measures how much accuracy each layer (or group of coupled layers) loses when a technique works on it alone.
///
/// Every cell is a model that is rewritten and run. What lies before the changed layer is not run again: its values are
/// kept from the baseline (`PrefixValues`). The runtime may fuse operators across that cut otherwise, so a cell can differ
/// from the whole model's accuracy by a sample or so, far inside its interval.
public struct SensitivityAnalysis {
    let session: EngineSession
    private let store: TrialStore?
    let cancellation: Cancellation

    public init(_ session: EngineSession, store: TrialStore? = nil, cancellation: Cancellation = Cancellation()) {
        self.session = session
        self.store = store
        self.cancellation = cancellation
    }

    /// Runs the analysis.
    /// - Parameter update: called after every cell with the grid so far.
    /// - Throws: `EngineError`: no data or runtime, a technique that applies to no layer, cancellation.
    public func run(_ request: SensitivityRequest, update: (SensitivityGrid) -> Void = { _ in }) throws -> SensitivityGrid {
        guard session.validation != nil else { throw EngineError(.data, "sensitivity needs a data set: give one with --data") }
        let predictor = try session.predictor(cancellation: cancellation)
        let units = try Self.units(request, session, cancellation)
        var grid = SensitivityGrid(
            request: request, units: units, cells: units.map { _ in .init(repeating: nil, count: request.columnCount) },
            baseline: AllocationMeasure.values(predictor.baseline))
        update(grid)
        try session.baselineScores(limit: request.samples, cancellation: cancellation)
        // Where samples depend on their company the prefix would have to run with the same.
        let prefix = session.samplesAreIndependent ? try PrefixValues(session, limit: request.samples, cancellation: cancellation) : nil
        for column in 0..<request.columnCount {
            for unit in units.indices {
                try cancellation.check()
                let recipe = request.recipe(column, layers: units[unit].layers, of: session.layers)
                var cell = try stored(recipe, request) ?? measured(recipe, request, prefix)
                if cell.problem == nil, let conditions = request.latency { try time(&cell, recipe, conditions) }
                if grid.baseline[.latency] == nil { grid.baseline[.latency] = cell.latency?.baseline }
                if cell.problem == nil { cell.saved = Self.saved(recipe, predictor, grid.baseline) }
                if let latency = cell.latency, let baseline = grid.baseline[.latency] {
                    // All cells count from one time of the baseline; what noise may have made saves nothing.
                    cell.saved[.latency] = latency.verdict == .unclear ? 0 : baseline * (1 - latency.ratio)
                }
                grid.cells[unit][column] = cell
                update(grid)
            }
        }
        return grid
    }

    /// Groups of layers that the step selects and the technique can work on, in graph order.
    static func units(_ request: SensitivityRequest, _ session: EngineSession, _ cancellation: Cancellation) throws -> [SensitivityUnit] {
        guard let technique = TechniqueRegistry.technique(request.step.technique) else {
            throw EngineError(.recipe, "there is no technique '\(request.step.technique)'")
        }
        let shapes = (try? session.shapes(of: session.model, cancellation: cancellation))?.dims ?? [:]
        let selected = Set(try request.step.resolve(session.layers, step: 0).keys)
        let fallback = PrecisionFallback(of: technique, layers: session.layers, in: session.model, shapes: shapes, selected: selected)
        let units = technique.coupledLayers(fallback.layers, in: fallback.model, shapes: shapes).filter { !selected.isDisjoint(with: $0) }
        guard !units.isEmpty else {
            let reason = fallback.refusals.compactMap { $0 }.first.map { ": \($0)" } ?? ""
            throw EngineError(.technique, "\(technique.descriptor.id) applies to no layer of this model\(reason)")
        }
        return units.map { positions in
            let first = session.layers[positions[0]].id
            return SensitivityUnit(layers: positions, title: positions.count > 1 ? "\(first) and \(positions.count - 1) more" : first)
        }.sorted { $0.layers[0] < $1.layers[0] }
    }

    /// What a recipe takes away by measure, predicted.
    static func saved(_ recipe: Recipe, _ predictor: Predictor, _ baseline: [AllocationMeasure: Double]) -> [AllocationMeasure: Double] {
        guard let figures = try? predictor.figures(for: recipe) else { return [:] }
        let after = AllocationMeasure.values(figures)
        return baseline.reduce(into: [:]) { saved, entry in
            if let now = after[entry.key] { saved[entry.key] = entry.value - now }
        }
    }

    /// Why a cell has no number where the technique leaves the model as it is.
    static let nothingToChange = "nothing to change here at this strength"

    // MARK: - One cell

    func measured(_ recipe: Recipe, _ request: SensitivityRequest, _ prefix: PrefixValues?) throws -> SensitivityCell {
        var cell = SensitivityCell()
        do {
            let applied = try session.apply(recipe, cancellation: cancellation)
            guard applied.model.contentHash != session.model.contentHash else {
                cell.problem = Self.nothingToChange
                return cell
            }
            let estimate = try evaluate(applied.model, request.samples, prefix)
            cell.accuracy = estimate
            save(recipe, request, estimate)
        } catch let error as EngineError where error.kind == .cancelled {
            throw error
        } catch let error as EngineError {
            cell.problem = error.message
        }
        return cell
    }

    /// Seconds behind the latency of one cell.
    private static let latencySeconds = 0.3

    /// Times are not stored: they hang on the hour as well as on the machine.
    private func time(_ cell: inout SensitivityCell, _ recipe: Recipe, _ conditions: LatencyConditions) throws {
        let applied = try session.apply(recipe, cancellation: cancellation)
        cell.latency = try session.latency(
            of: applied.model, batch: conditions.batch, threads: conditions.threads, seconds: Self.latencySeconds, operators: false, cancellation: cancellation
        ).0
    }

    private func evaluate(_ candidate: Model, _ samples: Int, _ prefix: PrefixValues?) throws -> AccuracyEstimate {
        let output = try AccuracyEvaluation.scoredOutput(of: candidate).name
        guard
            let prefix, let part = ChangedPart(of: candidate, from: session.model, output: output, isReusable: prefix.canKeep), !part.reused.isEmpty,
            try prefix.prepare(part.reused, cancellation: cancellation), let feed = prefix.feed(part)
        else { return try session.evaluate(candidate, limit: samples, cancellation: cancellation) }
        return try session.evaluate(candidate, part: (part.model, feed), limit: samples, cancellation: cancellation)
    }

    // MARK: - Store

    private func key(_ recipe: Recipe, _ request: SensitivityRequest) -> TrialKey {
        TrialKey(
            kind: "sensitivity", modelHash: session.info.modelHash, dataHash: "\(session.validation?.evaluationHash ?? "") first \(request.samples)",
            recipe: recipe.canonical, runtime: session.info.runtimeVersion ?? "", threads: 1)
    }

    func stored(_ recipe: Recipe, _ request: SensitivityRequest) throws -> SensitivityCell? {
        guard let figures = try store?.trial(key(recipe, request))?.figures, let value = figures.accuracy, let interval = figures.accuracyInterval,
            let metric = figures.metric, let seen = figures.seen, let total = figures.total
        else { return nil }
        var estimate = AccuracyEstimate(metric: metric, seen: seen, total: total, value: value, interval: interval)
        estimate.baseline = figures.other?["baseline"]
        estimate.difference = figures.other?["difference"]
        if let low = figures.other?["difference-low"], let high = figures.other?["difference-high"] {
            estimate.differenceInterval = Interval(low: low, high: high)
        }
        guard estimate.difference != nil else { return nil }
        var cell = SensitivityCell()
        cell.accuracy = estimate
        cell.isStored = true
        return cell
    }

    private func save(_ recipe: Recipe, _ request: SensitivityRequest, _ estimate: AccuracyEstimate) {
        var figures = TrialFigures()
        figures.record(estimate)
        var other: [String: Double] = [:]
        other["baseline"] = estimate.baseline
        other["difference"] = estimate.difference
        other["difference-low"] = estimate.differenceInterval?.low
        other["difference-high"] = estimate.differenceInterval?.high
        figures.other = other
        // A store that cannot be written costs time later, nothing else.
        try? store?.save(StoredTrial(key: key(recipe, request), figures: figures))
    }
}

extension AllocationMeasure {
    /// All that are known of a model.
    static func values(_ figures: ModelFigures) -> [AllocationMeasure: Double] {
        allCases.reduce(into: [:]) { $0[$1] = $1.value(figures) }
    }
}

extension EngineSession {
    /// What predicts recipes' figures for this model.
    /// - Parameter slowSizes: of the packed archive and of gzip as well.
    public func predictor(slowSizes: Bool = true, cancellation: Cancellation = Cancellation()) throws -> Predictor {
        let shapes = try? self.shapes(of: model, cancellation: cancellation)
        let summaries = try LayerPreparation.summaries(of: model, layers: layers, shapes: shapes, cancellation: cancellation)
        let baseline = try baselineFigures(slowSizes: slowSizes, cancellation: cancellation)
        return Predictor(baseline: baseline, layers: layers, summaries: summaries, refusals: refusals(shapes: shapes))
    }
}
