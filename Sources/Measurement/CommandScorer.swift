import EngineSupport
import Foundation
import Metrics
import Synchronization

/// Scores samples by a program of the user's: it gets outputs and labels of each batch on its standard input and answers a line of one or
/// two numbers per sample.
///
/// For each batch the program is sent a line of JSON, `{"samples": 8, "outputs": ["logits"], "labels": "label"}`, and then arrays in NumPy's
/// `.npy` format: the outputs in that order, samples in front, and the labels unless they are `null`. One number is the sample's score,
/// whose mean is the metric; two are parts of a sum, first over second. The program ends when its input does.
///
/// Unchecked sendability: everything that changes is behind the lock, which is held for a whole batch.
final class CommandScorer: @unchecked Sendable {
    private let lock = NSLock()
    private let command: [String]
    private let seconds: Double
    private let samples: SampleSet
    private var child: Child?
    /// How many numbers it answers for a sample; `nil` before it has.
    private var width: Int?
    /// What went wrong: the program is not asked again, which might take as long again.
    private var failure: (any Error)?

    init(_ samples: SampleSet) throws(EngineError) {
        guard let command = samples.options.command, !command.isEmpty else { throw EngineError(.data, "metric: the command is empty") }
        self.command = command
        self.samples = samples
        seconds = samples.options.commandSeconds ?? 30
    }

    deinit { child?.end() }

    /// The script says more than the interpreter before it, and the reason more than either.
    private var title: String {
        let words = command.map { $0.count > 24 && $0.contains("/") ? ($0 as NSString).lastPathComponent : $0 }.joined(separator: " ")
        return "metric command '\(words.count > 60 ? words.prefix(59) + "…" : words)'"
    }

    /// Tells the program that all is asked, and sees it gone with all that it has started.
    /// - Throws: `EngineError` if it says more than it was asked.
    func finish() throws {
        try lock.withLock {
            guard let child else { return }
            self.child = nil
            guard child.end().allSatisfy(\.isWhitespace) else { throw EngineError(.data, "\(title): answered more lines than the samples it was given") }
        }
    }

    /// Said where sums of second numbers divide nothing.
    var noSum: EngineError { EngineError(.data, "\(title): the second numbers of all samples sum to 0, so the first cannot be divided by them") }

    /// What answers are summed up to: a mean, or a sum over another.
    static func computation(of kind: MetricKind) -> (any MetricComputation)? { kind == .score || kind == .error ? SumsComputation() : nil }

    /// One or two numbers for each sample of a batch.
    /// - Throws: `EngineError` in one line if the program does not start, ends, hangs or answers something else; it is gone then.
    func contributions(_ outputs: [BatchedOutput], _ range: Range<Int>, cancellation: Cancellation) throws -> [[Double]] {
        let message = try message(outputs, range)
        return try lock.withLock {
            if let failure { throw failure }
            do {
                let child = try self.child ?? Child(command, title: title)
                self.child = child
                let lines = try child.answer(to: message, lines: range.count, seconds: seconds, cancellation: cancellation)
                let found = try zip(lines, range).map { line, sample in try numbers(line, sample: sample) }
                guard !child.hasMoreLines else { throw EngineError(.data, "\(title): answered more lines than the \(range.count) samples it was given") }
                return found
            } catch {
                child?.end()
                child = nil
                failure = error
                throw error
            }
        }
    }

    /// - Precondition: the lock is held.
    private func numbers(_ line: String, sample: Int) throws(EngineError) -> [Double] {
        let numbers = line.split(whereSeparator: \.isWhitespace).map { Double(String($0)) }
        let found = numbers.compactMap { $0 }
        guard numbers.count == found.count, (1...2).contains(found.count) else {
            throw EngineError(.data, "\(title): answered '\(line.prefix(60))' for sample \(sample), expected one or two numbers")
        }
        guard found.count == width ?? found.count else {
            throw EngineError(.data, "\(title): answered \(found.count) numbers for sample \(sample), \(width ?? 1) for those before: it has to be one or two for all")
        }
        width = found.count
        // Larger ones have no sum.
        guard found.allSatisfy({ abs($0) < 1e100 }) else { throw EngineError(.data, "\(title): answered \(line.prefix(60)) for sample \(sample), expected finite numbers") }
        return found
    }

