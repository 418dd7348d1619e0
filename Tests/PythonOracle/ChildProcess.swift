import Foundation

/// A program that a test starts.
///
/// Not Foundation's `Process`: that learns of the end through a socket which the child inherits, and a child that leaves a daemon
/// behind (tmux's server) would keep it open for good.
package enum ChildProcess {
    package struct Result: Sendable {
        package var status: Int32
        /// The signal that ended it, if one did.
        package var signal: Int32?
        package var output: String
        package var errors: String

        package var errorLines: [Substring] { errors.split(separator: "\n") }
    }

    package struct CannotRun: Error, CustomStringConvertible {
        package var description: String
    }

    /// Starts a program whose standard input, output and error are the given descriptors (`nil` for an empty input).
    ///
    /// Descriptors of this process that are to stay its own must be closed on exec.
    package static func start(
        _ executable: String, _ arguments: [String], environment: [String: String] = [:], input: Int32? = nil, output: Int32, errors: Int32
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, errors, 2)
        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0.key)=\($0.value)" }
        var argv: [UnsafeMutablePointer<CChar>?] = ([executable] + arguments).map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        // Threads of libdispatch, on which tests run, block signals, and children inherit that: a shell started so would not
        // even end on SIGHUP, nor tmux on `kill-server`.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var process = pid_t()
        let failure = posix_spawn(&process, executable, &actions, &attributes, &argv, &envp)
        guard failure == 0 else { throw CannotRun(description: "\(executable): \(String(cString: strerror(failure)))") }
        return process
    }

    /// Waits for the end of a process.
    package static func wait(_ process: pid_t) -> (status: Int32, signal: Int32?) {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7F
        return signal != 0 ? (-1, signal) : ((status >> 8) & 0xFF, nil)
    }

    /// Runs a program to its end. Standard input is empty; both pipes are read at once, so that neither fills up.
    package static func run(
        _ executable: String, _ arguments: [String], environment: [String: String] = [:], directory: String? = nil
    ) throws -> Result {
        // The shell changes folder: the call that would do it is not in every C library's public interface.
        var (executable, arguments) = (executable, arguments)
        if let directory {
            arguments = ["-c", "cd \"$1\" && shift && exec \"$@\"", "sh", directory, executable] + arguments
            executable = "/bin/sh"
        }
        let out = Pipe()
        let err = Pipe()
        for handle in [out.fileHandleForReading, out.fileHandleForWriting, err.fileHandleForReading, err.fileHandleForWriting] {
            _ = fcntl(handle.fileDescriptor, F_SETFD, FD_CLOEXEC)
        }
        let started = Swift.Result {
            try start(
                executable, arguments, environment: environment, output: out.fileHandleForWriting.fileDescriptor,
                errors: err.fileHandleForWriting.fileDescriptor)
        }
        try out.fileHandleForWriting.close()
        try err.fileHandleForWriting.close()
        let process = try started.get()
        let errorBytes = Reader(err.fileHandleForReading)
        let output = out.fileHandleForReading.readDataToEndOfFile()
        let errors = errorBytes.wait()
        let end = wait(process)
        return Result(
            status: end.status, signal: end.signal, output: String(decoding: output, as: UTF8.self), errors: String(decoding: errors, as: UTF8.self))
    }

    /// Reads a pipe to its end on a thread of its own. The semaphore orders the write of `data` before its read.
    private final class Reader: @unchecked Sendable {
        private var data = Data()
        private let done = DispatchSemaphore(value: 0)

        init(_ handle: FileHandle) {
            Thread { [self] in
                data = handle.readDataToEndOfFile()
                done.signal()
            }.start()
        }

        func wait() -> Data {
            done.wait()
            return data
        }
    }
}
