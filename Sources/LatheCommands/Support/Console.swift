import Foundation
import ModelGraph
import Synchronization

/// Standard output and error of the headless commands.
///
/// Neither being gone (a reader that has left, a terminal that was closed, a full disk) ends the work: what a command was asked to write into files is
/// written all the same. The exit status then says that not all was said.
enum Console {
    private struct State {
        /// The error that standard output failed with; 0 for none.
        var failure: Int32 = 0
        /// Standard output carries a file.
        var isTaken = false
    }

    private static let state = Mutex(State())

    /// Makes ready for output that fails instead of ending the program.
    static func prepare() {
        signal(SIGPIPE, SIG_IGN)
        // A file that is opened must not get the number of a closed standard output or error, and be written to as if it were that. Opened for
        // reading, the number still fails whoever writes.
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 { _ = open("/dev/null", O_RDONLY) }
    }

    /// Leaves standard output to a file that is written there; what else there is to say goes to standard error.
    static func leaveOutputToFile() { state.withLock { $0.isTaken = true } }

    /// Writes a line to standard output.
    static func print(_ text: String) {
        let (failure, isTaken) = state.withLock { ($0.failure, $0.isTaken) }
        guard failure == 0 else { return }
        let problem = write(text.hasSuffix("\n") ? text : text + "\n", to: isTaken ? STDERR_FILENO : STDOUT_FILENO)
        if problem != 0, !isTaken { state.withLock { $0.failure = problem } }
    }

    static func error(_ line: String) { _ = write("lathe: \(line)\n", to: STDERR_FILENO) }

    /// A remark that is not an error; never on standard output, which may be read by a program.
    static func warn(_ line: String) { error("warning: \(line.onOneLine.namesShortened())") }

    /// The status to end with: that of the work, unless all went well but not all was said.
    static func status(after status: Int32) -> Int32 {
        let failure = state.withLock { $0.failure }
        guard status == 0, failure != 0 else { return status }
        // A reader that has seen enough knows why.
        if failure == EPIPE { return Failure.outputClosed }
        error("standard output cannot be written: \(String(cString: strerror(failure)))")
        return Failure.badInput
    }

    /// - Returns: the error that kept some of the text from being written; 0 for none.
    fileprivate static func write(_ text: String, to descriptor: Int32) -> Int32 {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written >= 0 {
                bytes = bytes.dropFirst(written)
            } else if errno == EAGAIN {
                // Whoever shares the terminal or pipe has made it so that writing does not wait.
                var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&waiting, 1, 1000)
            } else if errno != EINTR {
                return errno
            }
        }
        return 0
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
        put("\r\u{1B}[K\(what.onOneLine.namesShortened())\(percent)")
    }

    func clear() { if isShown { put("\r\u{1B}[K") } }

    private func put(_ text: String) { _ = Console.write(text, to: STDERR_FILENO) }
}
