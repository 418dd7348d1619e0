import CompressionEngine
import Measurement
import Metrics
import ModelGraph
import Recipes
import Techniques
import TerminalCells
import Testing

@testable import Explorer

@Suite struct SearchViewTests {
    private func trial(_ driver: Driver, _ recipe: Recipe, loss: Double) throws -> SearchTrial {
        let figures = try #require(driver.model.facts.baseline)
        var estimate = AccuracyEstimate(metric: .top1, seen: 10_000, total: 10_000, value: 0.9 - loss, interval: Interval(low: 0.88, high: 0.92))
        (estimate.baseline, estimate.difference) = (0.9, -loss)
        return SearchTrial(recipe: recipe, findings: Demand.Findings(accuracy: estimate, before: figures, after: figures), excess: [])
    }

    /// `F` asks, says what is wrong with a goal, and starts a search; `i` takes the best so far, and undo takes it back.
    @Test func aGoalIsSearchedForAndTheBestIsTaken() throws {
        let driver = Driver(FakeEngine(), size: Size(width: 120, height: 40))
        driver.press("F")
        #expect(driver.screen.contains("goal: file <= 50%, drop <= 0.5"))
        driver.press("ctrl-u")
        driver.type("files <= 3")
        driver.press("enter")
        #expect(driver.screen.contains("there is no measure 'files'"), "\(driver.screen)")
        driver.press("ctrl-u")
        driver.type("file <= 30%, drop <= 1")
        driver.press("enter")
        let started = driver.effects.compactMap { effect -> (SearchGoal, Int)? in
            if case .search(let request, _, let job) = effect { (request.goal, job) } else { nil }
        }
        let (goal, job) = try #require(started.first)
        #expect(started.count == 1 && goal.demands == [Demand(.file, .ratio, 0.3), Demand(.top1, .drop, 0.01)])
        let recipe = Recipe(steps: [RecipeStep(technique: "magnitude-pruning", parameters: ParameterValues(["sparsity": .real(0.7)]))])
        driver.send(.engine(.foundSoFar(job: job + 1, try trial(driver, Recipe(), loss: 0))))
        #expect(driver.model.tasks.found == nil)
        driver.send(.engine(.foundSoFar(job: job, try trial(driver, recipe, loss: 0.003))))
        driver.press("i")
        #expect(driver.model.recipe.canonical == recipe.canonical)
        driver.press("u")
        #expect(driver.model.recipe.steps.isEmpty)
        var result = SearchResult(goal: goal)
        result.misses = [(goal.demands[1], try trial(driver, recipe, loss: 0.03))]
        driver.send(.engine(.searched(job: job, result)))
        #expect(driver.screen.contains("not met; nearest") && driver.screen.contains("-3.00 pt"), "\(driver.screen)")
        // The goal that was typed last stands there again.
        driver.press("F")
        #expect(!driver.screen.contains("goal: file <= 50%"))
    }

    /// While a search runs `F` asks for another goal, which takes its place; tab completes; space in Jobs pauses.
    @Test func aRunningSearchIsPausedAndNarrowed() throws {
        let driver = Driver(FakeEngine(), size: Size(width: 120, height: 40))
        driver.press("F")
        driver.press("ctrl-u")
        driver.type("file <= 30%, drop <= 1, min")
        driver.press("tab")
        #expect(driver.screen.contains("drop <= 1, minimize"), "\(driver.screen)")
        driver.type("pac")
        driver.press("tab")
        #expect(driver.screen.contains("minimize packed"), "\(driver.screen)")
        driver.press("enter")
        func searches() -> [(SearchRequest, String, Int)] {
            driver.effects.compactMap { if case .search(let request, let title, let job) = $0 { (request, title, job) } else { nil } }
        }
        let first = try #require(searches().first)
        #expect(first.0.goal.objectives == [.packed] && first.1 == "Search: file <= 30%, drop <= 1, minimize packed")
        driver.send(
            .engine(.jobUpdated(JobUpdate(id: first.2, title: first.1, phase: "static int8, 3 tried", fraction: 0.1, elapsedSeconds: 3, remainingSeconds: nil, state: .running))))
        driver.press("5")
        #expect(driver.screen.contains("Search: file <= 30%"), "\(driver.screen)")
        driver.press("space")
        driver.press("space")
        let commands = driver.effects.compactMap { if case .control(let command, let job) = $0, job == first.2 { command } else { nil } }
        #expect(commands == [.pause, .goOn])
        driver.press("F")
        #expect(driver.screen.contains("new goal: file <= 30%"))
        driver.type(", with t")
        driver.press("tab")
        driver.press("enter")
        #expect(searches().count == 2 && searches()[1].0.mayTrain)
        #expect(driver.effects.contains { if case .cancel(let job) = $0 { job == first.2 } else { false } })
    }

    @Test func withoutAccuracyThereIsNoSearch() {
        let driver = Driver(FakeEngine(), size: Size(width: 120, height: 40))
        driver.send(.engine(.baselineFailed("metric command 'score.py': ended with status 3 before it had answered")))
        #expect(driver.screen.contains("ended with status 3") && driver.screen.contains("E tries again"), "\(driver.screen)")
        driver.press("F")
        #expect(!driver.effects.contains { if case .search = $0 { true } else { false } } && driver.screen.contains("a search needs accuracy"))
        driver.press("E")
        #expect(driver.effects.contains { if case .evaluateBaseline = $0 { true } else { false } } && driver.model.facts.baselineProblem == nil)
    }
}
