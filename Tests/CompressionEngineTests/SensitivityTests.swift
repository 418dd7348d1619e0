import Foundation
import Metrics
import ModelGraph
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Measurement
@testable import Recipes
@testable import Techniques

@Suite(.serialized) struct SensitivityTests {
    private func request(_ technique: String, _ parameters: [String: ParameterValue] = [:], values: [ParameterValue], samples: Int = 500) throws -> SensitivityRequest {
        try SensitivityRequest(
            step: RecipeStep(technique: technique, parameters: ParameterValues(parameters)), values: values, samples: samples)
    }

    /// What is found by running only what lies behind a change is what the whole model gives.
    /// Fewer samples than a batch are run in a full one.
    @Test(arguments: ["resnet-8", "transformer", "lenet-5"], [500, 10]) func reusingThePrefixChangesNothing(_ name: String, _ samples: Int) throws {
        let session = try Fixture.session(name)
        let request = try request("magnitude-pruning", values: [.real(0.8)], samples: samples)
        let grid = try SensitivityAnalysis(session).run(request)
        #expect(grid.isComplete && grid.units.count == session.layers.count)
        for (unit, cells) in zip(grid.units, grid.cells) {
            let recipe = request.recipe(0, layers: unit.layers, of: session.layers)
            let whole = try session.evaluate(try session.apply(recipe).model, limit: samples)
            let cell = try #require(cells[0]?.accuracy)
            #expect(cell.seen == samples && whole.seen == samples)
            // Fusions across the cut may turn a sample that stands on the edge.
            #expect(abs(cell.value - whole.value) * Double(samples) <= 1.01, "\(unit.title): \(cell.value) against \(whole.value)")
        }
    }

    /// Of a change in the last layer only that layer is left to run; of a change in the first, all but nothing is reused.
    @Test func changedPartIsWhatLiesBehindTheChange() throws {
        let session = try Fixture.session("resnet-8")
        func part(_ position: Int) throws -> ChangedPart? {
            let recipe = Recipe(steps: [
                RecipeStep(technique: "magnitude-pruning", layers: LayerSelector(include: [.positions(position..<(position + 1))]))
            ])
            let applied = try session.apply(recipe)
            return ChangedPart(of: applied.model, from: session.model, output: "logits") { _ in true }
        }
        let last = try #require(try part(session.layers.count - 1))
        #expect(last.model.graph.nodes.count == 1 && last.reused.count == 1 && last.inputs.isEmpty)
        let first = try #require(try part(0))
        #expect(first.inputs == ["image"] && first.reused.isEmpty && first.model.graph.nodes.count == session.model.graph.nodes.count)
        #expect(ChangedPart(of: session.model, from: session.model, output: "logits") { _ in true } == nil)
    }

    /// Coupled channels are one row: the units cover every prunable layer once.
    @Test func coupledChannelsAreOneUnit() throws {
        let session = try Fixture.session("resnet-8")
        let grid = try SensitivityAnalysis(session).run(try request("structured-pruning", values: [.real(0.5)], samples: 100))
        #expect(grid.units.contains { $0.layers.count > 1 }, "ResNet-8's additions couple convolutions")
        let all = grid.units.flatMap(\.layers)
        #expect(Set(all).count == all.count)
    }

    @Test func storedCellsAreFoundAgain() throws {
        let session = try Fixture.session("lenet-300-100")
        let store = TrialStore.inMemory()
        let request = try request("weight-quantization", values: [.integer(2), .integer(4)])
        let first = try SensitivityAnalysis(session, store: store).run(request)
        let second = try SensitivityAnalysis(session, store: store).run(request)
        #expect(first.cells.joined().allSatisfy { $0?.isStored == false } && second.cells.joined().allSatisfy { $0?.isStored == true })
        #expect(first.cells.joined().map { $0?.loss } == second.cells.joined().map { $0?.loss })
    }

