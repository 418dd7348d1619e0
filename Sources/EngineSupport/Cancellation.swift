import Synchronization

/// A flag that one thread raises and others watch; hooks run at once when it is raised.
public final class Cancellation: Sendable {
    private struct State {
        var cancelled = false
        var hooks: [Int: @Sendable () -> Void] = [:]
        var next = 0
    }

    private let state = Mutex(State())

    public init() {}

    public var isCancelled: Bool { state.withLock { $0.cancelled } }

    public func cancel() {
        let hooks = state.withLock { state -> [@Sendable () -> Void] in
            guard !state.cancelled else { return [] }
            state.cancelled = true
            defer { state.hooks = [:] }
            return Array(state.hooks.values)
        }
        for hook in hooks { hook() }
    }

    /// - Throws: `EngineError.cancelled` once cancelled.
    public func check() throws(EngineError) { if isCancelled { throw .cancelled } }

    /// Runs `body` with `hook` called if cancellation comes meanwhile (or has come already).
    public func withHook<R>(_ hook: @escaping @Sendable () -> Void, _ body: () throws -> R) rethrows -> R {
        let token = state.withLock { state -> Int? in
            guard !state.cancelled else { return nil }
            state.next += 1
            state.hooks[state.next] = hook
            return state.next
        }
        if token == nil { hook() }
        defer { if let token { state.withLock { $0.hooks[token] = nil } } }
        return try body()
    }
}
