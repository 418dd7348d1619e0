import EngineSupport
import Foundation
import Synchronization
import Testing

@testable import Metrics

/// How often the 95 % intervals hold the true value. LATHE_COVERAGE names the page that is written; LATHE_DRAWS are 2000 if not given, and LATHE_KINDS
/// (ids of metrics) all.
@Suite struct CoverageTests {
    static let environment = ProcessInfo.processInfo.environment

    /// All methods beside each other, to choose from: LATHE_EXPLORE=1.
    @Test(.enabled(if: environment["LATHE_EXPLORE"] != nil))
    func methods() throws {
        let draws = Self.environment["LATHE_DRAWS"].flatMap(Int.init) ?? 300
        let kinds = Self.environment["LATHE_KINDS"].map { Set($0.split(separator: ",").map(String.init)) }
        for population in try Population.all() where kinds?.contains(population.kind.rawValue) ?? true {
            let truth = population.computation.statistic(of: population.candidate).value(counts: nil)
            let other = population.computation.statistic(of: population.baseline).value(counts: nil)
            let methods = ResampledInterval.Method.allCases
            let found = Mutex(([Int](repeating: 0, count: 2 * methods.count), 0.0, 0.0))
            let moments = Mutex((squares: 0.0, spread: 0.0, halves: 0.0, center: 0.0))
            DispatchQueue.concurrentPerform(iterations: draws) { draw in
                var generator = SeededGenerator(seed: UInt64(draw) &+ 1000)
                let places = (0..<population.drawn).map { _ in generator.below(Population.size) }
                let own = population.computation.statistic(of: places.map { population.candidate[$0] })
                let base = population.computation.statistic(of: places.map { population.baseline[$0] })
                let resampling = Resampling(own, base, isPartial: false, resamples: 400)
                let (value, baseline) = (own.value(counts: nil), base.value(counts: nil))
                for (index, method) in methods.enumerated() {
                    let one = ResampledInterval.interval(method, of: own, resampling, around: value)
                    let two = ResampledInterval.interval(method, of: resampling.differences, around: value - baseline, samples: population.drawn)
                    found.withLock {
                        if let one, one.low <= truth, truth <= one.high { $0.0[2 * index] += 1 }
                        if let two, two.low <= truth - other, truth - other <= two.high { $0.0[2 * index + 1] += 1 }
                    }
                }
                let center = resampling.candidates.reduce(0, +) / Double(resampling.count)
                let spread = resampling.candidates.reduce(0) { $0 + ($1 - center) * ($1 - center) } / Double(resampling.count - 1)
                let half = resampling.halves(of: own)
                moments.withLock {
                    $0.squares += (value - truth) * (value - truth)
                    $0.spread += spread.squareRoot()
                    $0.halves += half - value
                    $0.center += center - value
                }
                found.withLock {
                    $0.1 += value - truth
                    $0.2 += value - baseline - (truth - other)
                }
            }
            let (counts, bias, differenceBias) = found.withLock { $0 }
            let sums = moments.withLock { $0 }
            let count = Double(draws)
            print(
                "    deviation \((sums.squares / count - bias / count * bias / count).squareRoot()), estimated \(sums.spread / count), halves \(sums.halves / count), resamples \(sums.center / count)"
            )
            let cells = methods.enumerated().map { index, method in
                "\(method.rawValue) \(String(format: "%.1f/%.1f", 100 * Double(counts[2 * index]) / Double(draws), 100 * Double(counts[2 * index + 1]) / Double(draws)))"
            }
            print(
                "\(population.title): truth \(truth) bias \(bias / Double(draws)) diff \(truth - other) bias \(differenceBias / Double(draws))\n    \(cells.joined(separator: "  "))"
            )
            fflush(nil)
        }
    }

