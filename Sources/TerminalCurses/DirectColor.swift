import CNcurses

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Opens a terminal so that curses sends 24-bit colors to it.
///
/// Curses does so only for terminal types whose description says `RGB` (xterm-direct); terminals that can do it announce it
/// by `COLORTERM` instead and call themselves xterm-256color. Redefining their palette would change the user's colors,
/// so the description itself is amended: curses takes a compiled one from the environment (`TERMINFO=hex:...`).
enum DirectColor {
    /// `newterm` for this terminal type; nil when the type is unknown.
    static func newTerminal(
        type: String, wantsDirectColor: Bool, environment: [String: String], output: UnsafeMutablePointer<FILE>,
        input: UnsafeMutablePointer<FILE>
    ) -> OpaquePointer? {
        if wantsDirectColor, let entry = TerminfoEntry.find(type: type, environment: environment),
            let amended = entry.withDirectColor()
        {
            let hex = amended.compiled.map { byte in
                let digits = String(byte, radix: 16, uppercase: true)
                return digits.count == 1 ? "0" + digits : digits
            }.joined()
            setenv("TERMINFO", "hex:" + hex, 1)
            defer {
                if let before = environment["TERMINFO"] { setenv("TERMINFO", before, 1) } else { unsetenv("TERMINFO") }
            }
            if let screen = newterm(type, output, input) { return screen }
        }
        return newterm(type, output, input)
    }
}
