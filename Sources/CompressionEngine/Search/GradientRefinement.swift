import EngineSupport
import Foundation
import Measurement

extension SensitivityGrid {
    /// Cells with a prediction, the one that costs least first.
    var ranking: [(unit: Int, column: Int)] {
        let places = cells.indices.flatMap { unit in self.cells[unit].indices.map { (unit: unit, column: $0) } }
        func loss(_ place: (unit: Int, column: Int)) -> Double? { cells[place.unit][place.column]?.predicted?.loss }
        return places.filter { loss($0) != nil }.sorted { (loss($0) ?? 0, $0.unit, $0.column) < (loss($1) ?? 0, $1.unit, $1.column) }
    }

    /// Cells whose interval overlaps that of a neighbor in the ranking which belongs to another unit: which of the two costs more is not clear. Those that cost
    /// most first, since there a wrong order costs most. What is predicted to cost less than 3 % of the costliest (of at most 1 nat) is left out: measuring a few
    /// thousand samples would hardly tell it from 0. (Of one unit the order of values is not in doubt: the same gradients weigh them.)
    public var unclear: [(unit: Int, column: Int)] {
        let ranking = ranking
        func interval(_ place: (unit: Int, column: Int)) -> (low: Double, high: Double) {
            let found = cells[place.unit][place.column]?.predicted?.interval
            return (found?.low ?? 0, found?.high ?? 0)
        }
        let floor = 0.03 * min(ranking.last.map { cells[$0.unit][$0.column]?.predicted?.loss ?? 0 } ?? 0, 1)
        return ranking.indices.filter { index in
            guard (cells[ranking[index].unit][ranking[index].column]?.predicted?.loss ?? 0) >= floor else { return false }
            return [index - 1, index + 1].contains { other in
                guard ranking.indices.contains(other), ranking[other].unit != ranking[index].unit else { return false }
                let (a, b) = (interval(ranking[min(index, other)]), interval(ranking[max(index, other)]))
                return b.low < a.high
            }
        }.reversed().map { ranking[$0] }
    }

    /// Brings predictions to the scale of the metric: metric lost per predicted loss, from cells that were measured. Losses of accuracy are about proportional to
    /// divergences up to a nat or so; beyond, what is left to lose is less than predicted.
    mutating func scale() {
        let known = cells.joined().compactMap { cell -> (loss: Double, metric: Double)? in
            guard let cell, let predicted = cell.predicted, let loss = cell.accuracy?.loss else { return nil }
            return (predicted.loss, loss)
        }
        let (predicted, measured) = (known.reduce(0) { $0 + $1.loss }, known.reduce(0) { $0 + max($1.metric, 0) })
        guard predicted > 0, measured > 0 else { return }
        for unit in cells.indices {
            for column in cells[unit].indices {
                guard let loss = cells[unit][column]?.predicted?.loss else { continue }
                cells[unit][column]?.predicted?.metricLoss = loss * measured / predicted
            }
        }
    }

    /// Two cells that tell the scale: large enough for their loss to be beyond the noise, not so large that nothing more can be lost.
    var anchors: [(unit: Int, column: Int)] {
        let ranking = ranking
        func loss(_ place: (unit: Int, column: Int)) -> Double { cells[place.unit][place.column]?.predicted?.loss ?? 0 }
        guard let strongest = ranking.last.map(loss), strongest > 0 else { return [] }
        var chosen: [(unit: Int, column: Int)] = []
        for aim in [min(strongest, 1), min(strongest, 1) * 0.3] {
            let rest = ranking.filter { place in !chosen.contains { $0 == place } && loss(place) > 0 }
            if let nearest = rest.min(by: { abs(log(loss($0) / aim)) < abs(log(loss($1) / aim)) }) { chosen.append(nearest) }
        }
        return chosen
    }
}

extension SensitivityAnalysis {
    /// Predicts all cells from gradients, then measures two that tell the scale of the metric, and those whose rank is not clear, as long as there is time.
    /// - Parameters:
    ///   - measures: whether unclear cells are measured.
    ///   - samples: behind the gradients; by default four times as many where unclear cells are measured, since fewer are unclear then.
    ///   - packed: as for `GradientSensitivity.run`.
    ///   - seconds: for all of it; what has begun is ended. `nil` for no limit.
    /// - Throws: as `run`, and as `GradientSensitivity.run`.
    public func refined(
        _ request: SensitivityRequest, measures: Bool = true, packed: Bool = true, seconds: Double? = nil, samples: Int? = nil,
        update: (SensitivityGrid) -> Void = { _ in }
    ) throws -> SensitivityGrid {
        let start = ContinuousClock.now
        var grid = try GradientSensitivity(session, cancellation: cancellation).run(
            request, samples: samples ?? GradientSensitivity.samples * (measures ? 4 : 1), packed: packed, update: update)
        let prefix = LazyPrefix(session, request, cancellation)
        func measure(_ place: (unit: Int, column: Int)) throws {
            let recipe = request.recipe(place.column, layers: grid.units[place.unit].layers, of: session.layers)
            var cell = try stored(recipe, request) ?? measured(recipe, request, try prefix.value())
            guard cell.accuracy != nil else { return }
            (cell.predicted, cell.saved) = (grid.cells[place.unit][place.column]?.predicted, grid.cells[place.unit][place.column]?.saved ?? [:])
            grid.cells[place.unit][place.column] = cell
        }
        func isOver() -> Bool { seconds.map { (ContinuousClock.now - start) / .seconds(1) > $0 } ?? false }
        var open = grid.anchors
        if measures {
            // What the technique cannot be predicted for is measured as well.
            let unknown = grid.cells.indices.flatMap { unit in
                grid.cells[unit].indices.filter { grid.cells[unit][$0]?.predicted == nil && grid.cells[unit][$0]?.problem != Self.nothingToChange }.map { (unit: unit, column: $0) }
            }
            open += grid.unclear + unknown
        }
        for place in open where grid.cells[place.unit][place.column]?.accuracy == nil {
            try cancellation.check()
            if isOver() { break }
            try measure(place)
            update(grid)
        }
        grid.scale()
        update(grid)
        return grid
    }

    /// Values before a change, run when the first cell is measured.
    private final class LazyPrefix {
        private let make: () throws -> PrefixValues?
        private var made: PrefixValues??

        init(_ session: EngineSession, _ request: SensitivityRequest, _ cancellation: Cancellation) {
            make = {
                try session.baselineScores(limit: request.samples, cancellation: cancellation)
                return session.samplesAreIndependent ? try PrefixValues(session, limit: request.samples, cancellation: cancellation) : nil
            }
        }

        func value() throws -> PrefixValues? {
            if let made { return made }
            let value = try make()
            made = .some(value)
            return value
        }
    }
}
