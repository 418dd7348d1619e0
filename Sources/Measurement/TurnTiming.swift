import Dispatch
import EngineSupport

/// Times several calls in turns, so that what slows the machine slows all.
package enum TurnTiming {
    /// Seconds of one turn at least, and turns at least.
    private static let burst = 0.004, leastTurns = 5

    /// Median over turns, milliseconds per call. Each first warms up with two calls.
    /// - Parameter seconds: to spend, about, unless a few turns of the slowest take longer.
    package static func medians(_ calls: [() throws -> Void], seconds: Double) throws -> [Double] {
        func time(_ call: () throws -> Void, _ count: Int) throws -> Double {
            let start = DispatchTime.now().uptimeNanoseconds
            for _ in 0..<count { try call() }
            return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6 / Double(count)
        }
        var counts: [Int] = []
        var round = 0.0
        for call in calls {
            _ = try time(call, 2)
            let single = max(try time(call, 1), 0.001)
            counts.append(max(1, Int(burst * 1000 / single)))
            round += single * Double(counts[counts.count - 1])
        }
        let turns = max(leastTurns, Int(seconds * 1000 / max(round, 0.001)))
        var times = calls.map { _ in [Double]() }
        for turn in 0..<turns {
            // Each comes first in some turns.
            for place in calls.indices {
                let index = (place + turn) % calls.count
                times[index].append(try time(calls[index], counts[index]))
            }
        }
        return times.map { Quantiles.median($0) ?? .infinity }
    }
}
