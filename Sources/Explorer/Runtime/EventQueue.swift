import CompressionEngine
import Synchronization

/// Engine events on their way from any thread to the explorer's.
final class EventQueue: Sendable {
    private let events = Mutex<[EngineEvent]>([])
    private let wake: @Sendable () -> Void

    init(wake: @escaping @Sendable () -> Void) { self.wake = wake }

    func send(_ event: EngineEvent) {
        events.withLock { $0.append(event) }
        wake()
    }

    func drain() -> [EngineEvent] {
        events.withLock { events in
            defer { events.removeAll() }
            return events
        }
    }
}