    /// A line of the table for each population: how often the interval of the value, and of the difference, holds the true one.
    @Test(.enabled(if: environment["LATHE_COVERAGE"] != nil))
    func coverage() throws {
        let draws = Self.environment["LATHE_DRAWS"].flatMap(Int.init) ?? 2000
        let kinds = Self.environment["LATHE_KINDS"].map { Set($0.split(separator: ",").map(String.init)) }
        var page = [
            "# How often the intervals of metrics hold the true value", "",
            "Written by `LATHE_COVERAGE=$PWD/Docs/Results/MetricCoverage.md swift test -c release -Xswiftc -enable-testing --filter CoverageTests`: \(draws) times as many samples as the table says",
            "are drawn from \(Population.size) made-up ones, over all of which the true value is taken. 95 % is aimed at; with 2000 draws chance moves a share by ± 1 point.",
            "Samples are drawn again 500 times for an interval, to save time; `evaluate` does so up to 2000 times, which makes ends steadier.",
            "Candidate and baseline are much alike, as a compressed model and its original are. What the methods are: `Sources/Metrics/Estimates`.", "",
        ]
        page.append("| metric | samples | true value | value covered | width | true difference | difference covered | width | method |\n|---|--:|--:|--:|--:|--:|--:|--:|---|")
        print(page[page.count - 1])
        var rows = 0
        for population in try Population.all() where kinds?.contains(population.kind.rawValue) ?? true {
            let (kind, computation) = (population.kind, population.computation)
            let truth = computation.statistic(of: population.candidate).value(counts: nil)
            let difference = truth - computation.statistic(of: population.baseline).value(counts: nil)
            let found = Mutex((value: 0, difference: 0, widths: 0.0, differenceWidths: 0.0, resamples: 0))
            DispatchQueue.concurrentPerform(iterations: draws) { draw in
                var generator = SeededGenerator(seed: UInt64(draw) &+ 1000)
                let places = (0..<population.drawn).map { _ in generator.below(Population.size) }
                let estimate = PooledEstimate.estimate(
                    kind, computation.statistic(of: places.map { population.candidate[$0] }), computation.statistic(of: places.map { population.baseline[$0] }),
                    isPartial: false, resamples: 500)
                found.withLock {
                    $0.resamples = estimate.resamples
                    if let one = estimate.interval {
                        $0.widths += one.high - one.low
                        if one.low <= truth, truth <= one.high { $0.value += 1 }
                    }
                    if let two = estimate.differenceInterval {
                        $0.differenceWidths += two.high - two.low
                        if two.low <= difference, difference <= two.high { $0.difference += 1 }
                    }
                }
            }
            let result = found.withLock { $0 }
            let percent = { (count: Int) in String(format: "%.1f %%", 100 * Double(count) / Double(draws)) }
            let number = { (value: Double) in String(format: "%.4g", value) }
            let methods = ResampledInterval.methods(kind)
            let method =
                result.resamples == 0
                ? (kind.isProportion || kind == .recall ? "Wilson, Newcombe" : kind == .rmse ? "Hall, delta method" : "delta method")
                : kind == .calibrationError
                    ? "test inversion" : methods.value == methods.difference ? methods.value.rawValue : "\(methods.value.rawValue), \(methods.difference.rawValue)"
            page.append(
                "| \(population.title) | \(population.drawn) | \(number(truth)) | \(percent(result.value)) | \(number(result.widths / Double(draws))) | \(number(difference)) | \(percent(result.difference)) | \(number(result.differenceWidths / Double(draws))) | \(method) |"
            )
            print(page[page.count - 1])
            fflush(nil)
            #expect(result.value > draws * 9 / 10 && result.difference > draws * 9 / 10, "\(population.title) is covered far too rarely")
            rows += 1
        }
        #expect(rows > 0)
        if let path = Self.environment["LATHE_COVERAGE"], path.hasSuffix(".md") {
            try (page.joined(separator: "\n") + "\n").write(toFile: path, atomically: true, encoding: .utf8)
        }
    }
}
