import Dispatch
import Metrics

/// Times two things in turns: after a warm-up, rounds of both, each first in every other round, so that neither always finds the other's caches.
struct InterleavedTiming {
    /// To spend, warm-up included; twice as long for means over several inputs.
    let seconds: Double
    /// Inputs to take in turn. With several the time hangs on the input, and means are compared.
    let inputs: Int
    /// Nanoseconds, monotonic.
    var clock: () -> UInt64 = { DispatchTime.now().uptimeNanoseconds }

    init(seconds: Double, inputs: Int) {
        self.seconds = seconds
        self.inputs = inputs
    }

    static let mostWarmups = 200
    static let mostRounds = 2000
    /// A round is at least so long for each, for the clock's sake.
    static let roundMilliseconds = 0.5

    /// Milliseconds per call, round by round.
    struct Rounds {
        var baseline: [Double] = []
        var candidate: [Double] = []
        /// Whether rounds are of different inputs.
        var areOfInputs = false
    }

    /// - Parameters:
    ///   - baseline: one call with the input of a number.
    ///   - candidate: the same.
    func run(baseline: (Int) throws -> Void, candidate: (Int) throws -> Void, progress: (Double) -> Void = { _ in }) throws -> Rounds {
        var place = 0
        func time(_ call: (Int) throws -> Void, repeats: Int) throws -> Double {
            let input = place % inputs
            let start = clock()
            for _ in 0..<repeats { try call(input) }
            return Double(clock() - start) / 1e6 / Double(repeats)
        }
        let begin = clock()
        func elapsed() -> Double { Double(clock() - begin) / 1e9 }
        // Warm up: first calls allocate and prepack.
        var warmups = 0
        var single = 0.0
        repeat {
            single = try max(time(baseline, repeats: 1), time(candidate, repeats: 1))
            warmups += 1
        } while warmups < 3 || (elapsed() < seconds * 0.15 && warmups < Self.mostWarmups)
        // Of a sample's own time, the middle one of three calls: means have no defense against a call that something else interrupted.
        let isMean = inputs > 1
        let repeats = isMean ? 1 : max(1, min(64, Int((Self.roundMilliseconds / max(single, 0.001)).rounded(.up))))
        let calls = isMean ? 3 : 1
        let mostRounds = isMean ? inputs : Self.mostRounds
        let budget = isMean ? 2 * seconds : seconds
        var rounds = Rounds(areOfInputs: isMean)
        while (elapsed() < budget || rounds.baseline.count < min(isMean ? 50 : 10, mostRounds)) && rounds.baseline.count < mostRounds {
            var (before, after): ([Double], [Double]) = ([], [])
            for call in 0..<calls {
                if (rounds.baseline.count + call) % 2 == 0 {
                    before.append(try time(baseline, repeats: repeats))
                    after.append(try time(candidate, repeats: repeats))
                } else {
                    after.append(try time(candidate, repeats: repeats))
                    before.append(try time(baseline, repeats: repeats))
                }
            }
            rounds.baseline.append(Quantiles.median(before) ?? .nan)
            rounds.candidate.append(Quantiles.median(after) ?? .nan)
            place += 1
            progress(min(elapsed() / budget, 1))
        }
        return rounds
    }
}

extension InterleavedTiming.Rounds {
    /// Medians, 90th percentiles and the ratio with its interval; of rounds of different inputs the ratio is that of the means.
    func figures(batch: Int, threads: Int, version: String) -> LatencyFigures {
        func quantile(_ values: [Double], _ q: Double) -> Double { Quantiles.quantile(values, q) ?? .nan }
        let interval = Bootstrap.medianRatioInterval(candidate, over: baseline, seed: 1) ?? Interval(low: .nan, high: .nan)
        var figures = LatencyFigures(
            baselineMedian: quantile(baseline, 0.5), baselineP90: quantile(baseline, 0.9), candidateMedian: quantile(candidate, 0.5),
            candidateP90: quantile(candidate, 0.9), ratio: quantile(candidate, 0.5) / quantile(baseline, 0.5),
            ratioP90: quantile(zip(candidate, baseline).map { $0 / $1 }, 0.9), ratioInterval: interval, batch: batch, threads: threads,
            rounds: baseline.count, instructionSet: InstructionSet.current, runtimeVersion: version)
        if areOfInputs {
            let (before, after) = (baseline.reduce(0, +) / Double(baseline.count), candidate.reduce(0, +) / Double(candidate.count))
            figures.means = LatencyFigures.Means(baseline: before, candidate: after, samples: baseline.count * batch)
            figures.ratio = after / before
            figures.ratioInterval = Bootstrap.meanRatioInterval(candidate, over: baseline, seed: 1) ?? interval
        }
        return figures
    }
}