    /// Times by cell, counted from one time of the baseline, and an allocation by them that measures what it found.
    @Test func cellsAreTimed() throws {
        let session = try Fixture.session("resnet-8")
        var request = try request("structured-pruning", values: [.real(0.3), .real(0.7)], samples: 200)
        #expect(try SensitivityAnalysis(session).run(request).cells.joined().allSatisfy { $0?.latency == nil && $0?.saved[.latency] == nil })
        request.latency = LatencyConditions()
        let grid = try SensitivityAnalysis(session).run(request)
        let baseline = try #require(grid.baseline[.latency])
        #expect(baseline > 0)
        for cell in grid.cells.joined() {
            let latency = try #require(cell?.latency)
            let saved = try #require(cell?.saved[.latency])
            #expect(latency.threads == 1 && latency.rounds >= 10)
            #expect(latency.verdict == .unclear ? saved == 0 : saved == baseline * (1 - latency.ratio))
        }
        // Most of the channels of the widest layers are time, on any machine.
        #expect(grid.cells.joined().contains { ($0?.saved[.latency] ?? 0) > 0 })
        let allocation = try Allocation(grid, measure: .latency)
        #expect(zip(allocation.path, allocation.path.dropFirst()).allSatisfy { $0.value > $1.value })
        let found = try session.allocate(allocation, within: baseline * 0.95, limit: 200)
        let value = try #require(found.value)
        #expect(value > 0 && found.isMet == (value <= baseline * 0.95))
        #expect(
            message { _ = try Allocation(try SensitivityGrid(request: request, units: grid.units, cells: grid.cells, baseline: [.size: 1]), measure: .latency) }.contains(
                "not known"))
    }

    @Test func wrongRequestsSayWhatWasExpected() throws {
        #expect(throws: EngineError.self) { try SensitivityRequest(step: RecipeStep(technique: "magnitude-pruning"), parameter: "bits") }
        #expect(throws: EngineError.self) { try SensitivityRequest(step: RecipeStep(technique: "magnitude-pruning"), values: [.real(2)]) }
        #expect(try SensitivityRequest(step: RecipeStep(technique: "static-int8")).values.isEmpty)
        #expect(try SensitivityRequest(step: RecipeStep(technique: "svd")).parameter == "ratio")
    }

    // MARK: - Allocation

    /// A grid with given losses and savings.
    private func grid(_ losses: [[Double]], _ saved: [[Double]], total: Double) throws -> SensitivityGrid {
        let columns = losses[0].count
        let request = try request("magnitude-pruning", values: (1...columns).map { .real(Double($0) / Double(columns + 1)) })
        let cells = zip(losses, saved).map { row in
            zip(row.0, row.1).map { loss, saved -> SensitivityCell? in
                var estimate = AccuracyEstimate(metric: .top1, seen: 100, total: 100, value: 0.9 - loss, interval: Interval(low: 0, high: 1))
                estimate.difference = -loss
                var cell = SensitivityCell()
                cell.accuracy = estimate
                cell.saved = [.size: saved]
                return cell
            }
        }
        return SensitivityGrid(
            request: request, units: losses.indices.map { SensitivityUnit(layers: [$0], title: "\($0)") }, cells: cells, baseline: [.size: total])
    }

    /// Every recipe on the path is the best of all combinations that save at least as much: checked against trying them all.
    @Test func everyPointOfThePathIsOptimal() throws {
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<40 {
            // Convex losses over rising savings, as a hull has them.
            var losses: [[Double]] = []
            var saved: [[Double]] = []
            for _ in 0..<4 {
                var (loss, slope, save) = (0.0, 0.0, 0.0)
                var (l, s): ([Double], [Double]) = ([], [])
                for _ in 0..<3 {
                    slope += Double(generator.next() % 1000) / 1000 + 0.001
                    let step = Double(generator.next() % 90 + 10)
                    save += step
                    loss += slope * step / 1000
                    l.append(loss)
                    s.append(save)
                }
                losses.append(l)
                saved.append(s)
            }
            let allocation = try Allocation(try grid(losses, saved, total: 5000), measure: .size)
            for point in allocation.path {
                let need = 5000 - point.value
                var best = Double.infinity
                for code in 0..<256 {
                    let choice = (0..<4).map { code >> (2 * $0) & 3 }
                    let total = choice.enumerated().reduce(0.0) { $0 + ($1.element > 0 ? saved[$1.offset][$1.element - 1] : 0) }
                    let lost = choice.enumerated().reduce(0.0) { $0 + ($1.element > 0 ? losses[$1.offset][$1.element - 1] : 0) }
                    if total >= need - 1e-9 { best = min(best, lost) }
                }
                #expect(point.loss <= best + 1e-9)
            }
        }
    }

    @Test func pathGoesFromNothingToEverything() throws {
        let allocation = try Allocation(try grid([[0.01, 0.2], [0, 0.001]], [[10, 20], [5, 30]], total: 100), measure: .size)
        #expect(allocation.path.first?.columns == [nil, nil] && allocation.path.last?.columns == [1, 1])
        #expect(zip(allocation.path, allocation.path.dropFirst()).allSatisfy { $0.value > $1.value && $0.loss <= $1.loss })
        // What costs nothing comes first, then what costs least for what it saves.
        #expect(allocation.path.map(\.columns) == [[nil, nil], [nil, 0], [nil, 1], [0, 1], [1, 1]])
        #expect(allocation.position(within: 70) == 2)
    }

    /// A budget in bytes is met by the model as written, and the recipe with its overrides says so.
    @Test func mixedPrecisionMeetsABudget() throws {
        let session = try Fixture.session("lenet-5")
        let grid = try SensitivityAnalysis(session).run(try request("weight-quantization", values: [.integer(2), .integer(4), .integer(8)]))
        let total = try #require(grid.baseline[.size])
        let found = try session.allocate(try Allocation(grid, measure: .size), within: total * 0.15, limit: 500)
        #expect(found.isMet)
        #expect(Double(try found.applied.model.serialized().byteCount) <= total * 0.15)
        // It can be written, read and gives the same bytes.
        let again = try session.apply(try Recipe.parse(found.recipe.yaml, file: "allocated"))
        #expect(again.model.contentHash == found.applied.model.contentHash)
    }

    @Test func accuracyBudgetIsMeasured() throws {
        let session = try Fixture.session("lenet-300-100")
        let grid = try SensitivityAnalysis(session).run(try request("magnitude-pruning", values: [.real(0.3), .real(0.6), .real(0.8), .real(0.9)]))
        let allocation = try Allocation(grid, measure: .nonZeros)
        let found = try session.allocate(allocation, maximumDrop: 0.01, limit: 2000)
        #expect(found.isMet && -(found.accuracy.difference ?? -1) <= 0.01)
        let mild = try #require(allocation.path.first)
        #expect(found.point.value < mild.value, "something can be pruned at one point of loss")
    }
}
