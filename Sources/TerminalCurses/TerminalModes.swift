import CNcurses
import CTerminalGuard
import Foundation

/// Modes that terminfo of the day does not cover: bracketed paste, focus and drag reports, synchronized frames.
///
/// Only terminals that announce bracketed paste or SGR mouse reports get them; a hardware terminal would print them.
struct TerminalModes {
    /// Whether the terminal takes sequences that terminfo does not list.
    let isModern: Bool
    /// What brings the terminal back to how the shell wants it: written from a signal handler, so made beforehand.
    let restoreText: String

    /// Looks at the terminal that curses has just opened.
    init(term: String) {
        let mouse = lathe_capability("kmous").map { String(cString: $0) }
        let isXtermLike = lathe_capability("BE") != nil || mouse?.hasPrefix("\u{1B}[") == true
        isModern = isXtermLike && !term.hasPrefix("linux")
        var text =
            isModern
            ? "\u{1B}[?2026l\u{1B}[?1006l\u{1B}[?1003l\u{1B}[?1002l\u{1B}[?1000l\u{1B}[?1004l\u{1B}[?2004l" : ""
        // Attributes off, own colors, normal keypad, cursor shown, and the primary screen last.
        for name in ["sgr0", "op", "rmkx", "cnorm", "rmcup"] {
            if let value = lathe_capability(name) { text += Self.withoutPadding(String(cString: value)) }
        }
        // Without a second screen to leave, the shell's prompt belongs on a new line.
        if lathe_capability("rmcup") == nil { text += "\r\n" }
        restoreText = text
    }

    /// Brings a terminal back that a killed program left in its own modes.
    /// - Throws: where standard output is no terminal that is known.
    static func reset() throws(TerminalError) {
        var settings = termios()
        guard isatty(1) != 0, tcgetattr(1, &settings) == 0 else { throw TerminalError("standard output is no terminal") }
        settings.c_iflag |= tcflag_t(BRKINT | ICRNL | IXON)
        settings.c_oflag |= tcflag_t(OPOST | ONLCR)
        settings.c_lflag |= tcflag_t(ISIG | ICANON | ECHO | ECHOE | ECHOK | IEXTEN)
        tcsetattr(1, TCSANOW, &settings)
        guard lathe_describe_terminal() == 0 else { throw TerminalError("this terminal is not known (TERM)") }
        let text = TerminalModes(term: ProcessInfo.processInfo.environment["TERM"] ?? "").restoreText
        FileHandle.standardOutput.write(Data(text.utf8))
    }

    func enable(on output: Int32) { send("\u{1B}[?2004h\u{1B}[?1004h", on: output) }
    func disable(on output: Int32) { send("\u{1B}[?1004l\u{1B}[?2004l", on: output) }
    func setDragReports(_ enabled: Bool, on output: Int32) { send("\u{1B}[?1002\(enabled ? "h" : "l")", on: output) }
    /// Between these two a terminal that knows them shows nothing, so that a frame appears at once.
    func beginFrame(on output: Int32) { send("\u{1B}[?2026h", on: output) }
    func endFrame(on output: Int32) { send("\u{1B}[?2026l", on: output) }

    private func send(_ sequence: String, on output: Int32) {
        guard isModern else { return }
        let bytes = Array(sequence.utf8).map { CChar(bitPattern: $0) }
        lathe_guard_write(output, bytes, bytes.count)
    }

    /// A capability without its delays (`$<5>`), which only tputs understands.
    static func withoutPadding(_ text: String) -> String {
        var result = ""
        var rest = Substring(text)
        while let start = rest.firstRange(of: "$<") {
            result += rest[..<start.lowerBound]
            guard let end = rest[start.upperBound...].firstIndex(of: ">") else { return result }
            rest = rest[rest.index(after: end)...]
        }
        return result + rest
    }
}
