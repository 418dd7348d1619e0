import Foundation
import ModelGraph
import PythonOracle
import Testing

@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import Pruning
@testable import Quantization
@testable import Techniques
@testable import Training

@Suite struct ScalarKMeansTests {
    static func normal(_ count: Int, seed: UInt64) -> [Float] {
        var generator = SeededGenerator(seed: seed)
        func uniform() -> Double { (Double(generator.next() >> 11) + 0.5) * 0x1p-53 }
        return (0..<count).map { _ in Float((-2 * log(uniform())).squareRoot() * cos(2 * .pi * uniform())) }
    }

    static func cost(_ values: [Float], _ centroids: [Float]) -> Double {
        values.reduce(0) { sum, value in sum + Double(centroids.map { ($0 - value) * ($0 - value) }.min() ?? 0) }
    }

    /// Lloyd's algorithm in NumPy on the plain values, same start, until nothing moves.
    static let lloyd = """
        x = np.fromfile(args[0], np.float32).astype(np.float64)
        c = np.fromfile(args[1], np.float32).astype(np.float64)
        for _ in range(int(args[2])):
            label = np.abs(x[:, None] - c[None]).argmin(1)
            new = np.array([x[label == j].mean() if (label == j).any() else c[j] for j in range(len(c))])
            if np.array_equal(new, c): break
            c = new
        print(((x[:, None] - c[None]) ** 2).min(1).sum())
        """

    @Test(arguments: [1, 2, 4, 5], ["linear", "density", "random"])
    func costIsNotAboveNumPysLloyd(bits: Int, initialization: String) throws {
        let folder = try TemporaryFolder()
        let values = Self.normal(3000, seed: UInt64(bits))
        let distribution = ValueDistribution(of: [values], keepingZeros: true)
        let start = try #require(ScalarKMeans.Initialization(rawValue: initialization))
        // No iteration gives the initial centroids themselves.
        let initial = ScalarKMeans(distribution, count: 1 << bits, initialization: start, iterations: 0, seed: 5)
        let clusters = ScalarKMeans(distribution, count: 1 << bits, initialization: start, iterations: 1000, seed: 5)
        try folder.write("x", values.withUnsafeBytes { Array($0) })
        try folder.write("c", initial.centroids.withUnsafeBytes { Array($0) })
        let text = try Python.run(Self.lloyd, folder.path + "/x", folder.path + "/c", "1000")
        let reference = try #require(Double(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(Self.cost(values, clusters.centroids) <= reference * (1 + 1e-5))
        #expect(clusters.centroids == clusters.centroids.sorted() && clusters.sizes.reduce(0, +) == 3000)
    }

    /// At the end every centroid is the mean of the values nearest to it, and no move lowers the cost.
    @Test func fixedPoint() {
        let values = Self.normal(20_000, seed: 9)
        let clusters = ScalarKMeans(
            ValueDistribution(of: [values], keepingZeros: true), count: 16, initialization: .linear, iterations: 5000, seed: 0)
        #expect(clusters.iterations < 5000)
        var sums = [Double](repeating: 0, count: 16)
        var counts = [Double](repeating: 0, count: 16)
        for value in values {
            let nearest = clusters.centroids.indices.min { abs(clusters.centroids[$0] - value) < abs(clusters.centroids[$1] - value) }!
            sums[nearest] += Double(value)
            counts[nearest] += 1
        }
        for index in 0..<16 { #expect(abs(sums[index] / counts[index] - Double(clusters.centroids[index])) < 1e-5) }
    }

    /// Beyond the exact limit values are binned: the cost must stay that of exact clustering to a ten-thousandth.
    @Test func binningCostsNothing() {
        let values = Self.normal(ValueDistribution.exactLimit + 1, seed: 4)
        let binned = ValueDistribution(of: [values], keepingZeros: true)
        #expect(!binned.isExact && binned.count == Double(values.count))
        let exact = ValueDistribution(of: [Array(values.dropLast())], keepingZeros: true)
        #expect(exact.isExact)
        func centroids(_ distribution: ValueDistribution) -> [Float] {
            ScalarKMeans(distribution, count: 32, initialization: .density, iterations: 100, seed: 0).centroids
        }
        let sample = Array(values.prefix(200_000))
        #expect(abs(Self.cost(sample, centroids(binned)) / Self.cost(sample, centroids(exact)) - 1) < 1e-4)
    }

    @Test func sortingOrdersEveryFloat() {
        let values: [Float] = [3, -1, 0, -0.0, .leastNonzeroMagnitude, -.leastNonzeroMagnitude, 1e38, -1e38, 3, -1.5, 1e-20]
        let distribution = ValueDistribution(of: [values], keepingZeros: true)
        #expect(distribution.values == Array(Set(values)).sorted())
        #expect(distribution.count == 11)
        #expect(ValueDistribution(of: [values], keepingZeros: false).count == 9)
    }

    /// As many values as clusters: each is its own, nothing changes.
    @Test func fewValuesStayAsTheyAre() {
        let values: [Float] = [0.5, -0.25, 0.5, 7, -0.25]
        let clusters = ScalarKMeans(
            ValueDistribution(of: [values], keepingZeros: true), count: 4, initialization: .random, iterations: 50, seed: 1)
        #expect(clusters.centroids == [-0.25, 0.5, 7] && clusters.sizes == [2, 2, 1])
    }

    @Test func randomInitializationFollowsTheSeed() {
        let distribution = ValueDistribution(of: [Self.normal(5000, seed: 2)], keepingZeros: true)
        func centroids(_ seed: UInt64) -> [Float] {
            ScalarKMeans(distribution, count: 8, initialization: .random, iterations: 3, seed: seed).centroids
        }
        #expect(centroids(1) == centroids(1) && centroids(1) != centroids(2))
    }

    /// The branch-free search finds the nearest entry, for every size of codebook.
    @Test(arguments: [1, 2, 3, 5, 8, 31, 200, 255])
    func assignmentIsNearest(entries: Int) {
        let centroids = Array(Set(Self.normal(entries, seed: 7))).sorted()
        let values = Self.normal(2000, seed: 8) + [0, 0, 100, -100]
        for zero in [false, true] {
            let codebook = Codebook(centroids: centroids, zero: zero) { $0 }
            let indices = values.withUnsafeBufferPointer { codebook.assign($0) }
            for (value, index) in zip(values, indices) {
                let chosen = codebook.entries[Int(index)]
                if zero, value == 0 {
                    #expect(chosen == 0)
                } else {
                    let best = centroids.map { abs($0 - value) }.min()!
                    #expect(abs(chosen - value) <= best * (1 + 1e-6))
                }
            }
        }
    }
}
