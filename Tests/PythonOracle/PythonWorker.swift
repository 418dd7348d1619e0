import Foundation

/// A Python process that runs scripts one after another (worker.py says how they are sent).
final class PythonWorker: Sendable {
    struct Failure: Error {
        var message: String
        /// The worker is gone and another one has to be started.
        var isFatal: Bool
    }

    private struct Request: Encodable {
        var script: String
        var arguments: [String]
    }

    private struct Answer: Decodable {
        var output: String
        var error: String?
    }

    private let process: pid_t
    private let connection: Int32
    /// What Python's libraries write on standard output and error; a file without a name.
    private let log: Int32

    init() throws {
        var pair: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
            throw ChildProcess.CannotRun(description: "socketpair: \(String(cString: strerror(errno)))")
        }
        defer { close(pair[1]) }
        connection = pair[0]
        var name = Array((NSTemporaryDirectory() + "lathe-python-XXXXXX").utf8CString)
        log = mkstemp(&name)
        unlink(name)
        _ = fcntl(log, F_SETFD, FD_CLOEXEC)
        _ = fcntl(log, F_SETFL, O_APPEND)
        // One thread for numpy as well: two workers and the tests themselves want the cores.
        process = try ChildProcess.start(
            Python.executable, [Repository.root + "/Tests/PythonOracle/worker.py"], environment: ["OPENBLAS_NUM_THREADS": "1"],
            input: pair[1], output: log, errors: log)
    }

    deinit {
        kill(process, SIGKILL)
        _ = ChildProcess.wait(process)
        close(connection)
        close(log)
    }

    /// What a script prints.
    /// - Parameter limit: seconds after which it is ended.
    func run(_ script: String, _ arguments: [String], limit: Double) throws(Failure) -> String {
        let start = lseek(log, 0, SEEK_END)
        let deadline = ContinuousClock.now + .seconds(limit)
        do {
            let body = try JSONEncoder().encode(Request(script: script, arguments: arguments))
            try send(withUnsafeBytes(of: UInt64(body.count).littleEndian) { Data($0) } + body)
            let length = try receive(8, before: deadline).withUnsafeBytes { Int(UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self))) }
            let answer = try JSONDecoder().decode(Answer.self, from: receive(length, before: deadline))
            if let error = answer.error { throw Failure(message: error, isFatal: false) }
            return answer.output
        } catch let failure as Failure {
            throw failure.isFatal ? Failure(message: "\(failure.message)\n\(logged(from: start))", isFatal: true) : failure
        } catch {
            throw Failure(message: "\(error)", isFatal: true)
        }
    }

    private func send(_ data: Data) throws(Failure) {
        var sent = 0
        while sent < data.count {
            // Without a signal where the worker is gone.
            let count = data.withUnsafeBytes { Glibc.send(connection, $0.baseAddress! + sent, data.count - sent, Int32(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Failure(message: "the worker is gone", isFatal: true) }
            sent += count
        }
    }

    private func receive(_ count: Int, before deadline: ContinuousClock.Instant) throws(Failure) -> Data {
        var data = Data(count: count)
        var received = 0
        while received < count {
            let left = ContinuousClock.now.duration(to: deadline)
            guard left > .zero else { throw Failure(message: "took too long", isFatal: true) }
            var waiting = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, Int32(left.components.seconds * 1000 + 1)) > 0 else { continue }
            let part = data.withUnsafeMutableBytes { read(connection, $0.baseAddress! + received, count - received) }
            if part < 0, errno == EINTR { continue }
            guard part > 0 else { throw Failure(message: "the worker died", isFatal: true) }
            received += part
        }
        return data
    }

    /// The end of what was logged since a position.
    private func logged(from start: off_t) -> String {
        let end = lseek(log, 0, SEEK_END)
        var bytes = [UInt8](repeating: 0, count: min(Int(end - start), 4000))
        let count = pread(log, &bytes, bytes.count, end - off_t(bytes.count))
        return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
    }
}
