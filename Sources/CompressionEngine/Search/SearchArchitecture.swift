import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques

/// What an architecture search may change in a trained model: coupled groups of channels at eight widths, and residual branches, there or not.
struct ArchitectureSpace {
    enum Kind: Sendable, Equatable { case channels, branch }

    struct Unit: Sendable, Equatable {
        var kind: Kind
        /// Positions among the model's layers.
        var layers: [Int]
    }

    static let ratios = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]

    let units: [Unit]
    private let layers: [Layer]
    private let reestimates: Bool

    /// - Throws: `EngineError.technique` where nothing can be cut, with the reason.
    init(_ session: EngineSession, allowed: (Recipe) -> Bool, cancellation: Cancellation) throws {
        layers = session.layers
        func found(_ technique: String, _ kind: Kind) throws -> [Unit] {
            let step = SearchSpace.step(technique)
            guard allowed(Recipe(steps: [step])) else { throw EngineError(.technique, "\(technique) is not allowed, or has no calibration data") }
            let request = try SensitivityRequest(step: step)
            return try SensitivityAnalysis.units(request, session, cancellation).map { Unit(kind: kind, layers: $0.layers) }
        }
        var units: [Unit] = []
        var reason = ""
        do {
            units += try found("structured-pruning", .channels)
        } catch let error as EngineError where error.kind != .cancelled {
            reason = error.message
        }
        do {
            units += try found("layer-removal", .branch)
        } catch let error as EngineError {
            // A model without residual branches has widths alone.
            if error.kind == .cancelled { throw error }
        }
        guard !units.isEmpty else { throw EngineError(.technique, "no group of channels and no residual branch can be cut: \(reason)") }
        self.units = units
        let step = SearchSpace.step("batchnorm-reestimation", optional: true)
        reestimates = allowed(Recipe(steps: [step])) && session.model.graph.nodes.contains { $0.isStandard("BatchNormalization") }
    }

    /// How many options a unit has besides staying as it is.
    func count(_ unit: Int) -> Int { units[unit].kind == .branch ? 1 : Self.ratios.count }

    /// The recipe of an assignment: branches out, then each group at its own ratio, then statistics measured anew.
    /// - Parameter options: by unit, 0 for as it is.
    func recipe(_ options: [Int]) -> Recipe {
        var steps: [RecipeStep] = []
        let gone = units.indices.filter { units[$0].kind == .branch && options[$0] > 0 }
        let removed = Set(gone.flatMap { units[$0].layers })
        if !gone.isEmpty {
            var step = SearchSpace.step("layer-removal", ["count": .integer(gone.count), "criterion": .choice("norm")])
            step.layers = LayerSelector(include: removed.sorted().map { LayerPattern.exactly($0, in: layers) })
            steps.append(step)
        }
        var patterns: [Int: [LayerPattern]] = [:]
        for unit in units.indices where units[unit].kind == .channels && options[unit] > 0 {
            patterns[options[unit], default: []] += units[unit].layers.filter { !removed.contains($0) }.map { LayerPattern.exactly($0, in: layers) }
        }
        let groups = patterns.filter { !$0.value.isEmpty }.sorted { $0.key < $1.key }
        if let common = groups.max(by: { ($0.value.count, -$0.key) < ($1.value.count, -$1.key) })?.key {
            var step = SearchSpace.step("structured-pruning", ["ratio": .real(Self.ratios[common - 1])])
            step.layers = LayerSelector(include: groups.flatMap(\.value))
            step.overrides = groups.filter { $0.key != common }.map { option, patterns in
                LayerOverride(layers: LayerSelector(include: patterns), parameters: ParameterValues(["ratio": .real(Self.ratios[option - 1])]))
            }
            steps.append(step)
        }
        if !steps.isEmpty, reestimates { steps.append(SearchSpace.step("batchnorm-reestimation", optional: true)) }
        return Recipe(steps: steps)
    }
}

// Widths and depth of the model itself: score and threshold.
extension Search {
    /// Samples behind one score.
    private static let scoreSamples = 1024

    /// Scores every unit alone, then tries the assignments that lose least within the limits.
    /// - Throws: `EngineError.technique` where nothing can be cut; `EngineError.cancelled`.
    func searchArchitecture() throws {
        let space = try ArchitectureSpace(session, allowed: { self.space.isAllowed($0) }, cancellation: work)
        if archive.best != nil, goal.objective.metric != nil { return }
        // First of all something that keeps the limits, however short the time is.
        if goal.objective.metric != nil, !goal.isFront {
            update(.phase("one ratio for all"))
            try attemptUniform(space)
        }
        let raw = try scores(space)
        update(.phase("widths that lose least"))
        /// By how much predicted sizes miss the limits and a share of the MACs; what cannot be predicted is left to the real model.
        func excess(_ options: [Int], _ share: Double, _ measure: Measure) -> Double {
            guard let found = runner.predicted(space.recipe(options)) else { return .infinity }
            let demands = goal.figureDemands + (share < 1 ? [Demand(measure, .ratio, share)] : [])
            return demands.reduce(0) { sum, demand in sum + (demand.value(found).map(demand.excess) ?? 0) }
        }
        func assigned(_ share: Double, _ measure: Measure = .macs) -> Recipe? {
            let problem = WidthAssignment(raw: raw, limit: 2000) { excess($0, share, measure) }
            guard let answer = problem.solve() else { return nil }
            return space.recipe(answer.options)
        }
        if goal.objective.metric != nil, !goal.isFront {
            // Sizes are predicted to a few percent and times not at all: where the real model misses a limit, less is asked for.
            var (low, high) = (0.0, 1.0)
            var share = 1.0
            for _ in 0..<7 {
                guard let recipe = assigned(share) else {
                    if share == 1 { break }
                    low = share
                    share = (low + high) / 2
                    continue
                }
                // Nothing predicted asks for a cut.
                let trial = recipe.steps.isEmpty ? nil : try attempt(recipe)
                if let trial, goal.keepsSizes(trial) {
                    if share == 1 { break }
                    low = share
                } else {
                    high = share
                }
                share = (low + high) / 2
            }
        } else {
            let measure = goal.axes.first { $0.isOfFigures } ?? .macs
            let rungs = stride(from: 0.95, to: 0.04, by: -0.05).compactMap { assigned($0, measure) }.filter { !$0.steps.isEmpty }
            try climb(rungs)
        }
        if archive.best == nil { try runStrongest(space, raw) }
        if request.mayTrain { try trainArchitectures() }
    }

