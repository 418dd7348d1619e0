import EngineSupport
import Foundation
import PythonOracle
import Testing

@testable import Metrics

/// Intervals and differences: what has to hold for every metric, and figures that are known otherwise.
@Suite struct EstimateTests {
    static func correlated(_ count: Int, seed: UInt64 = 1) -> (candidate: [[Double]], baseline: [[Double]]) {
        var generator = SeededGenerator(seed: seed)
        var (own, other) = ([[Double]](), [[Double]]())
        for _ in 0..<count {
            let isPositive = generator.below(3) == 0
            let shared = generator.normal() + (isPositive ? 1.5 : 0)
            own.append([isPositive ? 1 : 0, shared + 0.3 * generator.normal()])
            other.append([isPositive ? 1 : 0, shared + 0.2 * generator.normal()])
        }
        return (own, other)
    }

    @Test func intervalsAreTheSameEveryTime() throws {
        let computation = try MetricComputations.make(.rocAUC, options: MetricOptions())
        let (own, other) = Self.correlated(301)
        let first = PooledEstimate.estimate(.rocAUC, computation, contributions: own, baseline: other)
        #expect(first == PooledEstimate.estimate(.rocAUC, computation, contributions: own, baseline: other))
        let interval = try #require(first.interval)
        let difference = try #require(first.differenceInterval)
        #expect(interval.low < first.value && first.value < interval.high)
        #expect(first.difference == first.value - (first.baseline ?? .nan))
        // Paired: what both share does not count.
        #expect(difference.high - difference.low < (interval.high - interval.low) / 2)
        #expect(first.resamples == 2000 && !first.isBiased)
        let partial = PooledEstimate.estimate(.averagePrecision, try MetricComputations.make(.averagePrecision, options: MetricOptions()), contributions: own, isPartial: true)
        #expect(partial.resamples == 100 && partial.isBiased && partial.baseline == nil && partial.differenceInterval == nil)
        // A model against itself.
        let same = PooledEstimate.estimate(.rocAUC, computation, contributions: own, baseline: own)
        #expect(same.difference == 0 && same.differenceInterval == Interval(low: 0, high: 0))
    }

