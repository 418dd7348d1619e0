import Synchronization

@testable import CompressionEngine
@testable import EngineSupport

/// Events in the order in which they came, to wait for and to count afterwards.
final class EventLog: Sendable {
    private struct State {
        var events: [EngineEvent] = []
        var waiting: [(fits: @Sendable (EngineEvent) -> Bool, from: Int, resume: CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    func take(_ event: EngineEvent) {
        let due = state.withLock { state in
            state.events.append(event)
            let due = state.waiting.filter { $0.fits(event) }
            state.waiting.removeAll { $0.fits(event) }
            return due.map(\.resume)
        }
        for continuation in due { continuation.resume() }
    }

    /// Returns once there is an event that fits.
    func wait(_ fits: @escaping @Sendable (EngineEvent) -> Bool) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.events.contains(where: fits) { return true }
                state.waiting.append((fits, state.events.count, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }

    var all: [EngineEvent] { state.withLock { $0.events } }
    func count(_ fits: (EngineEvent) -> Bool) -> Int { all.count(where: fits) }

    var failures: [String] { all.compactMap { if case .failed(_, _, let message) = $0 { message } else { nil } } }
    var remarks: [String] { all.compactMap { if case .remark(let text) = $0 { text } else { nil } } }
    /// Values of the curve's points with a generation, in the order in which they came.
    func curve(_ generation: Int) -> [Double] {
        all.compactMap {
            if case .whatIf(generation, let point) = $0, case .real(let value) = point.value { value } else { nil }
        }
    }
    /// States that a job went through.
    func states(of job: Int) -> [JobUpdate.State] { all.compactMap { if case .jobUpdated(let update) = $0, update.id == job { update.state } else { nil } } }
    func updates(of job: Int) -> [JobUpdate] { all.compactMap { if case .jobUpdated(let update) = $0, update.id == job { update } else { nil } } }
}

extension EngineEvent {
    /// The generation that the event answers; `nil` where it answers none.
    var generation: Int? {
        switch self {
        case .rewritten(let generation, _, _), .accuracy(let generation, _), .latency(let generation, _, _), .settled(let generation), .whatIf(let generation, _): generation
        case .failed(let generation, _, _): generation
        default: nil
        }
    }

    func isSettled(_ generation: Int) -> Bool { if case .settled(generation) = self { true } else { false } }
}
