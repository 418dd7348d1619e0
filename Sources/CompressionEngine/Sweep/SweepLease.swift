import Dispatch
import EngineSupport
import Foundation
import Measurement
import Synchronization

/// What stands in a worker's file.
struct WorkerRecord: Codable, Hashable, Sendable {
    var schema = "lathe.sweep-worker/1"
    var identity: WorkerIdentity
    /// Processor, instruction set and cores.
    var machine: String
    var threads: Int
    var version: String
    var runtime: String
    /// Seconds since 1970 by the worker's own clock; for people only.
    var began: Double
    /// Rises as long as the worker lives.
    var counter = 0
}

/// Rewrites a worker's file for as long as it lives, so that others see that it does.
///
/// `@unchecked Sendable`: nothing but what the mutex guards changes after `init`, and dispatch sources may be used from any thread.
final class SweepLease: @unchecked Sendable {
    private let folder: SweepFolder
    private let state: Mutex<WorkerRecord>
    private let timer: any DispatchSourceTimer

    /// - Parameter lease: seconds after which a worker whose file stays as it is counts as ended.
    init(_ folder: SweepFolder, _ record: WorkerRecord, lease: Double) {
        self.folder = folder
        state = Mutex(record)
        timer = DispatchSource.makeTimerSource(queue: .global(qos: .userInitiated))
        renew()
        let pause = max(0.2, min(10, lease / 6))
        timer.schedule(deadline: .now() + pause, repeating: pause)
        timer.setEventHandler { [weak self] in self?.renew() }
        timer.resume()
    }

    /// A lease that cannot be renewed (a full disk) may be taken for that of a worker that has ended: its trial is then run twice and counted once.
    private func renew() {
        state.withLock { record in
            // Its end may have come while this waited.
            guard !timer.isCancelled else { return }
            record.counter += 1
            guard let data = try? SweepJSON.data(record) else { return }
            folder.replace(data, .workers, record.identity.name + ".json")
        }
    }

    /// Ends it; the worker holds no trial any more.
    func end() {
        timer.cancel()
        state.withLock { folder.remove(.workers, $0.identity.name + ".json") }
    }
}

/// What one process has seen of other workers' files. A lease is over when its file has stayed the same for the lease's time by the clock of whoever
/// looks: clocks of different hosts are never compared.
struct LeaseWatch {
    private struct Seen {
        var content: Data
        var quiet = 0.0
        var last: Double
    }

    let folder: SweepFolder
    let own: WorkerIdentity
    let lease: Double
    private var seen: [String: Seen] = [:]
    private let now: () -> Double

    /// - Parameter now: seconds of a clock that never goes back.
    init(_ folder: SweepFolder, own: WorkerIdentity, lease: Double, now: @escaping () -> Double = LeaseWatch.monotonic) {
        (self.folder, self.own, self.lease, self.now) = (folder, own, lease, now)
    }

    static func monotonic() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    /// Looks at a worker's file.
    /// - Returns: whether the worker has ended, as far as can be told.
    mutating func hasEnded(_ worker: String) -> Bool {
        if worker == own.name { return false }
        let content = folder.read(.workers, worker + ".json") ?? Data()
        if let record = try? SweepJSON.value(WorkerRecord.self, content), let answer = record.identity.hasEnded(seenFrom: own) { return answer }
        let time = now()
        guard var known = seen[worker], known.content == content else {
            seen[worker] = Seen(content: content, last: time)
            return false
        }
        // If this process was stopped itself for a while, so may have been the other.
        known.quiet += min(time - known.last, lease / 4)
        known.last = time
        seen[worker] = known
        return known.quiet >= lease
    }
}