    /// Loss of the metric of the whole model with one unit alone changed, statistics measured anew; `nil` where an option does nothing or fails.
    ///
    /// Coarse widths first, of all units; finer ones as long as half of the budget is left. What was not scored lies on the line between its neighbors.
    private func scores(_ space: ArchitectureSpace) throws -> [[Double?]] {
        let passes = [4, 8, 2, 6, 1, 3, 5, 7]
        var raw = space.units.indices.map { [Double?](repeating: nil, count: space.count($0)) }
        var isScored = raw.map { $0.map { _ in false } }
        let total = raw.reduce(0) { $0 + $1.count }
        var done = 0
        for (number, pass) in passes.enumerated() {
            for unit in space.units.indices {
                let option = space.units[unit].kind == .branch ? 1 : pass
                guard option <= space.count(unit), !isScored[unit][option - 1] else { continue }
                try work.check()
                if number > 0, secondsLeft < 0.5 * request.budget { return raw.indices.map { Self.filled(raw[$0], isScored[$0]) } }
                update(.phase("scoring widths, \(done + 1) of \(total)"))
                done += 1
                var options = [Int](repeating: 0, count: space.units.count)
                options[unit] = option
                raw[unit][option - 1] = try score(space.recipe(options))
                isScored[unit][option - 1] = true
            }
        }
        return raw
    }

    /// Fills in what was not scored, up to the largest cut that was.
    static func filled(_ row: [Double?], _ isScored: [Bool]) -> [Double?] {
        var result = row
        // Nothing cut loses nothing.
        var (low, before) = (0, 0.0)
        for place in row.indices where isScored[place] {
            guard let loss = row[place] else { continue }
            for middle in low..<place where !isScored[middle] {
                result[middle] = before + (loss - before) * Double(middle + 1 - low) / Double(place + 1 - low)
            }
            (low, before) = (place + 1, loss)
        }
        return result
    }

    private func score(_ recipe: Recipe) throws -> Double? {
        do {
            let applied = try session.apply(recipe, cancellation: work)
            guard applied.model.contentHash != session.model.contentHash else { return nil }
            return try session.evaluate(applied.model, limit: Self.scoreSamples, cancellation: work).loss
        } catch let error as EngineError where error.kind != .cancelled {
            return nil
        }
    }

    /// One ratio for all groups: what the assignment is to beat, and never worse than.
    private func attemptUniform(_ space: ArchitectureSpace) throws {
        for option in 1...ArchitectureSpace.ratios.count {
            let recipe = space.recipe(space.units.map { $0.kind == .channels ? option : 0 })
            guard let found = runner.predicted(recipe) else { return }
            if goal.figureDemands.contains(where: { demand in demand.value(found).map { !demand.isMet($0) } ?? false }) { continue }
            if let trial = try attempt(recipe), goal.keepsSizes(trial) { return }
        }
    }

    /// Nothing meets the goal: the strongest assignment is run to be told by how much.
    private func runStrongest(_ space: ArchitectureSpace, _ raw: [[Double?]]) throws {
        guard !archive.trials.contains(where: { !$0.recipe.steps.isEmpty }) else { return }
        try attempt(space.recipe(raw.map { row in row.lastIndex { $0 != nil }.map { $0 + 1 } ?? 0 }), isLast: true)
    }

    /// What was found, trained with the original's outputs as targets: those that keep the sizes, the least loss first.
    private func trainArchitectures() throws {
        guard let source = try? session.trainingSource(store: nil) else { return }
        let weights = session.layers.reduce(0) { $0 + $1.weightShape.reduce(1, *) }
        let plan = SearchTraining(space, goal, epochs: 4, isLabeled: source.labels != nil, weights: weights)
        // Where the metric has a limit, those that miss it by least; what keeps it needs no training.
        let isLeast = goal.objective.metric != nil
        let found = archive.trials.filter { goal.keepsSizes($0) && !$0.recipe.learns && !$0.recipe.steps.isEmpty && (isLeast || !$0.isFeasible) }
            .sorted { ($0.findings.accuracy?.loss ?? .infinity) < ($1.findings.accuracy?.loss ?? .infinity) }
        for trial in found.prefix(2) {
            guard secondsLeft > 0, let recipe = plan.recovered(trial.recipe) else { continue }
            update(.phase("training the architecture found, 4 epochs"))
            try attempt(recipe)
        }
    }
}
