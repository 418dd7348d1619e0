import Metrics
import Testing

@testable import Measurement

@Suite("Quantiles, bootstrap, means")
struct MeanAndQuantileTests {
    private let values = [3.1, 2.2, 5.0, 4.4, 9.7, 1.5]

    // numpy 2.4.6: numpy.quantile(values, q).
    @Test(
        "Quantiles: NumPy's default",
        arguments: [(0.0, 1.5), (0.1, 1.85), (0.25, 2.4250000000000003), (0.5, 3.75), (0.9, 7.35), (1.0, 9.7)])
    func quantiles(q: Double, expected: Double) throws {
        #expect(try abs(#require(Quantiles.quantile(values, q)) - expected) < 1e-12)
    }

    @Test("Without values there is no quantile")
    func nothing() {
        #expect(Quantiles.median([]) == nil)
        #expect(Bootstrap.medianInterval([]) == nil)
        #expect(MeanEstimate().interval() == nil)
    }

    // scipy 1.17.1: stats.bootstrap(…, method='percentile', n_resamples=200000, paired=True for the ratio).
    private let denominators = [0.31, 1.7, 1.2, 0.9, 2.4, 0.88, 1.05, 1.33, 0.97, 1.21, 1.11, 1.5]
    private let numerators = [0.5, 2.1, 1.9, 1.3, 2.9, 1.4, 1.6, 1.9, 1.2, 2.0, 1.5, 2.2]

    @Test("Bootstrap interval of the median: SciPy")
    func medianInterval() throws {
        let interval = try #require(Bootstrap.medianInterval(denominators, resamples: 50000, seed: 3))
        #expect(abs(interval.low - 0.935) < 0.011 && abs(interval.high - 1.415) < 0.011)
        #expect(interval == Bootstrap.medianInterval(denominators, resamples: 50000, seed: 3))
        #expect(Bootstrap.medianInterval([2.5]) == Interval(low: 2.5, high: 2.5))
    }

    @Test("Bootstrap interval of the ratio of paired medians: SciPy")
    func ratioInterval() throws {
        let interval = try #require(Bootstrap.medianRatioInterval(numerators, over: denominators, resamples: 50000, seed: 3))
        #expect(abs(interval.low - 1.3513513513513513) < 0.01 && abs(interval.high - 1.6182572614107882) < 0.01)
        let same = try #require(Bootstrap.medianRatioInterval(numerators, over: numerators))
        #expect(same == Interval(low: 1, high: 1))
    }

    // scipy 1.17.1: stats.t.ppf(p, df).
    @Test(
        "Student's t quantiles: SciPy",
        arguments: [
            (0.975, 1, 12.706204736174694), (0.995, 1, 63.656741162871526), (0.975, 2, 4.302652729749462), (0.9, 4, 1.533206274058944),
            (0.975, 9, 2.262157162798205), (0.995, 29, 2.756385903670605), (0.975, 99, 1.9842169515864174),
            (0.975, 9999, 1.960201263621357), (0.995, 9999, 2.5763210958565974),
        ])
    func studentT(p: Double, degreesOfFreedom: Int, expected: Double) {
        #expect(abs(StudentT.quantile(p, degreesOfFreedom: degreesOfFreedom) - expected) < expected * 1e-9)
        #expect(abs(StudentT.quantile(1 - p, degreesOfFreedom: degreesOfFreedom) + expected) < expected * 1e-9)
    }

    // scipy 1.17.1: stats.t.interval(0.95, 5, mean, stats.sem(x)).
    @Test("Mean with its interval: SciPy; joining two streams is one stream")
    func mean() throws {
        let cosines = [0.991, 0.995, 0.9871, 0.9993, 0.97, 0.9988]
        var whole = MeanEstimate()
        cosines.forEach { whole.add($0) }
        let interval = try #require(whole.interval())
        #expect(try abs(whole.mean - 0.9902) < 1e-12 && abs(#require(whole.variance) - 0.00011962) < 1e-12)
        #expect(abs(interval.low - 0.9787222249668153) < 1e-9 && abs(interval.high - 1.001677775033185) < 1e-9)
        for cut in 0...cosines.count {
            var (first, second) = (MeanEstimate(), MeanEstimate())
            cosines[..<cut].forEach { first.add($0) }
            cosines[cut...].forEach { second.add($0) }
            first.merge(second)
            #expect(first.count == whole.count && abs(first.mean - whole.mean) < 1e-12)
            #expect(try abs(#require(first.variance) - #require(whole.variance)) < 1e-12)
        }
    }

    @Test("A large offset costs no digits")
    func offset() throws {
        var estimate = MeanEstimate()
        for value in [1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16] { estimate.add(value) }
        #expect(try #require(estimate.variance) == 30)
    }
}
