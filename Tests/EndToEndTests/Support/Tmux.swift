import Foundation
import PythonOracle
import Testing

/// A terminal of our own: a tmux server on its own socket with one pane, in which a shell runs.
///
/// Everything is polled against a deadline; nothing sleeps for a fixed time and hopes.
final class Tmux: Sendable {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// Seconds after which something will not happen any more: far beyond what it takes on a machine that is busy otherwise.
    static let patience = 180.0
    static let prompt = "READY$ "
    private let socket: String
    private let folder: TemporaryFolder
    /// Where the program under test keeps settings, trials and logs.
    let home: String

    /// - Parameters:
    ///   - term: the terminal type the program sees; tmux itself always emulates `screen`.
    ///   - environment: for the shell; an empty value removes a variable.
    init(width: Int, height: Int, term: String? = nil, environment: [String: String] = [:]) throws {
        socket = "lathe-e2e-\(getpid())-\(UUID().uuidString.prefix(8))"
        folder = try TemporaryFolder()
        home = folder.path
        var variables = [
            "HOME": folder.path, "XDG_CONFIG_HOME": folder.file("config"), "XDG_CACHE_HOME": folder.file("cache"),
            "XDG_STATE_HOME": folder.file("state"), "XDG_DATA_HOME": folder.file("share"), "PS1": Self.prompt, "LC_ALL": "C.UTF-8", "NO_COLOR": "", "COLORTERM": "",
        ]
        if let term { variables["TERM"] = term }
        variables.merge(environment) { $1 }
        // Set inside the pane, so that they hold whatever the server inherits; `env` takes -u before assignments.
        let removed = variables.filter(\.value.isEmpty).keys.sorted().flatMap { ["-u", $0] }
        let assigned = variables.filter { !$0.value.isEmpty }.map { "\($0.key)=\($0.value)" }.sorted()
        let start = ["env"] + removed + assigned + ["bash", "--norc", "--noprofile", "-i"]
        do {
            _ = try tmux(["-f", "/dev/null", "new-session", "-d", "-x", "\(width)", "-y", "\(height)", "-c", Repository.root] + start)
        } catch {
            throw Failure(description: "tmux is needed for these tests (scripts/setup.sh python installs it): \(error)")
        }
        _ = try tmux(["set-option", "-g", "status", "off"])
        _ = try tmux(["set-option", "-g", "window-size", "manual"])
        _ = try tmux(["resize-window", "-x", "\(width)", "-y", "\(height)"])
        try wait("the shell's prompt") { $0.contains(Self.prompt.trimmingCharacters(in: .whitespaces)) }
    }

    deinit { _ = try? tmux(["kill-server"]) }

    @discardableResult
    private func tmux(_ arguments: [String]) throws -> String {
        let result = try ChildProcess.run("/usr/bin/env", ["tmux", "-L", socket] + arguments, environment: ["TMUX": ""])
        guard result.status == 0 else { throw Failure(description: "tmux \(arguments.first ?? ""): \(result.errors)") }
        return result.output
    }

    // MARK: - Acting

    /// Types text as it is.
    func type(_ text: String) throws { try tmux(["send-keys", "-l", "--", text]) }

    /// Presses keys by tmux's names: `Enter`, `Escape`, `C-c`, `Down`.
    func press(_ keys: String...) throws { for key in keys { try tmux(["send-keys", key]) } }

    /// Types a shell command and presses Enter.
    func command(_ line: String) throws {
        try type(line)
        try press("Enter")
    }

    func resize(width: Int, height: Int) throws { try tmux(["resize-window", "-x", "\(width)", "-y", "\(height)"]) }

    // MARK: - Looking

    /// The screen, one line per row, without colors.
    func screen() throws -> String { try tmux(["capture-pane", "-p"]) }

    /// The screen with its escape sequences for colors and attributes.
    func styledScreen() throws -> String { try tmux(["capture-pane", "-p", "-e"]) }

    /// Whether the pane shows the alternate screen.
    func isAlternate() throws -> Bool { try tmux(["display-message", "-p", "#{alternate_on}"]).hasPrefix("1") }

    /// Whether mouse reports are switched on.
    func wantsMouse() throws -> Bool { try tmux(["display-message", "-p", "#{mouse_any_flag}"]).hasPrefix("1") }

    func isCursorVisible() throws -> Bool { try tmux(["display-message", "-p", "#{cursor_flag}"]).hasPrefix("1") }

    /// Process id of the shell in the pane.
    func shellProcess() throws -> Int32 {
        guard let id = Int32(try tmux(["display-message", "-p", "#{pane_pid}"]).trimmingCharacters(in: .whitespacesAndNewlines)) else {
            throw Failure(description: "tmux tells no process")
        }
        return id
    }

    /// Process id of the program that runs in the shell.
    func childProcess() throws -> Int32 {
        let shell = try shellProcess()
        return try poll("a process in the shell") {
            let children = try String(contentsOfFile: "/proc/\(shell)/task/\(shell)/children", encoding: .utf8)
            return children.split(separator: " ").last.flatMap { Int32($0) }
        }
    }

    /// Waits until the screen satisfies `condition`; the last screen is part of the error.
    @discardableResult
    func wait(_ what: String, seconds: Double = Tmux.patience, _ condition: (String) throws -> Bool) throws -> String {
        var last = ""
        do {
            return try poll(what, seconds: seconds) {
                last = try screen()
                return try condition(last) ? last : nil
            }
        } catch let error as Failure {
            throw Failure(description: "\(error)\n\(last)")
        }
    }

    /// Waits for text on the screen.
    @discardableResult
    func wait(for text: String, seconds: Double = Tmux.patience) throws -> String { try wait("'\(text)'", seconds: seconds) { $0.contains(text) } }

    /// Tries again every 20 ms until there is a value.
    @discardableResult
    func poll<T>(_ what: String, seconds: Double = Tmux.patience, _ attempt: () throws -> T?) throws -> T {
        let deadline = Date().addingTimeInterval(seconds)
        while true {
            if let value = try attempt() { return value }
            guard Date() < deadline else { throw Failure(description: "waited \(Int(seconds)) s in vain for \(what)") }
            usleep(20_000)
        }
    }

    /// Runs a command in the shell and returns what it prints.
    func output(of line: String) throws -> String {
        let mark = UUID().uuidString.prefix(8)
        let file = folder.file("output-\(mark)")
        try command("\(line) > \(file) 2>&1; echo done-\(mark)-$?")
        // The command line itself shows `done-mark-$?`; the result shows a digit.
        try wait("the end of '\(line)'") { screen in (0...9).contains { screen.contains("done-\(mark)-\($0)") } }
        return try String(contentsOfFile: file, encoding: .utf8)
    }

    /// The settings of the terminal line, as `stty -a` prints them.
    func lineSettings() throws -> String { try output(of: "stty -a") }
}
