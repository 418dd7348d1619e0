import CompressionEngine
import Learning
import Measurement
import Metrics
import Recipes
import TerminalCells
import Testing
import Training

@testable import Explorer

@Suite struct TrainingViewTests {
    private static let recipe = Recipe(steps: [RecipeStep(technique: "magnitude-pruning"), RecipeStep(technique: "fine-tuning")])

    /// A driver on a recipe that learns and has not been trained: the engine has answered with the other steps' figures.
    private func untrained() throws -> Driver {
        let driver = Driver(
            FakeEngine(), size: Size(width: 120, height: 40), catalog: TechniqueCatalog([FakeCatalog.magnitude, FineTuning().descriptor]))
        driver.send(.engine(.allocated(job: 0, Self.recipe, isMet: true)))
        driver.wait(1)
        driver.settle()
        let generation = driver.model.answers.evaluation.generation
        let figures = try #require(driver.model.result?.figures ?? driver.model.facts.baseline)
        let report = StepReport(technique: "fine-tuning", layers: [], refused: [], notes: [], isUntrained: true)
        driver.send(.engine(.rewritten(generation: generation, figures, reports: [report])))
        driver.wait()
        return driver
    }

    private func progress(_ accuracies: [Double], of total: Int) -> TrainingProgress {
        TrainingProgress(
            step: accuracies.count, totalSteps: total,
            epochs: accuracies.enumerated().map { .init(number: $0, loss: $0 == 0 ? nil : 1 / Double($0), accuracy: $1, seconds: 1) }, totalEpochs: total, loss: 0.5, rate: 0.001,
            elapsed: 2, trainedParameters: 1000, metric: "top-1")
    }

    @Test func numbersBeforeTrainingSaySo() throws {
        let driver = try untrained()
        #expect(driver.model.isUntrained)
        #expect(driver.screen.contains("before training"), "\(driver.screen)")
    }

    @Test func trainingIsAJobWithACurveThatIsEvaluatedWhenDone() throws {
        let driver = try untrained()
        driver.press("R")
        let asked = try #require(driver.engine.state.withLock { $0.trained.first })
        #expect(asked.recipe == driver.model.recipe && asked.steps == nil)
        driver.press("R")
        #expect(driver.engine.state.withLock { $0.trained.count } == 1, "one training at a time")
        driver.send(.engine(.training(job: asked.job, progress([0.5, 0.8], of: 3))))
        #expect(driver.model.trainedEpochs.map(\.accuracy) == [0.5, 0.8])
        driver.press("5 space")
        #expect(driver.engine.state.withLock { $0.commands } == [.pause])
        driver.press("space f")
        #expect(driver.engine.state.withLock { $0.commands } == [.pause, .goOn, .finish])
        let before = driver.engine.state.withLock { $0.evaluations.count }
        var update = try #require(driver.model.tasks.jobs.last?.update)
        update.state = .finished
        driver.send(.engine(.jobUpdated(update)))
        driver.send(.engine(.trained(job: asked.job, asked.recipe)))
        #expect(driver.engine.state.withLock { $0.evaluations.count } == before + 1)
    }

    /// Until the evaluation ends nobody knows whether the training is remembered: the wish waits, and is dropped with its recipe.
    @Test func aTrainingAskedForEarlyStartsWhenTheEvaluationEnds() throws {
        for changesMind in [false, true] {
            let driver = Driver(
                FakeEngine(answersAtOnce: false), size: Size(width: 120, height: 40), catalog: TechniqueCatalog([FakeCatalog.magnitude, FineTuning().descriptor]))
            driver.send(.engine(.allocated(job: 0, Self.recipe, isMet: true)))
            driver.wait(1)
            driver.press("R")
            #expect(driver.engine.state.withLock { $0.trained.isEmpty } && driver.screen.contains("starts when the evaluation ends"), "\(driver.screen)")
            if changesMind {
                driver.press("u")
                driver.wait(1)
            }
            let report = StepReport(technique: "fine-tuning", layers: [], refused: [], notes: [], isUntrained: true)
            let (generation, figures) = (driver.model.answers.evaluation.generation, try #require(driver.model.facts.baseline))
            driver.send(.engine(.rewritten(generation: generation, figures, reports: changesMind ? [] : [report])))
            driver.send(.engine(.settled(generation: generation)))
            #expect(driver.engine.state.withLock { $0.trained.map(\.recipe) } == (changesMind ? [] : [Self.recipe]))
            #expect(!driver.model.tasks.trainings.values.contains { $0.isQueued } || changesMind)
        }
    }

    @Test func aPreviewIsShownAsAnEstimate() throws {
        let driver = try untrained()
        driver.press("v")
        let asked = try #require(driver.engine.state.withLock { $0.trained.first })
        #expect(asked.steps != nil)
        let estimate = AccuracyEstimate(metric: .top1, seen: 2000, total: 10_000, value: 0.8765, interval: Interval(low: 0.86, high: 0.89))
        driver.send(.engine(.recovered(job: asked.job, asked.recipe, estimate, steps: 150)))
        driver.wait()
        #expect(driver.screen.contains("87.65 % after 150 steps (preview)"), "\(driver.screen)")
    }

    /// Raw and recovered accuracy are two trials; the plot ties them together, the trial's text names both.
    @Test func theTrialBeforeTrainingIsTiedToTheOneAfter() throws {
        let driver = try untrained()
        func record(_ recipe: Recipe, accuracy: Double) -> TrialRecord {
            var trial = TrialRecord(id: recipe.canonical, recipe: recipe, created: accuracy)
            (trial.figures[.top1], trial.figures.seen, trial.figures.total, trial.figures[.file]) = (accuracy, 100, 100, 100_000)
            return trial
        }
        let raw = record(Self.recipe.withoutTraining, accuracy: 0.60)
        var recovered = record(Self.recipe, accuracy: 0.90)
        (recovered.figures[.trained], recovered.figures[.trainingMemory], recovered.figures[.trainingTime]) = (20_190, 3_200_000, 26.04)
        driver.send(.engine(.trials([raw, recovered])))
        driver.press("3")
        #expect(driver.model.selectedTrial?.recipe == Self.recipe)
        #expect(driver.model.beforeTraining(Self.recipe)?.id == raw.id)
        #expect(driver.model.beforeTraining(raw.recipe) == nil)
        let text = driver.screen
        #expect(text.contains("before training 60.00 %"), "\(text)")
        // What learning took stands beside what it gave.
        #expect(driver.model.board.axes.x != .trainingTime && raw.figures[.trainingTime] == nil)
        for line in ["Trained parameters 20.2 K", "Training memory    3.20 MB", "Training time      26.0 s"] { #expect(text.contains(line), "\(text)") }
    }
}
