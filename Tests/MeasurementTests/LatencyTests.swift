import Foundation
import Metrics
import PythonOracle
import Testing

@testable import EngineSupport
@testable import Measurement

/// Interleaved timing on a clock that goes as the test says.
@Suite struct LatencyTests {
    /// A machine on which a call takes as long as it is told to.
    private final class Machine {
        var now: UInt64 = 0
        var order: [(model: Character, input: Int)] = []

        /// - Parameter cost: milliseconds of the n-th call, counted over both models, at a time in seconds.
        func call(_ model: Character, _ cost: @escaping (_ number: Int, _ seconds: Double, _ input: Int) -> Double) -> (Int) -> Void {
            { input in
                self.now += UInt64((cost(self.order.count, Double(self.now) / 1e9, input) * 1e6).rounded())
                self.order.append((model, input))
            }
        }
    }

    private func timed(
        seconds: Double = 1, inputs: Int = 1, _ machine: Machine = Machine(), baseline: @escaping (Int, Double, Int) -> Double,
        candidate: @escaping (Int, Double, Int) -> Double
    ) throws -> InterleavedTiming.Rounds {
        var timing = InterleavedTiming(seconds: seconds, inputs: inputs)
        timing.clock = { machine.now }
        return try timing.run(baseline: machine.call("b", baseline), candidate: machine.call("c", candidate))
    }

    private func normal(_ generator: inout SeededGenerator) -> Double {
        func uniform() -> Double { (Double(generator.next() >> 11) + 0.5) / 9_007_199_254_740_992 }
        return (-2 * log(uniform())).squareRoot() * cos(2 * .pi * uniform())
    }

    /// Both are called in turn and equally often, and each is first in half of the rounds.
    @Test func turnsAreTaken() throws {
        let machine = Machine()
        let rounds = try timed(seconds: 0.5, machine, baseline: { _, _, _ in 1 }, candidate: { _, _, _ in 2 })
        let warmups = machine.order.count - 2 * rounds.baseline.count
        let calls = machine.order.dropFirst(warmups).map(\.model)
        let pairs = stride(from: 0, to: calls.count, by: 2).map { String(calls[$0...($0 + 1)]) }
        #expect(pairs.enumerated().allSatisfy { number, pair in pair == (number % 2 == 0 ? "bc" : "cb") })
        #expect(rounds.baseline.allSatisfy { $0 == 1 } && rounds.candidate.allSatisfy { $0 == 2 })
        let figures = rounds.figures(batch: 1, threads: 1, version: "")
        #expect(figures.ratio == 2 && figures.ratioInterval == Interval(low: 2, high: 2) && figures.means == nil)
        // At most the time allowed, but for the round under way.
        let seconds = Double(machine.now) / 1e9
        #expect(seconds < 0.503_000_001)
    }

    /// Calls too short for the clock are timed several at once.
    @Test func shortCallsAreRepeated() throws {
        let machine = Machine()
        let rounds = try timed(seconds: 0.2, machine, baseline: { _, _, _ in 0.01 }, candidate: { _, _, _ in 0.005 })
        #expect(abs(rounds.baseline[0] - 0.01) < 1e-9 && abs(rounds.candidate[0] - 0.005) < 1e-9)
        let run = machine.order.dropFirst(600).prefix { $0.model == machine.order[600].model }.count
        #expect(run <= 64 && 50 * 0.01 >= 0.5 && machine.order.count > 50 * rounds.baseline.count)
    }

    /// A machine that gets slower all the time, to a third of its speed, slows both: the ratio stays what it is.
    @Test func driftDoesNotMatter() throws {
        let rounds = try timed(baseline: { _, seconds, _ in 1 + 2 * seconds }, candidate: { _, seconds, _ in 0.8 * (1 + 2 * seconds) })
        let figures = rounds.figures(batch: 1, threads: 1, version: "")
        #expect(abs(figures.ratio - 0.8) < 0.01)
        #expect(figures.ratioInterval.low > 0.79 && figures.ratioInterval.high < 0.81)
        #expect(figures.baselineP90 > 1.2 * figures.baselineMedian, "the times themselves do drift")
    }

