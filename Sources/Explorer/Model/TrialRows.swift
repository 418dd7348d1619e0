import CompressionEngine
import Measurement
import Recipes
import Techniques
import TerminalCells

/// Which of several points no other point beats in both directions.
public enum ParetoFront {
    /// Indices of the front by ascending x.
    ///
    /// - Parameters: `higherX`, `higherY`: whether more is better. Points that are equal in both are all kept once.
    public static func indices(_ points: [(x: Double, y: Double)], higherX: Bool = false, higherY: Bool = true) -> [Int] {
        let sorted = points.indices.sorted { a, b in
            let (p, q) = (points[a], points[b])
            if p.x != q.x { return (p.x < q.x) != higherX }
            return (p.y > q.y) == higherY && p.y != q.y
        }
        var best: Double?
        var front: [Int] = []
        for index in sorted {
            let y = points[index].y
            if let best, higherY ? y <= best : y >= best { continue }
            best = y
            front.append(index)
        }
        return higherX ? front.reversed() : front
    }
}

/// A trial with its place on the two axes.
public struct PlottedTrial: Sendable {
    public var trial: TrialRecord
    public var x: Double
    public var y: Double
    public var isOnFront: Bool
}

extension ExplorerModel {
    /// Trials that have both measures of the axes, by ascending x.
    public var plottedTrials: [PlottedTrial] {
        let placed = filteredTrials.compactMap { trial -> PlottedTrial? in
            guard let x = trial.figures[board.axes.x], let y = trial.figures[board.axes.y] else { return nil }
            return PlottedTrial(trial: trial, x: x, y: y, isOnFront: false)
        }.sorted { ($0.x, $0.y, $0.trial.id) < ($1.x, $1.y, $1.trial.id) }
        // What the baseline beats in both measures is no gain.
        let baseline = baselineValue(of: board.axes.x).flatMap { x in baselineValue(of: board.axes.y).map { (x, $0) } }
        let front = Set(
            ParetoFront.indices(
                placed.map { ($0.x, $0.y) } + (baseline.map { [$0] } ?? []), higherX: board.axes.x.direction == .higher, higherY: board.axes.y.direction == .higher))
        return placed.enumerated().map { index, point in
            var point = point
            point.isOnFront = front.contains(index)
            return point
        }
    }

    /// Where the baseline stands on an axis.
    func baselineValue(of measure: Measure) -> Double? {
        if measure.metric != nil { return measure.baselineBelongsOnAxis ? facts.baselineAccuracy?.value : nil }
        if measure.isLatency { return latencyNow?.figures.baseline }
        return facts.baseline.flatMap { measure.figure(in: $0)?.value }
    }

    /// The trial of the same recipe without what it learns: what compression did before training mended it. `nil` if the recipe does not
    /// learn, or was never looked at without.
    public func beforeTraining(_ recipe: Recipe) -> TrialRecord? {
        guard recipe.learns else { return nil }
        let raw = recipe.withoutTraining
        guard !raw.activeSteps.isEmpty else { return nil }
        let hash = raw.contentHash
        return board.trials.first { $0.recipeHash == hash }
    }

    private var filteredTrials: [TrialRecord] {
        let query = ui.filters[.paretoList] ?? ""
        return query.isEmpty ? board.trials : board.trials.filter { matches(query, summary(of: $0.recipe)) }
    }

    /// Trials in the order of the list.
    public var trialRows: [TrialRecord] {
        let rows = filteredTrials
        guard let measure = board.sort.measure else {
            return rows.sorted { (($0.created, $0.id) > ($1.created, $1.id)) != board.sort.isDescending }
        }
        return rows.sorted { a, b in
            let (x, y) = (a.figures[measure] ?? .infinity, b.figures[measure] ?? .infinity)
            return x == y ? a.id < b.id : (x < y) != board.sort.isDescending
        }
    }

    public var selectedTrial: TrialRecord? {
        if let trialCursor = board.cursor, let trial = board.trials.first(where: { $0.id == trialCursor }) { return trial }
        let present = recipe.contentHash
        return board.trials.first { $0.recipeHash == present } ?? plottedTrials.first { $0.isOnFront }?.trial ?? board.trials.first
    }

    /// A recipe in one line: `Magnitude pruning 0.8, layer + Weight sharing 5 bits`. The first parameter, whatever else is not the
    /// default, and whether layers differ, so that two recipes seldom read the same.
    public func summary(of recipe: Recipe) -> String {
        let steps = recipe.activeSteps.map { step -> String in
            guard let descriptor = catalog[step.technique] else { return step.technique }
            guard let first = descriptor.parameters.first else { return descriptor.title }
            var text = descriptor.title + " " + first.shown(step.parameters[first.name] ?? first.defaultValue)
            for parameter in descriptor.parameters.dropFirst() {
                guard let value = step.parameters[parameter.name], value != parameter.defaultValue else { continue }
                switch value {
                case .choice(let name): text += ", \(name)"
                case .flag(let on): text += (on ? ", " : ", not ") + parameter.title.lowercased()
                default: text += ", \(parameter.title.lowercased()) \(parameter.shown(value))"
                }
            }
            if step.layers != .all { text += ", some layers" }
            if !step.overrides.isEmpty { text += ", \(step.overrides.count) own" }
            return text
        }
        return steps.isEmpty ? "baseline" : steps.joined(separator: " + ")
    }

    /// A recipe in several lines, every value that is not the default, and what differs per layer.
    public func description(of recipe: Recipe) -> [String] {
        guard !recipe.activeSteps.isEmpty else { return ["no step: the baseline"] }
        var lines: [String] = []
        for (number, step) in recipe.activeSteps.enumerated() {
            lines.append("\(number + 1) \(catalog.title(step.technique))")
            guard let descriptor = catalog[step.technique] else { continue }
            let left = descriptor.parameters.count { (step.parameters[$0.name] ?? $0.defaultValue) == $0.defaultValue }
            for parameter in descriptor.parameters {
                let value = step.parameters[parameter.name] ?? parameter.defaultValue
                // Techniques that learn have dozens.
                if left > 8, value == parameter.defaultValue { continue }
                lines.append("  \(parameter.title): \(parameter.shown(value))" + (value == parameter.defaultValue ? " (default)" : ""))
            }
            if left > 8 { lines.append("  \(left == descriptor.parameters.count ? "all" : "other") \(left) parameters: default") }
            if step.layers != .all { lines.append("  layers: \(step.layers.inWords)") }
            for override in step.overrides { lines.append("  \(override.layers.inWords): \(catalog.inWords(override.parameters, of: step.technique))") }
        }
        return lines
    }
}

extension LayerSelector {
    /// `all`, `all but conv1`, `conv1, conv2`.
    var inWords: String {
        let kept = include.isEmpty ? "all" : include.map(\.text).joined(separator: ", ")
        return exclude.isEmpty ? kept : kept + " but " + exclude.map(\.text).joined(separator: ", ")
    }
}

extension TechniqueCatalog {
    /// Values under the titles that the parameters pane has: `Sparsity 0.5, Scope layer`.
    func inWords(_ values: ParameterValues, of technique: String) -> String {
        (self[technique]?.parameters ?? []).compactMap { parameter in values[parameter.name].map { "\(parameter.title) \(parameter.shown($0))" } }.joined(separator: ", ")
    }
}
