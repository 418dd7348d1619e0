import CTerminalGuard

/// Ends the wait of the terminal thread from any other: `TerminalScreen.nextEvents` returns. A wake between two waits is kept.
public struct TerminalWaker: Sendable {
    public func wake() { lathe_guard_wake() }
}
