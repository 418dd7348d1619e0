import EngineSupport
import Foundation
import Synchronization
import Testing

@testable import Metrics

/// How often the 95 % intervals hold the true value: LATHE_COVERAGE=1 (and LATHE_DRAWS, 2000 if not given; LATHE_KINDS, ids of metrics).
@Suite struct CoverageTests {
    static let environment = ProcessInfo.processInfo.environment

    @Test(.enabled(if: environment["LATHE_EXPLORE"] != nil))
    func methods() throws {
        let draws = Self.environment["LATHE_DRAWS"].flatMap(Int.init) ?? 300
        let kinds = Self.environment["LATHE_KINDS"].map { Set($0.split(separator: ",").map(String.init)) }
        for population in try Population.all() where kinds?.contains(population.kind.rawValue) ?? true {
            let truth = population.computation.statistic(of: population.candidate).value(counts: nil)
            let other = population.computation.statistic(of: population.baseline).value(counts: nil)
            let methods = ResampledInterval.Method.allCases
            let found = Mutex(([Int](repeating: 0, count: 2 * methods.count), 0.0, 0.0))
            DispatchQueue.concurrentPerform(iterations: draws) { draw in
                var generator = SeededGenerator(seed: UInt64(draw) &+ 1000)
                let places = (0..<population.drawn).map { _ in generator.below(Population.size) }
                let own = population.computation.statistic(of: places.map { population.candidate[$0] })
                let base = population.computation.statistic(of: places.map { population.baseline[$0] })
                let resampling = Resampling(own, base, isPartial: false)
                let (value, baseline) = (own.value(counts: nil), base.value(counts: nil))
                for (index, method) in methods.enumerated() {
                    let one = ResampledInterval.interval(method, of: resampling.candidates, around: value, samples: population.drawn)
                    let two = ResampledInterval.interval(method, of: resampling.differences, around: value - baseline, samples: population.drawn)
                    found.withLock {
                        if let one, one.low <= truth, truth <= one.high { $0.0[2 * index] += 1 }
                        if let two, two.low <= truth - other, truth - other <= two.high { $0.0[2 * index + 1] += 1 }
                    }
                }
                found.withLock {
                    $0.1 += value - truth
                    $0.2 += value - baseline - (truth - other)
                }
            }
            let (counts, bias, differenceBias) = found.withLock { $0 }
            let cells = methods.enumerated().map { index, method in
                "\(method.rawValue) \(String(format: "%.1f/%.1f", 100 * Double(counts[2 * index]) / Double(draws), 100 * Double(counts[2 * index + 1]) / Double(draws)))"
            }
            print(
                "\(population.title): truth \(truth) bias \(bias / Double(draws)) diff \(truth - other) bias \(differenceBias / Double(draws))\n    \(cells.joined(separator: "  "))"
            )
            fflush(nil)
        }
    }
}
