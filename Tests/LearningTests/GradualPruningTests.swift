import Foundation
import ModelGraph
import PythonOracle
import Synchronization
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Recipes
@testable import Techniques
@testable import Training

/// Pruning while training.
@Suite struct GradualPruningTests {
    @Test func theLargestAreThoseThatSortingFinds() {
        var generator = SeededGenerator(seed: 3)
        for size in [1, 7, 400] {
            // Few distinct values, so that there are ties; both signs, infinities and NaN.
            let lists = (0..<3).map { _ in (0..<size).map { _ in [Float.nan, -.infinity, -2, -1e-3, 0, 1e-30, 0.5, 0.5000001, 3, .infinity][generator.below(10)] } }
            let order = lists.flatMap { $0 }.enumerated().sorted { a, b in
                let (x, y) = (a.element.isNaN ? -Float.infinity : a.element, b.element.isNaN ? -Float.infinity : b.element)
                if x != y { return x > y }
                return a.element.isNaN != b.element.isNaN ? b.element.isNaN : a.offset < b.offset
            }
            for count in [0, 1, size, 2 * size, 3 * size] {
                let marked = LargestScores.mark(count, of: lists).flatMap { $0 }
                #expect(Set(marked.indices.filter { marked[$0] }) == Set(order.prefix(count).map(\.offset)), "\(count) of \(3 * size)")
            }
        }
    }

    /// Zhu and Gupta 2017, section 3: s_t = s_f + (s_i − s_f)(1 − (t − t₀)/(n·Δt))³.
    @Test func sparsityRisesAlongTheCubic() {
        let schedule = MaskSchedule(.magnitude, from: 0.1, to: 0.9, rounds: 10, start: 0.2, end: 0.7, weights: [])
        for (round, expected) in [(0, 0.1), (5, 0.8), (10, 0.9)] { #expect(abs(schedule.sparsity(round: round) - expected) < 1e-12) }
        #expect(schedule.step(of: 0, total: 1000) == 200 && schedule.step(of: 10, total: 1000) == 700 && schedule.settled(total: 1000) == 700)
        #expect((1...1000).compactMap { schedule.round(after: $0, total: 1000) } == Array(0...10))
        // With fewer steps than rounds the last one still falls.
        #expect((1...4).compactMap { schedule.round(after: $0, total: 4) }.last == 10)
    }

    private func zeros(_ model: Model) -> [Int] {
        model.layers().map { model.graph.initializers[$0.weight]?.floats()?.count { $0 == 0 } ?? 0 }
    }

    @Test(.long, arguments: ["magnitude", "movement", "gradient", "random"], ["global", "layer"]) func zerosAreAsManyAsAskedFor(criterion: String, allocation: String) throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-5", in: folder)
        let parameters: [String: ParameterValue] = ["criterion": .choice(criterion), "allocation": .choice(allocation), "sparsity": .real(0.75), "rounds": .integer(4)]
        let pruned = try FewImages.apply("gradual-pruning", parameters, to: session).model
        let (found, counts) = (zeros(pruned), pruned.layers().map(\.weightCount))
        if allocation == "layer" {
            for (zeros, count) in zip(found, counts) { #expect(zeros == Int((0.75 * Double(count)).rounded())) }
        } else {
            #expect(found.reduce(0, +) == Int((0.75 * Double(counts.reduce(0, +))).rounded()))
        }
        let again = try FewImages.apply("gradual-pruning", parameters, to: FewImages.session("lenet-5", in: folder)).model
        #expect(try pruned.serialized().joined() == again.serialized().joined(), "the same bytes twice")
    }

    /// Gradients bring back weights that magnitude had removed.
    @Test func gradientsGrowWhatMagnitudeLeavesOut() throws {
        let schedule = MaskSchedule(.gradient, from: 0.5, to: 0.5, rounds: 4, end: 1, exchange: 0.5, weights: ["w"])
        var weights: [[Float]] = [[4, 3, 2, 1, 0, 0, 0, 0]]
        var masks = MaskedWeights(schedule, starts: weights, masks: [[1, 1, 1, 1, 0, 0, 0, 0]], seed: 0)
        // Round 1 of 4 falls after 25 steps: of 4 kept weights ⌊0.25·(1 + cos π/4)·4⌋ = 1 gives way, the smallest, to the steepest.
        #expect(masks.update(done: 25, total: 100, weights: &weights, gradients: [[0, 0, 0, 0.1, 0.2, -5, 0.3, 0.4]]) != nil)
        #expect(masks.masks[0] == [1, 1, 1, 0, 0, 1, 0, 0])
        #expect(weights[0][5] == 0)
    }

    /// Sanh et al. 2020, section 4: weights that move towards zero go, and come back with their value when they turn.
    @Test func movementKeepsWhatMovesAway() throws {
        let schedule = MaskSchedule(.movement, to: 0.5, rounds: 1, start: 0.1, end: 0.2, weights: ["w"])
        var weights: [[Float]] = [[4, -3, 0.2, -0.1]]
        var masks = MaskedWeights(schedule, starts: weights, masks: [[1, 1, 1, 1]], seed: 0)
        // Descent makes large weights smaller and small ones larger.
        masks.observe(weights: weights, gradients: [[1, -1, -1, 1]])
        #expect(masks.update(done: 2, total: 10, weights: &weights, gradients: []) != nil)
        #expect(masks.masks == [[0, 0, 1, 1]] && weights == [[0, 0, 0.2, -0.1]])
        masks.observe(weights: weights, gradients: [[-5, 0, 0, 0]])
        _ = masks.update(done: 2, total: 10, weights: &weights, gradients: [])
        #expect(masks.masks == [[1, 0, 1, 0]] && weights[0][0] == 4)
    }

    @Test(.long) func denseSparseDenseEndsDense() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-5", in: folder)
        let dense = try FewImages.apply("gradual-pruning", ["sparsity": .real(0.5), "dense-sparse-dense": .flag(true), "rounds": .integer(2)], to: session).model
        #expect(zeros(dense).reduce(0, +) < 431_080 / 100)
    }

