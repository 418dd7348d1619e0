import TerminalCells

/// What the explorer needs of a terminal. `TerminalCurses` has a real one; tests bring a script.
///
/// All methods but `wake` are called from the one thread that runs the explorer.
public protocol TerminalPort: AnyObject {
    var size: Size { get }
    var capabilities: Capabilities { get }

    /// Waits for input, a change of size, a `wake`, or the timeout in seconds (`nil` waits for ever) and returns what
    /// there is; nothing after a wake or the timeout.
    /// - Throws: when the terminal is gone.
    func events(timeout: Double?) throws -> [InputEvent]

    /// Shows a grid of the terminal's size.
    func present(_ grid: CellGrid)

    /// Ends a wait under way, or the next one. The only method other threads may call.
    var waker: @Sendable () -> Void { get }

    func setMouse(enabled: Bool)

    /// Paints with this many colors from now on; never more than `capabilities` tell.
    func setColors(_ tier: ColorTier)

    /// Puts text on the system's clipboard. Returns false when the terminal cannot.
    func copy(_ text: String) -> Bool

    /// Gives the terminal to the shell until the program is continued; returns a resize if there was one.
    func suspend() -> [InputEvent]

    /// Lines that libraries wrote to standard output or error since the last call.
    func capturedLines() -> [String]
}

extension TerminalPort {
    /// For ports that have no colors to change.
    public func setColors(_ tier: ColorTier) {}
}