    /// Medians and 90th percentiles are NumPy's.
    @Test func percentilesAreNumPys() throws {
        var generator = SeededGenerator(seed: 7)
        var rounds = InterleavedTiming.Rounds()
        for _ in 0..<101 {
            let machine = exp(0.2 * normal(&generator))
            rounds.baseline.append(machine * exp(0.05 * normal(&generator)))
            rounds.candidate.append(0.7 * machine * exp(0.05 * normal(&generator)))
        }
        let figures = rounds.figures(batch: 1, threads: 1, version: "")
        let text = try Python.run(
            """
            n = len(args) // 2
            b, c = np.array(args[:n], float), np.array(args[n:], float)
            print(*[repr(float(x)) for x in (np.median(b), np.percentile(b, 90), np.median(c), np.percentile(c, 90), np.median(c) / np.median(b), np.percentile(c / b, 90))])
            """, arguments: (rounds.baseline + rounds.candidate).map { "\($0)" })
        let expected = text.split(separator: " ").compactMap { Double($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
        let found = [figures.baselineMedian, figures.baselineP90, figures.candidateMedian, figures.candidateP90, figures.ratio, figures.ratioP90]
        #expect(expected.count == 6 && zip(found, expected).allSatisfy { abs($0 - $1) < 1e-12 })
    }

    /// The interval holds the true ratio about as often as it says, in rounds that share their disturbances.
    @Test func intervalsCover() {
        var generator = SeededGenerator(seed: 11)
        var covered = 0
        let runs = 100
        for _ in 0..<runs {
            var rounds = InterleavedTiming.Rounds()
            for _ in 0..<40 {
                let machine = exp(0.3 * normal(&generator))
                rounds.baseline.append(machine * exp(0.1 * normal(&generator)))
                rounds.candidate.append(0.8 * machine * exp(0.1 * normal(&generator)))
            }
            let interval = rounds.figures(batch: 1, threads: 1, version: "").ratioInterval
            if interval.low <= 0.8, 0.8 <= interval.high { covered += 1 }
        }
        // 95 of 100 are expected; fewer than 86 come less than once in a thousand times.
        #expect(covered >= 86, "\(covered) of \(runs)")
    }

    /// Where the time hangs on the sample, means count: half of the samples take 1 ms, half 3 ms. A call that something interrupted does not.
    @Test func meansOverSamples() throws {
        let machine = Machine()
        let rounds = try timed(
            seconds: 10, inputs: 60, machine, baseline: { number, _, _ in number % 97 == 96 ? 200 : 4 }, candidate: { _, _, input in input % 2 == 0 ? 1 : 3 })
        let figures = rounds.figures(batch: 1, threads: 1, version: "")
        let means = try #require(figures.means)
        #expect(means.samples == 60 && abs(means.candidate - 2) < 1e-9 && abs(means.baseline - 4) < 1e-9)
        #expect(abs(figures.ratio - 0.5) < 1e-9 && figures.ratioInterval.low < 0.5 && figures.ratioInterval.high > 0.5)
        #expect(figures.candidateMedian == 2 || figures.candidateMedian == 1 || figures.candidateMedian == 3)
        // Both get the same sample in the same round.
        let timedCalls = machine.order.suffix(60 * 6)
        for start in stride(from: timedCalls.startIndex, to: timedCalls.endIndex, by: 6) {
            let round = timedCalls[start..<(start + 6)]
            #expect(Set(round.map(\.input)).count == 1 && round.count { $0.model == "b" } == 3)
        }
    }

    @Test func othersWorkIsReported() throws {
        let before = ProcessorLoad(busy: 100, own: 10, wall: 50)
        // Two seconds in which this process used one core and others three quarters of one.
        let after = ProcessorLoad(busy: 103.5, own: 12, wall: 52)
        #expect(ProcessorLoad.foreignCores(from: before, to: after) == 0.75)
        #expect(try #require(ProcessorLoad.warning(from: before, to: after)).contains("75 %"))
        #expect(ProcessorLoad.warning(from: before, to: ProcessorLoad(busy: 102.2, own: 12, wall: 52)) == nil)
        // Counted in ticks, the whole may be less than a part.
        #expect(ProcessorLoad.foreignCores(from: before, to: ProcessorLoad(busy: 101.9, own: 12, wall: 52)) == 0)
        let now = try #require(ProcessorLoad.now())
        #expect(now.busy > 0 && now.own > 0 && now.busy >= now.own)
    }
}