    /// Resamples of a mean spread as the standard error says; every sample is drawn as often as any other.
    @Test func resamplesSpreadAsTheStandardErrorSays() {
        for count in [7, 400, 1001] {
            var generator = SeededGenerator(seed: 5)
            let values = (0..<count).map { _ in generator.normal() }
            let mean = values.reduce(0, +) / Double(count)
            let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count)
            let resampling = Resampling(SampleRatio(numerators: values, denominators: values.map { _ in 1 }), nil, isPartial: false)
            let center = resampling.candidates.reduce(0, +) / Double(resampling.count)
            let spread = resampling.candidates.reduce(0) { $0 + ($1 - center) * ($1 - center) } / Double(resampling.count - 1)
            #expect(abs(spread / (variance / Double(count)) - 1) < 0.12, "\(count) samples")
            #expect(abs(center - mean) < 4 * (variance / Double(count) / 2000).squareRoot())
        }
    }

    /// The value over samples that count several times is that of the samples written down several times.
    @Test func countsAreRepetitions() throws {
        var generator = SeededGenerator(seed: 6)
        for population in try Population.all() {
            let contributions = Array(population.candidate.prefix(60))
            let counts = contributions.map { _ in Int32(generator.below(4)) }
            let repeated = zip(contributions, counts).flatMap { Array(repeating: $0, count: Int($1)) }
            let statistic = population.computation.statistic(of: contributions)
            expectSame(statistic.value(counts: counts), population.computation.statistic(of: repeated).value(counts: nil), population.title, within: 1e-10)
            #expect(statistic.samples == 60 && statistic.work >= 60)
        }
    }

    @Test func meansHaveStudentsIntervalAndSharesWilsons() throws {
        struct Values: Encodable { var values: [Double], others: [Double], denominators: [Double] }
        var generator = SeededGenerator(seed: 7)
        let cases = [2, 5, 6, 30, 400].map { count in
            Values(
                values: (0..<count).map { _ in generator.normal() + 3 }, others: (0..<count).map { _ in generator.normal() + 3 },
                denominators: (0..<count).map { _ in Double(1 + generator.below(9)) })
        }
        let expected = try oracle(
            cases,
            """
            from scipy import stats
            for case in cases:
                x, y = np.array(case["values"]), np.array(case["others"])
                low, high = stats.ttest_1samp(x, 0).confidence_interval()
                below, above = stats.ttest_rel(x, y).confidence_interval()
                right = int((x > 3).sum())
                wilson = stats.binomtest(right, len(x)).proportion_ci(method="wilson")
                results.append({"low": low, "high": high, "below": below, "above": above, "wlow": wilson.low, "whigh": wilson.high})
            """)
        for (example, expected) in zip(cases, expected) {
            let ones = example.values.map { _ in 1.0 }
            let found = PooledEstimate.estimate(
                .psnr, statistic: SampleRatio(numerators: example.values, denominators: ones), baseline: SampleRatio(numerators: example.others, denominators: ones))
            let (interval, difference) = (try #require(found.interval), try #require(found.differenceInterval))
            expectSame(interval.low, expected["low"], "low of \(ones.count)", within: 1e-4)
            expectSame(interval.high, expected["high"], "high of \(ones.count)", within: 1e-4)
            expectSame(difference.low, expected["below"], "low of the difference of \(ones.count)", within: 1e-4)
            expectSame(difference.high, expected["above"], "high of the difference of \(ones.count)", within: 1e-4)
            let right = example.values.map { $0 > 3 ? 1.0 : 0 }
            let share = PooledEstimate.estimate(.top1, statistic: SampleRatio(numerators: right, denominators: ones, isProportion: true))
            expectSame(try #require(share.interval).low, expected["wlow"], "Wilson's low of \(ones.count)")
            expectSame(try #require(share.interval).high, expected["whigh"], "Wilson's high of \(ones.count)")
        }
    }

    /// No samples, one sample, infinite errors: no interval, no crash.
    @Test func thereAreNotAlwaysIntervals() throws {
        for population in try Population.all() {
            for count in [0, 1] {
                let part = Array(population.candidate.prefix(count))
                let found = PooledEstimate.estimate(population.kind, population.computation, contributions: part, baseline: part)
                #expect(found.interval == nil && found.differenceInterval == nil, "\(population.title) of \(count)")
                if count == 0 { #expect(found.value.isNaN, "\(population.title)") }
            }
            let broken = population.candidate.prefix(30).map { $0.map { _ in Double.nan } }
            _ = PooledEstimate.estimate(population.kind, population.computation, contributions: broken, baseline: Array(population.candidate.prefix(30)))
            _ = PooledEstimate.estimate(population.kind, population.computation, contributions: population.candidate.prefix(30).map { _ in [] })
        }
        let infinite = PooledEstimate.estimate(.mae, statistic: SampleRatio(numerators: [1, .infinity, 2], denominators: [1, 1, 1]))
        #expect(infinite.value == .infinity && infinite.interval == nil)
    }

    /// Prints what estimates cost: LATHE_TIMES=1.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["LATHE_TIMES"] != nil))
    func times() throws {
        func time(_ what: String, _ work: () -> Double) {
            let clock = ContinuousClock()
            var value = 0.0
            let took = clock.measure { value = work() }
            print("\(what): \(took), \(value)")
        }
        let (own, other) = Self.correlated(10_000)
        let auc = try MetricComputations.make(.rocAUC, options: MetricOptions())
        time("AUC of 10000 samples, interval") { PooledEstimate.estimate(.rocAUC, auc, contributions: own).interval?.low ?? .nan }
        time("AUC of 10000 samples, interval and difference") { PooledEstimate.estimate(.rocAUC, auc, contributions: own, baseline: other).differenceInterval?.low ?? .nan }
        time("AUC of 10000 samples, partial") { PooledEstimate.estimate(.rocAUC, auc, contributions: own, baseline: other, isPartial: true).differenceInterval?.low ?? .nan }
        for population in try Population.all() where ![.detectionMAP, .detectionMAP50].contains(population.kind) {
            let (part, base) = (Array(population.candidate.prefix(10_000)), Array(population.baseline.prefix(10_000)))
            time("\(population.title) of 10000 samples, partial") {
                PooledEstimate.estimate(population.kind, population.computation, contributions: part, baseline: base, isPartial: true).differenceInterval?.low ?? .nan
            }
        }
        var generator = SeededGenerator(seed: 8)
        let images = (0..<5000).map { _ -> [Double] in
            var result = [7.0]
            for category in 0..<7 { result += [Double(category * 11), 1] }
            for _ in 0..<100 { result += [Double(generator.below(80)), generator.uniform(), generator.below(10) == 0 ? Double((1 << generator.below(11)) - 1) : 0] }
            return result
        }
        let map = try MetricComputations.make(.detectionMAP, options: MetricOptions())
        time("mAP of 5000 images of 100 detections, value") { map.statistic(of: images).value(counts: nil) }
        time("mAP of 5000 images of 100 detections, interval") { PooledEstimate.estimate(.detectionMAP, map, contributions: images).interval?.low ?? .nan }
        time("mAP of 5000 images of 100 detections, partial") { PooledEstimate.estimate(.detectionMAP, map, contributions: images, isPartial: true).interval?.low ?? .nan }
    }
}
