import EngineSupport
import Foundation
import Measurement
import Recipes
import Techniques

/// What a sweep tries.
public struct SweepPlan {
    private let session: EngineSession
    private let space: SearchSpace
    /// Says which recipes apply to no layer; `nil` where the model's shapes cannot be found.
    private let predictor: Predictor?
    private var generator: SeededGenerator

    /// - Parameter techniques: that may be used; `nil` for all that need no training.
    /// - Throws: `EngineError` for a technique that does not exist.
    public init(_ session: EngineSession, goal: SearchGoal, techniques: Set<String>?, seed: UInt64) throws {
        for id in (techniques ?? []).sorted() where TechniqueRegistry.technique(id) == nil { throw EngineError(.recipe, "there is no technique '\(id)'") }
        self.session = session
        space = SearchSpace(allowed: techniques, hasCalibration: session.calibration != nil, countsEntropy: goal.needsSlowSizes, countsFile: goal.needsFile)
        predictor = try? session.predictor()
        generator = SeededGenerator(seed: seed &+ 0x5EEE9)
    }

    /// Every rung of a search's ladders that applies to the model, and neighbors of them until there are `count`; by default as many neighbors as rungs.
    public mutating func recipes(count: Int?) -> [Recipe] {
        var seen: Set<String> = []
        let rungs = space.ladders().flatMap(\.rungs).filter { seen.insert($0.canonical).inserted && applies($0) }
        let count = count ?? 2 * rungs.count
        // Fewer than there are rungs: some of each ladder.
        if rungs.count >= count { return generator.permutation(rungs.count).prefix(count).sorted().map { rungs[$0] } }
        return rungs + neighbors(of: rungs, count: count - rungs.count, except: seen)
    }

    /// Recipes that differ from others in one to three places.
    public mutating func neighbors(of parents: [Recipe], count: Int, except known: Set<String>) -> [Recipe] {
        var seen = known
        var found: [Recipe] = []
        var all = parents.filter { !$0.steps.isEmpty }
        guard !all.isEmpty else { return [] }
        // There may be no more: a single layer and a single technique have few neighbors.
        var misses = 0
        while found.count < count, misses < 200 + 20 * count {
            var child = space.neighbor(of: all[generator.below(all.count)], layers: session.layers, &generator)
            for _ in 0..<generator.below(3) { child = child.flatMap { space.neighbor(of: $0, layers: session.layers, &generator) ?? $0 } }
            guard let child, (try? RecipeOrder.check(child)) != nil, applies(child), seen.insert(child.canonical).inserted else {
                misses += 1
                continue
            }
            found.append(child)
            all.append(child)
        }
        return found
    }

    /// Whether a recipe may do something, as far as can be told without running it.
    private func applies(_ recipe: Recipe) -> Bool { predictor.map { (try? $0.figures(for: recipe)) != nil } ?? true }

    /// `count` of them at random, in their order.
    public mutating func sample(_ recipes: [Recipe], count: Int?) -> [Recipe] {
        guard let count, count < recipes.count else { return recipes }
        return generator.permutation(recipes.count).prefix(count).sorted().map { recipes[$0] }
    }
}

extension SweepDescription {
    /// Of a sweep over a model and its data.
    /// - Parameters:
    ///   - lease: seconds.
    ///   - version: of the program.
    /// - Throws: `EngineError` without data or runtime, or for a goal that cannot be meant.
    public init(
        _ session: EngineSession, dataPath: String, goal: String, best: String?, races: Bool, samples: Int?, seed: UInt64, lease: Double, attempts: Int, version: String,
        cancellation: Cancellation
    ) throws {
        guard let validation = session.validation else { throw EngineError(.data, "a sweep needs a data set: give one with --data") }
        guard session.canEvaluate else {
            throw EngineError(.runtime, session.info.runtimeProblem ?? session.info.cannotRun ?? "a sweep needs ONNX Runtime to run the model")
        }
        let metric = session.info.metric ?? .top1
        let parsed = try SearchGoal(goal, best: best, metric: metric)
        if let samples, samples > validation.count { throw EngineError(.data, "--samples \(samples): the validation split has \(validation.count)") }
        var figures = TrialFigures()
        figures.record(try session.baselineFigures(slowSizes: parsed.needsSlowSizes, cancellation: cancellation))
        self.init(
            version: version, modelPath: Self.absolute(session.info.modelPath), modelHash: session.info.modelHash, dataPath: Self.absolute(dataPath),
            dataHash: session.evaluationHash, metric: metric.title, goal: goal, best: best, races: races, samples: samples, seed: seed, lease: lease, attempts: attempts,
            runtime: session.info.runtimeVersion ?? "", baseline: figures)
    }

    static func absolute(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }
}
