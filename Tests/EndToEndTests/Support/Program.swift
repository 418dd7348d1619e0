import Foundation
import Testing

/// The built program, run as a user runs it.
enum Program {
    static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// `LATHE_BINARY`, or whichever of the debug and release builds was built last.
    static let path: String = {
        if let named = ProcessInfo.processInfo.environment["LATHE_BINARY"] { return named }
        let built = ["debug", "release"].map { repository.appendingPathComponent(".build/\($0)/lathe").path }
        func date(_ path: String) -> Date {
            ((try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate] as? Date) ?? .distantPast
        }
        return built.max { date($0) < date($1) } ?? built[0]
    }()

    struct Result: Sendable {
        var status: Int32
        /// The signal that ended it, if one did.
        var signal: Int32?
        var output: String
        var errors: String

        var errorLines: [Substring] { errors.split(separator: "\n") }
    }

    /// Runs the program to its end. Standard input is empty; standard output and error are pipes.
    static func run(_ arguments: [String], environment: [String: String] = [:], directory: String? = nil) throws -> Result {
        try execute(path, arguments, environment: environment, directory: directory)
    }

    static func run(_ arguments: String...) throws -> Result { try run(arguments) }

    /// Runs the program with `--json` and reads what it prints.
    static func json(_ arguments: [String], environment: [String: String] = [:]) throws -> JSON {
        let result = try run(arguments + ["--json"], environment: environment)
        try #require(result.status == 0, "lathe \(arguments.joined(separator: " ")): status \(result.status): \(result.errors)")
        return try JSON(parsing: result.output)
    }

    /// Runs any program; both pipes are read at once, so that neither fills up.
    ///
    /// Not Foundation's `Process`: that learns of the end through a socket which the child inherits, and a child that
    /// leaves a daemon behind (tmux's server) would keep it open for good.
    static func execute(
        _ executable: String, _ arguments: [String], environment: [String: String] = [:], directory: String? = nil
    ) throws -> Result {
        let out = Pipe()
        let err = Pipe()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, out.fileHandleForWriting.fileDescriptor, 1)
        posix_spawn_file_actions_adddup2(&actions, err.fileHandleForWriting.fileDescriptor, 2)
        for handle in [out.fileHandleForReading, out.fileHandleForWriting, err.fileHandleForReading, err.fileHandleForWriting] {
            _ = fcntl(handle.fileDescriptor, F_SETFD, FD_CLOEXEC)
        }
        // The shell changes folder: the call that would do it is not in every C library's public interface.
        var executable = executable
        var arguments = arguments
        if let directory {
            arguments = ["-c", "cd \"$1\" && shift && exec \"$@\"", "sh", directory, executable] + arguments
            executable = "/bin/sh"
        }
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
        try out.fileHandleForWriting.close()
        try err.fileHandleForWriting.close()
        guard failure == 0 else { throw CannotRun(description: "\(executable): \(String(cString: strerror(failure)))") }
        let errorBytes = Reader(err.fileHandleForReading)
        let output = out.fileHandleForReading.readDataToEndOfFile()
        let errors = errorBytes.wait()
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7F
        return Result(
            status: signal != 0 ? -1 : (status >> 8) & 0xFF, signal: signal != 0 ? signal : nil,
            output: String(decoding: output, as: UTF8.self), errors: String(decoding: errors, as: UTF8.self))
    }

    struct CannotRun: Error, CustomStringConvertible {
        var description: String
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

/// A folder that is gone when the test is over.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("lathe-e2e-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { (path as NSString).appendingPathComponent(name) }
}

/// The models and data of the repository.
enum Samples {
    static let models = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"]
    static let data = Program.repository.appendingPathComponent("SampleModels/data/fashion-mnist.yaml").path

    static func path(_ model: String) -> String { Program.repository.appendingPathComponent("SampleModels/\(model).onnx").path }
}

func contents(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }
