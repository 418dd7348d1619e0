import ModelGraph
import Synchronization

/// The way out for events: from any thread to the front end, except what answers a request that was replaced meanwhile.
final class EventOutlet: Sendable {
    /// Stands for the moment a request came in.
    struct Ticket: Sendable {
        fileprivate var evaluation: Int
        /// For requests of a curve.
        fileprivate var curve: Int?
    }

    private struct State {
        var send: (@Sendable (EngineEvent) -> Void)?
        var evaluation = 0
        var curve = 0
        var isClosed = false
    }

    private let state = Mutex(State())

    func open(_ send: @escaping @Sendable (EngineEvent) -> Void) { state.withLock { if !$0.isClosed { $0.send = send } } }

    /// No event goes out any more.
    func close() {
        state.withLock { state in
            state.isClosed = true
            state.send = nil
        }
    }

    /// A ticket for a new evaluation. Those of earlier evaluations, latencies and curves are void from here on.
    func replaceEvaluation() -> Ticket {
        state.withLock { state in
            state.evaluation += 1
            return Ticket(evaluation: state.evaluation)
        }
    }

    /// A ticket for something that belongs to the present evaluation.
    func ticket() -> Ticket { state.withLock { Ticket(evaluation: $0.evaluation) } }

    /// A ticket for a new curve; that of the earlier one is void.
    func replaceCurve() -> Ticket {
        state.withLock { state in
            state.curve += 1
            return Ticket(evaluation: state.evaluation, curve: state.curve)
        }
    }

    func send(_ event: EngineEvent) { state.withLock { $0.send }?(event.withShortNames) }

    /// Drops the event if its ticket is void.
    func send(_ event: EngineEvent, _ ticket: Ticket) {
        let send = state.withLock { state in
            ticket.evaluation == state.evaluation && (ticket.curve == nil || ticket.curve == state.curve) ? state.send : nil
        }
        send?(event.withShortNames)
    }
}

extension EngineEvent {
    /// What is said to the user in one line, with the long names in it cut.
    fileprivate var withShortNames: EngineEvent {
        switch self {
        case .failed(let generation, let job, let message): .failed(generation: generation, job: job, message: message.namesShortened())
        case .remark(let text): .remark(text.namesShortened())
        default: self
        }
    }
}
