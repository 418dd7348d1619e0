import Foundation

/// Standard output and error of the headless commands.
enum Console {
    /// Writes a line to standard output. A reader that has gone away (`lathe … | head`) ends the program quietly.
    static func print(_ text: String) {
        write(text.hasSuffix("\n") ? text : text + "\n", to: STDOUT_FILENO)
    }

    static func error(_ line: String) {
        write("lathe: \(line)\n", to: STDERR_FILENO)
    }

    /// A remark that is not an error; never on standard output, which may be read by a program.
    static func warn(_ line: String) { error("warning: \(line.onOneLine)") }

    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0 {
                if errno == EINTR { continue }
                exit(errno == EPIPE ? 0 : Failure.badInput)
            }
            bytes = bytes.dropFirst(written)
        }
    }
}

/// One line on standard error that says what is being done; nothing when standard error is not a terminal.
final class ProgressLine: Sendable {
    private let isShown: Bool

    init(quiet: Bool) { isShown = !quiet && isatty(STDERR_FILENO) == 1 }

    /// `fraction` in 0…1, or `nil` while unknown.
    func show(_ what: String, _ fraction: Double? = nil) {
        guard isShown else { return }
        let percent = fraction.map { " \(Int($0 * 100)) %" } ?? ""
        put("\r\u{1B}[K\(what.onOneLine)\(percent)")
    }

    func clear() { if isShown { put("\r\u{1B}[K") } }

    private func put(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