    // MARK: What is sent

    private func message(_ outputs: [BatchedOutput], _ range: Range<Int>) throws -> Data {
        struct Header: Encodable {
            var samples: Int
            var outputs: [String]
            var labels: String?

            func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: CodingKeys.self)
                try container.encode(samples, forKey: .samples)
                try container.encode(outputs, forKey: .outputs)
                // `null` rather than nothing: programs look the key up.
                try container.encode(labels, forKey: .labels)
            }

            enum CodingKeys: CodingKey { case samples, outputs, labels }
        }
        let targets = samples.prepared.targets == nil ? [] : try range.map { try samples.prepared.target($0) }
        var data = try JSONEncoder().encode(Header(samples: range.count, outputs: outputs.map(\.name), labels: samples.prepared.targets?.kind.rawValue))
        data.append(10)
        for output in outputs { data += NPYWriter.array(output.values, type: "<f4", shape: [output.rows] + output.shape) }
        if let labels = NPYWriter.targets(targets) { data += labels }
        return data
    }

    /// A running program and its three pipes.
    private final class Child {
        private let title: String
        private let process: pid_t
        private var input: Int32
        private let output: Int32
        private let errors: Int32
        private var unread: [UInt8] = []
        private var said: [UInt8] = []

        init(_ command: [String], title: String) throws {
            self.title = title
            // A program that is gone is told by its answers' end, not by a signal.
            signal(SIGPIPE, SIG_IGN)
            var pipes: [[Int32]] = []
            for _ in 0..<3 {
                var pair: [Int32] = [0, 0]
                guard pipe(&pair) == 0 else {
                    for descriptor in pipes.joined() { close(descriptor) }
                    throw EngineError(.data, "\(title): no pipe: \(String(cString: strerror(errno)))")
                }
                for descriptor in pair { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
                pipes.append(pair)
            }
            var actions = posix_spawn_file_actions_t()
            posix_spawn_file_actions_init(&actions)
            defer { posix_spawn_file_actions_destroy(&actions) }
            posix_spawn_file_actions_adddup2(&actions, pipes[0][0], 0)
            posix_spawn_file_actions_adddup2(&actions, pipes[1][1], 1)
            posix_spawn_file_actions_adddup2(&actions, pipes[2][1], 2)
            var attributes = posix_spawnattr_t()
            posix_spawnattr_init(&attributes)
            defer { posix_spawnattr_destroy(&attributes) }
            // Threads here block signals that the program has to hear; a group of its own dies as a whole, whatever it started.
            var none = sigset_t()
            sigemptyset(&none)
            posix_spawnattr_setsigmask(&attributes, &none)
            posix_spawnattr_setpgroup(&attributes, 0)
            posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETPGROUP))
            var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
            defer { for text in arguments { free(text) } }
            var found = pid_t()
            let failure = posix_spawnp(&found, command[0], &actions, &attributes, &arguments, environ)
            close(pipes[0][0])
            close(pipes[1][1])
            close(pipes[2][1])
            (input, output, errors, process) = (pipes[0][1], pipes[1][0], pipes[2][0], found)
            guard failure == 0 else {
                for descriptor in [input, output, errors] { close(descriptor) }
                input = -1
                throw EngineError(.data, "\(title): cannot be started: \(String(cString: strerror(failure)))")
            }
            for descriptor in [input, output, errors] { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
        }

        /// Whether it has answered more than was taken.
        var hasMoreLines: Bool { unread.contains(10) }

        /// Ends the program and all that it started.
        /// - Returns: what it answered that nobody asked for.
        @discardableResult
        func end() -> String {
            guard input >= 0 else { return "" }
            close(input)
            input = -1
            // Its input is at an end: most are gone at once.
            for _ in 0..<20 where !isGone { usleep(5000) }
            _ = read(output, into: &unread)
            bury()
            return String(decoding: unread.prefix(200), as: UTF8.self)
        }

        /// Whether the program has ended; it stays to be asked how until `bury`.
        private var isGone: Bool {
            var found = siginfo_t()
            return waitid(P_PID, id_t(process), &found, WEXITED | WNOHANG | WNOWAIT) != 0 || found.si_signo != 0
        }

        /// Kills what is left of the program's group, while the number of the group is still its own.
        /// - Returns: its status.
        @discardableResult
        private func bury() -> Int32 {
            for descriptor in [output, errors] { close(descriptor) }
            var status: Int32 = 0
            kill(-process, SIGKILL)
            waitpid(process, &status, 0)
            return status
        }

        /// Sends a message and waits for so many lines, sending and reading at the same time.
        func answer(to message: Data, lines wanted: Int, seconds: Double, cancellation: Cancellation) throws -> [String] {
            // A line too many may have come after the last batch was done.
            _ = read(output, into: &unread)
            guard unread.isEmpty else { throw EngineError(.data, "\(title): answered more lines than the samples it was given") }
            let deadline = Date().addingTimeInterval(seconds)
            var sent = 0
            var lines: [String] = []
            while true {
                while lines.count < wanted, let end = unread.firstIndex(of: 10) {
                    lines.append(String(decoding: unread[..<end], as: UTF8.self).trimmingCharacters(in: .whitespaces))
                    unread.removeFirst(end + 1)
                }
                if lines.count == wanted, sent == message.count { return lines }
                guard unread.count < 1 << 20 else { throw EngineError(.data, "\(title): answered more than a million bytes without the end of a line") }
                try cancellation.check()
                guard deadline.timeIntervalSinceNow > 0 else {
                    throw EngineError(.data, "\(title): \(lines.count) of \(wanted) answers within \(String(format: "%g", seconds)) s; 'timeout' gives it longer\(remark)")
                }
                var polled = [pollfd(fd: output, events: Int16(POLLIN), revents: 0), pollfd(fd: errors, events: Int16(POLLIN), revents: 0)]
                if sent < message.count { polled.append(pollfd(fd: input, events: Int16(POLLOUT), revents: 0)) }
                _ = poll(&polled, nfds_t(polled.count), 50)
                if polled[1].revents != 0, read(errors, into: &said) == false { usleep(1000) }
                if said.count > 65_536 { said.removeFirst(said.count - 4096) }
                if polled[0].revents != 0 {
                    if !read(output, into: &unread) { try ended() }
                } else if isGone {
                    // A child of its own may hold the pipe.
                    if !unread.contains(10) { try ended() }
                }
                if polled.count == 3, polled[2].revents & Int16(POLLOUT) != 0 {
                    let count = message.withUnsafeBytes { write(input, $0.baseAddress! + sent, min($0.count - sent, 1 << 16)) }
                    if count > 0 { sent += count }
                }
            }
        }

        /// - Returns: whether the pipe is still open.
        private func read(_ descriptor: Int32, into bytes: inout [UInt8]) -> Bool {
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            let count = buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count > 0 { bytes += buffer[..<count] }
            return count != 0
        }

        private func ended() throws -> Never {
            for _ in 0..<100 where !isGone { usleep(5000) }
            _ = read(errors, into: &said)
            let hasEnded = isGone
            close(input)
            input = -1
            let status = bury()
            guard hasEnded else { throw EngineError(.data, "\(title): closed its output before it had answered\(remark)") }
            let signal = status & 0x7f
            let rest = unread.isEmpty ? "" : ", with '\(String(decoding: unread.prefix(60), as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))' last"
            throw EngineError(
                .data, "\(title): ended \(signal == 0 ? "with status \((status >> 8) & 0xff)" : "by signal \(signal)") before it had answered\(rest)\(remark)")
        }

        /// The last line of what the program said to its standard error.
        private var remark: String {
            let text = String(decoding: said, as: UTF8.self).split(separator: "\n").last?.trimmingCharacters(in: .whitespaces) ?? ""
            return text.isEmpty ? "" : ": \(text.prefix(200))"
        }
    }
}

/// Sums of one or two numbers per sample: their mean, or the first's sum over the second's.
private struct SumsComputation: MetricComputation {
    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] { [] }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic {
        SampleRatio(numerators: contributions.map { $0.first ?? 0 }, denominators: contributions.map { $0.count > 1 ? $0[1] : 1 })
    }
}
