import EngineSupport
import Foundation

extension Workbench {
    /// Runs a job on a thread of its own and says how it goes: `jobUpdated` while it runs, then the event it returns, or
    /// `failed`.
    func runJob(
        _ job: Int, title: String,
        _ body: @escaping @Sendable (EngineSession, Cancellation, @escaping @Sendable (Double, String) -> Void) throws -> EngineEvent
    ) {
        let cancellation = Cancellation()
        state.withLock { $0.jobs[job] = cancellation }
        let started = Date()
        @Sendable func update(_ phase: String, _ fraction: Double?, _ jobState: JobUpdate.State) {
            let elapsed = Date().timeIntervalSince(started)
            let remaining = fraction.flatMap { $0 > 0.05 && $0 < 1 ? elapsed / $0 * (1 - $0) : nil }
            send(
                .jobUpdated(
                    JobUpdate(
                        id: job, title: title, phase: phase, fraction: fraction, elapsedSeconds: elapsed, remainingSeconds: remaining, state: jobState)))
        }
        update("starting", 0, .running)
        start("lathe.job") {
            defer { self.state.withLock { $0.jobs[job] = nil } }
            guard let session = self.state.withLock({ $0.session }) else {
                update("failed", nil, .failed("the model is not open yet"))
                return
            }
            do {
                let result = try body(session, cancellation) { fraction, phase in update(phase, fraction, .running) }
                update("done", 1, .finished)
                self.send(result)
            } catch {
                let cancelled = (error as? EngineError)?.kind == .cancelled
                update(cancelled ? "canceled" : "failed", nil, cancelled ? .cancelled : .failed("\(error)"))
                if !cancelled { self.send(.failed(generation: nil, job: job, message: "\(error)")) }
            }
        }
    }
}
