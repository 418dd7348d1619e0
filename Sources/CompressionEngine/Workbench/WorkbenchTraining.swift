import Foundation
import Recipes
import Training

extension Workbench {
    public func train(_ recipe: Recipe, steps: Int?, job: Int) {
        let control = TrainingControl()
        state.withLock { $0.trainings[job] = control }
        runJob(job, title: steps == nil ? "Training" : "Short trial training") { session, cancellation, progress in
            defer { self.state.withLock { $0.trainings[job] = nil } }
            var source = try session.trainingSource(store: steps == nil ? session.trainings : nil)
            source.control = control
            source.maximumSteps = steps
            source.progress = { state in
                progress(state.fraction, state.loss.map { String(format: "loss %.4f", $0) } ?? "training")
                self.send(.training(job: job, state))
            }
            // Samples enough to see a point of accuracy; a preview is an estimate.
            if steps != nil { source.evaluate = { try session.evaluate($0, limit: 2000, cancellation: $1) } }
            let applied = try session.apply(recipe, training: source, cancellation: cancellation)
            if let remark = session.trainings.takeRemark() { self.send(.remark(remark)) }
            guard let steps else { return .trained(job: job, recipe) }
            let estimate = try session.evaluate(applied.model, limit: 2000, cancellation: cancellation)
            return .recovered(job: job, recipe, estimate, steps: steps)
        }
    }

    public func control(_ command: TrainingCommand, job: Int) {
        guard let control = state.withLock({ $0.trainings[job] }) else { return }
        switch command {
        case .pause: control.isPaused = true
        case .goOn: control.isPaused = false
        case .finish: control.finish()
        }
    }
}
