import Dispatch
import EngineSupport
import Foundation

/// Does work in the order of the calls. An actor that runs on one can be handed work by code which is not asynchronous, in an order that holds.
/// Only for short work: what blocks in the runtime goes to a `BlockingThread`.
final class SerialQueue: SerialExecutor {
    private let queue: DispatchQueue

    init(_ label: String) { queue = DispatchQueue(label: label, qos: .userInitiated) }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }

    /// Runs `body` behind everything that was handed over before.
    func async(_ body: @escaping @Sendable () -> Void) { queue.async(execute: body) }

    /// The same, for who wants to know what `body` returns or throws.
    func run<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        try await withCheckedThrowingContinuation { continuation in queue.async { continuation.resume(with: Result { try body() }) } }
    }
}

/// Work that blocks in the runtime or in LAPACK, on a thread of its own: Swift's shared pool has as few threads as the machine has cores and must
/// never block. A new thread for each piece of work also means that what the work sets for its thread (denormals flushed to zero
/// while something is timed) ends with it.
enum BlockingThread {
    static let stackBytes = 8 << 20

    /// Runs `body` and gives what it returns or throws.
    /// - Throws: `EngineError.cancelled` without running `body` if that came first; what `body` throws.
    static func run<R: Sendable>(_ name: String, _ cancellation: Cancellation, _ body: @escaping @Sendable () throws -> R) async throws -> R {
        try cancellation.check()
        return try await withCheckedThrowingContinuation { continuation in
            let thread = Thread { continuation.resume(with: Result { try body() }) }
            thread.name = name
            thread.stackSize = stackBytes
            thread.start()
        }
    }
}

/// Time since it was started, by any clock.
struct Stopwatch: Sendable {
    private let reading: @Sendable () -> Duration

    fileprivate init(_ reading: @escaping @Sendable () -> Duration) { self.reading = reading }

    var seconds: Double {
        let parts = reading().components
        return Double(parts.seconds) + Double(parts.attoseconds) / 1e18
    }
}

extension Clock where Duration == Swift.Duration {
    /// A stopwatch that starts now.
    func stopwatch() -> Stopwatch {
        let start = now
        return Stopwatch { start.duration(to: self.now) }
    }
}
