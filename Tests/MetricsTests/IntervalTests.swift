import EngineSupport
import Testing

@testable import Metrics

@Suite("Intervals and tests of proportions")
struct IntervalTests {
    @Test("Wilson interval: figures of facts.md")
    func wilsonFixtures() {
        let first = Proportion.wilsonInterval(successes: 95, of: 128)
        #expect(abs(first.low - 0.6601) < 5e-5 && abs(first.high - 0.8101) < 5e-5)
        let second = Proportion.wilsonInterval(successes: 9842, of: 10000)
        #expect(abs(second.low - 0.9816) < 5e-5 && abs(second.high - 0.9865) < 5e-5)
    }

    // scipy 1.17.1: stats.binomtest(x, n).proportion_ci(method='wilson'), whose z is 1.959963984540054.
    @Test(
        "Wilson interval: SciPy",
        arguments: [
            (95, 128, 0.6601308077044309, 0.8101309791005885), (9842, 10000, 0.9815633775522905, 0.9864647584255464),
            (0, 10, 0.0, 0.27753279986288926), (10, 10, 0.7224672001371109, 1.0),
        ])
    func wilsonAgainstSciPy(successes: Int, count: Int, low: Double, high: Double) {
        let interval = Proportion.wilsonInterval(successes: successes, of: count, z: 1.959963984540054)
        #expect(abs(interval.low - low) < 1e-14 && abs(interval.high - high) < 1e-14)
    }

    // scipy 1.17.1: stats.binomtest(b, b + c).pvalue; the first two also stand in facts.md.
    @Test(
        "McNemar's exact p: SciPy's binomial test",
        arguments: [
            (5, 0, 0.0625), (6, 0, 0.03125), (1, 0, 1.0), (3, 3, 1.0), (2, 9, 0.0654296875), (123, 77, 0.0014016905787957936),
            (300, 100, 2.591886906972111e-24), (5000, 4800, 0.04440414879984631), (20000, 19000, 4.216841447373336e-07),
        ])
    func mcNemar(b: Int, c: Int, p: Double) {
        for comparison in [PairedComparison(onlyBaseline: b, onlyCandidate: c), PairedComparison(onlyBaseline: c, onlyCandidate: b)] {
            #expect(abs(comparison.mcnemarP - p) <= p * 1e-9)
        }
    }

    @Test("McNemar's p without discordant samples is 1")
    func mcNemarWithoutDiscord() {
        #expect(PairedComparison(bothRight: 70, bothWrong: 3).mcnemarP == 1)
        #expect(PairedComparison().mcnemarP == 1)
    }

    // Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables (2017), chapter 8: Bentur et al. 2009
    // (1, 1, 7, 12) and Cavo et al. 2012 (59, 6, 16, 80), in the published digits; further ones from a Python
    // implementation of Newcombe's formulas over SciPy's Wilson limits.
    @Test(
        "Newcombe's paired interval, method 10: published tables",
        arguments: [
            ((1, 1, 7, 12), -0.2857, -0.5069, -0.0256), ((59, 6, 16, 80), -0.0621, -0.1186, -0.0046),
            ((14, 5, 0, 22), 0.1220, 0.0115, 0.2265), ((20, 12, 2, 16), 0.2, 0.0562, 0.3292), ((9100, 90, 40, 770), 0.0050, 0.0028, 0.0073),
        ])
    func newcombe(table: (Int, Int, Int, Int), difference: Double, low: Double, high: Double) {
        let comparison = PairedComparison(bothRight: table.0, onlyBaseline: table.2, onlyCandidate: table.1, bothWrong: table.3)
        let interval = comparison.newcombeInterval(z: 1.959963984540054, isCorrected: true)
        #expect(abs(comparison.difference - difference) < 5.1e-5)
        #expect(abs(interval.low - low) < 5.1e-5 && abs(interval.high - high) < 5.1e-5)
        // Exchanging the models mirrors the interval.
        let mirrored = PairedComparison(bothRight: table.0, onlyBaseline: table.1, onlyCandidate: table.2, bothWrong: table.3)
            .newcombeInterval(z: 1.959963984540054, isCorrected: true)
        #expect(abs(mirrored.low + interval.high) < 1e-12 && abs(mirrored.high + interval.low) < 1e-12)
    }

    @Test("Newcombe's interval stays within −1 … 1 and holds the difference, for every small table")
    func newcombeBounds() {
        for a in 0...3 {
            for b in 0...3 {
                for c in 0...3 {
                    for d in 0...3 {
                        let comparison = PairedComparison(bothRight: a, onlyBaseline: b, onlyCandidate: c, bothWrong: d)
                        let interval = comparison.newcombeInterval(isCorrected: (a + b + c + d) % 2 == 0)
                        #expect(interval.low >= -1 && interval.high <= 1)
                        #expect(interval.low <= comparison.difference && comparison.difference <= interval.high)
                    }
                }
            }
        }
    }

    // The claim that lets partial estimates do without a finite-population correction: over many validation sets drawn
    // from one population, Wilson's interval from the first k of n covers the population's accuracy about 95 % of the time.
    @Test("Intervals of partial estimates cover the population's accuracy")
    func coverage() {
        var generator = SeededGenerator(seed: 11)
        let accuracy = 0.9
        var covered = (partial: 0, full: 0)
        let trials = 2000
        for _ in 0..<trials {
            let set = (0..<1000).map { _ in generator.below(1_000_000) < Int(accuracy * 1e6) }
            let part = Proportion.wilsonInterval(successes: set.prefix(300).count { $0 }, of: 300)
            let full = Proportion.wilsonInterval(successes: set.count { $0 }, of: 1000)
            if part.low <= accuracy, accuracy <= part.high { covered.partial += 1 }
            if full.low <= accuracy, accuracy <= full.high { covered.full += 1 }
        }
        // 95 % ± 4 standard errors.
        let allowed = 0.93...0.97
        #expect(allowed.contains(Double(covered.partial) / Double(trials)))
        #expect(allowed.contains(Double(covered.full) / Double(trials)))
    }
}
