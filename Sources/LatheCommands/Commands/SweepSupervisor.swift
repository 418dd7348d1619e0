import CompressionEngine
import EngineSupport
import Foundation

/// Keeps worker processes running until the sweep is through: what crashes one of them, and be it the runtime or a lack of memory, ends no more than that one.
final class SweepSupervisor {
    private struct Child {
        var process: pid_t
        /// Closed to tell the child to end. It is closed by the system if this process is killed.
        var leash: Int32
        var number: Int
    }

    private let sweep: Sweep
    private let arguments: [String]
    private let count: Int
    private let environment: [String: String]
    private let cancellation: Cancellation
    private var children: [Child] = []

    init(_ sweep: Sweep, arguments: [String], count: Int, environment: [String: String], cancellation: Cancellation) {
        (self.sweep, self.arguments, self.count, self.environment, self.cancellation) = (sweep, arguments, count, environment, cancellation)
    }

    /// Trials with a result, and all.
    func counts() throws -> (done: Int, total: Int) { try sweep.counts() }

    /// Runs until all processes have ended by themselves.
    /// - Returns: 0, or the status of one that could not do its work.
    func run(_ show: (Int, Int) -> Void) throws -> Int32 {
        var status: Int32 = 0
        var isEnding = false
        var (crashes, done) = (0, try counts().done)
        for number in 0..<count { children.append(try start(number)) }
        var looked = ContinuousClock.now - .seconds(1)
        while !children.isEmpty {
            if cancellation.isCancelled || status != 0, !isEnding {
                isEnding = true
                for child in children { close(child.leash) }
            }
            for (place, child) in children.enumerated().reversed() {
                var state: Int32 = 0
                guard waitpid(child.process, &state, WNOHANG) == child.process else { continue }
                children.remove(at: place)
                if !isEnding { close(child.leash) }
                if state & 0x7F == 0 {
                    let code = (state >> 8) & 0xFF
                    if code != 0, status == 0 { status = code }
                    continue
                }
                guard !isEnding else { continue }
                let name = String(cString: strsignal(state & 0x7F))
                let now = try counts().done
                crashes = now > done ? 1 : crashes + 1
                done = max(now, done)
                // Trials that crash their worker get a result in the end. If none does, the fault is not theirs.
                guard crashes <= (sweep.description.attempts + 1) * count + 3 else {
                    Console.error("\(sweep.folder.path): workers end again and again before a trial has a result (\(name))")
                    status = Failure.badInput
                    continue
                }
                Console.warn("\(sweep.folder.path): worker \(child.process) ended (\(name)); another is started, its trial is tried again")
                children.append(try start(child.number))
            }
            if ContinuousClock.now - looked > .seconds(1) {
                looked = .now
                let now = try counts()
                show(now.done, now.total)
            }
            Thread.sleep(forTimeInterval: 0.05)
        }
        return status
    }

    private func start(_ number: Int) throws -> Child {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw BadInput("a worker cannot be started: \(String(cString: strerror(errno)))") }
        // Other children would hold it open.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // This process ignores signals that it takes in another way; children would inherit that. A group of its own: Ctrl-C reaches this process alone, which tells the others.
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        for number in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] { sigaddset(&signals, number) }
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
        let program = LoadCheck.program.withLock { $0 } ?? "/proc/self/exe"
        let variables = ProcessInfo.processInfo.environment.merging(environment) { old, _ in old }.map { "\($0.key)=\($0.value)" }
        var words: [UnsafeMutablePointer<CChar>?] = (["lathe"] + arguments + ["--worker", "\(number)"]).map { strdup($0) } + [nil]
        var values: [UnsafeMutablePointer<CChar>?] = variables.map { strdup($0) } + [nil]
        defer { for text in words + values { free(text) } }
        var process = pid_t()
        let problem = posix_spawn(&process, program, &actions, &attributes, &words, &values)
        guard problem == 0 else {
            close(ends[1])
            throw BadInput("a worker cannot be started: \(String(cString: strerror(problem)))")
        }
        return Child(process: process, leash: ends[1], number: number)
    }
}
