import EngineSupport
import Foundation
import Recipes
import Training

/// What an allocation is to reach.
public enum AllocationGoal: Sendable, Hashable {
    /// At most this share of the baseline's measure, at the least loss.
    case share(Double)
    /// As small as possible, losing at most this much accuracy (0…1).
    case maximumDrop(Double)
}

/// Says how a job goes.
struct JobReporter: Sendable {
    let job: Int
    let title: String
    let outlet: EventOutlet
    let watch: Stopwatch

    func update(_ phase: String, _ fraction: Double?, _ state: JobUpdate.State = .running) {
        let elapsed = watch.seconds
        let remaining = fraction.flatMap { $0 > 0.05 && $0 < 1 ? elapsed / $0 * (1 - $0) : nil }
        outlet.send(
            .jobUpdated(
                JobUpdate(id: job, title: title, phase: phase, fraction: fraction, elapsedSeconds: elapsed, remainingSeconds: remaining, state: state)))
    }
}

extension WorkbenchCore {
    /// Runs a job on a thread of its own and says how it goes: `jobUpdated` while it runs, then the event it returns, or `failed`.
    func run(
        _ job: Int, title: String, control: TrainingControl? = nil,
        _ body: @escaping @Sendable (any WorkbenchSession, Cancellation, JobReporter) throws -> EngineEvent
    ) {
        guard !isClosed else { return }
        let reporter = JobReporter(job: job, title: title, outlet: outlet, watch: clock.stopwatch())
        reporter.update("starting", 0)
        guard let session else { return reporter.update("failed", nil, .failed("the model is not open yet")) }
        let cancellation = Cancellation()
        began(job, RunningJob(cancellation: cancellation, control: control))
        track { core in
            do {
                let result = try await BlockingThread.run("lathe.job", cancellation) { try body(session, cancellation, reporter) }
                reporter.update("done", 1, .finished)
                core.outlet.send(result)
            } catch {
                let cancelled = (error as? EngineError)?.kind == .cancelled
                reporter.update(cancelled ? "canceled" : "failed", nil, cancelled ? .cancelled : .failed("\(error)"))
                if !cancelled { core.outlet.send(.failed(generation: nil, job: job, message: "\(error)")) }
            }
            core.ended(job)
        }
    }

    func train(_ recipe: Recipe, steps: Int?, job: Int) {
        let (control, outlet) = (TrainingControl(), outlet)
        run(job, title: steps == nil ? "Training" : "Short trial training", control: control) { session, cancellation, reporter in
            let estimate = try session.train(recipe, steps: steps, control: control, cancellation: cancellation) { state in
                reporter.update(state.loss.map { String(format: "loss %.4f", $0) } ?? "training", state.fraction)
                outlet.send(.training(job: job, state))
            }
            if let remark = session.takeStoreRemark() { outlet.send(.remark(remark)) }
            guard let estimate, let steps else { return .trained(job: job, recipe) }
            return .recovered(job: job, recipe, estimate, steps: steps)
        }
    }

    func export(_ recipe: Recipe, request: ExportRequest, job: Int) {
        run(job, title: "Export \(request.name)") { session, cancellation, reporter in
            let files = try session.export(recipe, request: request, cancellation: cancellation) { reporter.update($1, $0) }
            return .exported(job: job, files: files)
        }
    }

    func analyze(_ request: SensitivityRequest, job: Int) {
        let (store, outlet) = (trials?.store, outlet)
        run(job, title: "Sensitivity to \(request.step.technique)") { session, cancellation, reporter in
            let grid = try session.sensitivity(request, store: store, cancellation: cancellation) { grid in
                reporter.update("\(grid.done) of \(grid.total) cells", Double(grid.done) / Double(max(grid.total, 1)))
                outlet.send(.sensitivity(job: job, grid))
            }
            return .sensitivity(job: job, grid)
        }
    }

    /// Trials show as they are stored, a second apart at least; canceled, a search gives what it has.
    func search(_ request: SearchRequest, title: String, job: Int) {
        let (store, outlet, clock, control) = (trials?.store, outlet, clock, TrainingControl())
        run(job, title: title, control: control) { session, cancellation, reporter in
            var (phase, count, shown) = ("", 0, clock.stopwatch())
            let result = try session.search(request, store: store, control: control, cancellation: cancellation) { event in
                switch event {
                case .phase(let name): phase = name
                case .tried:
                    count += 1
                    if shown.seconds > 1 {
                        shown = clock.stopwatch()
                        self.submit { core in core.track { await $0.sendTrials() } }
                    }
                case .best(let trial): outlet.send(.foundSoFar(job: job, trial))
                }
                reporter.update("\(phase), \(count) tried", min(1, reporter.watch.seconds / request.budget))
            }
            self.submit { core in core.track { await $0.sendTrials() } }
            return .searched(job: job, result)
        }
    }

    func allocate(_ grid: SensitivityGrid, measure: AllocationMeasure, goal: AllocationGoal, job: Int) {
        run(job, title: "Allocate \(grid.request.step.technique)") { session, cancellation, reporter in
            let found = try session.allocated(grid, measure: measure, goal: goal, cancellation: cancellation) { reporter.update($1, $0) }
            return .allocated(job: job, found.recipe, isMet: found.isMet)
        }
    }
}
