import CompressionEngine
import Measurement
import Recipes
import Techniques
import TerminalCells
import Training

extension ExplorerModel {
    private var runningTraining: Job? { tasks.jobs.last { $0.isRunning && tasks.trainingJobs[$0.id] != nil } }

    /// Trains the present recipe, or a few steps of it as a preview.
    mutating func train(steps: Int?) {
        guard facts.phase == .ready, let info = facts.info else { return }
        guard info.validationCount > 0, info.runtimeProblem == nil else { return notify(.warning, "training needs a data set and ONNX Runtime") }
        guard recipe.learns else { return notify(.info, "no step of the recipe trains: add Fine-tuning as the last step") }
        guard runningTraining == nil else { return notify(.info, "a training is running: 5 shows it, c there cancels it") }
        guard isUntrained || steps != nil else {
            guard result?.figures == nil else { return notify(.info, "already trained: the figures are those after training") }
            // Only the evaluation tells whether this training is remembered.
            tasks.trainings[recipe.canonical, default: Training()].isQueued = true
            return notify(.info, "the training starts when the evaluation ends")
        }
        tasks.lastJob += 1
        tasks.trainingJobs[tasks.lastJob] = recipe.canonical
        tasks.trainings[recipe.canonical, default: Training()].job = tasks.lastJob
        tasks.jobs.append(
            Job(
                update: JobUpdate(
                    id: tasks.lastJob, title: steps == nil ? "Training" : "Short trial training", phase: "waiting", fraction: nil, elapsedSeconds: 0, remainingSeconds: nil,
                    state: .waiting)))
        effects.append(.train(recipe, steps: steps, job: tasks.lastJob))
        notify(.info, steps == nil ? "training; the curve is in Explore, 5 shows the job" : "short trial training: \(Self.previewSteps) steps")
    }

    /// Starts the training that was asked for during the evaluation that has just ended; one for another recipe is forgotten.
    mutating func startQueuedTraining() {
        let isQueued = tasks.trainings[recipe.canonical]?.isQueued ?? false
        for key in tasks.trainings.keys { tasks.trainings[key]?.isQueued = false }
        if isQueued { train(steps: nil) }
    }

    mutating func pauseJob() {
        guard let job = runningTraining ?? runningSearch else { return notify(.info, "only a running training or search can be paused") }
        let isPaused = tasks.pausedJobs.contains(job.id)
        if isPaused { tasks.pausedJobs.remove(job.id) } else { tasks.pausedJobs.insert(job.id) }
        effects.append(.control(isPaused ? .goOn : .pause, job: job.id))
        notify(.info, isPaused ? "it goes on" : "paused; the same key resumes")
    }

    mutating func finishJob() {
        guard let job = runningTraining ?? runningSearch else { return notify(.info, "only a running training or search can be ended early") }
        tasks.pausedJobs.remove(job.id)
        effects.append(.control(.finish, job: job.id))
        notify(.info, job.id == tasks.searchJob ? "ending the search; the best is kept" : "ending the training; the best epoch is kept")
    }

    mutating func training(_ job: Int, _ progress: TrainingProgress) {
        guard let canonical = tasks.trainingJobs[job], tasks.jobs.first(where: { $0.id == job })?.isRunning ?? false else { return }
        tasks.trainings[canonical, default: Training()].progress = progress
    }

    mutating func trained(_ job: Int, _ recipe: Recipe) {
        tasks.trainings[recipe.canonical]?.job = nil
        let epochs = tasks.trainings[recipe.canonical]?.progress?.epochs ?? []
        if let first = epochs.first, let best = epochs.map(\.accuracy).max(by: { metric.isBetter($1, than: $0) }) {
            notify(
                .success, "trained: \(metric.numberFormat.text(first.accuracy)) \u{2192} \(metric.numberFormat.text(best))".replacingArrow(theme.glyphTier))
        }
        if recipe.canonical == self.recipe.canonical { evaluate(again: true) } else { answers.results.forget(recipe.canonical) }
    }

    mutating func recovered(_ job: Int, _ recipe: Recipe, _ estimate: AccuracyEstimate, _ steps: Int) {
        tasks.trainings[recipe.canonical, default: Training()].preview = (estimate, steps)
        tasks.trainings[recipe.canonical]?.job = nil
        tasks.trainings[recipe.canonical]?.progress = nil
        notify(.success, "about \(estimate.measure.numberFormat.text(estimate.value)) after \(steps) steps; a full training usually gives more")
    }
}

extension String {
    fileprivate func replacingArrow(_ tier: GlyphTier) -> String { tier == .ascii ? split(separator: "\u{2192}").joined(separator: "to") : self }
}
