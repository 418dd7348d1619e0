import Foundation
import Metrics
import Testing

@testable import Datasets
@testable import Measurement

@Suite("Measures")
struct MeasureTests {
    @Test("Ids are unique and in kebab case; keys of documents and of stored trials are too, except that all metrics share theirs")
    func identities() {
        let all = Measure.all
        #expect(Set(all.map(\.id)).count == all.count)
        #expect(all.allSatisfy { $0.id.wholeMatch(of: /[a-z0-9]+(-[a-z0-9]+)*/) != nil })
        let single = all.filter { $0.metric == nil }
        #expect(Set(single.map(\.storedKey)).count == single.count && Set(single.map(\.documentKey)).count == single.count)
        #expect(MetricKind.allCases.allSatisfy { Measure.metric($0).metric == $0 && Measure.all.contains(.metric($0)) })
        #expect(
            all.allSatisfy { ($0.shortTitle.count <= 10 || $0.place != .pane || $0.id.hasPrefix("training-")) && !$0.explanation.isEmpty && $0.name.first?.isWhitespace == false })
        #expect(Measure.named("accuracy", metric: .sqnr) == .sqnr && Measure.named("gzip", metric: nil) == .gzip && Measure.named("nothing", metric: nil) == nil)
    }

    /// The range that crashed the explorer: decibels lie outside 0…1.
    @Test("An axis holds its values, is never empty and stays within what is possible", arguments: Measure.all)
    func axes(measure: Measure) {
        let top = measure.range.upperBound.isFinite ? measure.range.upperBound : 1e9
        let bottom = measure.range.lowerBound
        let middle = (bottom + top) / 2
        for values in [[], [bottom], [top], [middle], [bottom, top], [middle, top], [top, top], [.nan], [.infinity, middle], [middle, middle + (top - bottom) / 1000]] {
            let range = measure.axisRange(of: values)
            #expect(range.lowerBound < range.upperBound, "\(measure.id) \(values)")
            #expect(values.filter(\.isFinite).allSatisfy(range.contains), "\(measure.id) \(values)")
            #expect(measure.range.lowerBound <= range.lowerBound && range.upperBound <= measure.range.upperBound, "\(measure.id) \(values)")
        }
    }

    @Test("A smaller file is smaller, a lower metric is worse, more zeros are neither")
    func directions() throws {
        #expect(Measure.file.verdict(from: 400, to: 100) == .better && Measure.file.verdict(from: 100, to: 400) == .worse)
        #expect(Measure.file.verdict(from: 1000, to: 1001) == .none && Measure.sparsity.verdict(from: 0, to: 0.9) == .none)
        let factor = try #require(Measure.file.factor(from: 400, to: 100))
        #expect(factor.value == 4 && factor.word == "smaller" && Measure.file.change(from: 400, to: 100) == -0.75)
        #expect(Measure.latency.factor(from: 1, to: 2)?.word == "slower" && Measure.macs.factor(from: 2, to: 1)?.word == "fewer")
        for kind in MetricKind.allCases {
            let measure = Measure.metric(kind)
            // Errors, losses and rates of errors are better when they fall.
            let (up, down): (Verdict, Verdict) = measure.direction == .higher ? (.better, .worse) : (.worse, .better)
            #expect(measure.verdict(ofChange: -0.1) == down && measure.verdict(ofChange: 0.1) == up && measure.factor(from: 1, to: 2) == nil)
            #expect(measure.isBetter(2, than: 1) == (up == .better) && measure.loss(ofChange: 0.1) == (up == .better ? -0.1 : 0.1))
            #expect(measure.change(from: 0.9, to: 0.5).map { abs($0 + 0.4) < 1e-12 } == true)
        }
        #expect(Measure.energy.factor(from: 0, to: 2) == nil && Measure.energy.change(from: 0, to: 2) == nil)
    }

    @Test("Numbers are written in their own unit")
    func units() {
        #expect(Measure.sqnr.format.exact(38.25) == "38.25 dB" && Measure.sqnr.changeFormat.exact(-2.5) == "-2.500 dB")
        #expect(Measure.cosine.format.exact(0.998) == "0.998000" && Measure.top5.changeFormat.exact(-0.0031) == "-0.310 pt")
        #expect(Measure.file.format.exact(1_724_336) == "1,724,336 bytes" && Measure.energy.format.exact(1_320_000) == "1.32 µJ")
        #expect(Measure.latency.format.exact(0.412) == "412 µs" && Measure.latency.format.exact(1203) == "1.203 s")
    }

    /// SciPy: `stats.ttest_rel(candidate, baseline).confidence_interval()` and `stats.t.interval` of the values.
    @Test("Means are compared by Student's t of the samples' own differences, not as proportions")
    func pairedMeans() throws {
        var tally = PairedTally(metric: .sqnr)
        let pairs: [(Float, Float)] = [(31.5, 40), (28.25, 41.5), (35, 39), (30.75, 44.25), (33, 40.5), (29.5, 38.75)]
        for (score, baseline) in pairs { tally.add(score, baseline: baseline) }
        let estimate = tally.estimate(total: 6)
        #expect(estimate.mcnemarP == nil && estimate.onlyBaseline == nil && estimate.metric == .sqnr)
        // The differences are -8.5, -13.25, -4, -13.5, -7.5, -9.25: mean -28/3, t(0.975, 5) = 2.570581835636314.
        let differences = [-8.5, -13.25, -4, -13.5, -7.5, -9.25]
        let mean = differences.reduce(0, +) / 6
        let margin = 2.570581835636314 * (differences.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / 5 / 6).squareRoot()
        let interval = try #require(estimate.differenceInterval)
        #expect(abs(interval.low - (mean - margin)) < 1e-9 && abs(interval.high - (mean + margin)) < 1e-9)
        #expect(estimate.verdict == .worse && estimate.possibleLoss.map { abs($0 - (margin - mean)) < 1e-9 } == true)
        var same = PairedTally(metric: .cosine)
        for _ in 0..<5 { same.add(1, baseline: 1) }
        #expect(same.estimate(total: 5).differenceInterval == Interval(low: 0, high: 0) && same.estimate(total: 5).verdict != .worse)
    }
}
