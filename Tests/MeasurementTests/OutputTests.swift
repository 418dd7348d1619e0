import Foundation
import Metrics
import Testing

@testable import Datasets
@testable import EngineSupport
@testable import Measurement

@Suite("From outputs to outcomes")
struct OutputTests {
    // numpy 2.4.6: numpy.argmax.
    @Test(
        "argmax: NumPy's rule for ties and NaN",
        arguments: [
            ([1, 3, 3, 2], 1), ([Float.nan, 5, 9], 0), ([5, Float.nan, 9, Float.nan], 1), ([-Float.infinity, -Float.infinity], 0), ([7], 0),
        ] as [([Float], Int)])
    func argmax(values: [Float], expected: Int) {
        #expect(values.withUnsafeBufferPointer { OutputComparison.argmax($0) } == expected)
    }

    @Test("Top-1 is argmax, top-k is the k first of a stable descending sort, for every label of random rows with ties")
    func top() {
        var generator = SeededGenerator(seed: 5)
        for round in 0..<200 {
            let values = (0..<10).map { _ in round % 4 == 0 && generator.below(6) == 0 ? Float.nan : Float(generator.below(6)) }
            let order = values.indices.sorted { first, second in
                if values[first].isNaN || values[second].isNaN { return values[first].isNaN && (!values[second].isNaN || first < second) }
                return values[first] > values[second] || (values[first] == values[second] && first < second)
            }
            values.withUnsafeBufferPointer { row in
                for label in values.indices {
                    #expect(OutputComparison.isInTop(1, row, label: label) == (OutputComparison.argmax(row) == label))
                    #expect(OutputComparison.isInTop(5, row, label: label) == order.prefix(5).contains(label))
                }
                #expect(!OutputComparison.isInTop(5, row, label: 10))
                #expect(!OutputComparison.isInTop(5, row, label: -1))
            }
        }
    }

    @Test("Rows are judged one by one, against labels or the original model")
    func rows() {
        let outputs: [Float] = [0, 1, 2, 9, 1, 0, 3, 3, 1]
        outputs.withUnsafeBufferPointer { rows in
            #expect(OutputComparison.correctness(rows, classes: 3, labels: [2, 1, 0]) == [true, false, true])
            #expect(OutputComparison.correctness(rows, classes: 3, labels: [0, 2, 2], top: 2) == [false, false, false])
            let original = OutputComparison.predictions(rows, classes: 3)
            #expect(original == [2, 0, 0])
            #expect(OutputComparison.agreement(rows, classes: 3, original: original) == [true, true, true])
        }
    }

    @Test("Cosine and SQNR: scaling, noise of known power, and the ends")
    func nearness() {
        func both(_ x: [Float], _ y: [Float]) -> (Double, Double) {
            x.withUnsafeBufferPointer { x in y.withUnsafeBufferPointer { (OutputComparison.cosine(x, $0), OutputComparison.sqnr(x, $0)) } }
        }
        let original: [Float] = [3, -4, 0, 12]
        #expect(both(original, original) == (1, OutputComparison.sqnrCeiling))
        let doubled = both(original.map { 2 * $0 }, original)
        // Error equals signal: 0 dB.
        #expect(abs(doubled.0 - 1) < 1e-12 && abs(doubled.1) < 1e-12)
        #expect(abs(both(original.map { -$0 }, original).0 + 1) < 1e-12)
        // Noise a tenth of the signal: 20 dB.
        #expect(abs(both(original.map { 1.1 * $0 }, original).1 - 20) < 1e-5)
        #expect(both([0, 0], [0, 0]) == (1, OutputComparison.sqnrCeiling))
        #expect(both([1, 0], [0, 0]) == (0, -OutputComparison.sqnrCeiling))
        #expect(both([.nan, 1], [1, 1]) == (0, -OutputComparison.sqnrCeiling))
    }

    @Test("The comparison waits until the baseline is known for every sample seen, and then is that of the counts")
    func comparisonCoversWhatWasSeen() {
        var tally = PairedTally(metric: .top1)
        for _ in 0..<3 { tally.add(1, baseline: 1) }
        tally.add(0, baseline: .nan)
        #expect(tally.estimate(total: 10).difference == nil)
        var full = PairedTally(metric: .top1)
        for (score, baseline) in [(1, 1), (1, 0), (0, 1), (0, 1), (0, 0), (1, 1)] { full.add(Float(score), baseline: Float(baseline)) }
        let estimate = full.estimate(total: 6)
        let counts = PairedComparison(bothRight: 2, onlyBaseline: 2, onlyCandidate: 1, bothWrong: 1)
        #expect(estimate.isComplete && estimate.value == 0.5)
        #expect(estimate.difference == counts.difference && estimate.mcnemarP == counts.mcnemarP)
        #expect(estimate.differenceInterval == counts.newcombeInterval())
    }
}