    /// Zeros from before stay zero and are counted.
    @Test(.long) func zerosFromBeforeStay() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-5", in: folder)
        let first = RecipeStep(technique: "random-pruning", parameters: ParameterValues(["sparsity": .real(0.5)]))
        let second = RecipeStep(
            technique: "gradual-pruning", parameters: ParameterValues(["sparsity": .real(0.6), "epochs": .integer(1), "allocation": .choice("layer"), "rounds": .integer(2)]))
        let before = try session.apply(Recipe(steps: [first])).model
        let after = try session.apply(Recipe(steps: [first, second]), training: session.trainingSource(store: nil)).model
        for layer in before.layers() {
            let (old, new) = (try #require(before.graph.initializers[layer.weight]?.floats()), try #require(after.graph.initializers[layer.weight]?.floats()))
            #expect(zip(old, new).allSatisfy { $0 != 0 || $1 == 0 })
            #expect(new.count { $0 == 0 } == Int((0.6 * Double(new.count)).rounded()))
        }
    }

    /// A training that was stopped after an epoch goes on to the same weights.
    @Test(.long, arguments: ["movement", "gradient"]) func goesOnFromItsCheckpoint(criterion: String) throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("lenet-5", in: folder)
        let parameters: [String: ParameterValue] = ["criterion": .choice(criterion), "sparsity": .real(0.9), "rounds": .integer(6), "epochs": .integer(3)]
        let whole = try FewImages.apply("gradual-pruning", parameters, to: session).model
        let store = TrainingStore(folder: folder.path + "/trainings")
        let recipe = Recipe(steps: [
            RecipeStep(technique: "gradual-pruning", parameters: ParameterValues(parameters.merging(["batch": .integer(32)]) { $1 }))
        ])
        var source = try session.trainingSource(store: store)
        let cancellation = Cancellation()
        source.progress = { state in if state.epochs.count == 2, state.step > 9 { cancellation.cancel() } }
        // A session remembers what a recipe gave, so each of these has its own.
        #expect(throws: EngineError.self) { try FewImages.session("lenet-5", in: folder).apply(recipe, training: source, cancellation: cancellation) }
        source.progress = { _ in }
        source.demand = .checkpoint
        let resumed = try FewImages.session("lenet-5", in: folder).apply(recipe, training: source).model
        for layer in whole.layers() { #expect(whole.graph.initializers[layer.weight]?.floats() == resumed.graph.initializers[layer.weight]?.floats()) }
    }
}
