import CompressionEngine
import Measurement
import Metrics
import ModelGraph
import Recipes
import Techniques
import TerminalCells
import Testing

@testable import Explorer

@Suite struct SensitivityViewTests {
    /// A driver in Layers with a request made, and a grid for it in which only the first layer is hurt, by the third value.
    private func analyzed(_ size: Size = Size(width: 160, height: 48)) throws -> (Driver, SensitivityGrid) {
        let engine = FakeEngine()
        let driver = Driver(engine, size: size)
        driver.press("2 a")
        let request = try #require(engine.state.withLock { $0.analyzed.first })
        let units = FakeModel.layers.indices.map { SensitivityUnit(layers: [$0], title: FakeModel.layers[$0].id) }
        let cells = units.indices.map { unit in
            (0..<request.columnCount).map { column -> SensitivityCell? in
                var estimate = AccuracyEstimate(metric: .top1, seen: 2000, total: 10_000, value: 0.9, interval: Interval(low: 0.88, high: 0.92))
                estimate.difference = unit == 0 && column == 2 ? -0.125 : 0
                estimate.differenceInterval = Interval(low: -0.15, high: -0.1)
                var cell = SensitivityCell()
                cell.accuracy = estimate
                cell.saved = [.size: 10, .packed: 1000]
                return cell
            }
        }
        let grid = SensitivityGrid(request: request, units: units, cells: cells, baseline: [.size: 100_000, .packed: 50_000])
        driver.send(.engine(.sensitivity(job: driver.model.tasks.lastJob, grid)))
        var update = try #require(driver.model.tasks.jobs.last?.update)
        update.state = .finished
        driver.send(.engine(.jobUpdated(update)))
        driver.wait()
        return (driver, grid)
    }

    @Test func theMapShowsTheExactValueUnderTheCursorWithItsInterval() throws {
        let (driver, _) = try analyzed()
        #expect(driver.model.pane == .layerHeat)
        driver.press("right right")
        #expect(driver.model.tasks.heatColumn == 2)
        #expect(driver.screen.contains("-12.50 pt") && driver.screen.contains("-15.00 pt") && driver.screen.contains("2,000 samples"), "\(driver.screen)")
        driver.press("left left left")
        #expect(driver.model.tasks.heatColumn == 0)
    }

    /// The same map of milliseconds, where they were measured.
    @Test func theMapShowsLatencyToo() throws {
        let (driver, known) = try analyzed()
        var grid = known
        grid.request.latency = nil
        driver.send(.engine(.sensitivity(job: driver.model.tasks.lastJob, grid)))
        driver.press("w")
        #expect(driver.screen.contains("latency was not measured") && !driver.model.ui.heatShowsLatency)
        grid.request.latency = LatencyConditions()
        for unit in grid.units.indices {
            for column in grid.cells[unit].indices {
                let ratio = unit == 0 && column == 2 ? 1.25 : 0.996
                grid.cells[unit][column]?.latency = LatencyFigures(
                    baselineMedian: 0.4, baselineP90: 0.5, candidateMedian: 0.4 * ratio, candidateP90: 0.6, ratio: ratio, ratioP90: 1.3,
                    ratioInterval: Interval(low: ratio - 0.01, high: ratio + 0.01), batch: 1, threads: 1, rounds: 40, instructionSet: "AVX2", runtimeVersion: "1.31.1")
            }
        }
        driver.send(.engine(.sensitivity(job: driver.model.tasks.lastJob, grid)))
        driver.press("w right right")
        #expect(driver.screen.contains("latency by"), "\(driver.screen)")
        #expect(driver.screen.contains("400 µs") && driver.screen.contains("500 µs") && driver.screen.contains("1.25"), "\(driver.screen)")
        #expect(!driver.screen.contains(", noise"))
        driver.press("left")
        #expect(driver.screen.contains(", noise"), "\(driver.screen)")
        driver.press("w")
        #expect(driver.screen.contains("change by") && !driver.screen.contains("latency by"))
    }

    /// Enter on a cell is that layer's own value; undo takes it back.
    @Test func aCellBecomesAnOwnValue() throws {
        let (driver, grid) = try analyzed()
        let parameter = try #require(grid.request.parameter)
        driver.press("right enter")
        let override = try #require(driver.model.recipe.steps.first?.overrides.first)
        #expect(override.parameters[parameter] == grid.request.values[1])
        driver.press("u")
        #expect(driver.model.recipe.steps.isEmpty)
    }

    @Test func budgetsAreShareOrLoss() throws {
        let (driver, grid) = try analyzed()
        #expect(grid.naturalMeasure == .packed, "the file hardly shrinks, the archive does")
        driver.press("A")
        driver.type("nonsense")
        driver.press("enter")
        #expect(driver.engine.state.withLock { $0.goals.isEmpty })
        driver.press("ctrl-u")
        driver.type("40%")
        driver.press("enter")
        #expect(driver.engine.state.withLock { $0.goals } == [.share(0.4)])
        #expect(ExplorerModel.allocationGoal("0.5 pt") == .maximumDrop(0.005))
        #expect(ExplorerModel.allocationGoal("60") == .share(0.6))
        #expect(ExplorerModel.allocationGoal("-1pt") == nil && ExplorerModel.allocationGoal("0") == nil)
    }

    @Test func anAllocationIsAStateThatCanBeUndone() throws {
        let (driver, _) = try analyzed()
        let recipe = Recipe(steps: [RecipeStep(technique: "magnitude-pruning")])
        driver.send(.engine(.allocated(job: driver.model.tasks.lastJob, recipe, isMet: true)))
        #expect(driver.model.recipe.steps == recipe.steps)
        driver.press("u")
        #expect(driver.model.recipe.steps.isEmpty)
    }

    /// An answer to an analysis that nobody asked for changes nothing.
    @Test func strangersGridsAreIgnored() throws {
        let (driver, grid) = try analyzed()
        var other = grid
        other.cells = other.cells.map { $0.map { _ in nil } }
        driver.send(.engine(.sensitivity(job: 999, other)))
        #expect(driver.model.tasks.sensitivity?.done == grid.done)
    }

    @Test func withoutDataItSaysWhy() {
        let driver = Driver(FakeEngine(hasData: false, hasRuntime: false))
        driver.press("2 a")
        #expect(driver.engine.state.withLock { $0.analyzed.isEmpty })
        #expect(driver.screen.contains("needs a data set"))
    }

    @Test(arguments: [Size(width: 60, height: 18), Size(width: 80, height: 24), Size(width: 200, height: 60)]) func theMapFitsAnywhere(size: Size) throws {
        let (driver, _) = try analyzed(size)
        #expect(driver.screen.contains("Sensitivity"))
    }
}
