import Foundation
import PythonOracle
import Testing

/// Whatever ends or stops the explorer, the shell gets its terminal back as it was.
@Suite(.serialized) struct ExplorerSignalTests {
    private static let signals: [String: Int32] = [
        "TERM": SIGTERM, "HUP": SIGHUP, "INT": SIGINT, "QUIT": SIGQUIT, "ILL": SIGILL, "TRAP": SIGTRAP, "SEGV": SIGSEGV, "ABRT": SIGABRT, "BUS": SIGBUS, "FPE": SIGFPE,
    ]

    /// A terminal whose shell writes no core files, which would only take time.
    private func terminal() throws -> (Tmux, settings: String) {
        let terminal = try Tmux(width: 80, height: 24)
        try terminal.command("ulimit -c 0")
        return (terminal, try terminal.lineSettings())
    }

    /// The status the shell saw: 128 and the number of the signal the process died of.
    private func status(_ terminal: Tmux) throws -> Int32? {
        try Int32(terminal.output(of: "(exit $?); echo $?").trimmingCharacters(in: .whitespacesAndNewlines))
    }

    @Test(arguments: signals.keys.sorted()) func aKilledExplorerGivesTheTerminalBack(_ name: String) throws {
        let number = try #require(Self.signals[name])
        let (terminal, settings) = try terminal()
        try terminal.open(data: nil)
        #expect(try terminal.isAlternate())
        #expect(try terminal.wantsMouse())
        #expect(try !terminal.isCursorVisible())
        kill(try terminal.childProcess(), number)
        try terminal.waitForShell()
        // The process really died of the signal, so that a supervisor or a core file tells the truth.
        #expect(try status(terminal) == 128 + number)
        try terminal.expectSane(settings, "after SIG\(name)")
    }

    /// While an evaluation runs on other threads, and frames are drawn all the time.
    @Test(arguments: ["TERM", "SEGV"]) func aKillDuringWorkGivesTheTerminalBack(_ name: String) throws {
        let (terminal, settings) = try terminal()
        try terminal.command("clear; \(Program.path) \(Samples.path("lstm")) --data \(Samples.data)")
        try terminal.wait(for: "baseline")
        for _ in 0..<10 { try terminal.type("l") }
        kill(try terminal.childProcess(), try #require(Self.signals[name]))
        try terminal.waitForShell()
        #expect(try status(terminal) == 128 + (try #require(Self.signals[name])))
        try terminal.expectSane(settings)
    }

    /// A crash of a worker thread while the terminal thread draws: the owner is stopped before the terminal is given back.
    @Test(arguments: ["SEGV", "ILL"]) func aDyingWorkerGivesTheTerminalBack(_ name: String) throws {
        typealias Tgkill = @convention(c) (Int32, Int32, Int32) -> Int32
        let tgkill = unsafeBitCast(try #require(dlsym(nil, "tgkill")), to: Tgkill.self)
        let number = try #require(Self.signals[name])
        let (terminal, settings) = try terminal()
        try terminal.command("clear; \(Program.path) \(Samples.path("lstm")) --data \(Samples.data)")
        try terminal.wait(for: "baseline")
        let process = try terminal.childProcess()
        // The thread that was started last may end before the signal reaches it.
        try terminal.poll("another thread") {
            let thread = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task").compactMap { Int32($0) }.max()
            return thread.flatMap { $0 != process && tgkill(process, $0, number) == 0 ? true : nil }
        }
        try terminal.waitForShell()
        #expect(try status(terminal) == 128 + number)
        try terminal.expectSane(settings)
    }

    /// Started by something that has the signals blocked, which children inherit, it still ends on them.
    @Test(arguments: ["TERM", "HUP"]) func anInheritedSignalMaskIsNoShield(_ name: String) throws {
        let number = try #require(Self.signals[name])
        let (terminal, settings) = try terminal()
        let start = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, {1, 2, 3, 15}); os.execv(sys.argv[1], sys.argv[1:])"
        try terminal.command("clear; \(Python.executable) -c '\(start)' \(Program.path) \(Samples.path("lenet-5"))")
        try terminal.wait(for: "Pruning")
        kill(try terminal.childProcess(), number)
        try terminal.waitForShell()
        #expect(try status(terminal) == 128 + number)
        try terminal.expectSane(settings)
    }

    /// Before the first model is read, too.
    @Test func aKillAtTheStartGivesTheTerminalBack() throws {
        let (terminal, settings) = try terminal()
        try terminal.command("clear; \(Program.path) \(Samples.path("resnet-8"))")
        try terminal.poll("the alternate screen") { try terminal.isAlternate() ? true : nil }
        kill(try terminal.childProcess(), SIGTERM)
        try terminal.waitForShell()
        try terminal.expectSane(settings)
    }

    /// Suspended, the terminal is the shell's; dying there leaves it alone.
    @Test func aKillWhileSuspendedLeavesTheShellAlone() throws {
        let (terminal, settings) = try terminal()
        try terminal.open(data: nil)
        try terminal.press("C-z")
        try terminal.waitForShell()
        try terminal.expectSane(settings, "suspended")
        try terminal.command("kill -TERM %1; fg; true")
        try terminal.waitForShell()
        try terminal.expectSane(settings, "killed")
    }

    /// SIGTSTP from outside stops it as ^Z does, and SIGCONT brings the picture back.
    @Test func stoppingFromOutside() throws {
        let (terminal, settings) = try terminal()
        try terminal.open(data: nil)
        kill(try terminal.childProcess(), SIGTSTP)
        try terminal.waitForShell()
        try terminal.expectSane(settings, "stopped")
        try terminal.command("fg")
        try terminal.wait(for: "Magnitude")
        #expect(try terminal.isAlternate())
        try terminal.quit()
        try terminal.expectSane(settings, "after quitting")
    }
}
